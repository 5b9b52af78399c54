"""What an arm's policy sees: keypoints of its cameras and its joints as one vector, and what a person would do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from robo_reward.contracts import Flags, Floats
from robo_reward.errors import UserError
from robo_reward.networks import mlp

SHARPNESS = 10.0
"""First sharpness of the keypoints' softmax; it is learned."""
AT_ONCE = 128
"""Pictures that are encoded together."""
LEAST_SPREAD = 2.0
"""Units (degrees, percent) by which a joint that hardly moved is divided at least."""


@dataclass(frozen=True, slots=True)
class SightSettings:
    """``keypoints`` a camera; ``noise``: on the standardised joints, so that pictures count; ``colour`` on pictures."""

    keypoints: int = 16
    width: int = 128
    learning_rate: float = 1e-3
    batch: int = 64
    noise: float = 0.1
    colour: float = 0.1


class Eye(nn.Module):
    """One camera: (B, 3, H, W) in [-0.5, 0.5] -> (B, 2 K), where each of K maps is high (Finn et al. 2016)."""

    def __init__(self, keypoints: int) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 16, 5, 2, 2), nn.Conv2d(16, 32, 3, 2, 1)
        self.third, self.maps = nn.Conv2d(32, 32, 3, 1, 1), nn.Conv2d(32, keypoints, 1)
        self.norms = nn.ModuleList([nn.GroupNorm(4, 16), nn.GroupNorm(8, 32), nn.GroupNorm(8, 32)])
        self.sharpness = nn.Parameter(torch.full((1,), SHARPNESS))

    def forward(self, pictures: Tensor) -> Tensor:
        x = functional.relu(self.norms[0](self.first(pictures)))
        x = functional.relu(self.norms[1](self.second(x)))
        x = x + functional.relu(self.norms[2](self.third(x)))
        maps = self.maps(x)
        high, wide = maps.shape[-2:]
        weight = (maps.flatten(2) * self.sharpness).softmax(-1)
        down = torch.linspace(-1, 1, high).repeat_interleave(wide)
        across = torch.linspace(-1, 1, wide).repeat(high)
        return torch.cat([weight @ across, weight @ down], -1)


class Sight(nn.Module):
    """Cameras and joints -> features (N, F), and from these the action in [-1, 1] that people took there.

    As a prior of an ``AnchoredPolicy`` its state is the features. ``fit`` imitates; ``features`` never learn from
    anything else, so a reward that can be fooled does not bend what the policy sees.
    """

    context_size = 0
    mean: Tensor
    spread: Tensor

    def __init__(self, views: Sequence[str], joints: int, actions: int, settings: SightSettings) -> None:
        super().__init__()
        self.views, self.settings = tuple(views), settings
        self.eyes = nn.ModuleList([Eye(settings.keypoints) for _ in self.views])
        self.size = 2 * settings.keypoints * len(self.views) + joints
        self.head = mlp(self.size, actions, settings.width)
        self.register_buffer("mean", torch.zeros(joints))
        self.register_buffer("spread", torch.ones(joints))
        self._optimizer = torch.optim.AdamW(self.parameters(), settings.learning_rate, weight_decay=1e-3)

    # --- seeing ------------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def features(self, frames: Mapping[str, NDArray[np.uint8]], joints: Floats) -> Floats:
        """(N, F) of pictures view -> (N, H, W, 3) and joints (N, J). UserError where a view is missing."""
        missing = [view for view in self.views if view not in frames]
        if missing:
            raise UserError(f"the policy looks through {list(self.views)}; there is no picture of {missing}")
        parts = []
        for first in range(0, len(joints), AT_ONCE):
            part = slice(first, first + AT_ONCE)
            pictures = [as_tensor(frames[view][part]) for view in self.views]
            parts.append(self._see(pictures, self._standard(torch.from_numpy(joints[part]))))
        seen: Floats = torch.cat(parts).numpy()
        return seen

    def _standard(self, joints: Tensor) -> Tensor:
        return ((joints.float() - self.mean) / self.spread).clamp(-5, 5)

    def _see(self, pictures: Sequence[Tensor], joints: Tensor) -> Tensor:
        return torch.cat([*(eye(shown) for eye, shown in zip(self.eyes, pictures, strict=True)), joints], -1)

    # --- as a prior --------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def propose(self, state: Floats) -> tuple[Floats, Floats]:
        """Actions (N, A) for features (N, F), and an empty context."""
        proposed: Floats = torch.tanh(self.head(torch.from_numpy(state))).numpy()
        return proposed, np.zeros((len(state), 0), np.float32)

    def reset(self, fresh: Flags) -> None:
        """Nothing to forget."""

    # --- learning ----------------------------------------------------------------------------------------------------

    def measure(self, joints: Floats) -> None:
        """Standardises by these joints (T, J), once, before the first ``fit``."""
        self.mean = torch.from_numpy(joints.mean(0))
        self.spread = torch.from_numpy(joints.std(0)).clamp(min=LEAST_SPREAD)

    def fit(self, pictures: Mapping[str, Tensor], joints: Tensor, action: Tensor, updates: int) -> float:
        """``updates`` of imitation; pictures uint8 (T, 3, H, W), joints (T, J), actions (T, A); the mean loss."""
        s, total = self.settings, 0.0
        joints, action = self._standard(joints), action.clamp(-0.98, 0.98)
        for _ in range(updates):
            chosen = torch.randint(0, len(joints), (s.batch,))
            shown = [coloured(pictures[view][chosen].float() / 255 - 0.5, s.colour) for view in self.views]
            near = joints[chosen] + s.noise * torch.randn(s.batch, joints.shape[1])
            loss = functional.smooth_l1_loss(torch.tanh(self.head(self._see(shown, near))), action[chosen], beta=0.1)
            self._optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self._optimizer.step()
            total += float(loss.detach())
        return total / max(1, updates)

    def state(self) -> dict[str, Any]:
        """Everything that going on takes."""
        return {"net": self.state_dict(), "optimizer": self._optimizer.state_dict()}

    def load(self, state: Mapping[str, Any]) -> None:
        """Takes back what ``state`` gave."""
        self.load_state_dict(state["net"])
        self._optimizer.load_state_dict(state["optimizer"])


def as_tensor(frames: NDArray[np.uint8]) -> Tensor:
    """(N, H, W, 3) uint8 as (N, 3, H, W) in [-0.5, 0.5]."""
    return torch.tensor(frames).permute(0, 3, 1, 2).float() / 255 - 0.5


def coloured(pictures: Tensor, strength: float) -> Tensor:
    """Random brightness and colour per picture: light on a table changes."""
    scale = 1 + strength * torch.randn(len(pictures), 1, 1, 1)
    return pictures * scale + 0.5 * strength * torch.randn(len(pictures), 3, 1, 1)
