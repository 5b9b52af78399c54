"""Which chains a learner that discounts by decisions cannot be paid by."""

from __future__ import annotations

from robo_reward.errors import UserError
from robo_reward.reward_stack import RewardStack
from robo_reward.transform_kinds import name_of, nature_of


def check_no_step_discount(stack: RewardStack, learner: str) -> None:
    """Potentials and absorbing ends hold for one discount a step: a policy that decides in chunks has another.

    With gamma a step inside a decision and gamma a decision between them what shaping adds no longer cancels out
    (``transforms/chunks.py`` has the chunked form, gamma^n Phi' - Phi).

    Raises:
        UserError: for a chain with such a piece.
    """
    for transform in stack.transforms:
        gamma = nature_of(transform).gamma
        if gamma is not None:
            raise UserError(
                f"transform {name_of(transform)} discounts by gamma={gamma:g} a step, but learner={learner} by "
                "decisions of several steps, so that what it adds would not cancel out: use transform=success, level, "
                "gain or accumulated"
            )
