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

from robo_reward.contracts import Flags
from robo_reward.pushes.collected import Collected
from robo_reward.reward_models.disturber.adversary_nets import RunningScale, mlp
from robo_reward.reward_models.disturber.experience import Array, Experience, advantages
from robo_reward.reward_models.disturber.policy_turn import apart

LAYERS = (128, 128)
EPOCHS, BATCH, LEARNING_RATE = 8, 512, 1e-3


class CalmCritic(torch.nn.Module):
    """Values are in the unit of the costs: shares of the task's ``bound`` per step, discounted and times 1 - gamma."""

    def __init__(self, states: int, bound: float) -> None:
        super().__init__()
        self._bound = bound
        self.scale = RunningScale(states)
        self.net = mlp(states, LAYERS, 1)
        self._optimizer = torch.optim.Adam(self.net.parameters(), LEARNING_RATE)

    @property
    def untaught(self) -> bool:
        """Whether nothing has been learned yet."""
        return float(self.scale.count) == 0.0

    def values(self, states: torch.Tensor) -> torch.Tensor:
        """(M,) of states (M, S)."""
        found: torch.Tensor = self.net(self.scale(states))[:, 0]
        return found

    def judge(
        self, seen: Experience, rollout: Collected, pushed: Flags, active: bool, generator: torch.Generator
    ) -> dict[str, float]:
        """Puts its advantages in place of the learner's where nobody is ``pushed`` (N,), once others are (``active``).

        Returns metrics: what was paid there per step, and how much of the returns its values explained.
        """
        if pushed.all():
            return {}
        calm = ~pushed
        metrics = {"unpushed_reward": float(np.mean(seen.of(calm).paid)) * self._bound}
        if not active or self.untaught:
            self.follow(seen, rollout, calm if active else np.ones_like(calm), generator)
        if active:
            found, metrics["unpushed_explained"] = self.gains(seen, rollout, calm, generator)
            apart(rollout.advantage, found, pushed)
        return metrics

    def follow(self, seen: Experience, rollout: Collected, where: Flags, generator: torch.Generator) -> None:
        """Learns the returns by the learner's own critic in the worlds ``where`` (N,): right while nobody is pushed."""
        share = (1.0 - rollout.gamma) / self._bound
        self._learn(_flat(seen.of(where).before), rollout.returns[:, where] * share, generator)

    def gains(
        self, seen: Experience, rollout: Collected, where: Flags, generator: torch.Generator
    ) -> tuple[Array, float]:
        """Advantages (T, U) of what the U worlds ``where`` (N,) were paid, by the values as they were; then learns.

        Also the share of the returns' variance that these values explained.
        """
        calm, gamma = seen.of(where), rollout.gamma
        paid, before = np.asarray(calm.paid), _flat(calm.before)
        with torch.no_grad():
            now, then = (self.values(x).double().numpy().reshape(paid.shape) for x in (before, _flat(calm.after)))
        terminated, done = np.asarray(calm.terminated), np.asarray(calm.done)
        found = advantages((1.0 - gamma) * paid, now, then, terminated, done, gamma, rollout.gae_lambda)
        target = found + now
        self._learn(before, target, generator)
        return found, float(1.0 - found.var() / max(float(target.var()), 1e-12))

    def dump(self) -> dict[str, Any]:
        """Network, scale and optimizer."""
        return {"critic": dict(self.state_dict()), "optimizer": self._optimizer.state_dict()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Takes back what ``dump`` gave."""
        self.load_state_dict(state["critic"])
        self._optimizer.load_state_dict(state["optimizer"])

    def _learn(self, states: torch.Tensor, target: NDArray[Any], generator: torch.Generator) -> None:
        self.scale.learn(states)
        wanted = torch.as_tensor(target, dtype=torch.float32).flatten()
        for _ in range(EPOCHS):
            for rows in torch.randperm(len(states), generator=generator).split(BATCH):
                loss = (self.values(states[rows]) - wanted[rows]).square().mean()
                self._optimizer.zero_grad()
                loss.backward()
                self._optimizer.step()


def _flat(states: list[Any]) -> torch.Tensor:
    """(T U, S) of T lists of states (U, S)."""
    return torch.as_tensor(np.stack(states)).flatten(0, 1)
