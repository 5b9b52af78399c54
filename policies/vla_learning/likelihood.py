"""Chunks that are drawn with their log-probabilities, and the same log-probabilities again with gradients."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from robo_reward.errors import UserError
from robo_reward.policies.vla.flow import FlowField, flow_of
from robo_reward.policies.vla.lerobot_policy import LeRobotPolicy
from robo_reward.policies.vla_learning.flow_sde import FlowNoise, NoiseHead, log_normal, transition
from robo_reward.seeding import derive_seed


@dataclass(frozen=True, slots=True)
class Draw:
    """What was drawn for B observations.

    ``chunk`` (B, K, A): normalised actions. ``trail``: noisy chunks (B, S + 1, K, D) from noise to action, or tokens
    (B, 1, K, A). ``random`` (B, S) bool: the steps that were drawn. ``log_prob`` (B, S, K, A): of every number at every
    step, 0 where a step was not random. Padding numbers (D beyond A) carry noise but no meaning and count nowhere.
    """

    chunk: Tensor
    trail: Tensor
    random: Tensor
    log_prob: Tensor

    def row(self, index: int) -> Draw:
        """One of the B, still as a batch."""
        k = slice(index, index + 1)
        return Draw(self.chunk[k], self.trail[k], self.random[k], self.log_prob[k])

    def to(self, device: Any) -> Draw:
        """The same on another device."""
        return Draw(*(part.to(device) for part in (self.chunk, self.trail, self.random, self.log_prob)))


def joined(draws: Sequence[Draw]) -> Draw:
    """Several draws as one batch."""
    return Draw(
        torch.cat([d.chunk for d in draws]),
        torch.cat([d.trail for d in draws]),
        torch.cat([d.random for d in draws]),
        torch.cat([d.log_prob for d in draws]),
    )


class Likelihood(Protocol):
    """A way to draw chunks from a policy. Batches are what the policy's own preprocessor gives."""

    @property
    def tells(self) -> bool:
        """Whether anything of a draw is random beyond its first noise: else all its log-probabilities are 0."""
        ...

    def draw(self, batch: Mapping[str, Any], generator: torch.Generator) -> Draw:
        """Draws a chunk for every observation; the generator lives on the CPU."""
        ...

    def log_prob(self, batch: Mapping[str, Any], draw: Draw) -> Tensor:
        """(B, S, K, A) as in ``draw``, by the present weights, with gradients."""
        ...

    def modules(self) -> Iterable[nn.Module]:
        """What is trained besides the policy."""
        ...


class FlowLikelihood:
    """Chunks by a random sampler over a flow policy's field."""

    def __init__(self, field: FlowField, noise: FlowNoise, seed: int = 0) -> None:
        self.field, self.noise = field, noise
        self.head: NoiseHead | None = None
        if noise.kind == "noise":
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(derive_seed(seed, "noise head"))
                self.head = NoiseHead(field.shape)

    @property
    def tells(self) -> bool:
        """Whether any step is random."""
        return self.noise.candidates(self.field.steps) > 0

    def modules(self) -> Iterable[nn.Module]:
        """Flow-Noise's head, if there is one."""
        return () if self.head is None else (self.head,)

    @torch.no_grad()
    def draw(self, batch: Mapping[str, Any], generator: torch.Generator) -> Draw:
        """From fresh noise; randomness is drawn on the CPU, so that devices agree."""
        seen, count = self.field.encode(batch), _count(batch)
        device = _device(batch)
        shape = (count, *self.field.shape)
        x = torch.randn(shape, generator=generator).to(device)
        random = self._random(count, generator).to(device)
        trail, logs = [x], []
        for k in range(self.field.steps):
            mean, std, euler = self._step(seen, x, k)
            drawn = mean + std * torch.randn(shape, generator=generator).to(device)
            here = random[:, k].view(-1, 1, 1)
            after = torch.where(here, drawn, euler)
            logs.append(self._counted(after, mean, std, here))
            x = after
            trail.append(x)
        return Draw(x[..., : self.field.actions], torch.stack(trail, 1), random, torch.stack(logs, 1))

    def log_prob(self, batch: Mapping[str, Any], draw: Draw) -> Tensor:
        """Of the stored trail; steps that are random for no observation cost nothing."""
        seen, logs = self.field.encode(batch), []
        for k in range(self.field.steps):
            here = draw.random[:, k].view(-1, 1, 1)
            if not here.any():
                logs.append(torch.zeros_like(draw.log_prob[:, k]))
                continue
            mean, std, _ = self._step(seen, draw.trail[:, k], k)
            logs.append(self._counted(draw.trail[:, k + 1], mean, std, here))
        return torch.stack(logs, 1)

    def _step(self, seen: Any, x: Tensor, k: int) -> tuple[Tensor, Tensor | float, Tensor]:
        """Mean and deviation of step k, and what Euler's step gives."""
        d = 1.0 / self.field.steps
        t = 1.0 - k * d
        velocity = self.field.velocity(seen, x, torch.full((len(x),), t, device=x.device))
        mean, std = transition(self.noise.kind, x, velocity, t, d, self.noise.level)
        return mean, std if self.head is None else self.head.to(x.device)(velocity, t), x - d * velocity

    def _counted(self, x: Tensor, mean: Tensor, std: Tensor | float, here: Tensor) -> Tensor:
        if isinstance(std, float) and std == 0:
            return torch.zeros_like(x[..., : self.field.actions])
        log = log_normal(x, mean, std)[..., : self.field.actions]
        return torch.where(here, log, torch.zeros_like(log))

    def _random(self, count: int, generator: torch.Generator) -> Tensor:
        """(B, S) the steps that are random."""
        steps = self.field.steps
        candidates = self.noise.candidates(steps)
        random = torch.zeros(count, steps, dtype=torch.bool)
        if not candidates:
            return random
        if self.noise.noisy == "all":
            random[:, :candidates] = True
        else:
            random[torch.arange(count), torch.randint(candidates, (count,), generator=generator)] = True
        return random


class TokenLikelihood:
    """Chunks of a policy that says every number as a token, drawn at a temperature above 0."""

    tells = True

    def __init__(self, policy: Any, temperature: float = 1.6) -> None:
        if not temperature > 0:
            raise UserError(f"group.temperature={temperature} must be above 0: at 0 nothing is explored")
        self._policy, self._temperature = policy, temperature

    def modules(self) -> Iterable[nn.Module]:
        """Nothing."""
        return ()

    @torch.no_grad()
    def draw(self, batch: Mapping[str, Any], generator: torch.Generator) -> Draw:
        """Every number on its own, as they are decoded."""
        head, embedding = self._policy.head, self._policy.encode(batch).float()
        chances = (head.logits(embedding) / self._temperature).softmax(-1)
        flat = chances.flatten(0, -2).cpu()
        tokens = torch.multinomial(flat, 1, generator=generator).view(chances.shape[:-1]).to(embedding.device)
        log = head.log_prob(embedding, tokens, self._temperature)
        random = torch.ones(len(tokens), 1, dtype=torch.bool, device=embedding.device)
        return Draw(head.values(tokens), tokens[:, None], random, log[:, None])

    def log_prob(self, batch: Mapping[str, Any], draw: Draw) -> Tensor:
        """Of the stored tokens, at the same temperature."""
        embedding = self._policy.encode(batch).float()
        log: Tensor = self._policy.head.log_prob(embedding, draw.trail[:, 0], self._temperature)
        return log[:, None]


def likelihood_of(
    policy: LeRobotPolicy, noise: FlowNoise | None = None, temperature: float = 1.6, seed: int = 0
) -> Likelihood:
    """How chunks of a policy are drawn: by its tokens, or by its flow; a learned noise begins as ``seed`` says.

    Raises:
        UserError: the policy's chunks have no likelihood (regression, or a type whose inside is not known here).
    """
    if policy.config.type == "nano_vla" and policy.config.head == "tokens":
        return TokenLikelihood(policy.policy, temperature)
    return FlowLikelihood(flow_of(policy), noise or FlowNoise(), seed)


def _count(batch: Mapping[str, Any]) -> int:
    return len(next(value for value in batch.values() if isinstance(value, Tensor) and value.ndim > 0))


def _device(batch: Mapping[str, Any]) -> torch.device:
    return next(value.device for value in batch.values() if isinstance(value, Tensor) and value.ndim > 0)
