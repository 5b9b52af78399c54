"""Probes of one's own: held against what a probe must be, so that a slip in one does not cost the audit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from numbers import Real
from typing import get_args

from robo_reward.errors import UserError
from robo_reward.estimate_check import ContractBroken
from robo_reward.reward_models.audit.probe import Finding, Material, Probe, Severity

SEVERITIES = get_args(Severity)


def check_probe(key: str, probe: object) -> None:
    """Asked when the card is built; ``key``: its name in ``card.more_probes``.

    Raises:
        UserError: without a name, a claim in words, a severity that exists, or ``try_on``.
    """
    where = f"card.more_probes.{key} ({type(probe).__name__})"
    for part in ("name", "claim"):
        value = getattr(probe, part, None)
        if not isinstance(value, str) or not value:
            raise UserError(f"{where}: {part}={value!r} must be words")
    severity = getattr(probe, "severity", None)
    if severity not in SEVERITIES:
        raise UserError(f"{where}: severity={severity!r} must be one of {', '.join(SEVERITIES)}")
    if not callable(getattr(probe, "try_on", None)):
        raise UserError(f"{where} has no try_on(material) -> Finding | None")


def tried(probe: Probe, material: Material) -> tuple[Finding | None, str | None]:
    """What the probe found; and in words why that cannot be used, in place of it.

    Raises:
        ContractBroken: what the model says has no meaning, which is no fault of the probe's.
    """
    try:
        return _finding(probe.try_on(material)), None
    except ContractBroken:
        raise
    except Exception as error:
        told = str(error) if isinstance(error, UserError) else f"it raised {type(error).__name__}: {error}"
        return None, f"probe {probe.name} of card.more_probes could not be judged: {told}"


def _finding(found: object) -> Finding | None:
    if found is None:
        return None
    if not isinstance(found, Finding):
        raise UserError(f"try_on gave {type(found).__name__} in place of a Finding or None")
    if not isinstance(found.values, Mapping):
        raise UserError(f"Finding.values={found.values!r} must be numbers by name")
    for key, value in found.values.items():
        if not isinstance(value, Real):
            raise UserError(f"Finding.values[{key!r}]={value!r} must be one number")
    words = found.broken
    if isinstance(words, str) or not all(isinstance(word, str) for word in words):
        raise UserError(f"Finding.broken={words!r} must be a tuple of sentences, empty where nothing is broken")
    if found.severity is not None and found.severity not in SEVERITIES:
        raise UserError(f"Finding.severity={found.severity!r} must be None or one of {', '.join(SEVERITIES)}")
    return replace(found, values={str(k): float(v) for k, v in found.values.items()}, broken=tuple(words))
