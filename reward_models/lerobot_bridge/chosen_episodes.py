"""Which episodes of a dataset LeRobot's trainer trains a reward on, and whether they are demonstrations."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from typing import Any

from robo_reward.data.datasets import read_dataset
from robo_reward.errors import UserError
from robo_reward.fitting.episodes import Episode

TOLD = 30
"""No more episodes than this are listed in an error."""


def chosen_episodes(meta: Any) -> list[int]:
    """The numbers, ascending: ``--dataset.episodes`` without those that ``--dataset.eval_split`` holds out.

    LeRobot gives a reward model the metadata of the whole dataset and no word about what it chose of it. The dataset
    that these metadata belong to knows; without one, in a program of one's own, it is all episodes.
    """
    from lerobot.datasets import LeRobotDataset, StreamingLeRobotDataset

    for held in gc.get_objects():
        ours = issubclass(type(held), LeRobotDataset | StreamingLeRobotDataset) and getattr(held, "meta", None) is meta
        if ours and held.episodes is not None:
            return sorted({int(number) for number in held.episodes})
    return list(range(meta.total_episodes))


def demonstrated(meta: Any, chosen: Sequence[int], stride: int) -> list[Episode]:
    """The ``chosen`` episodes without their pictures. A dataset without ``next.success`` holds successes alone.

    Raises:
        UserError: that names the episodes that the dataset has not, that are shorter than two strides, or nowhere
            annotated as a success, and the way to leave them out.
    """
    for number in chosen:
        if not 0 <= number < meta.total_episodes:
            last = meta.total_episodes - 1
            raise UserError(f"--dataset.episodes names episode {number}; the dataset has 0 to {last}")
    ends = zip(meta.episodes["dataset_from_index"], meta.episodes["dataset_to_index"], strict=True)
    frames = [int(end) - int(start) for start, end in ends]
    _refuse(
        [number for number in chosen if frames[number] <= 2 * stride],
        chosen,
        f"shorter than two strides of {stride} ({2 * stride + 1} frames; --reward_model.stride sets it):",
    )
    traces = read_dataset(meta.root, (), chosen)
    episodes = [Episode(trace, str(meta.repo_id), number) for number, trace in zip(chosen, traces, strict=True)]
    _refuse(
        [episode.number for episode in episodes if episode.trace.success_step is None],
        chosen,
        "nowhere annotated as a success (next.success), and progress would be taught that it ends in one:",
    )
    return episodes


def _refuse(wrong: Sequence[int], chosen: Sequence[int], why: str) -> None:
    if not wrong:
        return
    left = sorted(set(chosen) - set(wrong))
    others = ",".join(map(str, left)) if len(left) <= TOLD else "..."
    way = f"leave it out with --dataset.episodes=[{others}]" if left else "no other one is left to train on"
    more = f" (so are {len(wrong) - 1} more: {_told(wrong[1:])})" if wrong[1:] else ""
    raise UserError(f"episode {wrong[0]} of the dataset is {why} {way}{more}")


def _told(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers[:TOLD])) + (", ..." if len(numbers) > TOLD else "")
