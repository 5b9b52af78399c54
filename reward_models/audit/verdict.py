"""From figures to a verdict: which bounds a reward must keep, and what it means to miss one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from robo_reward.errors import UserError, unknown_name
from robo_reward.runs.summary import Audit

MANY = 5
"""So many reasons for care are as bad as one for refusal."""
APART = ("gain_drift", "net_gain", "wrong_instruction")
"""Not counted among the many: what matters for one transform alone, and what no reward of a single task can keep."""
RANK: tuple[Audit, ...] = ("refuse", "care", "pass")
"""The worst first."""
ORDER = (
    *("voc", "concordance", "voc_reversed", "auroc_near_misses", "mae_macro", "policy_ranking", "epic", "net_gain"),
    *("early_gap", "largest_fall"),
)
"""Not judged of a model that says of itself that it knows success alone (``knows_progress = False``)."""

SUCCESS = ("success_auroc", "calibration_error")
"""Not judged on episodes that end with their first success, where the state that shows it may not be recorded."""


@dataclass(frozen=True, slots=True)
class Bound:
    """``care``: missed, the verdict is care; ``refuse``: missed, it is refuse. ``least``: the figure must be above."""

    care: float
    refuse: float
    least: bool
    words: str

    def miss(self, value: float) -> Audit:
        """How bad a value is; NaN is refused."""
        sign = 1 if self.least else -1
        if math.isnan(value) or sign * value < sign * self.refuse:
            return "refuse"
        return "care" if sign * value < sign * self.care else "pass"


BOUNDS: Mapping[str, Bound] = {
    "voc": Bound(0.9, 0.0, True, "order along successes (VOC)"),
    "concordance": Bound(
        0.5, 0.5, True, "order along successes of the frames whose progress differs (Goodman-Kruskal)"
    ),
    "voc_reversed": Bound(-0.8, 0.0, False, "order along reversed successes"),
    "auroc": Bound(0.95, 0.8, True, "separation of successes and failures (AUROC)"),
    "auroc_near_misses": Bound(0.8, 0.65, True, "separation of successes and near misses (AUROC)"),
    "success_auroc": Bound(0.9, 0.7, True, "separation of successes and all others by the success probability (AUROC)"),
    "early_success": Bound(0.05, 0.2, False, "share of frames well before success that are called successes"),
    "early_gap": Bound(0.1, 0.03, True, "how far progress well before success stays below progress at success"),
    "largest_fall": Bound(0.3, 0.6, False, "largest fall of progress on the way to success"),
    "false_positive_rate": Bound(0.1, 0.3, False, "failures above the calibrated threshold"),
    "failure_progress": Bound(0.3, 0.5, False, "final progress of random failures above what they did"),
    "success_progress": Bound(0.7, 0.4, True, "final progress of successes"),
    "mae_macro": Bound(0.8, math.inf, False, "macro error on labels 1 to 5"),
    "calibration_error": Bound(0.2, 0.5, False, "calibration error of the success probability"),
    "policy_ranking": Bound(0.6, 0.0, True, "ranking of policies of known quality (Kendall)"),
    "gain_drift": Bound(1.0, math.inf, False, "net gain over a closed loop, which transform=accumulated pays"),
    "net_gain": Bound(0.3, -math.inf, True, "sum of the gains along a success (transform=accumulated pays them)"),
    "stepped_difference": Bound(
        0.02, 0.1, False, "difference between pricing step by step, as PPO and SAC do, and whole episodes, as audited"
    ),
    "repeated_difference": Bound(
        0.02, 0.1, False, "difference between pricing an episode now and after other episodes"
    ),
    "epic": Bound(0.6, 0.75, False, "EPIC distance to the simulator's reward"),
    "false_success": Bound(0.2, 0.5, False, "false successes among what the reward likes best under attack"),
}
"""Figure -> bound; change some with ``card.bounds={NAME: [CARE, REFUSE]}``."""


def adjusted(changes: Mapping[str, Sequence[float]]) -> dict[str, Bound]:
    """The bounds with some changed.

    Raises:
        UserError: for an unknown figure, not two numbers, or a bound for refusal that is missed before that for care.
    """
    bounds = dict(BOUNDS)
    for name, pair in changes.items():
        if name not in bounds:
            raise unknown_name("figure of the audit", name, bounds)
        bounds[name] = _bound(bounds[name], name, pair)
    return bounds


def _bound(bound: Bound, name: str, pair: object) -> Bound:
    try:
        care, refuse = (float(value) for value in pair)  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        raise UserError(f"card.bounds.{name}={pair} must be two numbers: [CARE, REFUSE]") from None
    sign = 1 if bound.least else -1
    if not sign * care >= sign * refuse:
        wrong = "above" if bound.least else "below"
        raise UserError(f"card.bounds.{name}=[{care:g}, {refuse:g}]: the second, REFUSE, must not be {wrong} the first")
    return replace(bound, care=care, refuse=refuse)


def judge(
    values: Mapping[str, float | None],
    broken_probes: Mapping[str, tuple[Audit, Sequence[str]]],
    bounds: Mapping[str, Bound],
) -> tuple[Audit, list[str]]:
    """Verdict and reasons, the worst first. A figure that is None was not measured and counts for nothing.

    ``broken_probes``: probe -> (its severity, the bounds it found broken); those of severity ``pass`` are told and
    change nothing. Refuse: one bound for refusal is missed, or there are five reasons for care, ``APART`` aside.
    """
    found: list[tuple[Audit, str]] = []
    counted = 0
    for name, bound in bounds.items():
        value = values.get(name)
        if value is not None and (miss := bound.miss(value)) != "pass":
            limit, way = getattr(bound, miss), "at least" if bound.least else "at most"
            found.append((miss, f"{bound.words}: {value:.2f}, {way} {limit:g} is sound ({name})"))
            counted += miss == "care" and name not in APART
    for name, (severity, words) in broken_probes.items():
        if words:
            told = " (told, not judged)" if severity == "pass" else ""
            found.append((severity, f"probe {name}{told}: {'; '.join(words)}"))
            counted += severity == "care" and name not in APART
    if values.get("auroc") is None:
        found.append(("care", "there were no failures: nothing says how this reward treats them"))
        counted += 1
    elif "success_auroc" in values and values["success_auroc"] is None:
        found.append(("pass", "it calls nothing a success: transforms that pay for success pay nothing with it"))
    found.sort(key=lambda row: RANK.index(row[0]))
    refused = any(row[0] == "refuse" for row in found) or counted >= MANY
    worst = found[0][0] if found else "pass"
    return "refuse" if refused else worst, [words for _, words in found]
