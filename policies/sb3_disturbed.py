"""Lets a disturber learn where PPO has collected and not yet updated: the place that SB3's callbacks have for it."""

from __future__ import annotations

from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback

from robo_reward.pushes.collected import Collected
from robo_reward.pushes.forces import Disturber


class Disturbed(BaseCallback):
    """Shows the disturber PPO's advantages, which it may rewrite, and records its metrics as ``disturber/...``."""

    def __init__(self, disturber: Disturber) -> None:
        super().__init__()
        self._disturber = disturber

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        assert isinstance(self.model, PPO)
        collected = self.model.rollout_buffer
        rollout = Collected(collected.advantages, collected.returns, self.model.gamma, self.model.gae_lambda)
        metrics = self._disturber.on_rollout(rollout)
        for name, value in metrics.items():
            self.logger.record(f"disturber/{name}", value)
