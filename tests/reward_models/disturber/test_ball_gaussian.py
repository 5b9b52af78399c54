"""The density of squashed forces: it integrates to one, and the squashing goes there and back."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from robo_reward.reward_models.disturber.ball_gaussian import BallGaussian, log_shrinkage, squash, unsquash


def test_the_density_in_the_disc_integrates_to_one() -> None:
    gaussian = BallGaussian(torch.tensor([[0.4, -0.2]]), torch.tensor([-0.5, -0.9]))
    line = torch.linspace(-0.9995, 0.9995, 1201)
    y = torch.cartesian_prod(line, line)
    y = y[y.norm(dim=1) < 0.9995]
    density = gaussian.log_prob(unsquash(y)).exp()
    area = float((line[1] - line[0]) ** 2)
    assert float(density.sum()) * area == pytest.approx(1.0, abs=0.01)


def test_the_volume_ratio_is_that_of_the_jacobian() -> None:
    for raw in ([0.3, -0.1, 0.2], [1.5, 0.4, -2.0], [1e-4, 0.0, 0.0]):
        at = torch.tensor(raw, dtype=torch.float64)
        jacobian = torch.autograd.functional.jacobian(lambda u: squash(u[None])[0], at)
        assert float(log_shrinkage(at[None])) == pytest.approx(float(torch.linalg.slogdet(jacobian)[1]), abs=1e-4)


def test_a_known_value_on_the_line() -> None:
    # u = 1, N(0, 1): log density -0.5 - 0.5 log 2 pi, less log(1 - tanh(1)^2)
    found = BallGaussian(torch.zeros(1, 1), torch.zeros(1)).log_prob(torch.ones(1, 1))
    assert float(found) == pytest.approx(-0.5 - 0.5 * math.log(2 * math.pi) - math.log(1 - math.tanh(1) ** 2), abs=1e-5)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-3, 3), min_size=3, max_size=3))
def test_squashing_keeps_the_direction_and_stays_inside(raw: list[float]) -> None:
    u = torch.tensor([raw], dtype=torch.float64)
    y = squash(u)
    assert float(y.norm()) < 1.0
    assert float(torch.dot(u[0], y[0])) == pytest.approx(float(u.norm() * y.norm()), abs=1e-9)
    assert np.allclose(unsquash(y).numpy(), u.numpy(), atol=1e-3)


def test_the_ratio_of_two_policies_needs_no_jacobian() -> None:
    raw = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
    one, other = BallGaussian(torch.zeros(20, 3), torch.zeros(3)), BallGaussian(torch.ones(20, 3), torch.zeros(3))
    plain = torch.distributions.Normal(0, 1)
    wanted = plain.log_prob(raw).sum(1) - plain.log_prob(raw - 1).sum(1)
    assert torch.allclose(one.log_prob(raw) - other.log_prob(raw), wanted, atol=1e-4)


def test_far_out_densities_stay_finite() -> None:
    gaussian = BallGaussian(torch.full((1, 3), 30.0), torch.zeros(3))
    assert torch.isfinite(gaussian.log_prob(torch.full((1, 3), 30.0))).all()
