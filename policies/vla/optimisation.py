"""Optimiser, schedule and averaged weights of supervised training, by the policy's own LeRobot presets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from robo_reward.errors import UserError
from robo_reward.ranks import Ranks

Schedule = Literal["policy", "cosine", "constant"]
CLIP = 10.0
"""Bound of the gradient's norm where the policy's preset has none."""


@dataclass(slots=True)
class Optimisation:
    """Steps a policy's trained weights; ``ranks``: the processes whose gradients make one update."""

    optimizer: Any
    scheduler: Any
    parameters: list[nn.Parameter]
    clip: float
    ranks: Ranks = field(default_factory=Ranks)

    def step(self, loss: Tensor) -> float:
        """One update; the gradient's norm before it was clipped."""
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.ranks.average(self.parameters)
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, self.clip)
        self.optimizer.step()
        if self.scheduler is not None:
            self.scheduler.step()
        return float(norm)

    @property
    def lr(self) -> float:
        """The present learning rate of the first group."""
        return float(self.optimizer.param_groups[0]["lr"])

    def state(self) -> dict[str, Any]:
        """What a resumed run needs."""
        rate = None if self.scheduler is None else {"last_epoch": self.scheduler.last_epoch}
        return {"optimizer": self.optimizer.state_dict(), "scheduler": rate}

    def load(self, state: Mapping[str, Any]) -> None:
        """Takes back what ``state`` gave."""
        self.optimizer.load_state_dict(state["optimizer"])
        if self.scheduler is not None and state["scheduler"] is not None:
            self.scheduler.last_epoch = state["scheduler"]["last_epoch"]


def build_optimisation(
    module: Any, config: Any, updates: int, lr: float | None, schedule: Schedule, warmup: int
) -> Optimisation:
    """The policy's own optimiser and schedule over ``updates``, with another learning rate or schedule if asked for.

    Raises:
        UserError: nothing of the policy is trained.
    """
    preset = config.get_optimizer_preset()
    if lr is not None:
        preset.lr = lr
    trained = [p for p in module.parameters() if p.requires_grad]
    if not trained:
        raise UserError(f"no weight of the {config.type} policy is trained: everything is frozen by its settings")
    adapted = sum(p.numel() for p in trained) < sum(p.numel() for p in module.parameters())
    optimizer = preset.build(trained if adapted else module.get_optim_params())
    if isinstance(optimizer, torch.optim.AdamW):
        for group in optimizer.param_groups:  # one kernel a weight in place of ten: a tenth of a small policy's update
            group["fused"] = True
    clip = float(getattr(preset, "grad_clip_norm", 0) or CLIP)
    return Optimisation(optimizer, _scheduler(optimizer, config, preset.lr, updates, schedule, warmup), trained, clip)


class AveragedWeights:
    """An exponential average of the trained weights, which acts and is saved; decay grows from 0.1 to ``decay``."""

    def __init__(self, module: Any, decay: float) -> None:
        self._module, self._decay, self._updates = module, decay, 0
        self._shadow = {n: p.detach().clone() for n, p in module.named_parameters() if p.requires_grad}

    @torch.no_grad()
    def update(self) -> None:
        """Takes the present weights into the average."""
        self._updates += 1
        keep = min(self._decay, (1 + self._updates) / (10 + self._updates))
        for name, weight in self._trained():
            self._shadow[name].lerp_(weight.detach(), 1 - keep)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Inside, the module has the averaged weights."""
        own = {name: weight.detach().clone() for name, weight in self._trained()}
        self.apply()
        try:
            yield
        finally:
            self._set(own)

    def apply(self) -> None:
        """Gives the module the averaged weights."""
        self._set(self._shadow)

    def state(self) -> dict[str, Any]:
        """What a resumed run needs."""
        return {"updates": self._updates, "weights": dict(self._shadow)}

    def load(self, state: Mapping[str, Any]) -> None:
        """Takes back what ``state`` gave."""
        self._updates = int(state["updates"])
        for name, weight in state["weights"].items():
            self._shadow[name].copy_(weight)

    def _trained(self) -> list[tuple[str, nn.Parameter]]:
        return [(name, weight) for name, weight in self._module.named_parameters() if name in self._shadow]

    @torch.no_grad()
    def _set(self, weights: Mapping[str, Tensor]) -> None:
        for name, weight in self._trained():
            weight.copy_(weights[name])


def _scheduler(optimizer: Any, config: Any, lr: float, updates: int, schedule: Schedule, warmup: int) -> Any:
    from lerobot.optim.schedulers import ConstantWithWarmupSchedulerConfig, CosineDecayWithWarmupSchedulerConfig

    if schedule == "policy":
        preset = config.get_scheduler_preset()
        if preset is None:
            return None
        if hasattr(preset, "peak_lr"):  # the decay's end is a share of the rate that is really used
            preset.decay_lr, preset.peak_lr = preset.decay_lr / preset.peak_lr * lr, lr
        return preset.build(optimizer, updates)
    if schedule == "constant":
        return ConstantWithWarmupSchedulerConfig(warmup).build(optimizer, updates)
    cosine = CosineDecayWithWarmupSchedulerConfig(min(warmup, updates // 2), updates, lr, 0.02 * lr)
    return cosine.build(optimizer, updates)
