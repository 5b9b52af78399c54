"""What keeps PPO steady in many worlds: episodes that do not end together, and a learning rate that follows the KL."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback

from robo_reward.contracts import World
from robo_reward.errors import UserError

SLOWEST, FASTEST = 1e-5, 1e-2
"""Bounds of the learning rate, rsl_rl's."""
FACTOR = 1.5


@runtime_checkable
class Staggers(Protocol):
    """A world that can cut the episodes that have just begun off at random times."""

    def stagger(self) -> None:
        """Each world's present episode ends after a random share of the horizon; later ones are whole."""
        ...


class Staggered(BaseCallback):
    """Lets the worlds' episodes end at different times, so that every rollout holds all parts of an episode.

    Worlds that begin together stay together while nobody falls: of eight rollouts seven would show no start, and the
    policy forgets how to start between them.
    """

    def __init__(self, world: World) -> None:
        super().__init__()
        if not isinstance(world, Staggers):
            raise UserError(
                f"learner.stagger=true: the episodes of '{world.name}' cannot be staggered; set it to false"
            )
        self._world: Staggers = world

    def _on_step(self) -> bool:
        return True

    def _on_training_start(self) -> None:
        self._world.stagger()


class SteadyRate(BaseCallback):
    """Divides the learning rate by 1.5 after an update that moved the policy too far, else lets it grow again.

    ``desired`` approximate KL divergence of an update (nats, mean over its minibatches): above twice that the rate
    falls, below half of it it rises, within 1e-5 and 1e-2 (Schulman et al. 2017, section 4, with rsl_rl's numbers).
    Where a segment begins, the rate is the optimizer's, which checkpoints hold.
    """

    def __init__(self, desired: float) -> None:
        super().__init__()
        self._desired = desired

    def _on_step(self) -> bool:
        return True

    def _on_training_start(self) -> None:
        assert isinstance(self.model, PPO)
        self._set(float(self.model.policy.optimizer.param_groups[0]["lr"]))

    def _on_rollout_end(self) -> None:
        """Before the next update: what the last one recorded is still there, unless a segment began in between."""
        moved = self.logger.name_to_value.get("train/approx_kl")
        if moved is not None:
            self._set(self.next_rate(self._rate, float(moved)))

    def next_rate(self, rate: float, moved: float) -> float:
        """The rate after an update that moved the policy by ``moved`` nats."""
        if moved > 2.0 * self._desired:
            return max(rate / FACTOR, SLOWEST)
        return min(rate * FACTOR, FASTEST) if moved < self._desired / 2.0 else rate

    def _set(self, rate: float) -> None:
        self._rate = rate
        self.model.lr_schedule = lambda _: rate
