"""Soft actor-critic on mixed batches of own and demonstrated transitions (RLPD, Ball et al. 2023), small and fast.

Why not Stable-Baselines3's SAC here: what this learner needs lies outside its extension points. Its batches mix two
buffers, its critic updates twice as often as its actor, its actor pays for leaving a prior, and stored rewards change.
Speed is not the reason: an update costs about as much (``benchmarks/learner_speed.py``).
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from robo_reward.bounds import check_numbers, check_positive
from robo_reward.networks import EnsembleMlp
from robo_reward.policies.actor import Actor


@dataclass(frozen=True, slots=True)
class Batch:
    """B transitions: ``state``, ``after`` (B, S); ``action`` (B, A); ``reward``, ``terminal`` (B,)."""

    state: Tensor
    action: Tensor
    reward: Tensor
    after: Tensor
    terminal: Tensor


@dataclass(frozen=True, slots=True)
class SacSettings:
    """Hyperparameters; the defaults are those of the trials on Meta-World with action repeat 2.

    ``anchor``: cost of a squared mean correction, in units of value: an actor that gains nothing stays with the prior.
    """

    gamma: float = 0.98
    learning_rate: float = 5e-4
    target_rate: float = 0.01
    start_temperature: float = 0.02
    target_entropy_per_action: float = -1.0
    critics: int = 2
    width: int = 128
    average_rate: float = 0.003
    anchor: float = 3.0

    def __post_init__(self) -> None:
        """UserError for numbers out of range."""
        owner = "learner.sac"
        check_numbers(owner, least=1, whole=True, critics=self.critics, width=self.width)
        check_numbers(owner, least=0, most=1, gamma=self.gamma)
        check_numbers(owner, least=0, anchor=self.anchor)
        check_numbers(owner, target_entropy_per_action=self.target_entropy_per_action)
        check_positive(owner, learning_rate=self.learning_rate, start_temperature=self.start_temperature)
        for name in ("target_rate", "average_rate"):
            check_positive(owner, **{name: getattr(self, name)})
            check_numbers(owner, most=1, **{name: getattr(self, name)})


class SoftActorCritic:
    """Networks, optimisers and one update. ``average_actor`` is a moving average of the actor, used to evaluate."""

    def __init__(self, states: int, actions: int, settings: SacSettings, *, timid: bool) -> None:
        self.settings, self.states, self.actions = settings, states, actions
        self.actor = Actor(states, actions, settings.width, timid=timid)
        self.critic = EnsembleMlp(states + actions, 1, settings.critics, settings.width)
        self.target = copy.deepcopy(self.critic)
        self.average_actor = copy.deepcopy(self.actor)
        self.log_temperature = torch.tensor(math.log(settings.start_temperature), requires_grad=True)
        rate = settings.learning_rate
        self.actor_optimizer = torch.optim.Adam(self.actor.parameters(), rate, fused=True)
        self.critic_optimizer = torch.optim.Adam(self.critic.parameters(), rate, fused=True)
        self.temperature_optimizer = torch.optim.Adam([self.log_temperature], rate, fused=True)
        self._target_entropy = settings.target_entropy_per_action * actions
        self.updates = 0
        self.anchor = settings.anchor

    def value(self, state: Tensor, action: Tensor, *, target: bool = False) -> Tensor:
        """The least of the critics' values, (B,)."""
        net = self.target if target else self.critic
        least: Tensor = net(torch.cat([state, action], -1)).squeeze(-1).amin(0)
        return least

    def update_critic(self, batch: Batch) -> float:
        """One step on the critics and their targets; returns the loss."""
        with torch.no_grad():
            action, log_prob = self.actor.sample(batch.after)
            future = self.value(batch.after, action, target=True) - self.log_temperature.exp() * log_prob
            goal = batch.reward + self.settings.gamma * (1 - batch.terminal) * future
        values = self.critic(torch.cat([batch.state, batch.action], -1)).squeeze(-1)
        loss = (values - goal).square().mean(1).sum()
        self.critic_optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.critic_optimizer.step()
        _lerp(self.target, self.critic, self.settings.target_rate)
        self.updates += 1
        return float(loss.detach())

    def update_actor(self, batch: Batch) -> float:
        """One step on the actor, its average and the temperature; returns the loss."""
        action, log_prob, mode = self.actor.sample_and_mode(batch.state)
        values = self.critic(torch.cat([batch.state, action], -1)).squeeze(-1).mean(0)
        loss = (self.log_temperature.exp().detach() * log_prob - values).mean()
        if self.anchor:
            loss = loss + self.anchor * mode.square().sum(-1).mean()
        parameters = list(self.actor.parameters())  # backward would work out the critic's gradients too
        for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
            parameter.grad = gradient
        self.actor_optimizer.step()
        # the gradient of -log_temperature * (log_prob + target entropy)
        self.log_temperature.grad = -(log_prob.detach() + self._target_entropy).mean()
        self.temperature_optimizer.step()
        # early on the actor moves fast, and a slow average would evaluate its random start
        _lerp(self.average_actor, self.actor, self.settings.average_rate if self.updates > 1000 else 0.05)
        return float(loss.detach())

    def state(self) -> dict[str, object]:
        """Everything that a resumed run needs, as nested dicts of tensors and numbers."""
        return {
            "actor": self.actor.state_dict(),
            "average_actor": self.average_actor.state_dict(),
            "critic": self.critic.state_dict(),
            "target": self.target.state_dict(),
            "log_temperature": self.log_temperature.detach(),
            "actor_optimizer": self.actor_optimizer.state_dict(),
            "critic_optimizer": self.critic_optimizer.state_dict(),
            "temperature_optimizer": self.temperature_optimizer.state_dict(),
            "updates": self.updates,
        }

    def load(self, state: dict[str, object]) -> None:
        """Takes back what ``state`` gave."""
        for name in ("actor", "average_actor", "critic", "target"):
            getattr(self, name).load_state_dict(state[name])
        with torch.no_grad():
            self.log_temperature.copy_(torch.as_tensor(state["log_temperature"]))
        for name in ("actor_optimizer", "critic_optimizer", "temperature_optimizer"):
            getattr(self, name).load_state_dict(state[name])
        self.updates = int(str(state["updates"]))


@torch.no_grad()
def _lerp(slow: torch.nn.Module, fast: torch.nn.Module, rate: float) -> None:
    torch._foreach_lerp_(list(slow.parameters()), list(fast.parameters()), rate)
