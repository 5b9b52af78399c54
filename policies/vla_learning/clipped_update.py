"""The clipped policy-gradient step over chunks: PPO's surrogate, one ratio for every random step of the sampler."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from robo_reward.errors import UserError, unknown_name
from robo_reward.policies.vla.lerobot_policy import LeRobotPolicy
from robo_reward.policies.vla_learning.exploring import Decision, gathered, prepared
from robo_reward.policies.vla_learning.likelihood import Likelihood, joined

Way = Literal["clipped", "shift", "imitate"]
WAYS: tuple[Way, ...] = ("clipped", "shift", "imitate")


@dataclass(frozen=True, slots=True)
class UpdateSettings:
    """``clip_low``, ``clip_high``: how far a ratio may fall and rise (asymmetric as in DAPO and SimpleVLA-RL).

    ``dual``: bound of a bad decision's loss in units of its advantage. ``epochs`` over the decisions in batches of
    ``batch``; they stop early once the divergence from the policy that acted passes ``kl_stop``. ``lr`` of Adam;
    ``grad_clip``: bound of the gradient's norm. ``train``: all weights that the policy trains, or its action head.
    ``way``: ``clipped``, or ``shift`` (``ShiftUpdate``, of flows), which reads ``batch`` and what follows alone:
    ``draws`` noisy points of every decision, a ``ridge`` (share of the features' size), a ``strength``, and ``reach``,
    a bound of how far normalised actions are shifted (root mean square). Or ``imitate`` (``ImitatingUpdate``), which
    reads ``lr``, ``batch``, ``epochs``, ``grad_clip``, ``train`` and ``memory``: how many decisions of earlier rounds'
    better episodes are imitated too.
    """

    lr: float = 1e-5
    batch: int = 128
    epochs: int = 2
    clip_low: float = 0.2
    clip_high: float = 0.28
    dual: float = 3.0
    kl_stop: float = 0.1
    grad_clip: float = 1.0
    train: str = "all"
    way: Way = "clipped"
    draws: int = 4
    ridge: float = 0.002
    strength: float = 2.0
    reach: float = 0.15
    memory: int = 0

    def __post_init__(self) -> None:
        for name, least in (("batch", 1), ("epochs", 1), ("draws", 1)):
            if getattr(self, name) < least:
                raise UserError(f"update.{name}={getattr(self, name)} must be {least} or more")
        if not 0 < self.clip_low < 1 or self.clip_high <= 0 or self.dual <= 1:
            raise UserError(
                f"update.clip_low={self.clip_low} must be within 0 and 1, clip_high={self.clip_high} above 0 and "
                f"dual={self.dual} above 1"
            )
        if self.lr <= 0 or self.kl_stop <= 0:
            raise UserError(f"update.lr={self.lr} and kl_stop={self.kl_stop} must be above 0")
        if self.train not in ("all", "head"):
            raise UserError(f"update.train={self.train}: all weights that the policy trains, or its action 'head'")
        if self.memory < 0 or (self.memory and self.way != "imitate"):
            raise UserError(
                f"update.memory={self.memory} must be 0 or more, and above it belongs to update.way=imitate"
            )
        if self.way not in WAYS:
            raise unknown_name("learner.update.way", self.way, WAYS)
        if min(self.ridge, self.strength, self.reach) <= 0:
            raise UserError(
                f"update.ridge={self.ridge}, strength={self.strength} and reach={self.reach} must be above 0"
            )


def executed_mask(decisions: Sequence[Decision], chunk: int) -> Tensor:
    """(B, 1, K, 1) float: 1 where an action was executed; what an episode's end cut off was never tried."""
    lengths = torch.tensor([d.executed for d in decisions])
    return (torch.arange(chunk) < lengths[:, None]).float()[:, None, :, None]


def surrogate(log_ratio: Tensor, advantage: Tensor, random: Tensor, settings: UpdateSettings) -> Tensor:
    """The loss, a scalar: ``log_ratio`` and ``random`` (B, S), ``advantage`` (B,).

    -min(r A, clip(r, 1 - clip_low, 1 + clip_high) A), for A < 0 at most -dual A; the mean over random steps.
    """
    ratio, a = log_ratio.clamp(-20, 20).exp(), advantage[:, None]
    clipped = ratio.clamp(1 - settings.clip_low, 1 + settings.clip_high)
    gain = torch.minimum(ratio * a, clipped * a)
    gain = torch.where(a < 0, torch.maximum(gain, settings.dual * a), gain)
    weight = random.float()
    return -(gain * weight).sum() / weight.sum().clamp(min=1)


def divergence(log_ratio: Tensor, random: Tensor) -> Tensor:
    """KL(old || new) of a random step, in nats: the mean of r - 1 - log r >= 0 (Schulman's third estimator)."""
    each = log_ratio.clamp(-20, 20).exp() - 1 - log_ratio
    weight = random.float()
    return (each * weight).sum() / weight.sum().clamp(min=1)


class ClippedUpdate:
    """Steps a policy's weights, and those of its likelihood, by decisions and their advantages."""

    by_ratios = True
    """Whether ``run`` learns from log-probabilities of what was drawn."""

    def __init__(self, policy: LeRobotPolicy, likelihood: Likelihood, settings: UpdateSettings) -> None:
        self._policy, self._likelihood, self.settings = policy, likelihood, settings
        self.weights = trained_weights(policy, settings.train)
        extra = [p for module in likelihood.modules() for p in module.parameters()]
        self._parameters = [*self.weights.values(), *extra]
        self.optimizer = torch.optim.Adam(self._parameters, settings.lr)

    def run(self, decisions: Sequence[Decision], advantages: Tensor, seed: int) -> dict[str, float]:
        """Several passes over ``decisions`` with ``advantages`` (B,), in an order that follows from ``seed``."""
        settings, generator = self.settings, torch.Generator().manual_seed(seed)
        sums, passes, stopped = {"loss": 0.0, "kl": 0.0, "clipped": 0.0, "gradient": 0.0}, 0, False
        for _ in range(settings.epochs):
            order = torch.randperm(len(decisions), generator=generator).tolist()
            for first in range(0, len(order), settings.batch):
                chosen = order[first : first + settings.batch]
                row = self._step([decisions[k] for k in chosen], advantages[chosen])
                passes += 1
                sums = {key: sums[key] + row[key] for key in sums}
                stopped = row["kl"] > settings.kl_stop
                if stopped:
                    break
            if stopped:
                break
        return {key: value / passes for key, value in sums.items()} | {
            "steps": float(passes),
            "stopped_by_kl": float(stopped),
        }

    def step(self, loss: Tensor) -> float:
        """One step down a loss; the gradient's norm before it was clipped."""
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self._parameters, self.settings.grad_clip)
        if not torch.isfinite(norm):
            raise UserError(f"the gradient of an update is not finite: lower update.lr (now {self.settings.lr:g})")
        self.optimizer.step()
        return float(norm)

    def state(self) -> dict[str, Any]:
        """What a resumed run needs besides the policy's weights."""
        extra = [dict(module.state_dict()) for module in self._likelihood.modules()]
        # copied: Adam goes on writing into the tensors that it hands out
        return copy.deepcopy({"optimizer": self.optimizer.state_dict(), "extra": extra})

    def load(self, state: Mapping[str, Any]) -> None:
        """Takes back what ``state`` gave."""
        self.optimizer.load_state_dict(copy.deepcopy(state["optimizer"]))
        for module, weights in zip(self._likelihood.modules(), state["extra"], strict=True):
            module.load_state_dict(weights)

    def _step(self, decisions: Sequence[Decision], advantage: Tensor) -> dict[str, float]:
        log_ratio, random = self.log_ratio(decisions)
        kl = float(divergence(log_ratio.detach(), random))
        if kl > self.settings.kl_stop:  # this far away the surrogate says little: the step is not made
            return {"loss": 0.0, "kl": kl, "clipped": 1.0, "gradient": 0.0}
        loss = surrogate(log_ratio, advantage.to(log_ratio), random, self.settings)
        norm = self.step(loss)
        ratio = log_ratio.detach().exp()
        outside = (ratio < 1 - self.settings.clip_low) | (ratio > 1 + self.settings.clip_high)
        return {
            "loss": loss.item(),
            "kl": kl,
            "clipped": float((outside & random).sum() / random.sum().clamp(min=1)),
            "gradient": norm,
        }

    @torch.no_grad()
    def moved(self, decisions: Sequence[Decision]) -> float:
        """About how far the policy has moved from what drew ``decisions``, in nats a random step; 0 without any.

        By Schulman's second estimator, over a batch of those that were decided from what they tell.
        """
        true = [d for d in decisions if not d.displaced]
        if not true:
            return 0.0
        log_ratio, random = self.log_ratio(true[:: max(1, len(true) // self.settings.batch)])
        return float(0.5 * log_ratio[random].square().mean()) if random.any() else 0.0

    def log_ratio(self, decisions: Sequence[Decision]) -> tuple[Tensor, Tensor]:
        """(B, S) log-ratios of new to old over what was executed, and which steps were random."""
        self._policy.policy.eval()  # as when it acted: neither dropout nor augmentation
        device = self._policy.device
        draw = joined([d.draw for d in decisions]).to(device)
        mask = executed_mask(decisions, draw.chunk.shape[1]).to(device)
        now = self._likelihood.log_prob(prepared(self._policy, gathered(decisions)), draw)
        return ((now - draw.log_prob) * mask).sum((2, 3)), draw.random


def trained_weights(policy: LeRobotPolicy, train: str) -> dict[str, nn.Parameter]:
    """The weights that are trained, by name.

    Raises:
        UserError: the policy has no action head of that name, or nothing is trained.
    """
    named = {name: p for name, p in policy.module.named_parameters() if p.requires_grad}
    if train == "head":
        heads = ("head.", "action_out_proj", "action_in_proj", "action_time_mlp", "lm_expert")
        named = {name: p for name, p in named.items() if any(part in name for part in heads)}
    if not named:
        raise UserError(f"no weight of the {policy.config.type} policy is trained with update.train={train}")
    return named
