"""Flow-SDE and its kin: their limits, marginals and likelihoods; tokens at a temperature."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from robo_reward.errors import UserError
from robo_reward.policies.vla.features import DataFacts
from robo_reward.policies.vla.frames import EpisodeFrames
from robo_reward.policies.vla.lerobot_policy import LeRobotPolicy
from robo_reward.policies.vla.recipe import PolicyRecipe
from robo_reward.policies.vla.training_data import deltas
from robo_reward.policies.vla_learning.flow_sde import (
    KINDS,
    FlowNoise,
    Kind,
    NoiseHead,
    log_normal,
    sde_std,
    transition,
)
from robo_reward.policies.vla_learning.likelihood import FlowLikelihood, TokenLikelihood, likelihood_of
from robo_reward.trace import Trace


def drawer(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def samples(policy: LeRobotPolicy, facts: DataFacts, episodes: list[Trace]) -> dict[str, Any]:
    frames = EpisodeFrames(list(facts.views))
    frames.add(episodes)
    batch = policy.training_batch(frames.batch([0, 5, 14], *deltas(policy.config)))
    return {key: value for key, value in batch.items() if key not in ("action", "action_is_pad")}


class ToyField:
    """The exact velocity of actions N(1.5, 0.4^2): E[noise - action | x] in closed form."""

    def __init__(self, steps: int, padding: int = 0) -> None:
        self.shape, self.actions, self.steps = (1, 1 + padding), 1, steps

    def encode(self, batch: Any) -> Any:
        return None

    def velocity(self, observation_embedding: Any, noisy_chunk: Tensor, t: Tensor) -> Tensor:
        t = t[:, None, None]
        variance = t**2 + (1 - t) ** 2 * 0.16
        off = (noisy_chunk - (1 - t) * 1.5) / variance
        return t * off - (1.5 + (1 - t) * 0.16 * off)


def test_deviations_are_those_worked_out_by_hand() -> None:
    found = [sde_std(t, 0.25, 0.5) for t in (1.0, 0.75, 0.5, 0.25)]
    assert found == pytest.approx([0.5, 0.43301, 0.25, 0.14434], abs=1e-5)


def test_the_density_is_torchs() -> None:
    x, mean = torch.tensor([0.3, -1.0]), torch.tensor([0.1, 0.5])
    torch.testing.assert_close(log_normal(x, mean, 0.7), torch.distributions.Normal(mean, 0.7).log_prob(x))


@pytest.mark.parametrize(("steps", "deviation"), [(10, 0.366), (200, 0.40)])
def test_flow_sde_keeps_the_flows_marginals(steps: int, deviation: float) -> None:
    likelihood = FlowLikelihood(ToyField(steps), FlowNoise(last=True))
    chunk = likelihood.draw({"x": torch.zeros(20_000, 1)}, drawer()).chunk
    assert chunk.mean().item() == pytest.approx(1.5, abs=0.02)
    assert chunk.std().item() == pytest.approx(deviation, abs=0.025)


@pytest.mark.parametrize("kind", ["nano_vla", "smolvla"])
@pytest.mark.parametrize("noise", ["sde", "cps"])
def test_without_noise_it_is_the_policys_own_sampler(
    kind: str, noise: Kind, recipes: dict[str, PolicyRecipe], facts: DataFacts, episodes: list[Trace]
) -> None:
    policy = recipes[kind].build(facts)
    policy.policy.eval()
    batch = samples(policy, facts, episodes)
    drawn = likelihood_of(policy, FlowNoise(noise, level=0.0)).draw(batch, drawer())
    own = policy.policy.predict_action_chunk(dict(batch), noise=drawn.trail[:, 0])
    torch.testing.assert_close(drawn.chunk, own, rtol=1e-4, atol=1e-5)
    assert not drawn.random.any()


@pytest.mark.parametrize("steps", [1, 5, 10])
@pytest.mark.parametrize("noisy", ["all", "one"])
def test_the_last_step_of_cps_has_no_deviation_and_is_not_random(steps: int, noisy: Any) -> None:
    likelihood = FlowLikelihood(ToyField(steps), FlowNoise("cps", noisy=noisy, last=True))
    drawn = likelihood.draw({"x": torch.zeros(8, 1)}, drawer())
    assert drawn.log_prob.isfinite().all()
    assert not drawn.random[:, -1].any()
    assert likelihood.tells == bool(drawn.random.any()) == (steps > 1)
    assert drawn.random.sum(1).tolist() == [min(1, steps - 1) if noisy == "one" else steps - 1] * 8
    x = torch.zeros(1, 1, 1)
    for k in range(steps):
        t = 1.0 - k / steps
        assert transition("cps", x, x, t, 1 / steps, 0.5)[1] >= 0


@pytest.mark.parametrize("kind", ["nano_vla", "smolvla"])
@pytest.mark.parametrize("noise", KINDS)
@pytest.mark.parametrize("noisy", ["all", "one"])
def test_log_probabilities_are_recomputed_exactly(
    kind: str, noise: Kind, noisy: Any, recipes: dict[str, PolicyRecipe], facts: DataFacts, episodes: list[Trace]
) -> None:
    policy = recipes[kind].build(facts)
    policy.policy.eval()
    batch = samples(policy, facts, episodes)
    likelihood = likelihood_of(policy, FlowNoise(noise, noisy=noisy))
    drawn = likelihood.draw(batch, drawer())
    again = likelihood.log_prob(batch, drawn)
    torch.testing.assert_close(again, drawn.log_prob, rtol=0, atol=1e-5)
    assert drawn.log_prob.shape == (3, drawn.random.shape[1], drawn.chunk.shape[1], drawn.chunk.shape[2])
    assert not drawn.random[:, -1].any(), "the last step's deviation is too small for ratios"
    assert drawn.random.sum(1).tolist() == ([1] * 3 if noisy == "one" else [drawn.random.shape[1] - 1] * 3)
    again.sum().backward()
    weights = [p for p in policy.policy.parameters() if p.grad is not None and p.grad.abs().sum() > 0]
    assert weights


def test_the_gradient_is_that_of_finite_differences(
    recipes: dict[str, PolicyRecipe], facts: DataFacts, episodes: list[Trace], monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = recipes["nano_vla"].build(facts)
    policy.policy.eval()
    batch = samples(policy, facts, episodes)
    likelihood = likelihood_of(policy)
    assert isinstance(likelihood, FlowLikelihood)
    encoded = likelihood.field.encode(batch).double().detach()
    monkeypatch.setattr(likelihood.field, "encode", lambda _: encoded)
    policy.policy.double()
    torch.set_default_dtype(torch.float64)
    try:
        double = likelihood.draw(batch, drawer())
    finally:
        torch.set_default_dtype(torch.float32)
    weight = policy.policy.head.out.bias
    likelihood.log_prob(batch, double).sum().backward()
    slope, small = weight.grad[3].item(), 1e-5
    values = []
    for sign in (1, -1):
        with torch.no_grad():
            weight[3] += sign * small
            values.append(likelihood.log_prob(batch, double).sum().item())
            weight[3] -= sign * small
    assert slope == pytest.approx((values[0] - values[1]) / (2 * small), rel=1e-4)


def test_padding_counts_nowhere() -> None:
    likelihood = FlowLikelihood(ToyField(4, padding=3), FlowNoise())
    batch = {"x": torch.zeros(5, 1)}
    draw = likelihood.draw(batch, drawer())
    draw.trail[..., 1:] += 7.0
    torch.testing.assert_close(likelihood.log_prob(batch, draw), draw.log_prob)
    assert draw.log_prob.shape == (5, 4, 1, 1)


def test_flow_noise_learns_its_deviation_within_bounds() -> None:
    head = NoiseHead((1, 1))
    assert head(torch.zeros(2, 1, 1), 0.5).flatten().tolist() == pytest.approx([math.sqrt(0.08 * 0.16)] * 2)
    with torch.no_grad():
        list(head.parameters())[-1].fill_(100.0)
    assert head(torch.zeros(1, 1, 1), 0.5).item() == pytest.approx(0.16)
    likelihood = FlowLikelihood(ToyField(4), FlowNoise("noise"))
    batch = {"x": torch.zeros(8, 1)}
    likelihood.log_prob(batch, likelihood.draw(batch, drawer())).sum().backward()
    (module,) = likelihood.modules()
    assert isinstance(module, nn.Module)
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in module.parameters())


def test_tokens_are_drawn_as_often_as_they_are_likely(facts: DataFacts, episodes: list[Trace]) -> None:
    recipe = PolicyRecipe("nano_vla", head="tokens", bins=4, channels=8, keypoints=8, hidden_dim=32, image_size=16,
                          chunk_size=2, n_action_steps=2)  # fmt: skip
    policy = recipe.build(facts)
    policy.policy.eval()
    batch = samples(policy, facts, episodes)
    likelihood = likelihood_of(policy, temperature=1.3)
    assert isinstance(likelihood, TokenLikelihood)
    drawn = [likelihood.draw(batch, drawer(k)) for k in range(400)]
    torch.testing.assert_close(likelihood.log_prob(batch, drawn[0]), drawn[0].log_prob)
    often = torch.stack([(d.trail[:, 0] == 0).float() for d in drawn]).mean(0)
    logits = policy.policy.head.logits(policy.policy.encode(batch).float()) / 1.3
    torch.testing.assert_close(often, logits.softmax(-1)[..., 0].detach(), rtol=0, atol=0.12)
    with pytest.raises(UserError, match="temperature=0"):
        likelihood_of(policy, temperature=0)


def test_a_draw_follows_from_the_generator_alone() -> None:
    likelihood = FlowLikelihood(ToyField(4), FlowNoise(noisy="one"))
    batch = {"x": torch.zeros(6, 1)}
    first, again, other = (likelihood.draw(batch, drawer(seed)) for seed in (1, 1, 2))
    torch.testing.assert_close(first.trail, again.trail)
    assert not torch.equal(first.trail, other.trail)


def test_noise_out_of_range_is_refused() -> None:
    with pytest.raises(UserError, match=r"level=1\.5"):
        FlowNoise(level=1.5)
    with pytest.raises(UserError, match="sdf"):
        FlowNoise("sdf")  # type: ignore[arg-type]
