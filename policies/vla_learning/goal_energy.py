"""NORA-1.5's preferences: which of some chunks that a policy might say leads nearest to the goal, by a world model.

energy = mean |predicted latent - goal's| + weight mean |chunk - demonstrated one|, the lower the better (arXiv
2511.14659; its release: weight 0.1, best and worst of 5).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from robo_reward.errors import UserError
from robo_reward.policies.vla.features import ACTION, PICTURE, STATE
from robo_reward.policies.vla.flow import FlowField
from robo_reward.policies.vla.frames import EpisodeFrames
from robo_reward.policies.vla.lerobot_policy import LeRobotPolicy, Raw
from robo_reward.policies.vla_learning.exploring import Decision, gathered, prepared
from robo_reward.policies.vla_learning.latent_world import Hops, LatentWorld, WorldSettings, normed
from robo_reward.policies.vla_learning.likelihood import Draw
from robo_reward.policies.vla_learning.preferences import Pair
from robo_reward.policies.vla_learning.value_head import context_features


@dataclass(frozen=True, slots=True)
class EnergySettings:
    """``samples`` chunks are drawn for a state; ``deviation`` weighs the distance from the demonstrated one; of all
    states the share ``keep`` with the widest gap between best and worst becomes pairs."""

    samples: int = 5
    deviation: float = 0.1
    keep: float = 0.5

    def __post_init__(self) -> None:
        if self.samples < 2 or self.deviation < 0 or not 0 < self.keep <= 1:
            raise UserError(
                f"energy.samples={self.samples} must be 2 or more, deviation={self.deviation} 0 or more, "
                f"keep={self.keep} above 0 and at most 1"
            )


def recorded_hops(
    policy: LeRobotPolicy, frames: EpisodeFrames, executed: int, settings: WorldSettings
) -> tuple[list[Decision], Hops]:
    """All moments of recorded episodes that have a picture: as decisions of the demonstrator, and as transitions."""
    ahead = list(policy.config.action_delta_indices)
    decisions: list[Decision] = []
    for first in range(0, len(frames), 64):
        rows = range(first, min(first + 64, len(frames)))
        decisions += _decisions(policy, frames.batch(rows, (), ahead), executed)
    latents = normed(context_features(policy, decisions))
    chunks = torch.cat([d.draw.chunk for d in decisions])[:, :executed]
    at = {moment: k for k, moment in enumerate(frames.moments)}
    last = {episode: step for episode, step in frames.moments}  # moments ascend, so the last one stays
    after = [at.get((episode, step + executed), -1) for episode, step in frames.moments]
    goal = [
        at[episode, last[episode]]
        if settings.ahead is None
        else at.get((episode, step + settings.ahead * executed), at[episode, last[episode]])
        for episode, step in frames.moments
    ]
    return decisions, Hops(latents, chunks, torch.tensor(after), torch.tensor(goal))


@torch.no_grad()
def preferred_pairs(
    policy: LeRobotPolicy,
    field: FlowField,
    world: LatentWorld,
    decisions: Sequence[Decision],
    hops: Hops,
    settings: EnergySettings,
    seed: int,
) -> tuple[list[Pair], dict[str, float]]:
    """The best and the worst of the policy's own chunks at the recorded moments, and what may be said of them."""
    generator = torch.Generator().manual_seed(seed)
    known = torch.nonzero(hops.goal != torch.arange(len(hops.goal))).flatten().tolist()
    if not known:
        raise UserError("every recorded moment is its own goal: the demonstrations have a single picture each")
    rows: list[tuple[float, int, Tensor, Tensor]] = []
    moved = []
    for first in range(0, len(known), 32):
        chosen = known[first : first + 32]
        there = [decisions[k] for k in chosen]
        chunks = torch.stack([_drawn(policy, field, there, generator) for _ in range(settings.samples)])
        energy = torch.stack([energies(world, hops, chosen, c, settings.deviation) for c in chunks])  # (S, B)
        best, worst = energy.argmin(0), energy.argmax(0)
        gap = energy.max(0).values - energy.min(0).values
        each = torch.arange(len(chosen))
        rows += zip(gap.tolist(), chosen, chunks[best, each], chunks[worst, each], strict=True)
        far = (chunks - torch.cat([d.draw.chunk for d in there])).abs().mean((2, 3))
        moved.append(far[worst, each] - far[best, each])
    rows.sort(key=lambda row: -row[0])
    kept = rows[: max(1, round(settings.keep * len(rows)))]
    pairs = [(_said(decisions[k], good), _said(decisions[k], bad)) for _, k, good, bad in kept]
    said = {"pairs": float(len(pairs)), "gap": sum(row[0] for row in kept) / len(kept)}
    # an audit of the energy where the truth is known: how much nearer to the demonstrated chunk the better one is
    return pairs, said | {"nearer": float(torch.cat(moved).mean())}


def energies(world: LatentWorld, hops: Hops, chosen: Sequence[int], chunks: Tensor, deviation: float) -> Tensor:
    """(B,) of chunks (B, K, A) at the moments ``chosen``, the lower the better."""
    rows = torch.as_tensor(chosen)
    executed = chunks[:, : hops.chunks.shape[1]]
    reached = world(hops.latents[rows], executed)
    far: Tensor = (reached - hops.latents[hops.goal[rows]]).abs().mean(-1)
    return far + deviation * (executed - hops.chunks[rows]).abs().mean((1, 2))


def _drawn(
    policy: LeRobotPolicy, field: FlowField, decisions: Sequence[Decision], generator: torch.Generator
) -> Tensor:
    """Chunks (B, K, A) as the policy itself would say them, from fresh noise."""
    seen = field.encode(prepared(policy, gathered(decisions)))
    x = torch.randn((len(decisions), *field.shape), generator=generator).to(policy.device)
    for k in range(field.steps):
        t = torch.full((len(x),), 1 - k / field.steps, device=x.device)
        x = x - field.velocity(seen, x, t) / field.steps
    return x[..., : field.actions].cpu()


def _said(decision: Decision, chunk: Tensor) -> Decision:
    """As if that chunk had been decided there."""
    return Decision(decision.seen, _draw(chunk[None]), decision.executed)


def _draw(chunk: Tensor) -> Draw:
    nothing = torch.zeros(len(chunk), 1)
    return Draw(chunk, nothing, nothing.bool(), nothing)


def _decisions(policy: LeRobotPolicy, raw: Raw, executed: int) -> list[Decision]:
    """Recorded samples in our names as what the demonstrator decided, its chunks normalised."""
    batch = policy.training_batch(raw)
    shown = (*(key for key in raw if key.startswith(PICTURE)), STATE)
    seen = policy.in_their_names({key: raw[key] for key in shown})
    rows = range(len(raw["task"]))
    chunks = batch[ACTION].float().cpu()
    return [
        Decision(
            {**{key: value[k : k + 1].clone() for key, value in seen.items()}, "task": [raw["task"][k]]},
            _draw(chunks[k : k + 1]),
            executed,
        )
        for k in rows
    ]
