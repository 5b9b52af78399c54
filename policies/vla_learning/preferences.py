"""Direct preference optimisation of flow policies: better episodes of a group against worse ones, noise shared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from robo_reward.errors import UserError
from robo_reward.policies.vla.flow import FlowField
from robo_reward.policies.vla_learning.clipped_update import executed_mask
from robo_reward.policies.vla_learning.exploring import Decision, gathered, prepared
from robo_reward.policies.vla_learning.group_tuning import Group, GroupTuner
from robo_reward.policies.vla_learning.likelihood import FlowLikelihood, joined
from robo_reward.seeding import derive_seed

Pair = tuple[Decision, Decision]
"""The preferred decision, and the other one."""


@dataclass(frozen=True, slots=True)
class PreferenceSettings:
    """``beta``: how hard a preference pulls, in units of squared velocity error (NORA-1.5's release: 250). ``margin``:
    rewards of a pair that lie less apart are no preference. ``per_group``: pairs of episodes of a group, best against
    worst, second best against second worst, and so on.
    """

    beta: float = 250.0
    margin: float = 0.1
    per_group: int = 2

    def __post_init__(self) -> None:
        if self.beta <= 0 or self.margin < 0 or self.per_group < 1:
            raise UserError(
                f"preferences.beta={self.beta} must be above 0, margin={self.margin} 0 or more, "
                f"per_group={self.per_group} 1 or more"
            )


def pairs_of(groups: Sequence[Group], settings: PreferenceSettings) -> list[Pair]:
    """Pairs of decisions: the k-th of a better episode and the k-th of a worse one of the same group.

    Episodes of a group begin in one state, so first decisions answer the same picture; later ones are compared as parts
    of the episodes that they belong to (trajectory-wise preferences, as in GRAPE, arXiv 2411.19309).
    """
    pairs: list[Pair] = []
    for group in groups:
        order = group.rewards.argsort(kind="stable")
        for k in range(min(settings.per_group, len(order) // 2)):
            worse, better = int(order[k]), int(order[-1 - k])
            if group.rewards[better] - group.rewards[worse] > settings.margin:
                rows = zip(group.decisions[better], group.decisions[worse], strict=False)
                pairs += [(good, bad) for good, bad in rows if good.executed and bad.executed]
    return pairs


def preference_loss(better: Tensor, worse: Tensor, better_first: Tensor, worse_first: Tensor, beta: float) -> Tensor:
    """-log sigmoid(-beta [(l_w - l_l) - (l_w_ref - l_l_ref)]), the mean; l (B,): flow errors of winner and loser."""
    return -functional.logsigmoid(-beta * ((better - worse) - (better_first - worse_first))).mean()


def flow_errors(field: FlowField, batch: Any, chunk: Tensor, mask: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """(B,) squared velocity errors over executed numbers; ``chunk`` (B, K, A), ``mask`` (B, K, 1), ``noise`` (B, K, D),
    ``t`` (B,). Padding numbers of the chunk are 0, as in training, and count not."""
    full = functional.pad(chunk, (0, noise.shape[-1] - chunk.shape[-1]))
    time = t.view(-1, 1, 1)
    error = field.velocity(field.encode(batch), time * noise + (1 - time) * full, t) - (noise - full)
    squared = error[..., : field.actions].square() * mask
    return squared.sum((1, 2)) / (mask.sum((1, 2)) * field.actions).clamp(min=1)


class PreferenceTuner(GroupTuner):
    """As ``GroupTuner``, but the groups' rewards say which episode is better, and DPO makes it likelier.

    Winner and loser share noise and time, drawn anew for each pair and step, so that a preference is not drowned in
    their variance. The reference is the policy as tuning began.
    """

    def __init__(self, *args: Any, preferences: PreferenceSettings | None = None, **kwargs: Any) -> None:
        """Raises UserError for policies that are no flow."""
        super().__init__(*args, **kwargs)
        if not isinstance(self.likelihood, FlowLikelihood):
            raise UserError("learner=dpo shares noise between the two of a pair, so it takes flow policies (head=flow)")
        self._field, self._preferences = self.likelihood.field, preferences or PreferenceSettings()

    @property
    def by_ratios(self) -> bool:
        """It compares flow errors."""
        return False

    def improve(self, kept: list[Group]) -> dict[str, float]:
        """Some epochs over the pairs."""
        return self.learn(pairs_of(kept, self._preferences))

    def learn(self, pairs: Sequence[Pair]) -> dict[str, float]:
        """Some epochs over pairs, wherever they come from."""
        if not pairs:
            return {"pairs": 0.0}
        self.remember([good for good, _ in pairs])
        settings, sums, steps = self.update.settings, [0.0, 0.0], 0
        generator = torch.Generator().manual_seed(derive_seed(self.seed, "preferences", self.updates))
        for _ in range(settings.epochs):
            order = torch.randperm(len(pairs), generator=generator).tolist()
            for first in range(0, len(order), settings.batch):
                chosen = [pairs[k] for k in order[first : first + settings.batch]]
                loss, right = self._step(chosen, generator)
                sums, steps = [sums[0] + loss, sums[1] + right], steps + 1
        return {"pairs": float(len(pairs)), "loss": sums[0] / steps, "preferred": sums[1] / steps}

    def _step(self, pairs: Sequence[Pair], generator: torch.Generator) -> tuple[float, float]:
        """The loss, and the share of pairs whose winner has become likelier than its loser."""
        count, device = len(pairs), self.policy.device
        noise = torch.randn((count, *self._field.shape), generator=generator).to(device)
        t = torch.rand(count, generator=generator).clamp(0.001, 1.0).to(device)
        now = self.values()
        with torch.no_grad():
            self.put(self.first)
            reference = [self._errors([pair[side] for pair in pairs], noise, t) for side in (0, 1)]
            self.put(now)
        better, worse = (self._errors([pair[side] for pair in pairs], noise, t) for side in (0, 1))
        loss = preference_loss(better, worse, reference[0], reference[1], self._preferences.beta)
        self.update.step(loss)
        return loss.item(), float(((better - worse) < (reference[0] - reference[1])).float().mean())

    def _errors(self, decisions: Sequence[Decision], noise: Tensor, t: Tensor) -> Tensor:
        self.policy.policy.eval()
        chunk = joined([d.draw for d in decisions]).chunk.to(noise.device)
        mask = executed_mask(decisions, chunk.shape[1])[:, 0].to(noise.device)
        return flow_errors(self._field, prepared(self.policy, gathered(decisions)), chunk, mask, noise, t)
