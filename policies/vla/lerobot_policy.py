"""Any LeRobot policy as ours: a batch of worlds in, the next action of each world's own chunk out."""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robo_reward.contracts import Flags, Floats, Observation
from robo_reward.errors import UserError
from robo_reward.policies.vla.features import ACTION, PICTURE, POINTS, Names, cameras_of, full_key, short_name

Raw = dict[str, Any]
"""A batch in LeRobot's keys before the policy's own preprocessor."""


class LeRobotPolicy:
    """A LeRobot policy with its processors behind the ``Policy`` contract.

    Each world has a queue of the actions that were decided for it. Pictures are read only when a world's queue is empty
    (or about to be, for policies that look at several moments), so that nothing is rendered in between. A chunk's
    randomness follows from ``seed`` and the worlds' states: the same states give the same actions, whatever ran before.

    ``policy``: acts (``module`` is what is trained: the same, or PEFT's wrapper around it); ``before``, ``after``: its
    processors; ``low``, ``high`` (A,): the world's bounds, which actions are clipped to; ``execute``: how many actions
    of a chunk are executed, None: as many as the policy's config says.
    """

    def __init__(
        self,
        policy: Any,
        before: Any,
        after: Any,
        names: Names,
        low: Floats,
        high: Floats,
        *,
        module: Any = None,
        execute: int | None = None,
        dtype: str = "float32",
        seed: int = 0,
    ) -> None:
        self.policy, self.before, self.after, self.names = policy, before, after, names
        self.module = policy if module is None else module
        self.low, self.high, self.dtype, self.seed = low, high, dtype, seed
        self.execute = execute
        self._queues: list[deque[Floats]] = []
        self._seen: list[deque[dict[str, NDArray[Any]]]] = []

    @property
    def config(self) -> Any:
        """LeRobot's config of the policy."""
        return self.policy.config

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        device: torch.device = next(self.policy.parameters()).device
        return device

    # --- acting ------------------------------------------------------------------------------------------------------

    def act(self, observation: Observation) -> Floats:
        """The next action of every world, (N, 1, A) float32 within its bounds."""
        count = len(observation.state)
        if len(self._queues) != count:
            self.reset(np.ones(count, bool))
        moments = int(getattr(self.config, "n_obs_steps", 1) or 1)
        if any(len(queue) < moments for queue in self._queues):
            self._look(observation, moments)
        due = [world for world in range(count) if not self._queues[world]]
        if due:
            for world, chunk in zip(due, self._decide(observation.task, due), strict=True):
                self._queues[world].extend(chunk)
        return np.stack([queue.popleft() for queue in self._queues])[:, None]

    def reset(self, fresh: Flags) -> None:
        """Forgets chunk and history of the worlds where ``fresh`` (N,) is True."""
        if len(fresh) != len(self._queues):
            self._queues = [deque() for _ in fresh]
            self._seen = [deque() for _ in fresh]
        for world in np.flatnonzero(fresh):
            self._queues[world].clear()
            self._seen[world].clear()

    def raw_batch(self, views: Mapping[str, NDArray[np.uint8]], state: Floats, task: Sequence[str]) -> Raw:
        """What N worlds show as LeRobot's raw batch: pictures (N, 3, H, W), state (N, S), instructions."""
        batch: Raw = {self.names.theirs("state"): torch.from_numpy(np.asarray(state, np.float32)), "task": list(task)}
        for view, key in self.names.views_of(self.config, list(views)).items():
            if hasattr(self.config, "check_crop"):
                self.config.check_crop(short_name(key), *views[view].shape[1:3])
            batch[key] = self.pictures(torch.from_numpy(np.ascontiguousarray(views[view])).permute(0, 3, 1, 2))
        return batch

    def pictures(self, frames: Tensor) -> Tensor:
        """uint8 (..., 3, H, W) in the form that the preprocessor takes: float in [0, 1], or as they are for our own."""
        return frames if hasattr(self.policy, "shrink_picture") else frames.float() / 255

    def training_batch(self, raw: Mapping[str, Any]) -> Raw:
        """A raw batch of training samples in our names, pictures uint8 or float, as ``forward`` takes it."""
        prepared: Raw = self.before(self.in_their_names(raw))
        return prepared

    def in_their_names(self, raw: Mapping[str, Any]) -> Raw:
        """The same before the policy's preprocessor, without cameras that it does not look at."""
        views = [short_name(key) for key in raw if key.startswith(PICTURE)]
        shown, read = self.names.shown(views), set(cameras_of(self.config))
        seen = {full_key(view): key for view, key in shown.items() if key in read}
        batch: Raw = {}
        for key, value in raw.items():
            if key.startswith(POINTS):
                theirs = seen.get(full_key(key.removeprefix(POINTS)))
                if theirs is not None:
                    batch[POINTS + short_name(theirs)] = value
            elif key.startswith(PICTURE):
                if key in seen:
                    batch[seen[key]] = self.pictures(value) if value.dtype == torch.uint8 else value
            else:
                batch[self.names.theirs(key) if key.startswith("observation.") else key] = value
        return batch

    def autocast(self) -> AbstractContextManager[Any]:
        """The precision that the policy's yaml asks for."""
        if self.dtype == "float32":
            return nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)

    @torch.no_grad()
    def chunk(self, history: Sequence[Raw]) -> Floats:
        """Chunks (N, K, A) in the world's units, for raw batches of the last moments, the present one last."""
        self.policy.eval()
        self.policy.reset()
        # pipelines add an action that is None, which policies with queues would take for one of theirs
        batches = [{k: v for k, v in self.before(dict(raw)).items() if k != ACTION} for raw in history]
        batch = self._remembered(batches)
        with self.autocast() if self.device.type == "cuda" else nullcontext():
            decided = self.policy.predict_action_chunk(batch)
        executed = self.execute or int(getattr(self.config, "n_action_steps", decided.shape[1]))
        actions = torch.as_tensor(self.after(decided[:, :executed].float())).float().cpu().numpy()
        if not np.isfinite(actions).all():
            raise UserError(f"the {self.config.type} policy gave actions that are not finite: its training diverged")
        return np.asarray(np.clip(actions, self.low, self.high), np.float32)

    def _look(self, observation: Observation, moments: int) -> None:
        """Keeps what the worlds show now; an episode's first moment stands for those before it."""
        views = self.names.views_of(self.config, list(observation.views))
        shown = {view: observation.views[view] for view in views}
        for world, seen in enumerate(self._seen):
            moment: dict[str, NDArray[Any]] = {view: frames[world] for view, frames in shown.items()}
            moment["state"] = observation.state[world]
            seen.append(moment)
            while len(seen) < moments:
                seen.appendleft(moment)
            while len(seen) > moments:
                seen.popleft()

    def _decide(self, task: Sequence[str], due: Sequence[int]) -> Floats:
        words = [task[world] for world in due]
        history = []
        for moments in zip(*(self._seen[world] for world in due), strict=True):
            views = {name: np.stack([m[name] for m in moments]) for name in moments[0] if name != "state"}
            history.append(self.raw_batch(views, np.stack([m["state"] for m in moments]), words))
        state = np.ascontiguousarray(history[-1][self.names.theirs("state")].numpy())
        with torch.random.fork_rng([self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(zlib.crc32(state.tobytes(), self.seed))
            return self.chunk(history)

    def _remembered(self, batches: Sequence[Raw]) -> Raw:
        """The present batch; policies with a memory of observations get the moments before it put there."""
        queues = getattr(self.policy, "_queues", None) or {}
        if not any(key.startswith("observation") for key in queues):
            return batches[-1]
        from lerobot.policies.utils import populate_queues
        from lerobot.utils.constants import OBS_IMAGES

        for batch in batches:
            if self.config.image_features:
                batch[OBS_IMAGES] = torch.stack([batch[key] for key in self.config.image_features], dim=-4)
            self.policy._queues = populate_queues(self.policy._queues, batch, exclude_keys=[ACTION])
        return batches[-1]

    # --- on disk -----------------------------------------------------------------------------------------------------

    def save(self, folder: Path) -> None:
        """Writes LeRobot's own checkpoint (``pretrained_model/``) and what acting here takes besides."""
        from robo_reward.policies.vla.checkpoint import save_policy

        save_policy(self, folder)


def load_lerobot_policy(folder: Path) -> LeRobotPolicy:
    """Reads what ``LeRobotPolicy.save`` wrote.

    Raises:
        UserError: a file is missing, damaged, or names code that is not LeRobot's or ours.
    """
    from robo_reward.policies.vla.checkpoint import load_policy

    return load_policy(Path(folder))
