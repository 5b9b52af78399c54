"""The transport reward: how cheaply an episode's frames can be carried over to a demonstration's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from robo_reward.contracts import Estimate, Flags, Floats, Needs, Observation, Transition
from robo_reward.errors import UserError
from robo_reward.reward_models.progress import ProgressModel
from robo_reward.reward_models.transport_plan import transport_costs
from robo_reward.trace import Trace


class TransportModel(ProgressModel):
    """A progress model that also matches whole episodes with the demonstrations (``Estimate.match``).

    match = 1 - cost / mean cost of random episodes, clipped to [-1, 1], cost by optimal transport between the frame
    embeddings of the episode and of the demonstration, frames ``stride`` steps apart; of several demonstrations the
    cheapest counts. The embeddings are those of the progress network and never change after ``fit``. Resting in
    one state that fools the network earns little, since each demonstrated frame must be covered.
    """

    gives_match = True

    def __init__(
        self, *args: Any, epsilon: float = 0.05, iterations: int = 60, references: int = 5, **kwargs: Any
    ) -> None:
        """``epsilon``, ``iterations``: Sinkhorn's; ``references``: how many demonstrations at most are matched with."""
        super().__init__(*args, **kwargs)
        self.needs = Needs(self.needs.views, self.needs.stride, episode=True)
        self._epsilon, self._iterations, self._limit = epsilon, iterations, references
        self._references: list[Tensor] = []
        self._random_cost = 1.0
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
        self._references = [self.matched(d)[:: self._thinning(d)] for d in demonstrations[: self._limit]]
        self._costs.clear()
        costs = [self._cost(trace).mean() for trace in random]
        self._random_cost = max(float(np.mean(costs)), 1e-3)
        return losses | {"fit/random_cost": self._random_cost}

    def estimate_episode(self, trace: Trace) -> Estimate:
        """Estimates (F,) with ``match``."""
        estimate = super().estimate_episode(trace)
        match = np.clip(1 - self._cost(trace) / self._random_cost, -1, 1)
        return replace(estimate, match=match.astype(np.float32))

    def begin(self, first: Observation, fresh: Flags) -> Estimate:
        """Refused: a match needs the whole episode."""
        raise UserError("reward_model=transport prices whole episodes; price it deferred (learner.pricing=auto)")

    def estimate(self, transition: Transition) -> Estimate:
        """Refused, as ``begin``."""
        raise UserError("reward_model=transport prices whole episodes; price it deferred (learner.pricing=auto)")

    def _cost(self, trace: Trace) -> Floats:
        """Of the cheapest reference, (F,); embeddings never change after the fit, so neither does the cost."""
        if not self._references:
            raise UserError("this transport reward is not fitted: give reward_model.path=FOLDER or fit it first")
        if trace not in self._costs:
            episode = self.matched(trace).numpy()
            costs = [transport_costs(episode, r.numpy(), self._epsilon, self._iterations) for r in self._references]
            self._costs[trace] = min(costs, key=lambda c: float(c.mean()))
        return self._costs[trace]

    def _thinning(self, demonstration: Trace) -> int:
        """Demonstrations keep every frame; episodes one per stride. Matched frames must be equally far apart."""
        gap = float(np.median(np.diff(demonstration.frame_steps)))
        return max(1, round(self.needs.stride / gap))

    def state(self) -> dict[str, Any]:
        """The progress model's, with the references."""
        references = {str(k): r for k, r in enumerate(self._references)}
        return super().state() | {"references": references, "random_cost": self._random_cost}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Takes back what ``state`` gave."""
        super().load_state(state)
        self._references = [torch.as_tensor(state["references"][k]) for k in sorted(state["references"], key=int)]
        self._random_cost = float(state["random_cost"])
        self._costs.clear()
