"""What the yaml of a sweep says, checked before anything is measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, TypeGuard

from robo_reward.errors import UserError, unknown_name
from robo_reward.pushes.patterns import KINDS, Kind

UNUSED = {
    "episodes": "disturbance.episodes says how many are played for each force",
    "evaluation_seeds": "its episodes follow from seed",
    "execute": "the policy acts as it was made; leave it out",
    "view": "the hardest push that was survived is filmed; leave it out",
}
"""Settings of an evaluation that a sweep does not look at, and what to do instead."""


def check_looked_at(config: Mapping[str, Any]) -> None:
    """UserError for what would have no effect beside a sweep."""
    for name, instead in UNUSED.items():
        if config[name] not in (None, False):
            raise UserError(f"{name}={config[name]} has no use beside disturbance=sweep: {instead}")


def kinds_of(named: str | Sequence[str]) -> list[Kind]:
    """The kinds of push that are named, the worst case last: it practises at the force that the others found."""
    names = [named] if isinstance(named, str | int | float) else named
    for name in names:
        if name not in KINDS:
            raise unknown_name("kind of push", str(name), KINDS)
    return [kind for kind in KINDS if kind in names]


def numbers_of(values: Any, setting: str) -> tuple[float, ...]:
    """A list of numbers; one number is a list of one, null an empty list. UserError for anything else."""
    listed = () if values is None else (values,) if _is_number(values) else values
    if isinstance(listed, bool | str | Mapping) or not all(_is_number(value) for value in listed):
        raise UserError(f"{setting}={values} must be a list of numbers: {setting}=[25,50]")
    return tuple(map(float, listed))


def fields_of(group: Any, kind: type, setting: str) -> dict[str, Any]:
    """The settings of ``group`` that the dataclass ``kind`` takes: numbers, whole where its defaults are, or null.

    Raises:
        UserError: no group, a setting that ``kind`` does not have, or one that is no such number.
    """
    known = {field.name: field.default for field in fields(kind)}
    if not isinstance(group, Mapping):
        raise UserError(f"{setting}={group} must have {', '.join(known)}: leave it out for those of the yaml")
    for name, value in group.items():
        if name not in known:
            raise unknown_name(f"setting of {setting}", str(name), known)
        if not _is_number(value) and not (value is None and known[name] is None):
            raise UserError(f"{setting}.{name}={value} must be a number")
        if isinstance(known[name], int) and not isinstance(value, int):
            raise UserError(f"{setting}.{name}={value} must be a whole number")
    return {str(name): value for name, value in group.items()}


def inherited_bound(trained: Mapping[str, Any], source: Mapping[str, Any]) -> float | None:
    """``hook.reward_bound`` of the run ``trained``, where it bounds what a sweep's adversary is paid against, too: the
    simulator's reward as it is. None otherwise; ``source`` is the run's summary.
    """
    if not source.get("used_env_reward") or source.get("transforms"):
        return None
    bound = (trained.get("hook") or {}).get("reward_bound")
    return float(bound) if _is_number(bound) else None


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
