"""Which decisions of an episode decided it: a value of its moments, fitted on the others, gives them their credit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from robo_reward.errors import UserError
from robo_reward.networks import mlp
from robo_reward.policies.vla.lerobot_policy import LeRobotPolicy
from robo_reward.policies.vla_learning.chunk_advantages import gae
from robo_reward.policies.vla_learning.exploring import Decision
from robo_reward.seeding import derive_seed

Array = NDArray[np.float64]
STEPS, BATCH, NOISE = 250, 256, 0.2
"""Updates of a fold's network, moments in one, and the noise on their states, in the states' own deviations."""
SURE = 0.02
"""Outcomes are learned as lying so far within 0 and 1, so that no value is ever certain."""


@dataclass(frozen=True, slots=True)
class CriticSettings:
    """``folds``: an episode's values are told by a network that saw only the others' outcomes. ``decay``: of
    generalised advantage estimation; 0 credits a decision with what it changed at once, 1 with all that came of it.
    ``memory``: earlier episodes that are learned from too, on one scale with the present ones.
    """

    folds: int = 4
    decay: float = 0.7
    memory: int = 128

    def __post_init__(self) -> None:
        if self.folds < 2 or not 0 <= self.decay <= 1 or self.memory < 0:
            raise UserError(
                f"critic.folds={self.folds} must be 2 or more, decay={self.decay} within 0 and 1 and "
                f"memory={self.memory} 0 or more"
            )


class OutcomeCritic:
    """Values of moments by the arm's state at a decision, how it changed since the one before, and the time.

    An episode is told by one number, and most of its decisions had no part in it: before a grasp all
    episodes are alike, behind it all is decided. As one advantage for all of them the number is drowned in that.
    Values are fitted across episodes, so that none explains its own outcome.
    """

    def __init__(self, policy: LeRobotPolicy, settings: CriticSettings, seed: int) -> None:
        self._policy, self.settings, self._seed = policy, settings, seed
        self._kept: list[tuple[Tensor, float]] = []
        self._fits = 0

    def credit(self, episodes: Sequence[Sequence[Decision]], outcomes: Array) -> list[Array]:
        """Of each episode the advantages of its D decisions, (D,); ``outcomes`` (E,) are what they earned.

        Raises:
            UserError: a single episode.
        """
        folds = min(self.settings.folds, len(episodes))
        if folds < 2:
            raise UserError("the critic tells an episode by others, and an update has 1: set group.groups higher")
        moments = [self._moments(decisions) for decisions in episodes]
        # one scale for all that is learned from: the best of a round that failed is no success
        earned = outcomes.tolist()
        known = [*earned, *(reward for _, reward in self._kept)]
        low, size = min(known), max(max(known) - min(known), 1e-9)
        shares = (outcomes - low) / size
        kept = [(m, (reward - low) / size) for m, reward in self._kept]
        generator = torch.Generator().manual_seed(derive_seed(self._seed, "critic", self._fits))
        self._fits += 1
        advantages: list[Array] = [np.zeros(0)] * len(episodes)
        for fold in range(folds):
            others = [(moments[e], float(shares[e])) for e in range(len(episodes)) if e % folds != fold]
            value = _fitted([*others, *kept], generator)
            for e in range(fold, len(episodes), folds):
                values = value(moments[e])
                rewards = np.zeros(len(values))
                rewards[-1:] = shares[e]
                advantages[e] = gae(rewards, values, 1.0, self.settings.decay)[0]
        found = [*self._kept, *zip(moments, earned, strict=True)]
        self._kept = found[max(0, len(found) - self.settings.memory) :]
        return advantages

    def state(self) -> dict[str, Any]:
        """What a resumed run needs."""
        return {"moments": [m for m, _ in self._kept], "outcomes": [o for _, o in self._kept], "fits": self._fits}

    def load(self, state: Mapping[str, Any]) -> None:
        """Takes back what ``state`` gave."""
        self._kept = [(m, float(o)) for m, o in zip(state["moments"], state["outcomes"], strict=True)]
        self._fits = int(state["fits"])

    def _moments(self, decisions: Sequence[Decision]) -> Tensor:
        """(D, 2 S + 1): what is known of each decision's moment."""
        key = self._policy.names.theirs("state")
        state = torch.cat([d.seen[key] for d in decisions]).float()
        step = state - torch.cat([state[:1], state[:-1]])
        executed = torch.tensor([d.executed for d in decisions], dtype=torch.float32)
        return torch.cat([state, step, (executed.cumsum(0) - executed)[:, None]], -1)


class _Value:
    """A fitted network with the scale of what it reads."""

    def __init__(self, net: nn.Module, mean: Tensor, spread: Tensor) -> None:
        self.net, self.mean, self.spread = net, mean, spread

    def scaled(self, moments: Tensor) -> Tensor:
        return ((moments - self.mean) / self.spread).clamp(-4, 4)

    @torch.no_grad()
    def __call__(self, moments: Tensor) -> Array:
        out: Array = torch.sigmoid(self.net(self.scaled(moments))[:, 0]).double().numpy()
        return out


def _fitted(episodes: Sequence[tuple[Tensor, float]], generator: torch.Generator) -> _Value:
    """The value that explains the outcomes (0 to 1) of ``episodes``."""
    moments = torch.cat([m for m, _ in episodes])
    label = torch.cat([torch.full((len(m),), share) for m, share in episodes]) * (1 - 2 * SURE) + SURE
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**31, (1,), generator=generator)))
        value = _Value(mlp(moments.shape[1], 1, 64), moments.mean(0), moments.std(0).clamp(min=1e-4))
    optimizer = torch.optim.AdamW(value.net.parameters(), 2e-3, weight_decay=0.05)
    inputs = value.scaled(moments)
    for _ in range(STEPS):
        index = torch.randint(len(inputs), (BATCH,), generator=generator)
        noisy = inputs[index] + NOISE * torch.randn(BATCH, inputs.shape[1], generator=generator)
        loss = nn.functional.binary_cross_entropy_with_logits(value.net(noisy)[:, 0], label[index])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    value.net.eval()
    return value
