"""The only place where an environment's reward is replaced: a world and a reward stack as a Stable-Baselines3 VecEnv."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.vec_env import VecEnv

from robo_reward.contracts import Floats, Hook, Step, Transition, World
from robo_reward.errors import UserError
from robo_reward.reward_stack import RewardStack
from robo_reward.rollout import Recorder
from robo_reward.seeding import derive_seed
from robo_reward.trace import Trace


class RewardedEnv(VecEnv):
    """Steps a world, prices each transition and shows the learner the reward of the stack.

    Observations are the worlds' states (N, S). Pricing ``per_step`` gives the reward at once (models with a stride hold
    their last estimate in between). Pricing ``deferred`` gives 0 and keeps frames; finished episodes wait in
    ``pending`` until ``take_priced`` prices them in one batch each: for models that need whole episodes.
    """

    def __init__(self, world: World, stack: RewardStack, seed: int, hooks: Sequence[Hook] = ()) -> None:
        self.world, self.stack, self._hooks = world, stack, tuple(hooks)
        self.deferred = stack.model.needs.episode
        self._seed, self._resets = seed, 0
        self._actions: Floats | None = None
        self._pending: list[tuple[int, Trace]] = []
        needs = stack.model.needs
        self._recorders = [
            Recorder(i, needs.views if self.deferred else (), needs.stride, world.fps, "policy")
            for i in range(world.num_worlds)
        ]
        self._returns = np.zeros(world.num_worlds)
        self._lengths = np.zeros(world.num_worlds, np.int64)
        observation_space = spaces.Box(-np.inf, np.inf, (world.state_size,), np.float32)
        super().__init__(world.num_worlds, observation_space, world.action_space)

    def reset(self) -> Floats:
        """Starts an episode in every world."""
        self.world.keep_final(self.stack.model.needs.views)
        first = self.world.reset(derive_seed(self._seed, "vec", self._resets))
        self._resets += 1
        self._begin(np.ones(self.num_envs, bool))
        return first.state

    def step_async(self, actions: np.ndarray) -> None:
        """Takes the actions (N, A) that the next ``step_wait`` applies."""
        self._actions = np.asarray(actions, np.float32)

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """States (N, S), rewards (N,), dones (N,) and infos with ``terminal_observation`` and ``TimeLimit.truncated``."""
        if self._actions is None:
            raise RuntimeError("step_wait was called before step_async")
        transition = self.world.step(self._actions)
        rewards = self._price(transition)
        infos = self._infos(transition, rewards)
        if transition.done.any():
            self._begin(transition.done)
        return self.world.observe().state, rewards, transition.done, infos

    def take_priced(self) -> list[tuple[int, Trace]]:
        """The finished episodes since the last call, priced, each with the world it ran in."""
        done, self._pending = self._pending, []
        return [(index, self.stack.price(trace)) for index, trace in done]

    def _begin(self, fresh: np.ndarray) -> None:
        observation = self.world.observe()
        if not self.deferred:
            self.stack.begin(observation, fresh)
        for index in np.flatnonzero(fresh):
            self._recorders[index].begin(observation)

    def _price(self, transition: Transition) -> np.ndarray:
        for index, recorder in enumerate(self._recorders):
            trace = recorder.add(transition)
            if trace is not None:
                self._finish(index, trace)
        if self.deferred:
            return np.zeros(self.num_envs, np.float32)
        step = self.stack.step(transition)
        self._tell(step)
        return step.reward

    def _finish(self, index: int, trace: Trace) -> None:
        if self.deferred:
            self._pending.append((index, trace))
        for hook in self._hooks:
            hook.on_episode(trace)

    def _tell(self, step: Step) -> None:
        for hook in self._hooks:
            if hook.on_step(step).stop:
                raise UserError("a hook that ends episodes cannot be used here: this world runs to its time limit")

    def _infos(self, transition: Transition, rewards: np.ndarray) -> list[dict[str, Any]]:
        self._returns += rewards
        self._lengths += 1
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for i in np.flatnonzero(transition.done):
            infos[i] = {
                "terminal_observation": transition.after.state[i],
                "TimeLimit.truncated": bool(transition.truncated[i] and not transition.terminated[i]),
                "episode": {"r": float(self._returns[i]), "l": int(self._lengths[i])},
            }
            self._returns[i], self._lengths[i] = 0.0, 0
        return infos

    def close(self) -> None:
        """Closes the world."""
        self.world.close()

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Takes the seed of the next ``reset``; SB3 calls it once."""
        if seed is not None:
            self._seed, self._resets = seed, 0
        return [seed] * self.num_envs

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """The same attribute for every selected world, read from the world."""
        return [getattr(self.world, attr_name)] * len(list(self._get_indices(indices)))

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Refused: worlds are configured when they are built."""
        raise UserError(f"attribute '{attr_name}' of a world cannot be set after it was built; set env.{attr_name}")

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        """Calls the world's method once; the result stands for every selected world."""
        result = getattr(self.world, method_name)(*args, **kwargs)
        return [result] * len(list(self._get_indices(indices)))

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        """False for every world: nothing is wrapped in SB3's sense."""
        return [False] * len(list(self._get_indices(indices)))
