"""The perceptual reward: steps found where features change, features chosen by hand's measure, later steps dominate."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robo_reward.contract_tests import moving_square
from robo_reward.errors import UserError
from robo_reward.reward_models.perceptual import PerceptualModel
from robo_reward.reward_models.perceptual_steps import combine, find_steps, segment, step_weights

ENCODER = "timm:test_resnet/random"
pytestmark = pytest.mark.filterwarnings("ignore::robo_reward.reward_models.clip.weights.RandomWeights")


def deviation(features: np.ndarray) -> float:
    return float(features.std(0).mean())


def test_plateaus_are_found() -> None:
    plateaus = np.repeat([[0.0, 1.0], [3.0, 1.0], [3.0, -2.0]], [4, 6, 3], axis=0)
    assert segment(plateaus, 3, 2) == [0, 4, 10]
    with pytest.raises(UserError, match="13 priced frames cannot be cut into 7 steps of at least 2"):
        segment(plateaus, 7, 2)


@given(st.integers(6, 11), st.integers(1, 3), st.integers(1, 2), st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_no_split_deviates_less(count: int, steps: int, shortest: int, seed: int) -> None:
    features = np.random.default_rng(seed).normal(size=(count, 3))
    found = segment(features, steps, shortest)
    edges = [*found, count]
    assert found[0] == 0
    assert min(np.diff(edges)) >= shortest

    def cost(cuts: tuple[int, ...]) -> float:
        return sum(deviation(features[a:b]) for a, b in itertools.pairwise((0, *cuts, count)))

    every = itertools.combinations(range(1, count), steps - 1)
    allowed = [c for c in every if min(np.diff((0, *c, count))) >= shortest]
    assert cost(tuple(found[1:])) == pytest.approx(min(cost(c) for c in allowed), abs=1e-9)


def test_the_features_that_tell_a_step_are_chosen() -> None:
    rng = np.random.default_rng(0)
    frames = rng.normal(0, 0.2, (20, 5))
    frames[10:, 1] += 3.0  # tells the second half
    frames[10:, 3] -= 2.0  # also, a little less
    frames[:, 4] = 0.0  # never changes: tells nothing
    steps = find_steps([frames], 2, 3, features=2, alpha=5.0)
    assert steps[1].index.tolist() == [1, 3]
    inside, error = steps[1].reward(frames, "gaussian")
    assert inside[10:].mean() > 0.8
    assert inside[:10].mean() < 0.2
    assert (error >= 0).all()
    p, _ = steps[1].reward(frames, "naive_bayes")
    assert (p[10:] > 0.99).all()
    assert (p[:10] < 0.01).all()
    everything = find_steps([frames], 2, 3, features=32, alpha=5.0)[1]
    assert sorted(everything.index.tolist()) == [0, 1, 2, 3]


def test_a_steps_reward_by_hand() -> None:
    """One feature, 0 in the first step and 2 in the second: both Gaussians have the least spread, 0.1."""
    frames = np.repeat([[0.0], [2.0]], 3, axis=0)
    step = find_steps([frames], 2, 2, features=1, alpha=1.0)[1]
    here = -np.log(0.1) - 0.5 * np.log(2 * np.pi)
    assert (step.low, step.high) == pytest.approx((here - 200, here))
    value, _ = step.reward(np.array([[2.0], [1.0], [0.0], [1.9]]), "gaussian")
    assert value.tolist() == pytest.approx([1, 1 - 50 / 200, 0, 1 - 0.5 / 200])


def test_later_steps_dominate() -> None:
    assert step_weights(4).tolist() == pytest.approx([0, 2 / 14, 4 / 14, 8 / 14])
    rewards = [np.array([1.0, 0.0, 0.0]), np.array([1.0, 0.5, 0.0]), np.array([0.0, 1.0, 1.0])]
    assert combine(rewards).tolist() == pytest.approx([2 / 6, 1 / 6 + 4 / 6, 4 / 6])
    assert step_weights(5)[-1] > step_weights(5)[:-1].sum()


@pytest.fixture(scope="module")
def fitted() -> PerceptualModel:
    model = PerceptualModel(["front"], ENCODER, stride=1, segments=4)
    shown = [moving_square(k, 16) for k in range(3)]
    with pytest.warns(UserWarning, match="RANDOM"):
        model.fit(shown, [moving_square(10 + k, 16, source="random") for k in range(3)], 0)
    return model


def test_progress_rises_along_a_demonstration_and_not_without(fitted: PerceptualModel) -> None:
    shown, wandering = moving_square(7, 16), moving_square(8, 16, source="random")
    there, nowhere = fitted.estimate_episode(shown), fitted.estimate_episode(wandering)
    assert there.progress[-1] >= 8 / 14 - 0.02, "the last of four steps is worth 8 of 14"
    assert there.progress[0] < 0.3
    assert np.corrcoef(there.progress, np.arange(17))[0, 1] > 0.5
    assert nowhere.progress.mean() < 0.35 < there.progress.mean()
    assert there.success[-1] > 0.5
    assert there.success[0] < 0.5
    assert there.gain[1:].tolist() == pytest.approx(np.diff(there.progress).tolist())


def test_naive_bayes_and_networks_without_a_map() -> None:
    shown = [moving_square(k, 16) for k in range(2)]
    model = PerceptualModel(["front"], ENCODER, stride=1, classifier="naive_bayes")
    model.fit(shown, [], 0)
    seen = model.estimate_episode(moving_square(7, 16)).progress
    assert seen[-1] > 0.5 > 0.2 > seen[0]
    with pytest.raises(UserError, match="no map of features"):
        PerceptualModel(["front"], "timm:test_vit/random").fit(shown, [], 0)
    with pytest.raises(UserError, match="use grid=1"):
        PerceptualModel(["front"], "open_clip:ViT-B-32/random").fit(shown, [], 0)


def test_what_cannot_be_fitted_or_loaded(fitted: PerceptualModel, tmp_path: Path) -> None:
    fitted.save(tmp_path)
    with pytest.raises(UserError, match="fitted with"):
        PerceptualModel(["top"], ENCODER).load(tmp_path)
    with pytest.raises(UserError, match="not fitted"):
        PerceptualModel(["front"], ENCODER).estimate_episode(moving_square(0, 8))
    with pytest.raises(UserError, match="did you mean 'gaussian'"):
        PerceptualModel(["front"], ENCODER, classifier="gausian")
    with pytest.raises(UserError, match="segments=1 must be at least 2"):
        PerceptualModel(["front"], ENCODER, segments=1)
    with pytest.raises(UserError, match="needs pictures"):
        PerceptualModel([], ENCODER)


def test_a_demonstration_in_which_nothing_moves_is_refused() -> None:
    still = moving_square(0, 8)
    frames = np.repeat(still.frames["front"][:1], 9, 0)
    frozen = replace(still, frames={"front": frames}, success=np.arange(9) >= 6)
    with pytest.raises(UserError, match="sees no difference"):
        PerceptualModel(["front"], ENCODER, stride=1).fit([frozen], [], 0)
