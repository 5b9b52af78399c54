"""The side of a vector world that lives with the simulator, possibly in another process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from robo_reward.envs.rendering import Profile
from robo_reward.envs.sim_env import SimEnv
from robo_reward.envs.task_settings import Vector

WORLD_SEED = "world_seed"
"""The reset option that carries a world's seed; SB3's own would give neighbouring seeds shared episodes."""
RENDERED = "rendered"
"""The info entry with (frames, seconds) rendered so far."""


class WorldWorker(gymnasium.Wrapper[Vector, Vector, Vector, Vector]):
    """A simulated task that sends last frames and rendering costs along with what Gymnasium asks for."""

    env: SimEnv

    def __init__(self, env: SimEnv) -> None:
        super().__init__(env)
        self._rests = self._resting = False

    def rest_at_end(self) -> None:
        """The present episode's end begins no other one: a reset that names a seed will."""
        self._rests = True

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Vector, dict[str, Any]]:
        """Starts the next episode; ``options`` may name the world's seed."""
        seed = (options or {}).get(WORLD_SEED, seed)
        if seed is None and self._rests:
            self._resting = True
            return self.env.rest(), {}
        self._rests = self._resting = False
        return self.env.reset(seed=seed)

    def restore(self, snapshot: Mapping[str, Any]) -> Vector:
        """Goes on from a snapshot."""
        self._rests = self._resting = False
        return self.env.restore(snapshot)

    def step(self, action: Vector) -> tuple[Vector, float, bool, bool, dict[str, Any]]:
        """Steps, and ships an ended episode's last frames before anybody resets the world."""
        if self._resting:
            raise ValueError("the world's episode has ended and was to be followed by reset(seed): call it first")
        state, reward, terminated, truncated, info = self.env.step(action)
        if terminated or truncated:
            info["final_views"] = dict(self.env.final_views)
        info[RENDERED] = self._rendered()
        return state, reward, terminated, truncated, info

    def start_next(self) -> Vector:
        """The first state of the next episode, as after an episode that ended by itself."""
        return self.reset()[0]

    def push(self, wrench: NDArray[np.float64]) -> None:
        """Forces (B, 6) on the bodies for the next step only."""
        self.env.push(wrench)

    def picture_now(
        self, view: str, profile: Profile | None, size: tuple[int, int] | None
    ) -> tuple[NDArray[np.uint8], tuple[int, float]]:
        """A picture (H, W, 3) and what was rendered so far."""
        return self.env.render_view(view, profile, size), self._rendered()

    def _rendered(self) -> tuple[int, float]:
        return self.env.frames_rendered, self.env.render_seconds
