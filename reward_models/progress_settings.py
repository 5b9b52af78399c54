"""What the progress reward can be told: its heads, and which settings are refused."""

from __future__ import annotations

from typing import Literal

from robo_reward.errors import UserError, unknown_name
from robo_reward.reward_models.hops import RULES

Head = Literal["absolute", "hop", "both", "milestones"]
READ_LEVELS: tuple[Head, ...] = ("absolute", "both")
"""Heads that read absolute progress; the others read hops alone."""
HEADS: tuple[Head, ...] = ("absolute", "hop", "both", "milestones")


def check_settings(head: str, rule: str, stride: int, interval: int, members: int) -> None:
    """Refuses unknown names and counts below 1.

    Raises:
        UserError: that names the value and its bound.
    """
    if head not in HEADS:
        raise unknown_name("progress head", head, HEADS)
    if rule not in RULES:
        raise unknown_name("recursion rule", rule, RULES)
    if stride < 1 or interval < 1 or members < 1:
        raise UserError(f"stride={stride}, interval={interval} and members={members} must be at least 1")
