"""The short audit before training: probes that need no simulator verdict, on episodes the fit has not seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from robo_reward.contracts import RewardModel
from robo_reward.reward_models.audit.asked import Asked
from robo_reward.reward_models.audit.early import early_gap, early_success, until_success
from robo_reward.reward_models.audit.metrics import auroc, concordance, mean_or_none, value_order_correlation
from robo_reward.reward_models.audit.probe import Material, success_frame
from robo_reward.reward_models.audit.probe_list import HOVER_CALLED, HOVER_GAP, HOVERING
from robo_reward.reward_models.audit.probes import frozen, rewound
from robo_reward.runs.summary import Audit
from robo_reward.trace import Trace

WORTHLESS = {
    "audit/random_final_progress": 1.0,
    "audit/frozen_final_progress": 1.0,
    "audit/success_auroc": 0.5,
    "audit/rewind_drop": 0.0,
}
"""What a reward gets that knows nothing."""
MISSES = 3
"""Bounds missed at which a reward is refused although it is not hopeless by any of them."""
DECISIVE = (
    *("audit/concordance", "audit/hovering_gap", "audit/hovering_called"),
    *("audit/early_gap", "audit/early_success"),
)
"""Each refuses alone, as it does in the report card: its bounds are far from what fitted rewards get."""
APART = ("audit/net_gain",)
"""Told and a reason for care, but not counted among the misses: it matters for ``transform=accumulated`` alone."""


@dataclass(frozen=True, slots=True)
class AuditReport:
    """``values``: what was measured; ``failed``: the checks that were not met; ``verdict``: pass, care or refuse."""

    values: dict[str, float | None]
    failed: tuple[str, ...]
    verdict: Audit


class ShortAudit:
    """Checks a fitted reward in about a second.

    Bounds: order on the demonstrations (VOC+) >= ``order``, and of their frames whose progress differs >=
    ``concordance``; mean final progress of held-out random episodes and of a frozen robot <= ``idle``; demonstrated
    final frames against all held-out frames by success probability, AUROC >= ``separation``; a rewound demonstration
    must end at least ``rewind`` below its peak; staying at 80% of a demonstration must be worth at least ``gap`` less
    than its end, and at most ``called`` of the frames before success may be called successes (the report card's probe
    ``hovering``, with its bounds). Well before success, in the first 70% of its time, progress must stay ``early_gap``
    below success and at most ``early`` of the frames may be called successes; the gains until success must sum to
    ``net_gain``, which ``transform=accumulated`` pays.

    A check that is missed means care: a handful of episodes cannot tell 0.96 from 0.97. Refused is a reward that is
    nearer to what a worthless one gets than to a bound, that pays for hovering, pays in full or falls on the way
    (``DECISIVE``), or that misses ``MISSES``. ``train`` stops at a refusal, unless it is accepted. Neither order
    nor gaps are asked of a model that says it knows success alone (``knows_progress = False``), no separation by the
    success probability of one that says it knows none (``knows_success = False``).
    """

    def __init__(
        self,
        order: float = 0.95,
        concordance: float = 0.5,
        idle: float = 0.3,
        separation: float = 0.97,
        rewind: float = 0.3,
        gap: float = HOVER_GAP,
        called: float = HOVER_CALLED,
        early_gap: float = 0.03,
        early: float = 0.15,
        net_gain: float = 0.3,
    ) -> None:
        self._order, self._concordance = order, concordance
        self._idle, self._separation, self._rewind = idle, separation, rewind
        self._gap, self._called = gap, called
        self._early_gap, self._early, self._net_gain = early_gap, early, net_gain

    def run(self, model: RewardModel, demonstrations: Sequence[Trace], held_out: Sequence[Trace]) -> AuditReport:
        """Audits ``model``; ``held_out``: random and replayed episodes that were not fitted on.

        Raises:
            ContractBroken: if it says what no estimate may hold.
        """
        model = Asked(model)
        say, stride = model.estimate_episode, model.needs.stride
        thin = [d.every(stride) for d in demonstrations]
        orders, ordered, drops, final_success, gains = [], [], [], [], []
        priced = [(demonstration, say(demonstration)) for demonstration in thin]
        for demonstration, seen in priced:
            first = demonstration.success_step or len(demonstration)
            way = until_success(demonstration, seen)
            orders.append(value_order_correlation(way))
            ordered.append(concordance(way))
            gains.append(float(seen.gain[1 : success_frame(demonstration) + 1].sum()))
            final_success += list(seen.success[demonstration.frame_steps >= first])
            back = say(rewound(demonstration))
            drops.append(float(back.progress.max() - back.progress[-1]))
        still = [float(say(frozen(d)).progress[-1]) for d in thin]
        random = [t for t in held_out if t.source == "random"]
        idle = [float(say(t).progress[-3:].mean()) for t in random]
        others = [p for t in held_out for p in say(t).success]
        knows = getattr(model, "knows_progress", True)
        calls = others if getattr(model, "knows_success", True) else []
        hovering = HOVERING.try_on(Material(model, thin))
        hovered = {} if hovering is None else hovering.values
        values = {
            "audit/voc_demonstrations": mean_or_none(orders) if knows else None,
            "audit/concordance": mean_or_none(ordered) if knows else None,
            "audit/random_final_progress": mean_or_none(idle),
            "audit/frozen_final_progress": mean_or_none(still),
            "audit/success_auroc": auroc(final_success, calls) if calls else None,
            "audit/rewind_drop": mean_or_none(drops),
            "audit/hovering_gap": hovered.get("below_goal") if knows else None,
            "audit/hovering_called": hovered.get("called"),
            "audit/early_gap": early_gap(priced) if knows else None,
            "audit/early_success": early_success(priced),
            "audit/net_gain": mean_or_none(gains) if knows else None,
        }
        return self._judge(values)

    def _judge(self, values: dict[str, float | None]) -> AuditReport:
        bounds = {
            "audit/voc_demonstrations": (self._order, 1),
            "audit/concordance": (self._concordance, 1),
            "audit/random_final_progress": (self._idle, -1),
            "audit/frozen_final_progress": (self._idle, -1),
            "audit/success_auroc": (self._separation, 1),
            "audit/rewind_drop": (self._rewind, 1),
            "audit/hovering_gap": (self._gap, 1),
            "audit/hovering_called": (self._called, -1),
            "audit/early_gap": (self._early_gap, 1),
            "audit/early_success": (self._early, -1),
            "audit/net_gain": (self._net_gain, 1),
        }
        known = {name: value for name, value in values.items() if value is not None}
        failed = tuple(n for n, v in known.items() if not bounds[n][1] * v >= bounds[n][1] * bounds[n][0])
        halfway = {name: (bounds[name][0] + WORTHLESS[name]) / 2 for name in failed if name in WORTHLESS}
        hopeless = any(bounds[name][1] * known[name] < bounds[name][1] * half for name, half in halfway.items())
        hopeless |= any(name in DECISIVE for name in failed)
        refused = hopeless or len(set(failed) - set(APART)) >= MISSES
        verdict: Audit = "refuse" if refused else "care" if failed else "pass"
        return AuditReport(values, failed, verdict)
