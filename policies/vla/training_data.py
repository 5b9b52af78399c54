"""What supervised training reads: demonstrations in memory, a small dataset decoded into memory, or a streamed one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from robo_reward.data import dataset_source as columns
from robo_reward.data.dataset_source import AGE, DatasetSource, open_dataset
from robo_reward.errors import UserError
from robo_reward.policies.vla.features import ACTION, PLACES, POINTS, STATE, VIEW_PREFIX, DataFacts
from robo_reward.policies.vla.frames import EpisodeFrames
from robo_reward.policies.vla.lerobot_policy import LeRobotPolicy
from robo_reward.policies.vla.normalisation import Stats, stats_of_traces
from robo_reward.ranks import Ranks
from robo_reward.seeding import derive_rng, derive_seed
from robo_reward.trace import Trace

Batches = Callable[[int, int], Iterator[dict[str, Any]]]
"""(first update, last update) -> raw batches in our names, the same for the same update whoever asks."""
AT_ONCE = 32
"""Episodes that are decoded together before their pictures are made small."""
ALONE = Ranks()
Choose = Callable[[Sequence[str]], Sequence[str]]


def facts_of_traces(traces: Sequence[Trace], choose: Choose) -> DataFacts:
    """Names, sizes and statistics of episodes in memory; ``choose``: which of the views are looked at."""
    first = traces[0]
    views = {view: first.frames[view].shape[1:3] for view in choose(list(first.frames))}
    sizes = {view: (int(size[0]), int(size[1])) for view, size in views.items()}
    stats = stats_of_traces(traces, list(views))
    return DataFacts("the demonstrations", sizes, first.state.shape[1], first.action.shape[1], stats)


def facts_of_dataset(path: str, choose: Choose) -> DataFacts:
    """Names, sizes and statistics of a LeRobotDataset v3, from its metadata.

    Raises:
        UserError: it is none, or it lacks states, actions or statistics.
    """
    source = open_dataset(path)
    source.require(["observation.state", "action"])
    known, views = source.image_keys(), {}
    for view in choose(list(known)):
        shape = [int(size) for size in source.features[known[view]]["shape"]]
        views[view] = (shape[1], shape[2]) if shape[0] == 3 and shape[2] != 3 else (shape[0], shape[1])
    sizes = [int(np.prod(source.features[key]["shape"])) for key in ("observation.state", "action")]
    return DataFacts(path, views, sizes[0], sizes[1], _dataset_stats(source))


def batches_in_memory(
    frames: EpisodeFrames, policy: LeRobotPolicy, batch: int, seed: int, ranks: Ranks = ALONE, still: float = 1.0
) -> Batches:
    """Batches from memory, in a new order each epoch; of several processes each takes its share of every batch.

    ``still``: the share of every batch that scenes take where they are more of all samples.
    """
    past, ahead = deltas(policy.config)

    def between(first: int, last: int) -> Iterator[dict[str, Any]]:
        for chosen in mixed(frames.acted, len(frames), still, batch, seed, first, last):
            yield frames.batch(list(ranks.share(chosen)), past, ahead)

    return between


def frames_of_dataset(path: str, views: Sequence[str], policy: LeRobotPolicy, demos: int | None) -> EpisodeFrames:
    """A dataset decoded into memory, as small as the policy reads it if it says so; ``demos`` episodes of each task."""
    from robo_reward.data.datasets import read_dataset
    from robo_reward.data.demonstrations import of_each_task

    frames = EpisodeFrames(views, shrinker(policy))
    rows = sorted(open_dataset(path).episodes, key=lambda row: int(row["episode_index"]))
    rows = [row for row in rows if int(row["length"]) > 1]
    starts = dict(zip([int(r["episode_index"]) for r in rows], _starts(rows), strict=True))
    wanted = [int(rows[k]["episode_index"]) for k in of_each_task([_task(row) for row in rows], demos)]
    for at in range(0, len(wanted), AT_ONCE):
        part = wanted[at : at + AT_ONCE]
        frames.add(read_dataset(path, views=views, episodes=part), [starts[episode] for episode in part])
    return frames


def streamed_batches(
    path: str, policy: LeRobotPolicy, batch: int, seed: int, workers: int, ranks: Ranks = ALONE
) -> Batches:
    """Batches, or this process's share of them, by LeRobot's own loader; ``workers`` processes decode them.

    Raises:
        UserError: no dataset, or one with pictures of earlier steps, which are no samples.
    """
    from lerobot.datasets.dataset_metadata import LeRobotDatasetMetadata
    from lerobot.datasets.factory import resolve_delta_timestamps
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    source = open_dataset(path)
    if AGE in source.features:
        raise UserError(
            f"dataset '{path}' holds pictures that were taken now and then; raise learner.cache_gb to read it"
        )
    name, root = _address(source)
    meta = LeRobotDatasetMetadata(name, root=root)
    spans, past = resolve_delta_timestamps(policy.config, meta), policy.config.observation_delta_indices
    dataset = LeRobotDataset(name, root=root, delta_timestamps=spans, video_backend="pyav")
    pointed = source.point_columns()

    def between(first: int, last: int) -> Iterator[dict[str, Any]]:
        chosen = [list(ranks.share(one)) for one in order(len(dataset), batch, seed, first, last)]
        for raw in torch.utils.data.DataLoader(dataset, batch_sampler=chosen, num_workers=workers):
            for key, axes in ((ACTION, 3), (STATE, 3 if past else 2)):
                if key in raw and raw[key].ndim < axes:  # LeRobot drops the last axis where it is 1
                    raw[key] = raw[key].unsqueeze(-1)
            if columns.PLACES in raw:
                raw[PLACES] = raw.pop(columns.PLACES)
            points = raw.pop(columns.POINTS, None)
            yield raw | {POINTS + view: points[:, of].unflatten(-1, (-1, 2)) for view, of in pointed.items()}

    return between


def decoded_gigabytes(path: str, views: Sequence[str], policy: LeRobotPolicy, demos: int | None) -> float:
    """How much memory the decoded pictures of a dataset take, as small as the policy reads them, held ones too."""
    from robo_reward.data.demonstrations import of_each_task

    source = open_dataset(path)
    known, rows = source.image_keys(), sorted(source.episodes, key=lambda row: int(row["episode_index"]))
    shrink, numbers = shrinker(policy), 0
    for view in views:
        shape = [int(size) for size in source.features[known[view]]["shape"]]
        high, wide = shape[1:] if shape[0] == 3 and shape[2] != 3 else shape[:2]
        picture = torch.zeros(1, 3, high, wide, dtype=torch.uint8)
        numbers += (picture if shrink is None else shrink(view, picture)).numel()
    chosen = of_each_task([_task(row) for row in rows], demos)
    return numbers * sum(int(rows[k]["length"]) for k in chosen) / 1e9


def _task(row: Any) -> str:
    """An episode's first instruction."""
    return str((row.get("tasks") or [""])[0])


def shrinker(policy: LeRobotPolicy) -> Any:
    """How pictures of our views are made small before they are kept; None where the policy does not say."""
    shrink = getattr(policy.policy, "shrink_picture", None)
    return None if shrink is None else lambda view, pictures: shrink(policy.names.theirs(view), pictures)


def deltas(config: Any) -> tuple[list[int], list[int]]:
    """Steps of the observations (empty: only the present) and of the actions that a policy is trained on.

    Raises:
        UserError: a policy that imitates no actions, as LeRobot's gaussian_actor, which learns from rewards, or that
            predicts what will be seen (tdmpc, vla_jepa).
    """
    if config.action_delta_indices is None:
        raise UserError(f"policy.type={config.type} imitates no actions: choose another, as act, diffusion or smolvla")
    if max(config.observation_delta_indices or [0]) > 0:
        raise UserError(
            f"policy.type={config.type} is trained on what will be seen later, which is not supported here: "
            "choose another, as act, diffusion or smolvla"
        )
    seen = config.observation_delta_indices
    past = [] if seen is None or (len(seen) == 1 and config.n_obs_steps == 1 and not _stacks(config)) else list(seen)
    return past, list(config.action_delta_indices)


def order(count: int, batch: int, seed: int, first: int, last: int) -> Iterator[list[int]]:
    """The samples of updates ``first`` to ``last`` - 1: whole epochs, each in an order of its own.

    Raises:
        UserError: there is no sample.
    """
    if count == 0:
        raise UserError("there is not one step with a picture and an action to train on")
    epoch = -1
    shuffled: NDArray[np.int64] = np.zeros(0, np.int64)
    for update in range(first, last):
        chosen: list[int] = []
        for place in range(update * batch, (update + 1) * batch):
            if place // count != epoch:
                epoch = place // count
                shuffled = derive_rng(seed, "sft epoch", epoch).permutation(count)
            chosen.append(int(shuffled[place % count]))
        yield chosen


def mixed(acted: int, count: int, share: float, batch: int, seed: int, first: int, last: int) -> Iterator[list[int]]:
    """As ``order``, but where the samples from ``acted`` on are more than a ``share`` of all, this share of each batch.

    Both kinds then go through epochs of their own, and lie in each batch in any order: parts of a batch are shifted
    alike. Where they are no more, all are shuffled together.
    """
    if acted == 0 or count - acted <= share * count:
        yield from order(count, batch, seed, first, last)
        return
    stills = min(max(round(share * batch), 1), batch - 1)
    own = order(acted, batch - stills, derive_seed(seed, "sft acted"), first, last)
    rest = order(count - acted, stills, derive_seed(seed, "sft scenes"), first, last)
    for update, (done, shown) in enumerate(zip(own, rest, strict=True), first):
        both = [*done, *(acted + k for k in shown)]
        yield [both[k] for k in derive_rng(seed, "sft mixed", update).permutation(batch)]


def _stacks(config: Any) -> bool:
    """Whether the policy wants a time axis even for one moment."""
    return config.type in ("diffusion", "multi_task_dit", "vqbet")


def _starts(rows: Sequence[Any]) -> list[int]:
    """The dataset's index of the first frame of every episode."""
    counted = np.cumsum([0, *(int(row["length"]) for row in rows)])[:-1]
    return [int(row.get("dataset_from_index", k)) for row, k in zip(rows, counted, strict=True)]


def _dataset_stats(source: DatasetSource) -> Stats:
    from lerobot.datasets.dataset_metadata import LeRobotDatasetMetadata

    name, root = _address(source)
    stats = LeRobotDatasetMetadata(name, root=root).stats
    if not stats or "action" not in stats:
        raise UserError(f"dataset '{source.name}' has no statistics (meta/stats.json): write it with LeRobot 0.6")
    return {
        key: dict(values) for key, values in stats.items() if key.startswith((VIEW_PREFIX, "observation", "action"))
    }


def _address(source: DatasetSource) -> tuple[str, Path]:
    return source.hub_id or f"local/{source.root.name}", source.root
