"""One direction of practice on an arm: what it is shown, what it practised, and the learner of its own beside it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from robo_reward.arm.episode import DEMONSTRATIONS, PRACTICE, ArmEpisode, episode_path, stored, write_episode
from robo_reward.arm.learner_process import LearnerProcess
from robo_reward.arm.learner_work import WEIGHTS
from robo_reward.errors import UserError
from robo_reward.runs import atomic

if TYPE_CHECKING:
    from collections.abc import Sequence

    from robo_reward.contracts import Policy

LEAD = 3
"""Periods by which goals that were sent lie behind those that were asked for, in datasets that hold only the former."""
BACK = "back"
"""Folder of the direction that undoes what the first one did, in the run and in each checkpoint."""


class Direction:
    """``path``: where its files lie. ``task``: its words. ``data``: a dataset of its demonstrations, None: shown here.

    ``back``: it undoes what the first one did.
    """

    def __init__(
        self, path: Path, checkpoint: Path | None, config: Any, task: str, data: str | None, back: bool = False
    ) -> None:
        if back:
            path.mkdir(exist_ok=True)
            checkpoint = None if checkpoint is None else checkpoint / BACK
            atomic.write_text(path / "config.yaml", (path.parent / "config.yaml").read_text("utf-8"))
        self.path, self.task, self.data, self.back = path, task, data, back
        self.wanted = None if data is not None else int(config.demos or 10)
        self.learner = LearnerProcess(path, checkpoint)

    @property
    def missing(self) -> int:
        """Demonstrations that are still to be shown."""
        return 0 if self.wanted is None else max(0, self.wanted - self.shown)

    @property
    def shown(self) -> int:
        """Demonstrations that are kept."""
        return len(stored(self.path, DEMONSTRATIONS))

    @property
    def practised(self) -> list[Path]:
        """The episodes of practice that are kept."""
        return stored(self.path, PRACTICE)

    def keep(self, folder: str, number: int, episode: ArmEpisode) -> None:
        """An episode as the learner reads it."""
        (self.path / folder).mkdir(exist_ok=True)
        write_episode(episode_path(self.path, folder, number), episode)

    def read(self, joints: Sequence[str], views: Sequence[str], most: int | None) -> None:
        """Demonstrations of ``data``. UserError where they were not recorded on this arm."""
        if self.data is None or self.shown:
            return
        from robo_reward.data.datasets import read_dataset

        for number, trace in enumerate(read_dataset(self.data)[:most]):
            if trace.action.shape[1] != len(joints) or set(views) - set(trace.frames):
                raise UserError(
                    f"'{self.data}' was not recorded on this arm: its actions have {trace.action.shape[1]} numbers "
                    f"and its cameras are {sorted(trace.frames)}; the arm has {len(joints)} joints and {list(views)}"
                )
            asked = trace.action[np.minimum(np.arange(len(trace)) + LEAD, len(trace) - 1)]
            self.keep(DEMONSTRATIONS, number, ArmEpisode(trace, asked, np.ones(len(trace), bool), "demonstration"))

    def newest(self, mode: str | None, seed: int) -> Policy:
        """The policy of the learner's newest weights, told how to act; None: as it was saved."""
        from robo_reward.build import load_policy

        policy: Any = load_policy(self.learner.listen())
        if mode is not None:
            policy.practise(seed, mode)
        learned: Policy = policy
        return learned

    def checkpoint(self, place: Path) -> None:
        """Into the run's checkpoint."""
        if self.back:
            place = place / BACK
            place.mkdir()
        self.learner.save(place)

    def finish(self, interface: Any) -> None:
        """Policy and reward model, as other verbs read them."""
        self.learner.save(self.path, "finish")
        replace(interface, task=self.task).save(self.path / "policy")

    def clear(self) -> None:
        """Deletes what only a resume needs."""
        for part in (PRACTICE, WEIGHTS):
            shutil.rmtree(self.path / part, ignore_errors=True)
