"""The step that a hundred episodes bear best: the policy goes on imitating, namely its own better episodes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from robo_reward.errors import UserError
from robo_reward.policies.vla.features import ACTION
from robo_reward.policies.vla.lerobot_policy import LeRobotPolicy
from robo_reward.policies.vla_learning.clipped_update import ClippedUpdate, UpdateSettings, executed_mask
from robo_reward.policies.vla_learning.exploring import Decision, gathered, packed, prepared, unpacked
from robo_reward.policies.vla_learning.likelihood import Likelihood, joined

PADDED = "action_is_pad"
UNMASKED = ("pi0", "pi05")
"""Policies whose own training loss (LeRobot 0.6.1) does not read which actions are padding."""
WARM = 20
"""Steps in which the rate rises at the beginning."""


class ImitatingUpdate(ClippedUpdate):
    """Decisions with a positive advantage are imitated by the policy's own training loss; the others are left alone.

    Self-imitation (Oh et al. 2018, arXiv 1806.05635: weighted by the positive part of the advantage); with a reward of
    0 and 1 it is rejection sampling (RAFT, arXiv 2304.06767), with a flow, reward-weighted flow matching (arXiv
    2502.06061). Each step draws a batch, with chances in proportion to the advantages; there are as many as ``epochs``
    over the decisions with a positive one take. The rate rises, then falls as a cosine to zero. Pictures are augmented
    as in training, and what the weights learn is what was seen, not only which noise was good: that is why it holds for
    other episodes, where ratios over the same hundred do not. The latest ``memory`` of them are imitated in later
    updates too, at the advantages that they had (Oh et al.'s replay of past good episodes).
    """

    by_ratios = False

    def __init__(self, policy: LeRobotPolicy, likelihood: Likelihood, settings: UpdateSettings) -> None:
        super().__init__(policy, likelihood, settings)
        self._kept: list[tuple[Decision, float]] = []

    def run(self, decisions: Sequence[Decision], advantages: Tensor, seed: int) -> dict[str, float]:
        """The steps by ``decisions`` with ``advantages`` (B,); what is drawn follows from ``seed``."""
        settings, generator = self.settings, torch.Generator().manual_seed(seed)
        fresh = [(d, float(a)) for d, a in zip(decisions, advantages, strict=True) if a > 0]
        if not fresh:
            return {"imitated": 0.0, "kl": 0.0}
        pool = [*fresh, *self._kept]
        chances, good = torch.tensor([a for _, a in pool], dtype=torch.float64), len(pool)
        self._kept = pool[: settings.memory]
        # Adam's moments are of the episodes before
        self.optimizer = torch.optim.Adam(self._parameters, settings.lr)
        steps = settings.epochs * math.ceil(good / settings.batch)
        total, gradient = 0.0, 0.0
        with torch.random.fork_rng(), unlabelled(self._policy.policy):
            torch.manual_seed(seed)  # the loss draws its own noise and times
            for k in range(steps):
                self._pace(k, steps)
                rows = torch.multinomial(chances, settings.batch, replacement=True, generator=generator)
                loss = self._loss([pool[i][0] for i in rows.tolist()])
                gradient += self.step(loss)
                total += loss.item()
        return {
            "imitated": float(good),
            "loss": total / steps,
            "gradient": gradient / steps,
            "kl": self.moved(decisions),
            "steps": float(steps),
        }

    def state(self) -> dict[str, Any]:
        """As the other updates', with what is remembered."""
        return super().state() | {"kept": [[packed(d), advantage] for d, advantage in self._kept]}

    def load(self, state: Mapping[str, Any]) -> None:
        """Takes back what ``state`` gave."""
        super().load(state)
        self._kept = [(unpacked(d), float(advantage)) for d, advantage in state.get("kept", [])]

    def _loss(self, decisions: Sequence[Decision]) -> Tensor:
        policy = self._policy.policy
        policy.train()
        batch = prepared(self._policy, gathered(decisions))
        chunk = joined([d.draw for d in decisions]).chunk.to(self._policy.device)
        tried = (executed_mask(decisions, chunk.shape[1])[:, 0, :, 0] > 0).to(chunk.device)
        with masked(policy, tried) if self._policy.config.type in UNMASKED else nullcontext():
            loss: Tensor = policy.forward({**batch, ACTION: chunk, PADDED: ~tried})[0]
        if not torch.isfinite(loss):
            raise UserError(f"the loss of an update is not finite: lower update.lr (now {self.settings.lr:g})")
        return loss

    def _pace(self, step: int, steps: int) -> None:
        warm = min(1.0, (step + 1) / WARM)
        rate = self.settings.lr * warm * 0.5 * (1 + math.cos(math.pi * step / steps))
        for group in self.optimizer.param_groups:
            group["lr"] = rate


@contextmanager
def masked(policy: Any, tried: Tensor) -> Iterator[None]:
    """Inside, the loss of pi0 and pi0.5, the mean of their model's (B, K, D), is that over ``tried`` (B, K) actions."""
    model = policy.model
    own, forward = vars(model).get("forward"), model.forward
    weight = (tried.float() * (tried.numel() / tried.sum().clamp(min=1)))[..., None]
    model.forward = lambda *given, **named: forward(*given, **named) * weight
    try:
        yield
    finally:
        del model.forward
        if own is not None:
            model.forward = own


@contextmanager
def unlabelled(policy: nn.Module) -> Iterator[None]:
    """Inside, a policy with auxiliary losses (nano_vla) asks for none of their labels: own episodes have none."""
    told = getattr(policy, "labelled", None)
    if told is not None:
        policy.labelled = False  # type: ignore[assignment]
    try:
        yield
    finally:
        if told is not None:
            policy.labelled = told
