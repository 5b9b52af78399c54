"""The only place where an environment's reward is replaced: world and reward stack as a Stable-Baselines3 VecEnv."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv

from robo_reward.contracts import Flags, Floats, Hook, Step, Transition, World
from robo_reward.episode_recorder import EpisodeRecorder
from robo_reward.errors import UserError, unknown_name
from robo_reward.pushes.forces import Disturber, Pushable
from robo_reward.reward_stack import RewardStack
from robo_reward.rollout import OUTCOME, STOPPED, EndsEpisodes, Stopper, told, verdict_positions
from robo_reward.seeding import derive_seed
from robo_reward.trace import Trace

Pricing = Literal["auto", "per_step", "deferred"]
PRICINGS: tuple[Pricing, ...] = ("auto", "per_step", "deferred")


class RewardedEnv(VecEnv):
    """Steps a world, prices each transition and shows the learner the reward of the stack.

    Observations are the worlds' states (N, S). Pricing ``per_step`` gives the reward at once (models with a stride hold
    their last estimate in between). Pricing ``deferred`` gives 0 and keeps frames; finished episodes wait until
    ``take_priced`` prices them in one batch each. ``auto`` defers for models that need whole episodes.
    ``unfinished`` counts the episodes that a reset cut off.
    """

    def __init__(
        self,
        world: World,
        stack: RewardStack,
        seed: int,
        hooks: Sequence[Hook] = (),
        *,
        pricing: Pricing = "auto",
        keep_views: Sequence[str] = (),
        clock: Callable[[], AbstractContextManager[None]] = nullcontext,
        stopper: Stopper | None = None,
        disturber: Disturber | None = None,
    ) -> None:
        """``hooks`` hear of each episode once it is priced. ``keep_views``: views whose frames stay with the episodes,
        besides those that deferred pricing needs. ``clock``: a block around everything that is pricing.
        ``stopper`` ends episodes by what it sees: they count as terminated. ``disturber`` pushes before every step.

        Raises:
            UserError: for per-step pricing of a model that needs whole episodes; for a stopper with deferred pricing,
                or in a world whose episodes cannot be ended.
        """
        needs = stack.needs
        if pricing not in PRICINGS:
            raise unknown_name("pricing", pricing, PRICINGS)
        if pricing == "per_step" and needs.episode:
            raise UserError("pricing=per_step: this reward model prices whole episodes only; use pricing=deferred")
        self.world, self.stack, self._hooks, self._clock = world, stack, tuple(hooks), clock
        self.deferred = needs.episode or pricing == "deferred"
        self._stopper = _checked(stopper, world, self.deferred)
        if disturber is not None and self.deferred:
            raise UserError(
                "a disturber is paid per step, this reward prices whole episodes: take one that prices per step"
            )
        self._disturber = disturber
        self.unfinished = 0
        self._seed, self._resets = seed, 0
        self._actions: Floats | None = None
        self._pending: list[tuple[int, Trace]] = []
        self._views = tuple(dict.fromkeys((*keep_views, *(needs.views if self.deferred else ()))))
        self._recorder = EpisodeRecorder(world.num_worlds, self._views, needs.stride, world.fps, "policy")
        self.render_mode = None
        observation_space = spaces.Box(-np.inf, np.inf, (world.state_size,), np.float32)
        super().__init__(world.num_worlds, observation_space, world.action_space)

    def reset(self) -> Floats:
        """Starts an episode in every world; unfinished and unpriced ones are dropped."""
        self.unfinished += self.in_progress
        self._pending = []
        stops = self._stopper.needs.views if self._stopper is not None else ()
        self.world.keep_final(tuple(dict.fromkeys((*self._views, *self.stack.model.needs.views, *stops))))
        self.world.reset(derive_seed(self._seed, "vec", self._resets))
        self._resets += 1
        self._begin(np.ones(self.num_envs, bool))
        return self._state()

    def step_async(self, actions: NDArray[Any]) -> None:
        """Takes the actions (N, A) that the next ``step_wait`` applies."""
        self._actions = np.asarray(actions, np.float32)

    def step_wait(self) -> tuple[Floats, Floats, Flags, list[dict[str, Any]]]:
        """States (N, S), rewards (N,), dones (N,), infos with ``terminal_observation`` and ``TimeLimit.truncated``."""
        if self._actions is None:
            raise RuntimeError("step_wait was called before step_async")
        mark = self.world.sealed.mark()
        if self._disturber is not None and isinstance(self.world, Pushable):
            self.world.apply_force(self._disturber.force(self.world.observe()))
        transition = self.world.step(self._actions)
        stopped = self._stopped(transition)
        infos = self._infos(transition, stopped, mark)
        transition = replace(transition, terminated=transition.terminated | stopped)
        rewards = self._price(transition)
        self._record(transition, rewards, infos)
        if stopped.any() and isinstance(self.world, EndsEpisodes):
            self.world.end(stopped)
        if transition.done.any():
            self._begin(transition.done)
        # SB3 adds its time-limit bootstrap into the array it is given; ours must not change under the hooks
        return self._state(), rewards.copy(), transition.done, infos

    def take_priced(self) -> list[tuple[int, Trace]]:
        """The finished episodes since the last call, priced, each with the world it ran in; empty per step."""
        waiting, self._pending = self._pending, []
        priced = []
        for index, trace in waiting:
            with self._clock():
                done = self.stack.price(trace)
            priced.append((index, done))
            self._tell_episode(done)
        return priced

    @property
    def in_progress(self) -> int:
        """How many worlds are in the middle of an episode."""
        return int((self._recorder.lengths > 0).sum())

    def _state(self) -> Floats:
        return np.array(self.world.observe().state, np.float32)

    def _begin(self, fresh: Flags) -> None:
        observation = self.world.observe()
        with self._clock():
            if not self.deferred:
                self.stack.begin(observation, fresh)
            if self._stopper is not None:
                self._stopper.begin(observation, fresh)
        self._recorder.begin(observation, fresh)

    def _stopped(self, transition: Transition) -> Flags:
        """(N,) the episodes that go on in the world and that the stopper ends."""
        if self._stopper is None:
            return np.zeros(self.num_envs, bool)
        with self._clock():
            return np.asarray(self._stopper.stops(transition) & ~transition.done, bool)

    def _price(self, transition: Transition) -> Floats:
        if self.deferred:
            return np.zeros(self.num_envs, np.float32)
        with self._clock():
            step = self.stack.step(transition)
        self._tell_step(step)
        return step.reward

    def _record(self, transition: Transition, rewards: Floats, infos: list[dict[str, Any]]) -> None:
        for index, trace in self._recorder.add(transition, None if self.deferred else rewards).items():
            trace = told(trace, infos[index][OUTCOME], infos[index].get(STOPPED, False))
            if self.deferred:
                self._pending.append((index, trace))
            else:
                self._tell_episode(trace)

    def _tell_episode(self, trace: Trace) -> None:
        for hook in self._hooks:
            hook.on_episode(trace)

    def _tell_step(self, step: Step) -> None:
        if self._disturber is not None:
            self._disturber.on_step(step)
        for hook in self._hooks:
            if hook.on_step(step).stop:
                raise UserError("a hook cannot end episodes here: hook=success_stop does, by a fitted classifier")

    def _infos(self, transition: Transition, stopped: Flags, mark: int) -> list[dict[str, Any]]:
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        goes_on = not self.stack.prices_ends  # else nothing is earned after the time limit that could be bootstrapped
        for i, position in verdict_positions(mark, transition.done, stopped).items():
            infos[i] = {
                "terminal_observation": transition.after.state[i].copy(),
                "TimeLimit.truncated": goes_on and bool(transition.truncated[i] and not transition.terminated[i]),
                OUTCOME: position,
                **({STOPPED: True} if stopped[i] else {}),
            }
        return infos

    def close(self) -> None:
        """Closes the world."""
        self.world.close()

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Takes the seed from which the next resets follow; None changes nothing."""
        if seed is not None:
            self._seed, self._resets = seed, 0
        return [seed] * self.num_envs

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """The same attribute for every selected world, read from the world."""
        owner = self if attr_name == "render_mode" else self.world
        return [getattr(owner, attr_name)] * len(list(self._get_indices(indices)))

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


def _checked(stopper: Stopper | None, world: World, deferred: bool) -> Stopper | None:
    """Refuses a stopper where episodes cannot end early."""
    if stopper is not None and deferred:
        raise UserError(
            "episodes that a detector ends have no fixed length, and this reward is priced when they are over: take a "
            "reward that prices per step (reward_model=progress), learner=rlpd, or hook=none"
        )
    if stopper is not None and not isinstance(world, EndsEpisodes):
        raise UserError(f"the episodes of '{world.name}' cannot be ended from outside (no method end): use hook=none")
    return stopper
