"""Random samplers of flow policies, so that what they drew has a likelihood: Flow-SDE, Flow-CPS and Flow-Noise.

LeRobot's convention: t goes from 1 (noise) to 0 (action), the velocity v is noise - action, an Euler step of length d
gives x - v d. With A = x - t v (the predicted action) and E = x + (1 - t) v (the predicted noise) that is
A (1 - (t - d)) + E (t - d).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from robo_reward.errors import UserError, unknown_name

Kind = Literal["sde", "cps", "noise"]
KINDS: tuple[Kind, ...] = ("sde", "cps", "noise")


@dataclass(frozen=True, slots=True)
class FlowNoise:
    """How a flow policy explores.

    ``kind``: ``sde`` (pi_RL's Flow-SDE: noise that keeps the flow's marginals), ``cps`` (noise taken from the predicted
    noise, so that nothing is added) or ``noise`` (Flow-Noise, ReinFlow: Euler's mean, a learned deviation). ``level``:
    a of sde (0.5) and of cps, from 0 (the policy's own sampler) to 1. ``noisy``: random steps, ``all`` or ``one`` drawn
    for every chunk (the others are Euler's). ``last``: whether the last step may be random; its deviation is so small
    that ratios blow up there; that of cps is 0, so it never is.
    """

    kind: Kind = "sde"
    level: float = 0.5
    noisy: Literal["all", "one"] = "all"
    last: bool = False

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise unknown_name("kind of flow noise", self.kind, KINDS)
        if self.noisy not in ("all", "one"):
            raise unknown_name("noisy", self.noisy, ("all", "one"))
        if not 0 <= self.level <= 1:
            raise UserError(f"noise.level={self.level} must be within 0 (no noise) and 1; 0.5 is usual")

    def candidates(self, steps: int) -> int:
        """How many of ``steps`` Euler steps, counted from the first, may be random; 0: it is the policy's own."""
        if self.level == 0 and self.kind != "noise":
            return 0
        if self.kind == "cps":  # of which the last step has no deviation
            return steps - 1
        return steps if self.last or steps == 1 else steps - 1


def sde_std(t: float, d: float, level: float) -> float:
    """The standard deviation s sqrt(d) of a step of Flow-SDE from t to t - d, s = level sqrt(t / (1 - t)).

    At t = 1, where s is infinite, the next grid time stands in the denominator, as in RLinf.
    """
    below = 1 - min(t, 1 - d)
    return level * math.sqrt(t / below) * math.sqrt(d)


def transition(kind: Kind, x: Tensor, v: Tensor, t: float, d: float, level: float) -> tuple[Tensor, float]:
    """Mean (B, K, D) and standard deviation of a random step from ``x`` (B, K, D) at t to t - d.

    ``noise`` gives Euler's mean and 0: its deviation is learned.
    """
    action, noise, after = x - t * v, x + (1 - t) * v, max(0.0, t - d)
    if kind == "sde":
        std = sde_std(t, d, level)
        return action * (1 - after) + noise * (after - std**2 / (2 * t)), std
    if kind == "cps":
        angle = 0.5 * math.pi * level
        return action * (1 - after) + noise * after * math.cos(angle), after * math.sin(angle)
    return x - d * v, 0.0


class NoiseHead(nn.Module):
    """Flow-Noise's learned deviation of each number, between ``low`` and ``high`` on a logarithmic scale.

    It sees the velocity (detached) and the time. It starts in the middle and belongs to learning alone: the policy that
    is saved does not have it.
    """

    def __init__(self, shape: tuple[int, int], low: float = 0.08, high: float = 0.16, hidden: int = 64) -> None:
        super().__init__()
        if not 0 < low < high:
            raise UserError(f"the deviation's bounds {low:g} and {high:g} must be above 0 and ascend")
        self._low, self._high = math.log(low), math.log(high)
        size = shape[0] * shape[1]
        self.net = nn.Sequential(nn.Linear(size + 1, hidden), nn.Tanh(), nn.Linear(hidden, size))
        nn.init.zeros_(self.net[-1].weight)  # type: ignore[arg-type]
        nn.init.zeros_(self.net[-1].bias)  # type: ignore[arg-type]

    def forward(self, velocity: Tensor, t: float) -> Tensor:
        """(B, K, D) above 0, for velocities (B, K, D) at time ``t``."""
        time = torch.full((len(velocity), 1), t, device=velocity.device)
        share = self.net(torch.cat([velocity.detach().flatten(1), time], -1)).sigmoid()
        std: Tensor = (self._low + (self._high - self._low) * share).exp().view_as(velocity)
        return std


def log_normal(x: Tensor, mean: Tensor, std: Tensor | float) -> Tensor:
    """Log-density of every number of ``x`` under N(mean, std^2)."""
    scale = torch.as_tensor(std, dtype=x.dtype, device=x.device)
    return -0.5 * ((x - mean) / scale) ** 2 - scale.log() - 0.5 * math.log(2 * math.pi)
