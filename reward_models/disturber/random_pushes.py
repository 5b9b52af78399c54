"""``hook=random_pushes``: pushes at random times, in random directions, as a baseline for an adversary that learns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robo_reward.contracts import Observation, Oracle, Step, World
from robo_reward.errors import UserError
from robo_reward.pushes.collected import Collected
from robo_reward.pushes.forces import names_of
from robo_reward.reward_models.disturber.curriculum import Curriculum
from robo_reward.reward_models.disturber.force_space import ForceSpace, force_space, pushed_worlds
from robo_reward.reward_models.disturber.nan_watch import NanWatch
from robo_reward.runs.checkpoint import save_state


class RandomPushes:
    """Each push lasts ``seconds`` and follows the one before after an exponentially distributed pause.

    ``every``: mean seconds from the end of a push to the next. Directions are uniform on the sphere of what can be
    chosen, magnitudes uniform up to the curriculum's bound. ``unpushed``: share of the worlds that nobody pushes.
    """

    def __init__(
        self,
        curriculum: Curriculum,
        seconds: float = 0.2,
        every: float = 1.0,
        bodies: str | Sequence[str] | None = None,
        vertical: bool = True,
        lever: float = 0.0,
        unpushed: float = 0.0,
        max_nan_resets: int | None = None,
    ) -> None:
        if not 0 < seconds < np.inf or not 0 <= every < np.inf:
            raise UserError(f"hook.seconds={seconds} must be above 0 and hook.every={every} 0 or more seconds")
        self.curriculum, self._seconds, self._every = curriculum, seconds, every
        self._bodies = names_of(bodies)
        self._vertical, self._lever, self._unpushed = vertical, lever, unpushed
        self._watch, self.steps = NanWatch(max_nan_resets), 0

    def bind(self, world: World, oracle: Oracle) -> None:
        """Takes the world's bodies; ``oracle`` plays no part: nothing is learned."""
        self.space: ForceSpace = force_space(world, self._bodies, self._vertical, self._lever)
        self._pushed = pushed_worlds(world, self._unpushed)
        self._fps, self._worlds = world.fps, world.num_worlds
        self._watch.bind(world)
        self.begin(0)

    def begin(self, seed: int) -> None:
        """New pauses everywhere."""
        self._rng = np.random.default_rng(seed)
        self._unit: NDArray[np.float64] = np.zeros((self._worlds, self.space.size))
        self._wait = self._pauses(self._worlds)
        self._left: NDArray[np.int64] = np.zeros(self._worlds, np.int64)
        self._sum, self._count, self._falls = 0.0, 0, 0
        self._under, self._under_count, self._under_falls = False, 0, 0

    def force(self, observation: Observation) -> NDArray[np.float64]:
        """(N, B, 6) the pushes that go on, and those that begin now."""
        begins = (self._left == 0) & (self._wait <= 0)
        if begins.any():
            self._unit[begins] = self._draw(int(begins.sum()))
            self._left[begins] = max(1, round(self._seconds * self._fps))
            self._wait[begins] = self._pauses(int(begins.sum()))
        acts = self._left > 0
        unit = np.where((acts & self._pushed)[:, None], self._unit, 0.0)
        self._left[acts] -= 1
        self._wait[~acts] -= 1
        bound = self.curriculum.bound(self.steps)
        self._under = bound > 0.0
        self._sum, self._count = self._sum + bound * float(np.linalg.norm(unit, axis=1).sum()), self._count + len(unit)
        return self.space.wrench(unit, bound)

    def on_step(self, step: Step) -> None:
        """Counts; an episode that ended takes its push along."""
        self.steps += self._worlds
        done = step.transition.done
        falls = int(step.transition.terminated[self._pushed].sum())
        self._falls += falls
        if self._under:
            self._under_falls, self._under_count = (
                self._under_falls + falls,
                self._under_count + int(self._pushed.sum()),
            )
        self._left[done] = 0
        self._wait[done] = self._pauses(int(done.sum()))
        self._watch.check()

    def on_rollout(self, rollout: Collected) -> Mapping[str, float]:
        """Learns nothing, and leaves the policy alone."""
        found = {"force_newtons": self._sum / max(self._count, 1), "bound_newtons": self.curriculum.bound(self.steps)}
        self.steps = self.curriculum.counted(self.steps, rollout.advantage.size, self._under_falls, self._under_count)
        found["falls"] = float(self._falls)
        self._sum, self._count, self._falls = 0.0, 0, 0
        self._under_count, self._under_falls = 0, 0
        return found

    def dump(self) -> dict[str, Any]:
        """How far the curriculum is, and how many simulations blew up."""
        return {"steps": self.steps, "nan_resets": self._watch.count}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Takes back what ``dump`` gave."""
        self.steps = int(state["steps"])
        self._watch.resume(int(state.get("nan_resets", 0)))

    def save(self, folder: Path) -> None:
        """Writes the same as JSON."""
        save_state(folder, "disturber", self.dump())

    def _draw(self, count: int) -> NDArray[np.float64]:
        direction = self._rng.normal(size=(count, self.space.size))
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        drawn: NDArray[np.float64] = direction * self._rng.uniform(size=(count, 1))
        return drawn

    def _pauses(self, count: int) -> NDArray[np.float64]:
        return self._rng.exponential(self._every * self._fps, count)
