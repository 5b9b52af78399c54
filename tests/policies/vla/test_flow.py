"""The two halves of a flow policy's sampler give what the whole gives, with gradients."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from robo_reward.errors import UserError
from robo_reward.policies.vla.features import DataFacts
from robo_reward.policies.vla.flow import flow_of
from robo_reward.policies.vla.frames import EpisodeFrames
from robo_reward.policies.vla.lerobot_policy import LeRobotPolicy
from robo_reward.policies.vla.recipe import PolicyRecipe
from robo_reward.policies.vla.training_data import deltas
from robo_reward.trace import Trace


def samples(policy: LeRobotPolicy, facts: DataFacts, episodes: list[Trace]) -> dict[str, Any]:
    frames = EpisodeFrames(list(facts.views))
    frames.add(episodes)
    return policy.training_batch(frames.batch([0, 5, 14], *deltas(policy.config)))


@pytest.mark.parametrize("kind", ["nano_vla", "smolvla", "pi0", "pi05"])
def test_euler_over_the_field_is_the_policys_own_sampler(
    kind: str, recipes: dict[str, PolicyRecipe], facts: DataFacts, episodes: list[Trace]
) -> None:
    policy = recipes[kind].build(facts)
    policy.policy.eval()
    field, batch = flow_of(policy), samples(policy, facts, episodes)
    x = noise = torch.randn(3, *field.shape)
    with torch.no_grad():
        seen = field.encode(batch)
        for k in range(field.steps):
            x = x - field.velocity(seen, x, torch.full((3,), 1 - k / field.steps)) / field.steps
    own = policy.policy.predict_action_chunk(dict(batch), noise=noise)
    torch.testing.assert_close(x[..., : field.actions], own, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["nano_vla", "smolvla", "pi0", "pi05"])
def test_gradients_reach_what_encodes_and_what_decides(
    kind: str, recipes: dict[str, PolicyRecipe], facts: DataFacts, episodes: list[Trace]
) -> None:
    policy = recipes[kind].build(facts)
    with torch.no_grad():  # what begins at zero, as pi0.5's gates, would stop every gradient behind it
        for parameter in policy.policy.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    field = flow_of(policy)
    seen = field.encode(samples(policy, facts, episodes))
    velocity = [field.velocity(seen, torch.randn(3, *field.shape), torch.full((3,), t)) for t in (1.0, 0.5)]
    torch.stack(velocity).square().mean().backward()
    reached = {n for n, p in policy.policy.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    first, last = {
        "nano_vla": ("cameras.0.first.weight", "head.out.weight"),
        "smolvla": ("model.state_proj.weight", "model.action_out_proj.weight"),
        "pi0": ("model.state_proj.weight", "model.action_out_proj.weight"),
        "pi05": ("model.time_mlp_in.weight", "model.action_out_proj.weight"),
    }[kind]
    assert {first, last} <= reached


def test_policies_without_a_known_field_are_refused(recipes: dict[str, PolicyRecipe], facts: DataFacts) -> None:
    with pytest.raises(UserError, match="a act policy has no velocity field"):
        flow_of(recipes["act"].build(facts))
    tokens = PolicyRecipe("nano_vla", head="tokens", hidden_dim=32).build(facts)
    with pytest.raises(UserError, match="nano_vla policy with head=tokens"):
        flow_of(tokens)
