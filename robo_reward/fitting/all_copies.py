"""All copies that one fit makes of its demonstrations, fitted ones of fitted, held-out ones of held-out."""

from __future__ import annotations

import math
from collections.abc import Mapping

from robo_reward.fitting.copied_negatives import ORDERS, copies
from robo_reward.fitting.counterfactuals import Propose, counterfactuals, perturbations, proposals
from robo_reward.fitting.episodes import Episode, stopped_copies
from robo_reward.fitting.splits import Split
from robo_reward.seeding import derive_rng

AUTOMATIC = {"clipped": 4, "rewound": 4, "reversed": 4, "counterfactual": 8, "perturbed": 0}
"""How many of each kind a fit without a simulator makes where nothing was chosen."""
INSTRUCTED = ("counterfactual", "perturbed")


def choose_counts(
    asked: Mapping[str, int | None], stepped: bool, tasks: int, reads_instructions: bool
) -> dict[str, int]:
    """How many copies of each kind: as asked, else ``AUTOMATIC`` without a simulator and none with one.

    Failures by instruction alone are chosen for nobody who does not read instructions, or knows one task only.
    """
    counts = {"stopped": 0 if stepped else asked.get("stopped") or 0}
    for kind, automatic in AUTOMATIC.items():
        count = asked.get(kind)
        if count is None:
            possible = kind not in INSTRUCTED or (reads_instructions and tasks > 1)
            count = automatic if possible and not stepped else 0
        counts[kind] = count
    return counts


def make_copies(demonstrations: Split, counts: Mapping[str, int], seed: int, propose: Propose = proposals) -> Split:
    """Copies of each kind. Of held-out demonstrations only those that fail in the picture, in proportion.

    Raises:
        UserError: as ``counterfactuals``.
    """
    fitted: list[Episode] = []
    held_out: list[Episode] = []
    share = len(demonstrations.held_out) / max(1, len(demonstrations.fitted))
    for kind, count in counts.items():
        fitted += _of_kind(demonstrations.fitted, kind, count, seed, propose)
        if kind not in INSTRUCTED:
            held_out += _of_kind(demonstrations.held_out, kind, math.ceil(count * share), seed + 1, propose)
    return Split(fitted, held_out)


def _of_kind(episodes: list[Episode], kind: str, count: int, seed: int, propose: Propose) -> list[Episode]:
    rng = derive_rng(seed, kind)
    if kind in ORDERS:
        return copies(episodes, kind, count, rng)
    if kind == "counterfactual":
        return counterfactuals(episodes, count, rng, propose)
    return perturbations(episodes, count, rng) if kind == "perturbed" else stopped_copies(episodes, count, rng)
