"""The transport reward: how cheaply an episode's frames can be carried over to a demonstration's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from robo_reward.bounds import check_numbers
from robo_reward.contracts import Estimate, Flags, Floats, Needs, Observation, Transition
from robo_reward.errors import UserError
from robo_reward.reward_models.progress import ProgressModel
from robo_reward.reward_models.transport_plan import LEAST_EPSILON, transport_costs
from robo_reward.trace import Trace


class TransportModel(ProgressModel):
    """A progress model that also matches whole episodes with the demonstrations (``Estimate.match``).

    match = 1 - cost / mean cost of random episodes, clipped to [-1, 1], cost by optimal transport between the frame
    embeddings of the episode and of the demonstration, frames ``stride`` steps apart; of several demonstrations of the
    episode's instruction (of the nearest one where it was not fitted) the cheapest counts. Random episodes are those of
    the instruction, all where it has none. The embeddings are those of the progress network and never change after
    ``fit``. Resting in one state that fools the network earns little, since each demonstrated frame must be covered.
    """

    gives_match = True

    def __init__(
        self, *args: Any, epsilon: float = 0.05, iterations: int = 60, references: int = 5, **kwargs: Any
    ) -> None:
        """``epsilon``, ``iterations``: Sinkhorn's; ``references``: how many demonstrations of an instruction at most.

        Raises:
            UserError: additionally, for ``epsilon`` below ``LEAST_EPSILON``, or a count below 1.
        """
        check_numbers("reward_model=transport", least=LEAST_EPSILON, epsilon=epsilon)
        check_numbers("reward_model=transport", least=1, whole=True, iterations=iterations, references=references)
        super().__init__(*args, **kwargs)
        self.needs = Needs(self.needs.views, self.needs.stride, episode=True)
        self._epsilon, self._iterations, self._limit = epsilon, iterations, references
        self._matches = [_Match([], 1.0)]
        self._costs: WeakKeyDictionary[Trace, Floats] = WeakKeyDictionary()

    def fit(
        self,
        demonstrations: Sequence[Trace],
        negatives: Sequence[Trace],
        seed: int,
        own: Sequence[Trace] = (),
    ) -> Mapping[str, float]:
        """As the progress model's, then measures what random episodes cost.

        Raises:
            UserError: additionally, without random episodes among the negatives.
        """
        losses = dict(super().fit(demonstrations, negatives, seed, own))
        random = [trace for trace in negatives if trace.source == "random"]
        if not random:
            raise UserError("the transport reward needs random episodes as its scale: set negatives.random=8")
        shown, known = self.success.of_each(demonstrations), self.success.of_each(random)
        self._costs.clear()
        self._matches = [_Match([self.matched(d)[:: self._thinning(d)] for d in own[: self._limit]]) for own in shown]
        for match, own in zip(self._matches, known, strict=True):
            costs = [self._cheapest(trace, match).mean() for trace in own or random]
            match.random_cost = max(float(np.mean(costs)), 1e-3)
        return losses | {"fit/random_cost": float(np.mean([match.random_cost for match in self._matches]))}

    def estimate_episode(self, trace: Trace) -> Estimate:
        """Estimates (F,) with ``match``."""
        estimate = super().estimate_episode(trace)
        match = np.clip(1 - self._cost(trace) / self._match(trace).random_cost, -1, 1)
        return replace(estimate, match=match.astype(np.float32))

    def begin(self, first: Observation, fresh: Flags) -> Estimate:
        """Refused: a match needs the whole episode."""
        raise UserError("reward_model=transport prices whole episodes; price it deferred (learner.pricing=auto)")

    def estimate(self, transition: Transition) -> Estimate:
        """Refused, as ``begin``."""
        raise UserError("reward_model=transport prices whole episodes; price it deferred (learner.pricing=auto)")

    def _cost(self, trace: Trace) -> Floats:
        """Of the cheapest reference, (F,); embeddings never change after the fit, so neither does the cost."""
        if trace not in self._costs:
            self._costs[trace] = self._cheapest(trace, self._match(trace))
        return self._costs[trace]

    def _match(self, trace: Trace) -> _Match:
        """What the episode is measured by: that of its instruction, or of the nearest one."""
        match = self._matches[self.success.known.of(trace.task) if len(self._matches) > 1 else 0]
        if not match.references:
            raise UserError("this transport reward is not fitted: give reward_model.path=FOLDER or fit it first")
        return match

    def _cheapest(self, trace: Trace, match: _Match) -> Floats:
        episode = self.matched(trace).numpy()
        costs = [transport_costs(episode, r.numpy(), self._epsilon, self._iterations) for r in match.references]
        return min(costs, key=lambda c: float(c.mean()))

    def _thinning(self, demonstration: Trace) -> int:
        """Demonstrations keep every frame; episodes one per stride. Matched frames must be equally far apart."""
        gap = float(np.median(np.diff(demonstration.frame_steps)))
        return max(1, round(self.needs.stride / gap))

    def state(self) -> dict[str, Any]:
        """The progress model's, with the references."""
        held = [match.state() for match in self._matches]
        if len(held) == 1:
            return super().state() | held[0]
        return super().state() | {"matches": held}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Takes back what ``state`` gave."""
        super().load_state(state)
        self._matches = [_Match.of(held) for held in state.get("matches", [state])]
        self._costs.clear()


@dataclass(slots=True)
class _Match:
    """One instruction's ``references``, (M, 64) each, and what its random episodes cost."""

    references: list[Tensor]
    random_cost: float = 1.0

    def state(self) -> dict[str, Any]:
        references = {str(k): r for k, r in enumerate(self.references)}
        return {"references": references, "random_cost": self.random_cost}

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> _Match:
        references = [torch.as_tensor(state["references"][k]) for k in sorted(state["references"], key=int)]
        return cls(references, float(state["random_cost"]))
