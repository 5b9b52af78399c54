"""Adaptation in one stream without resets, in the manner of TT-VLA: each chunk is paid the progress that it made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from robo_reward.contracts import Flags, Observation, Policy, Transition
from robo_reward.errors import UserError
from robo_reward.playground import Playground
from robo_reward.policies.vla.lerobot_policy import LeRobotPolicy
from robo_reward.policies.vla_learning.clipped_update import UpdateSettings
from robo_reward.policies.vla_learning.evolve import Evolve
from robo_reward.policies.vla_learning.exploring import Decision, ExploringPolicy
from robo_reward.policies.vla_learning.flow_sde import FlowNoise
from robo_reward.policies.vla_learning.group_advantages import group_advantages, spread_of
from robo_reward.seeding import derive_seed


class StreamAdaptation(Evolve):
    """Updates while the policy acts (arXiv 2601.06748; its exact formula is not public, this one is ours).

    Every ``window`` finished chunks of all worlds make one clipped update. A chunk's reward is the change of estimated
    progress from its decision to the next one; its advantage is that reward against the window's mean and deviation.
    Windows whose rewards lie less than ``min_spread`` apart change nothing. Episodes end when the world's own time is
    over; no reset is asked for, and a world that begins anew pays nothing for it. A round is ``windows`` windows.
    """

    def __init__(
        self,
        window: int = 32,
        windows: int = 4,
        min_spread: float = 0.02,
        update: UpdateSettings | None = None,
        noise: FlowNoise | None = None,
    ) -> None:
        if window < 2 or windows < 1 or min_spread < 0:
            raise UserError(f"window={window} must be 2 or more, windows={windows} 1 or more, min_spread 0 or more")
        super().__init__(update=update, noise=noise)
        self._window, self._windows, self._min_spread = window, windows, min_spread

    def bind(self, policy: Policy, rounds: int, seed: int) -> None:
        """As ``Evolve.bind``."""
        super().bind(policy, rounds, seed)
        assert isinstance(policy, LeRobotPolicy)
        self._explorer = ExploringPolicy(policy, self.tuner.likelihood, only=None)

    def adapt(self, ground: Playground) -> Mapping[str, float]:
        """One round of the stream; the next one begins with a new stream."""
        if ground.session.stack.model.needs.episode:
            raise UserError("this reward prices whole episodes, and a stream is paid as it goes: reward_model=progress")
        tuner = self.tuner
        self._explorer.begin(derive_seed(tuner.seed, "stream", tuner.played))
        worlds = ground.world.num_worlds
        meter = _Meter(ground.session.stack.model, self._explorer, worlds, self._window)
        rows: list[dict[str, float]] = []

        def on_step(transition: Transition) -> bool:
            with ground.session.pricing():
                meter.see(transition, ground.world.observe())
            ready = meter.take()
            if ready is not None:
                rows.append(self._learn(*ready))
            return len(rows) < self._windows and ground.session.left()

        ground.stream(self._explorer, derive_seed(tuner.seed, "stream", tuner.played), meter.begin, on_step)
        tuner.played += 1
        keys = {key for row in rows for key in row}
        return {key: float(np.mean([row[key] for row in rows if key in row])) for key in sorted(keys)}

    def _learn(self, decisions: list[Decision], rewards: NDArray[np.float64]) -> dict[str, float]:
        tuner = self.tuner
        tuner.updates += 1
        spread, metrics = spread_of(rewards), {"reward": float(rewards.mean())}
        if spread <= self._min_spread:
            tuner.skipped += 1
            return metrics | {"skipped": 1.0}
        tuner.remember(decisions)
        advantages = torch.as_tensor(group_advantages(rewards), dtype=torch.float32)
        seed = derive_seed(tuner.seed, "update", tuner.updates)
        return metrics | {"skipped": 0.0} | tuner.update.run(decisions, advantages, seed)


class _Meter:
    """Pairs decisions with the progress that was made until the next one."""

    def __init__(self, model: Any, explorer: ExploringPolicy, worlds: int, window: int) -> None:
        self._model, self._explorer, self._window = model, explorer, window
        self._stride = model.needs.stride
        self._age: NDArray[np.int64] = np.zeros(worlds, np.int64)
        self._now: NDArray[np.float64] = np.zeros(worlds)
        self._since: NDArray[np.float64] = np.zeros(worlds)
        self._decisions: list[Decision] = []
        self._rewards: list[float] = []

    def begin(self, first: Observation) -> None:
        """The stream's first observation."""
        self._now = np.asarray(self._model.begin(first, np.ones(len(first.state), bool)).progress, np.float64)
        self._since = self._now.copy()

    def see(self, transition: Transition, shown: Observation) -> None:
        """One step; ``shown``: what the worlds show now, after an end the next episode."""
        self._age += 1
        done: Flags = transition.done
        # decisions whose chunk this step completes, or an end cuts off, are paid now
        over = np.array([not self._explorer.waiting(w) for w in range(len(done))]) | done
        if over.any() or (self._age % self._stride == 0).any():
            self._now = np.asarray(self._model.estimate(transition).progress, np.float64)
        for world in np.flatnonzero(over):
            decision = self._explorer.last(int(world))
            if decision is not None:
                self._decisions.append(decision)
                self._rewards.append(float(self._now[world] - self._since[world]))
            self._since[world] = self._now[world]
        if done.any():
            fresh = np.asarray(self._model.begin(shown, done).progress, np.float64)
            self._now = np.where(done, fresh, self._now)
            self._since = np.where(done, fresh, self._since)
            self._age[done] = 0

    def take(self) -> tuple[list[Decision], NDArray[np.float64]] | None:
        """A full window, which is forgotten here."""
        if len(self._decisions) < self._window:
            return None
        taken = (self._decisions, np.asarray(self._rewards))
        self._decisions, self._rewards = [], []
        return taken
