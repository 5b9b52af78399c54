"""What the progress reward can be told: its heads, and which settings are refused."""

from __future__ import annotations

from typing import Literal

from robo_reward.bounds import check_numbers
from robo_reward.errors import UserError, unknown_name
from robo_reward.reward_models.hops import RULES

Head = Literal["absolute", "hop", "both", "milestones"]
READ_LEVELS: tuple[Head, ...] = ("absolute", "both")
"""Heads that read absolute progress; the others read hops alone."""
HEADS: tuple[Head, ...] = ("absolute", "hop", "both", "milestones")


def check_settings(
    head: str, rule: str, stride: int, interval: int | None, members: int, uniform: int | None = None
) -> None:
    """Refuses unknown names, counts below 1, and frames to spread that are fewer than 2 or belong to another head.

    Raises:
        UserError: that names the value and its bound.
    """
    if head not in HEADS:
        raise unknown_name("progress head", head, HEADS)
    if rule not in RULES:
        raise unknown_name("recursion rule", rule, RULES)
    if stride < 1 or (interval is not None and interval < 1) or members < 1:
        raise UserError(f"stride={stride}, interval={interval} and members={members} must be at least 1")
    whole = {key: value for key, value in (("interval", interval), ("uniform", uniform)) if value is not None}
    check_numbers("reward_model", whole=True, **whole)
    if interval is None and head != "milestones":
        raise UserError(f"interval=null (hops from the first frame alone) belongs to head=milestones; this is {head}")
    if uniform is not None and (head != "milestones" or uniform < 2):
        raise UserError(f"uniform={uniform} must be at least 2 frames, and belongs to head=milestones; this is {head}")
