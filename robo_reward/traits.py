"""What a reward model says of itself beside its needs: each verb asks here, wrappers pass it on."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from numbers import Real
from typing import Any

from robo_reward.contracts import LearnedRewardModel, RewardModel


@dataclass(frozen=True, slots=True)
class Traits:
    """Attributes of the same names on a reward model; the defaults are those of a model that does not say.

    ``prices``: False for reward_model=none. ``knows_progress``, ``knows_success``: False where progress, or p(success),
    is not meant as such, which spares it the audit's questions about it. ``reads_instructions``: its prices depend on
    the task's words. ``gives_match``: whether it fills ``Estimate.match``; None: not said. ``threshold``: the
    p(success) in [0, 1] from which on it calls a frame a success; None: it has none of its own. ``gives_hops``: False
    where ``Estimate.gain`` is the plain difference of progress. ``takes_fewer_views``: it prices pictures without some
    of the views in ``needs`` too. ``spread_of``: of how many opinions ``Estimate.uncertainty`` is the population's
    deviation, 1 where it is always 0; None: it is something else, or not said.
    """

    prices: bool = True
    knows_progress: bool = True
    knows_success: bool = True
    reads_instructions: bool = False
    gives_match: bool | None = None
    threshold: float | None = None
    gives_hops: bool = True
    takes_fewer_views: bool = False
    spread_of: int | None = None

    def as_json(self) -> dict[str, bool | float | None]:
        """For a header or a file."""
        return {name: getattr(self, name) for name in self.__slots__}


def traits_of(model: Any) -> Traits:
    """What ``model`` says, the defaults for what it does not say or says in another type."""
    return read_traits({name: getattr(model, name, None) for name in Traits.__slots__})


def read_traits(told: Any) -> Traits:
    """Takes back what ``as_json`` gave; what is missing, or is not of its type, is as if it had not been said."""
    held = told if isinstance(told, dict) else {}
    numbers = ("threshold", "spread_of")
    flags = {k: v for k, v in held.items() if k in Traits.__slots__ and k not in numbers and isinstance(v, bool)}
    threshold, count = (held.get(name) for name in numbers)
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        count = None
    if not isinstance(threshold, Real) or isinstance(threshold, bool) or not math.isfinite(threshold):
        threshold = None
    return Traits(**flags, threshold=None if threshold is None else float(threshold), spread_of=count)


def joined_traits(members: Iterable[Traits]) -> Traits:
    """Of several models whose estimates are combined.

    They know, price, read and give what any of them does: a question is spared only where none could answer it. Whether
    they give a match is not said if one that might does not say; fewer views are taken if all take them. Their
    threshold is the greatest, if every member has one: a mean that reaches it has a member that is sure by its own
    threshold, a worst case has all. Their uncertainty is no plain deviation: to that of their estimates it adds their
    own.
    """
    each = list(members)
    matches, thresholds = [t.gives_match for t in each], [t.threshold for t in each]
    known = [t for t in thresholds if t is not None]
    return Traits(
        prices=any(t.prices for t in each),
        knows_progress=any(t.knows_progress for t in each),
        knows_success=any(t.knows_success for t in each),
        reads_instructions=any(t.reads_instructions for t in each),
        gives_match=True if True in matches else (None if None in matches else False),
        threshold=max(known) if known and len(known) == len(thresholds) else None,
        gives_hops=any(t.gives_hops for t in each),
        takes_fewer_views=all(t.takes_fewer_views for t in each),
    )


def is_unfitted(model: RewardModel, config: Any) -> bool:
    """Whether ``model``, built from its group, has yet to be fitted before it says anything.

    Learned models have, unless they came from a ``path`` or say of themselves that they are ``fitted``, as an ensemble
    does whose learned members all came from theirs.
    """
    given = config.get("path") is not None
    return isinstance(model, LearnedRewardModel) and not given and not getattr(model, "fitted", False)
