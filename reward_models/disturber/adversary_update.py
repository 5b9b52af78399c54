"""One update of the adversary: its critic's two heads towards what came, its forces by PPO."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from robo_reward.errors import UserError
from robo_reward.reward_models.disturber.adversary_nets import AdversaryNets


@dataclass(frozen=True, slots=True)
class UpdateSettings:
    """PPO's, and the networks' hidden ``layers``. ``entropy``: the weight that keeps forces varied.

    ``hold``: decisions for which the noise of a draw stays the same; the mean follows the state all the time. Noise
    that is new at 50 Hz moves no robot. Densities are those of single steps, as in PPO with coloured noise
    (Hollenstein et al. 2024).
    """

    learning_rate: float = 1e-3
    epochs: int = 4
    batch: int = 1024
    clip: float = 0.2
    entropy: float = 1e-3
    gae_lambda: float = 0.95
    layers: tuple[int, ...] = (64, 64)
    initial_std: float = 0.5
    hold: int = 10

    def __post_init__(self) -> None:
        sizes = (self.learning_rate, self.clip, self.initial_std)
        if not all(0.0 < size < math.inf for size in sizes) or min(self.epochs, self.batch, self.hold) < 1:
            raise UserError(
                f"hook.update: learning_rate={self.learning_rate}, clip={self.clip} and initial_std={self.initial_std} "
                f"must be above 0, epochs={self.epochs}, batch={self.batch} and hold={self.hold} 1 or more"
            )
        if not 0.0 <= self.gae_lambda <= 1.0 or not 0.0 <= self.entropy < math.inf:
            raise UserError(
                f"hook.update: gae_lambda={self.gae_lambda} must lie in [0, 1], entropy={self.entropy} be 0 or more"
            )


@dataclass(frozen=True, slots=True)
class Batch:
    """M steps: ``states`` (M, S), unsquashed forces ``raw`` (M, D), ``log_prob`` (M,), ``target`` (M, 2) of the critic.

    Without ``advantage`` (M,) only the critic learns, as in the warm-up, when nobody pushes.
    """

    states: Tensor
    raw: Tensor
    log_prob: Tensor
    advantage: Tensor | None
    target: Tensor


def update(
    nets: AdversaryNets,
    optimizer: torch.optim.Optimizer,
    batch: Batch,
    settings: UpdateSettings,
    generator: torch.Generator,
) -> None:
    """Goes ``epochs`` times through the steps in random minibatches."""
    for _ in range(settings.epochs):
        order = torch.randperm(len(batch.states), generator=generator)
        for rows in order.split(settings.batch):
            loss = (nets.values(batch.states[rows]) - batch.target[rows]).square().mean()
            if batch.advantage is not None:
                loss = loss + force_loss(nets, batch, rows, settings)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(nets.parameters(), 1.0)
            optimizer.step()


def force_loss(nets: AdversaryNets, batch: Batch, rows: Tensor, settings: UpdateSettings) -> Tensor:
    """() PPO's clipped loss (Schulman et al. 2017), advantages standardised within the minibatch."""
    assert batch.advantage is not None
    forces = nets.forces(batch.states[rows])
    ratio = (forces.log_prob(batch.raw[rows]) - batch.log_prob[rows]).exp()
    gain = batch.advantage[rows]
    if len(gain) > 1:
        gain = (gain - gain.mean()) / (gain.std() + 1e-8)
    clipped = ratio.clamp(1.0 - settings.clip, 1.0 + settings.clip)
    surrogate: Tensor = torch.minimum(ratio * gain, clipped * gain).mean()
    return -surrogate - settings.entropy * forces.entropy()
