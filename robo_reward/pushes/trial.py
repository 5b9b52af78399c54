"""Some episodes of a frozen policy under one kind of push of one magnitude: who survives, and how well they track."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robo_reward.contracts import Flags, Observation, Policy, Transition, World
from robo_reward.pushes.forces import Adversary, BlowUps, Pushable
from robo_reward.pushes.patterns import Array, Kind, Schedule, directions
from robo_reward.seeding import derive_seed

OnTrialStep = Callable[[Flags, Transition], None]
"""Is told after each step who has survived it (N,), and the step."""


@dataclass(frozen=True, slots=True)
class Trial:
    """``survived`` (E,); ``error`` (E,) mean velocity error in m/s while pushed, NaN where the task tracks none.

    The error of an episode that ended early is that of its time until then. ``blown_up``: episodes whose
    simulation became unstable, which count as not survived.
    """

    survived: Flags
    error: Array
    blown_up: int


class PushTrials:
    """Runs trials in one world of N robots; the same seed gives the same episodes, whatever was run before.

    ``bodies``: the pushed ones; constant, sudden and periodic forces act on the first. ``adversary`` pushes in trials
    of the kind "worst".
    """

    def __init__(
        self, world: World, policy: Policy, bodies: tuple[str, ...], schedule: Schedule, seed: int, episodes: int
    ) -> None:
        assert isinstance(world, Pushable)
        self.world, self.policy, self.schedule = world, policy, schedule
        self._pushable, self._body = world, world.bodies.index(bodies[0])
        self._seed, self._episodes = seed, episodes
        self.adversary: Adversary | None = None

    def run(self, kind: Kind, newtons: float, wave: int | None = None, on_step: OnTrialStep | None = None) -> Trial:
        """All episodes, in waves of as many as there are worlds; or one wave alone."""
        worlds = self.world.num_worlds
        waves = range(-(-self._episodes // worlds)) if wave is None else (wave,)
        parts = [self._wave(kind, newtons, k, on_step) for k in waves]
        keep = slice(None) if wave is not None else slice(0, self._episodes)
        survived, error, blown_up = (np.concatenate(part)[keep] for part in zip(*parts, strict=True))
        return Trial(survived, error, int(blown_up.sum()))

    def _wave(self, kind: Kind, newtons: float, wave: int, on_step: OnTrialStep | None) -> tuple[Flags, Array, Flags]:
        """(N,) each: who survived, the mean errors, and whose episode ended because its simulation blew up."""
        world, schedule = self.world, self.schedule
        toward = directions(wave * world.num_worlds, world.num_worlds)
        seen = world.reset(derive_seed(self._seed, "pushed episodes", wave))
        self.policy.reset(np.ones(world.num_worlds, bool))
        if kind == "worst":
            assert self.adversary is not None
            self.adversary.begin(derive_seed(self._seed, "adversary", wave))
            self.adversary.hold(newtons, explore=False, world=world)
        alive, blown_up = np.ones(world.num_worlds, bool), np.zeros(world.num_worlds, bool)
        ledger, blow_ups = _Ledger(world), BlowUps(world)
        for step in range(schedule.steps(world.fps)):
            second = step / world.fps
            if schedule.pushes(second):
                self._pushable.apply_force(self._force(kind, newtons, second, toward, seen))
            transition = world.step(self.policy.act(seen)[:, 0])
            blown_up |= alive & blow_ups.of(transition)
            alive &= ~transition.done
            ledger.note(alive, schedule.pushes(second))
            if on_step is not None:
                on_step(alive, transition)
            seen = world.observe()
            self.policy.reset(transition.done)
            if not alive.any():
                break
        return alive, ledger.mean(), blown_up

    def _force(
        self, kind: Kind, newtons: float, second: float, toward: Array, seen: Observation
    ) -> NDArray[np.float64]:
        if kind == "worst":
            assert self.adversary is not None
            return self.adversary.force(seen)
        wrench = np.zeros((len(toward), len(self._pushable.bodies), 6))
        wrench[:, self._body, :3] = newtons * self.schedule.share(kind, second) * toward
        return wrench


class _Ledger:
    """Adds up the velocity errors of robots that are pushed and alive, for tasks that tell a mean one."""

    def __init__(self, world: World) -> None:
        self._mean_error = getattr(getattr(world, "task", None), "mean_error", None)
        self._steps, self._before = 0, np.zeros(world.num_worlds)
        self._sum, self._count = np.zeros(world.num_worlds), np.zeros(world.num_worlds)

    def note(self, alive: Flags, pushed: bool) -> None:
        """After a step; the task's mean is over the episode so far."""
        self._steps += 1
        if self._mean_error is None:
            return
        total = self._mean_error() * self._steps
        counts = alive & pushed
        self._sum[counts] += (total - self._before)[counts]
        self._count += counts
        self._before = total

    def mean(self) -> Array:
        """(N,) NaN where nothing was counted."""
        return np.where(self._count > 0, self._sum / np.maximum(self._count, 1), np.nan)
