"""Where a run's demonstrations come from, and whether learner, policy and reward of a run go together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from robo_reward.build import build, build_world
from robo_reward.contracts import Oracle, RewardModel, World
from robo_reward.data.recording import Recording, check_moments
from robo_reward.errors import UserError
from robo_reward.naming import reward_name
from robo_reward.seeding import derive_seed
from robo_reward.trace import Trace
from robo_reward.walking import number_of_tasks

EXPERT_HORIZON = 500
"""Simulator steps that a demonstration may take where an episode has fewer: Meta-World's own limit."""


@runtime_checkable
class TakesPolicy(Protocol):
    """A learner of the policy that the ``policy`` group describes."""

    def take_policy(self, recipe: Any) -> None:
        """Gets what the group's yaml builds, before anything else is asked."""
        ...

    def policy_views(self, available: Sequence[str]) -> Sequence[str]:
        """Which of the available views the policy looks at."""
        ...


class _Told:
    """Says now and then how many of many demonstrations there are; of fewer than ten nothing."""

    def __init__(self, total: int) -> None:
        self._total, self._count = total, 0

    def on_episode(self, trace: Trace | None) -> None:
        """Counts an attempt; None: it failed."""
        self._count += trace is not None
        if trace is not None and self._total >= 10 and self._count % max(5, self._total // 10) == 0:
            print(f"demonstration {self._count} of {self._total}", flush=True)


def build_learner(config: Any, model: RewardModel) -> Any:
    """The learner of a train config with its policy.

    Raises:
        UserError: the learner trains no policy of that kind, wants one, or learns from the reward that there is not.
    """
    learner = build(config.learner)
    name = getattr(learner, "name", None) or config.learner.get("_target_", "").rpartition(".")[2]
    group = config.get("policy") or {}
    chosen = group.get("_target_")
    if isinstance(learner, TakesPolicy):
        if not chosen:
            raise UserError(f"{name} trains a policy that you choose: policy=nano_vla (or smolvla, act, pi05, lerobot)")
        learner.take_policy(build(group))
    elif chosen:
        raise UserError(f"{name} brings a policy of its own: leave policy= out, or use learner=sft, grpo or vla_ppo")
    if not getattr(model, "prices", True) and getattr(learner, "needs_reward", True):
        raise UserError(f"reward_model=none, but {name} learns from a reward: choose one, e.g. reward_model=transport")
    if config.get("data") is not None and model.needs.oracle != "none":
        _check_priced(learner, name, model)
    return learner


def discount_of(config: Any) -> float | None:
    """The discount of a train config's learner for a transition; None where it has none of its own."""
    learner = config.get("learner") or {}
    gamma: float | None = (learner.get("sac") or {}).get("gamma", learner.get("gamma"))
    return gamma


def _check_priced(learner: Any, name: str, model: RewardModel) -> None:
    """A learner that stores priced demonstrations cannot be paid by a simulator that never saw them."""
    if getattr(learner, "prices_demonstrations", False):
        raise UserError(
            f"reward_model={reward_name(model)} pays what the simulator says, {name} learns from priced "
            "demonstrations, and those of data=... hold no such reward: leave data out where the task has a scripted "
            "expert, use a learned reward, or learner=ppo or sac"
        )


def check_world(learner: Any, world: World, *recording: Recording) -> None:
    """Lets a learner that wants something of the world (``check_world``) refuse it before anything is played in it,
    and how demonstrations are about to be recorded in it."""
    check = getattr(learner, "check_world", None)
    if check is not None:
        check(world, *recording)


def build_expert_world(env: Any, **more: Any) -> World:
    """One copy of a world, in which a demonstration may take as long as an episode, or ``EXPERT_HORIZON`` if longer."""
    chosen, more = env.get("horizon"), {"num_worlds": 1, "workers": "in_process", **more}
    if chosen is None:  # the world alone knows
        world = build_world(env, **more)
        if world.horizon * int(env.get("action_repeat") or 1) >= EXPERT_HORIZON:
            return world
        world.close()
    return build_world(env, horizon=max(EXPERT_HORIZON, chosen or 0), **more)


def gather_demonstrations(
    config: Any, views: Sequence[str], oracle: Oracle, learner: Any = None
) -> tuple[list[Trace], int]:
    """Demonstrations from ``data``, or by the scripted expert, and how many failed attempts were dropped.

    Raises:
        UserError: the world has no expert, or what the dataset's reader says.
    """
    from robo_reward.data.demonstrations import collect_demonstrations, of_each_task

    if config.data is not None:
        from robo_reward.data.dataset_source import one_dataset, open_dataset
        from robo_reward.data.datasets import read_dataset

        source = one_dataset(config.data)
        rows = open_dataset(source).episodes
        wanted = None
        # nothing else is decoded; where the table does not name one instruction for each episode, all are
        if config.demos is not None and all(len(row.get("tasks") or ()) == 1 for row in rows):
            chosen = of_each_task([str(row["tasks"][0]) for row in rows], config.demos)
            wanted = [int(rows[k]["episode_index"]) for k in chosen]
        traces = read_dataset(source, views=views or None, episodes=wanted, stride=1)
        return [traces[k] for k in of_each_task([trace.task for trace in traces], config.demos)], 0
    world = build_expert_world(config.env, oracle=oracle)
    try:
        if not getattr(world, "has_expert", True):
            raise UserError(
                f"'{world.name}' has no scripted expert to learn from: give demonstrations with data=DATASET "
                "(robo-reward collect teleop=keyboard records some), or use learner=ppo "
                "reward_model=env_dense transform=none"
            )
        recording, count = Recording(**(config.get("recording") or {})), config.demos or 1
        check_world(learner, world, recording)
        if isinstance(learner, TakesPolicy):
            shown = learner.policy_views(world.view_names)
            check_moments(getattr(learner, "moments", 1) if shown else 1, recording.every)
            views = tuple(dict.fromkeys((*views, *shown)))
        seed = derive_seed(config.seed, "demonstrations")
        told = _Told(count * number_of_tasks(world))
        return collect_demonstrations(
            world, count, seed, config.hold, views, recording=recording, on_episode=told.on_episode
        )
    finally:
        world.close()
