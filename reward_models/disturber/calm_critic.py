"""What walking is worth where nobody pushes: a critic of the policy's reward in the unpushed worlds alone.

PPO's own critic sees all worlds and cannot tell by a state whether somebody pushes. Most are pushed, and a state that
leads to a fall there is worth little to it everywhere: by its values the policy would walk as carefully where nobody
pushes as where somebody does, and give up the velocity there. Our addition; the paper pushes everybody.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from robo_reward.reward_models.disturber.adversary_nets import RunningScale, mlp
from robo_reward.reward_models.disturber.experience import Experience, advantages

LAYERS = (128, 128)
EPOCHS, BATCH, LEARNING_RATE = 8, 512, 1e-3


class CalmCritic(torch.nn.Module):
    """Values are in the unit of the costs: shares of the task's bound per step, discounted and times 1 - gamma."""

    def __init__(self, states: int) -> None:
        super().__init__()
        self.scale = RunningScale(states)
        self.net = mlp(states, LAYERS, 1)
        self._optimizer = torch.optim.Adam(self.net.parameters(), LEARNING_RATE)

    def values(self, states: torch.Tensor) -> torch.Tensor:
        """(M,) of states (M, S)."""
        found: torch.Tensor = self.net(self.scale(states))[:, 0]
        return found

    def gains(self, seen: Experience, gamma: float, decay: float, generator: torch.Generator) -> NDArray[np.float64]:
        """(T, U) advantages of what U unpushed worlds were paid, by the values as they were; then it learns them."""
        paid = np.asarray(seen.paid)
        before, after = (torch.as_tensor(np.stack(states)).flatten(0, 1) for states in (seen.before, seen.after))
        with torch.no_grad():
            now, then = (self.values(states).double().numpy().reshape(paid.shape) for states in (before, after))
        terminated, done = np.asarray(seen.terminated), np.asarray(seen.done)
        found = advantages((1.0 - gamma) * paid, now, then, terminated, done, gamma, decay)
        self._learn(before, torch.as_tensor(found + now, dtype=torch.float32).flatten(), generator)
        return found

    def dump(self) -> dict[str, Any]:
        """Network, scale and optimizer."""
        return {"critic": dict(self.state_dict()), "optimizer": self._optimizer.state_dict()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Takes back what ``dump`` gave."""
        self.load_state_dict(state["critic"])
        self._optimizer.load_state_dict(state["optimizer"])

    def _learn(self, states: torch.Tensor, target: torch.Tensor, generator: torch.Generator) -> None:
        for _ in range(EPOCHS):
            for rows in torch.randperm(len(states), generator=generator).split(BATCH):
                loss = (self.values(states[rows]) - target[rows]).square().mean()
                self._optimizer.zero_grad()
                loss.backward()
                self._optimizer.step()
        self.scale.learn(states)
