"""A run's own detector of success, which ends the episodes that are stepped for learning (``hook=success_stop``)."""

from __future__ import annotations

from typing import Any

from robo_reward.build import build
from robo_reward.chain_check import pays_unbounded_level
from robo_reward.errors import UserError
from robo_reward.gathering import discount_of
from robo_reward.pushes.forces import Disturber, check_discount, disturbs
from robo_reward.reward_stack import RewardStack
from robo_reward.rollout import Stopper


def build_stopper(config: Any, stack: RewardStack, learner: object = None) -> Stopper | None:
    """The stopper of a run's ``hook`` group; None without one, or where the hook is a disturber.

    Raises:
        UserError: if the reward would pay the policy for staying away from the success that ends its episodes, or the
            learner ends none by a hook.
    """
    hook = config.get("hook") or {}
    if not hook.get("_target_") or disturbs(hook):
        return None
    if not getattr(learner, "takes_stopper", True):
        name = getattr(learner, "name", type(learner).__name__)
        raise UserError(
            f"hook=success_stop ends no episode of learner {name}: learners "
            "that tune in groups end them by the reward (learner.stop=0.95 learner.stop_by=success); set hook=none"
        )
    level = pays_unbounded_level(stack.transforms)
    if level is not None:
        raise UserError(
            f"hook=success_stop ends episodes at success, and transform {level} pays at every step: that pays the "
            "policy for avoiding success. Use transform=potential or transform=absorbing, or leave the hook out"
        )
    stopper: Stopper = build(hook)
    return stopper


def build_disturber(config: Any, learner: object) -> Disturber | None:
    """Whoever a run's ``hook`` group lets push the world; None where it is none or a stopper.

    Raises:
        UserError: the learner has no place for one, or a discount that this one cannot learn under.
    """
    hook = config.get("hook") or {}
    if not disturbs(hook):
        return None
    if not getattr(learner, "takes_disturber", False):
        raise UserError(
            "a disturber needs an on-policy learner whose advantages it can see: use learner=ppo, or hook=none"
        )
    disturber: Disturber = build(hook)
    check_discount(disturber, discount_of(config))
    return disturber
