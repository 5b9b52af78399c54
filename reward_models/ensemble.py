"""Several reward models as one: their mean, their worst case, or their mean less their disagreement."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from robo_reward.answer_counts import counts_of
from robo_reward.contracts import (
    Estimate,
    Flags,
    Floats,
    LearnedRewardModel,
    Observation,
    RewardModel,
    Transition,
)
from robo_reward.errors import UserError, unknown_name
from robo_reward.gains import with_hops
from robo_reward.reward_models.ensemble_members import check_shown, common_size, group_members, merge_needs
from robo_reward.seeding import derive_seed
from robo_reward.separate_looks import SeparateLooks
from robo_reward.session import Saveable
from robo_reward.trace import Trace
from robo_reward.traits import Traits, joined_traits, traits_of

Rule = Literal["mean", "worst", "uncertainty_weighted", "precision_weighted"]
RULES: tuple[Rule, ...] = ("mean", "worst", "uncertainty_weighted", "precision_weighted")
_LEAST_SPREAD = 0.01
"""Uncertainty that the surest member is taken to have: weights stay finite."""


class Ensemble:
    """Combines the estimates of its members, each (N,), by ``rule``.

    ``mean``; ``worst``: the least of each (WCO); ``uncertainty_weighted``: mean - ``caution`` * variance (UWO; both
    Coste et al. 2024, arXiv 2310.02743); ``precision_weighted``: the mean with weights 1 / uncertainty^2 as the members
    state it. The uncertainty is the members' spread and their own together, sqrt(variance + mean of squares).
    ``match`` is combined over those members that give one. Where all members price groups (``GroupRewardModel``), it
    does; ``groups_refused`` says why not where some do.
    """

    def __init__(
        self,
        members: Mapping[str, RewardModel],
        rule: Rule = "mean",
        caution: float = 0.5,
        kept: Collection[str] = (),
    ) -> None:
        """``members``: their names, which folders and errors show, and the models; ``kept``: those fitted already.

        Raises:
            UserError: no member, an unknown rule, a negative caution, or members whose needs or pictures do not go
                together.
        """
        if rule not in RULES:
            raise unknown_name("rule of an ensemble", rule, RULES)
        if caution < 0:
            raise UserError(f"caution={caution:g} must be 0 or more: it weighs the members' disagreement")
        self.members, self._caution, self._kept = dict(members), caution, frozenset(kept)
        self.rule: Rule = rule
        self.needs = merge_needs({name: member.needs for name, member in self.members.items()})
        common_size(self.members)
        self._looks = [SeparateLooks(member) for member in self.members.values()]
        self._grouping, self.groups_refused = group_members(self.members)
        if len(self._grouping) == len(self.members):
            self.estimate_group = self._estimate_group  # GroupRewardModel asks for the name

    def begin(self, first: Observation, fresh: Flags) -> Estimate:
        """Estimates (N,). UserError if a member prices whole episodes only."""
        self._steps_allowed()
        return self._combine([member.begin(first, fresh) for member in self._looks])

    def estimate(self, transition: Transition) -> Estimate:
        """Estimates (N,); errors as ``begin``."""
        return self.estimate_where(transition, np.ones(len(transition.terminated), bool))

    def estimate_where(self, transition: Transition, look: Flags) -> Estimate:
        """As ``LooksApart``."""
        self._steps_allowed()
        return self._combine([member.estimate_where(transition, look) for member in self._looks])

    def estimate_episode(self, trace: Trace) -> Estimate:
        """Estimates (F,)."""
        return self._combine([member.estimate_episode(trace) for member in self.members.values()])

    def _estimate_group(self, traces: Sequence[Trace], success: Flags | None = None) -> Floats:
        """Rewards (G,) in [0, 1], the members' by the rule; they state no uncertainty, so precisions are alike."""
        said = np.stack([member.estimate_group(traces, success) for member in self._grouping.values()])
        return np.clip(combine(said, self.rule, self._caution), 0, 1).astype(np.float32)

    # --- what it says of itself, from what its members say -----------------------------------------------------------

    @property
    def prices(self) -> bool:
        """Whether any member does."""
        return self._traits.prices

    @property
    def knows_progress(self) -> bool:
        """Whether any member does: the audit spares it the question only where no member could answer."""
        return self._traits.knows_progress

    @property
    def knows_success(self) -> bool:
        """Whether any member does, as ``knows_progress``."""
        return self._traits.knows_success

    @property
    def reads_instructions(self) -> bool:
        """Whether any member does; failures by instruction alone are fitted on by those members only."""
        return self._traits.reads_instructions

    @property
    def gives_match(self) -> bool | None:
        """Whether a member gives one; None where a member does not say."""
        return self._traits.gives_match

    @property
    def threshold(self) -> float | None:
        """The greatest of the members', if all have one: what reaches it by any rule, some member is sure of."""
        return self._traits.threshold

    @property
    def gives_hops(self) -> bool:
        """Whether any member does; the others' gains are then made hops before they are combined."""
        return self._traits.gives_hops

    @property
    def takes_fewer_views(self) -> bool:
        """Whether all members do."""
        return self._traits.takes_fewer_views

    @property
    def _traits(self) -> Traits:
        return joined_traits(traits_of(member) for member in self.members.values())

    @property
    def frame_size(self) -> tuple[int, int] | None:
        """(height, width) of the pictures that the members were fitted on, as far as they know."""
        return common_size(self.members)

    @property
    def parse_failures(self) -> int | None:
        """Answers of the members that could not be read; None if no member counts them."""
        return self._counted("parse_failures")

    @property
    def fallbacks(self) -> int | None:
        """Estimates of the members that were replaced for that reason; None if no member counts them."""
        return self._counted("fallbacks")

    # --- fitting and saving: what the members can --------------------------------------------------------------------

    def fit(
        self, demonstrations: Sequence[Trace], negatives: Sequence[Trace], seed: int, own: Sequence[Trace] = ()
    ) -> Mapping[str, float]:
        """Fits the learned members, each with a seed of its own; losses as ``<member>/<name>``.

        Those that were fitted already (``kept``) stay as they are; ``refit`` refits them like the others.
        Members that do not read instructions are shown no demonstration as a failure of another instruction.
        """
        check_shown({name: self.members[name] for name in self._kept if name in self.members}, demonstrations)
        plain = [trace for trace in negatives if trace.source != "counterfactual"]

        def fit(name: str, member: LearnedRewardModel) -> Mapping[str, float]:
            shown = negatives if traits_of(member).reads_instructions else plain
            return member.fit(demonstrations, shown, derive_seed(seed, "member", name), own)

        return self._each(fit, self._kept)

    @property
    def fitted(self) -> bool:
        """Whether ``fit`` would change nothing: no member is learned, but for those fitted already."""
        return all(getattr(member, "fitted", False) for member in self._learned(self._kept).values())

    def refit(self, episodes: Sequence[Trace], seed: int) -> Mapping[str, float]:
        """Refits the learned members."""
        return self._each(lambda name, member: member.refit(episodes, derive_seed(seed, "member", name)))

    def save(self, folder: Path) -> None:
        """Writes each member that has weights into ``folder / name``."""
        for name, member in self.members.items():
            if isinstance(member, Saveable):
                (folder / name).mkdir(parents=True, exist_ok=True)
                member.save(folder / name)

    def load(self, folder: Path) -> None:
        """Reads what ``save`` wrote. UserError for members fitted on pictures of different sizes."""
        for name, member in self.members.items():
            if isinstance(member, Saveable):
                member.load(folder / name)
        common_size(self.members)

    def _counted(self, name: str) -> int | None:
        counts = [counts_of(member) for member in self.members.values()]
        return sum(c[name] for c in counts if name in c) if any(name in c for c in counts) else None

    # --- inside ------------------------------------------------------------------------------------------------------

    def _each(
        self, do: Callable[[str, LearnedRewardModel], Mapping[str, float]], spared: Collection[str] = ()
    ) -> dict[str, float]:
        learned = self._learned(spared)
        return {f"{name}/{key}": value for name, m in learned.items() for key, value in do(name, m).items()}

    def _learned(self, spared: Collection[str]) -> dict[str, LearnedRewardModel]:
        return {n: m for n, m in self.members.items() if isinstance(m, LearnedRewardModel) and n not in spared}

    def _steps_allowed(self) -> None:
        if self.needs.episode:
            slow = [name for name, member in self.members.items() if member.needs.episode]
            raise UserError(f"the member '{slow[0]}' of this ensemble prices whole episodes; use pricing=deferred")

    def _combine(self, said: Sequence[Estimate]) -> Estimate:
        own = np.stack([e.uncertainty for e in said]).astype(np.float64)

        def joined(rows: Sequence[Floats], low: float, high: float, stated: NDArray[np.float64] = own) -> Floats:
            value = combine(np.stack(rows), self.rule, self._caution, stated)
            return np.clip(value, low, high).astype(np.float32)

        spread = np.stack([e.progress for e in said]).astype(np.float64).var(0)
        if self.gives_hops:  # differences and hops are not one unit
            told = zip(said, self.members.values(), strict=True)
            said = [with_hops(estimate, traits_of(member).gives_hops) for estimate, member in told]
        matching = [k for k, e in enumerate(said) if e.match is not None]
        matches = [m for e in said if (m := e.match) is not None]
        return Estimate(
            progress=joined([e.progress for e in said], 0, 1),
            gain=joined([e.gain for e in said], -1, 1),
            success=joined([e.success for e in said], 0, 1),
            uncertainty=np.sqrt(spread + (own**2).mean(0)).astype(np.float32),
            match=joined(matches, -1, 1, own[matching]) if matches else None,
        )


def combine(
    values: NDArray[Any], rule: Rule, caution: float, uncertainty: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """Members' values (M, N) as one, (N,); ``uncertainty`` (M, N) weighs them under ``precision_weighted``."""
    rows = values.astype(np.float64)
    if rule == "worst":
        return np.asarray(rows.min(0))
    if rule == "uncertainty_weighted":
        return np.asarray(rows.mean(0) - caution * rows.var(0))
    if rule == "precision_weighted" and uncertainty is not None:
        weights = 1 / np.maximum(uncertainty, _LEAST_SPREAD) ** 2
        return np.asarray((weights * rows).sum(0) / weights.sum(0))
    return np.asarray(rows.mean(0))


def make_ensemble(models: Mapping[str, Any], rule: Rule = "mean", caution: float = 0.5) -> Ensemble:
    """An ensemble of members given as reward models' groups; ``fit`` leaves those that came from a ``path``."""
    from robo_reward.build import build_reward_model

    given = {name: model for name, model in models.items() if model is not None}
    kept = [name for name, model in given.items() if model.get("path") is not None]
    return Ensemble({name: build_reward_model(model) for name, model in given.items()}, rule, caution, kept)
