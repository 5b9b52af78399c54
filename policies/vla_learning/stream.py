"""Adaptation in one stream without resets, in the manner of TT-VLA: each chunk is paid the progress that it made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from robo_reward.contracts import Flags, Observation, Policy, RewardModel, Transition
from robo_reward.errors import UserError
from robo_reward.playground import Playground
from robo_reward.policies.vla.lerobot_policy import LeRobotPolicy
from robo_reward.policies.vla_learning.clipped_update import UpdateSettings
from robo_reward.policies.vla_learning.evolve import Evolve
from robo_reward.policies.vla_learning.exploring import Decision, ExploringPolicy
from robo_reward.policies.vla_learning.flow_sde import FlowNoise
from robo_reward.policies.vla_learning.group_advantages import group_advantages, spread_of
from robo_reward.seeding import derive_seed
from robo_reward.separate_looks import SeparateLooks


class StreamAdaptation(Evolve):
    """Updates while the policy acts (arXiv 2601.06748; its exact formula is not public, this one is ours).

    Every ``window`` finished chunks of all worlds make one clipped update. A chunk's reward is the change of estimated
    progress from its decision to the next one; its advantage is that reward against the window's mean and deviation.
    The reward model looks at its own stride, progress in between is interpolated, and a chunk is paid at the next look.
    Windows whose rewards lie less than ``min_spread`` apart change nothing. Episodes end when the world's own time is
    over; no reset is asked for, and beginning anew pays nothing. A round is ``windows`` windows; the next
    one goes on in the middle of its episodes. They are judged as they end; while they last weights may change, unlike
    in other adaptations.
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
        self._streamed = 0
        self._meter: _Meter | None = None

    def bind(self, policy: Policy, rounds: int, seed: int) -> None:
        """As ``Evolve.bind``."""
        super().bind(policy, rounds, seed)
        assert isinstance(policy, LeRobotPolicy)
        self._explorer = ExploringPolicy(policy, self.tuner.likelihood, only=None)

    def adapt(self, ground: Playground) -> Mapping[str, float]:
        """One round of the stream. Only the first one, also after a resume, begins episodes: those that come next."""
        model = ground.session.stack.model
        if model.needs.episode:
            raise UserError("this reward prices whole episodes, and a stream is paid as it goes: reward_model=progress")
        tuner, explorer = self.tuner, self._explorer
        rows: list[dict[str, float]] = []

        def on_first(observation: Observation) -> None:
            explorer.begin(derive_seed(tuner.seed, "stream", tuner.played))
            self._meter = _Meter(model, explorer, ground.world.num_worlds, self._window)
            self._meter.begin(observation)

        def on_step(transition: Transition) -> bool:
            meter = self._meter
            assert meter is not None
            with ground.session.pricing():
                meter.see(transition, ground.world.observe())
            ready = meter.take()
            if ready is not None:
                rows.append(self._learn(*ready))
            return len(rows) < self._windows and ground.session.left()

        ground.streamed = self._streamed
        ground.stream(explorer, derive_seed(tuner.seed, "stream", tuner.played), on_first, on_step)
        self._streamed = ground.streamed
        tuner.played += 1
        keys = {key for row in rows for key in row}
        return {key: float(np.mean([row[key] for row in rows if key in row])) for key in sorted(keys)}

    def state(self) -> dict[str, Any]:
        """As ``Evolve.state``, and how many episodes have begun."""
        return super().state() | {"streamed": self._streamed}

    def load(self, state: Mapping[str, Any]) -> None:
        """Takes back what ``state`` gave."""
        super().load(state)
        self._streamed = int(state.get("streamed", 0))

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
    """Pairs decisions with the progress that was made until the next one, seen at the reward model's own stride."""

    def __init__(self, model: RewardModel, explorer: ExploringPolicy, worlds: int, window: int) -> None:
        self._looks, self._explorer, self._window = SeparateLooks(model), explorer, window
        self._stride = model.needs.stride
        self._age: NDArray[np.int64] = np.zeros(worlds, np.int64)
        self._since: NDArray[np.int64] = np.zeros(worlds, np.int64)
        self._seen: list[list[tuple[int, float]]] = [[] for _ in range(worlds)]
        self._unpaid: list[list[tuple[Decision, int, int]]] = [[] for _ in range(worlds)]
        self._decisions: list[Decision] = []
        self._rewards: list[float] = []

    def begin(self, first: Observation) -> None:
        """The stream's first observation."""
        self._begin(first, np.ones(len(self._age), bool))

    def see(self, transition: Transition, shown: Observation) -> None:
        """One step; ``shown``: what the worlds show now, after an end the next episode."""
        self._age += 1
        done: Flags = transition.done
        # decisions whose chunk this step completes, or an end cuts off
        over = np.array([not self._explorer.waiting(w) for w in range(len(done))]) | done
        for world in np.flatnonzero(over):
            decision = self._explorer.last(int(world))
            if decision is not None:
                self._unpaid[world].append((decision, int(self._since[world]), int(self._age[world])))
            self._since[world] = self._age[world]
        look: Flags = (self._age % self._stride == 0) | done
        if look.any():
            progress = self._looks.estimate_where(transition, look).progress
            for world in np.flatnonzero(look):
                self._seen[world].append((int(self._age[world]), float(progress[world])))
                self._pay(int(world))
        if done.any():
            self._begin(shown, done)

    def _begin(self, shown: Observation, fresh: Flags) -> None:
        progress = self._looks.begin(shown, fresh).progress
        self._age[fresh] = self._since[fresh] = 0
        for world in np.flatnonzero(fresh):
            self._seen[world] = [(0, float(progress[world]))]

    def _pay(self, world: int) -> None:
        """The world's decisions up to the present look; none is left unpaid at an episode's end."""
        ages, progress = zip(*self._seen[world], strict=True)
        for decision, start, end in self._unpaid[world]:
            self._decisions.append(decision)
            self._rewards.append(float(np.interp(end, ages, progress) - np.interp(start, ages, progress)))
        self._unpaid[world] = []

    def take(self) -> tuple[list[Decision], NDArray[np.float64]] | None:
        """A full window, which is forgotten here."""
        if len(self._decisions) < self._window:
            return None
        taken = (self._decisions, np.asarray(self._rewards))
        self._decisions, self._rewards = [], []
        return taken
