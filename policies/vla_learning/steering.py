"""Steering a frozen flow policy by its initial noise (DSRL): what an actor adds to a policy that is never changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from robo_reward.contracts import Flags
from robo_reward.policies.soft_actor_critic import SacSettings, SoftActorCritic
from robo_reward.policies.vla.flow import FlowField, flow_of
from robo_reward.policies.vla.lerobot_policy import LeRobotPolicy, load_lerobot_policy
from robo_reward.policies.vla_learning.exploring import ExploringPolicy, prepared
from robo_reward.policies.vla_learning.likelihood import Draw
from robo_reward.runs import atomic
from robo_reward.runs.checkpoint import load_state, save_state

NAME = "steering"
BASE = "base"
STATE = "observation.state"


class NoiseSteering:
    """Draws chunks from the initial noise that an actor chooses; ``mode``: ``sample``, ``uniform`` or ``best``.

    The actor sees the normalised state, and the observation's embedding where the policy has it as one vector
    (nano_vla). Its action in [-1, 1] times ``reach`` is the noise of every action of the chunk alike, D numbers, as in
    DSRL for pi0.
    """

    tells = False

    def __init__(self, policy: LeRobotPolicy, reach: float) -> None:
        self.field: FlowField = flow_of(policy)
        self.reach = reach
        self.mode = "best"
        self.agent: SoftActorCritic | None = None
        for weight in policy.policy.parameters():
            weight.requires_grad_(False)

    def modules(self) -> Iterable[nn.Module]:
        """Nothing: the actor has an optimiser of its own."""
        return ()

    @property
    def size(self) -> int:
        """How many numbers the actor chooses."""
        return self.field.shape[1]

    @torch.no_grad()
    def features(self, batch: Mapping[str, Any]) -> Tensor:
        """(B, S) what the actor and its critics see, on the CPU."""
        return self._seen(batch)[1]

    @torch.no_grad()
    def draw(self, batch: Mapping[str, Any], generator: torch.Generator) -> Draw:
        """Euler's steps from the chosen noise; ``trail`` (B, 1, K, D) is the actor's choice."""
        seen, features = self._seen(batch)
        choice = self._choice(features, generator)
        wide = choice[:, None].expand(-1, *self.field.shape)
        x = (self.reach * wide).to(batch[STATE].device)
        for k in range(self.field.steps):
            t = torch.full((len(x),), 1 - k / self.field.steps, device=x.device)
            x = x - self.field.velocity(seen, x, t) / self.field.steps
        chunk = x[..., : self.field.actions]
        return Draw(
            chunk, wide[:, None].clone(), torch.zeros(len(x), 1, dtype=torch.bool), torch.zeros_like(chunk)[:, None]
        )

    def log_prob(self, batch: Mapping[str, Any], draw: Draw) -> Tensor:
        """Zeros: nothing of the policy is trained."""
        return torch.zeros_like(draw.log_prob)

    def _seen(self, batch: Mapping[str, Any]) -> tuple[Any, Tensor]:
        seen = self.field.encode(batch)
        state = batch[STATE].float().flatten(1)
        parts = [state, seen.float()] if torch.is_tensor(seen) and seen.ndim == 2 else [state]
        return seen, torch.cat(parts, -1).cpu()

    def _choice(self, features: Tensor, generator: torch.Generator) -> Tensor:
        if self.mode == "uniform" or self.agent is None:
            return 2 * torch.rand(len(features), self.size, generator=generator) - 1
        if self.mode == "best":
            return self.agent.average_actor.mode(features)
        with torch.random.fork_rng([]):
            torch.manual_seed(int(torch.randint(2**31, (1,), generator=generator)))
            return self.agent.actor.sample(features)[0]


class SteeredPolicy(ExploringPolicy):
    """A frozen policy with the actor that steers it, acting as well as it can."""

    def __init__(self, policy: LeRobotPolicy, steering: NoiseSteering) -> None:
        super().__init__(policy, steering, only=None)
        self.steering = steering

    def reset(self, fresh: Flags) -> None:
        """Forgets what belongs to episodes that ended, decisions included."""
        super().reset(fresh)
        self.finished = [[] for _ in self.finished]

    def act(self, observation: Any) -> Any:
        """The next action of every world, (N, 1, A)."""
        self.steering.mode = "best"
        action = super().act(observation)
        for opened in self._open:
            del opened[:-1]
        return action

    def save(self, folder: Path) -> None:
        """Writes the frozen policy below ``base/`` and the actor beside it."""
        agent = self.steering.agent
        assert agent is not None
        folder.mkdir(parents=True, exist_ok=True)
        self.policy.save(folder / BASE)
        state = {
            "reach": self.steering.reach,
            "states": agent.states,
            "sac": asdict(agent.settings),
            "agent": agent.state(),
        }
        save_state(folder, NAME, state)
        atomic.write_text(folder / "policy.yaml", f"_target_: {load_steered.__module__}.{load_steered.__name__}\n")


def load_steered(folder: Path) -> SteeredPolicy:
    """Reads what ``SteeredPolicy.save`` wrote."""
    policy, state = load_lerobot_policy(Path(folder) / BASE), load_state(Path(folder), NAME)
    steering = NoiseSteering(policy, float(state["reach"]))
    steering.agent = SoftActorCritic(state["states"], steering.size, SacSettings(**state["sac"]), timid=True)
    steering.agent.load(state["agent"])
    return SteeredPolicy(policy, steering)


def features_of(policy: LeRobotPolicy, steering: NoiseSteering, seen: Any) -> np.ndarray[Any, np.dtype[np.float32]]:
    """(B, S) float32 of raw batches."""
    return np.asarray(steering.features(prepared(policy, seen)).numpy(), np.float32)
