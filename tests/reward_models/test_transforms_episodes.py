"""Golden values of the pieces that price whole episodes or groups of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robo_reward.contracts import Estimate
from robo_reward.errors import UserError
from robo_reward.reward_models.transforms.gated import OutcomeGate
from robo_reward.reward_models.transforms.min_form import (
    MinForm,
    min_form_advantages,
    min_form_returns,
    min_form_rewards,
)
from robo_reward.reward_models.transforms.stratified import Stratified, Weighting, stratify
from robo_reward.trace import Trace
from robo_reward.transform_kinds import EpisodeTransform

PROCESS = np.asarray([0.9, 0.8, 0.95, -0.6, 0.7])


def priced(
    piece: EpisodeTransform, rewards: Sequence[Sequence[float]], success: Sequence[Sequence[float]]
) -> list[list[float]]:
    """Rewards after ``piece`` of episodes with these rewards (T,) and success probabilities (T + 1,)."""
    episodes = []
    for row in success:
        seen = np.asarray(row, np.float32)
        steps = len(seen) - 1
        frames = np.arange(steps + 1)
        trace = Trace(
            "x", np.zeros((steps + 1, 1), np.float32), np.zeros((steps, 1), np.float32), {}, frames, 10.0, "policy"
        )
        episodes.append((trace, Estimate(seen, seen, seen, seen)))
    return [paid.tolist() for paid in piece.price([np.asarray(r, np.float32) for r in rewards], episodes)]


# --- min-form ---------------------------------------------------------------------------------------------------------


def test_min_form_golden_values() -> None:
    paid = min_form_rewards(PROCESS, 0.1)
    assert paid.sum() == pytest.approx(-0.599995, abs=1e-6)
    assert np.abs(paid).argmax() == 3
    assert min_form_rewards(PROCESS, 0.0).tolist() == [0, 0, 0, -0.6, 0]
    assert min_form_returns(PROCESS).tolist() == [-0.6, -0.6, -0.6, -0.6, 0]
    assert min_form_returns(PROCESS, 0.1) == pytest.approx([-0.6, -0.6, -0.6, -0.6, 0], abs=1e-4)
    assert min_form_advantages(PROCESS, np.full(5, 0.5), 0.0).tolist() == pytest.approx([-1.1] * 4 + [-0.5])
    assert min_form_rewards(np.zeros(0), 0.1).shape == (0,)


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=20), st.floats(1e-4, 2))
def test_min_form_sums_to_something_between_worst_and_mean(process: list[float], temperature: float) -> None:
    values = np.asarray(process)
    total = min_form_rewards(values, temperature).sum()
    assert values.min() - 1e-9 <= total <= values.mean() + 1e-9
    assert min_form_rewards(values, 1e-6).sum() == pytest.approx(values.min(), abs=1e-4)


def test_min_form_of_success_probabilities_adds_to_the_reward() -> None:
    piece = MinForm("success", temperature=0.0, weight=2.0)
    assert piece.base_reward == "2*min_form(success)"
    assert priced(piece, [[1, 1, 1]], [[0.5, 0.9, 0.2, 0.7]]) == [pytest.approx([1, 1 - 1.2, 1], abs=1e-6)]


def test_min_form_of_progress_pays_for_the_moment_that_lags_most() -> None:
    """An even pace over 4 steps is 1/4, 1/2, 3/4, 1."""
    piece = MinForm(temperature=0.0)
    assert piece.base_reward == "1*min_form(progress)"
    (paid,) = priced(piece, [[0, 0, 0, 0]], [[0, 0.5, 0.2, 1.0, 1.0]])
    assert paid == pytest.approx([0, -0.3, 0, 0], abs=1e-6)


@pytest.mark.parametrize("segment", [1, 10])
def test_min_form_pays_success_more_than_half_a_way_and_that_more_than_nothing(segment: int) -> None:
    rise = np.minimum(np.linspace(0, 1.5, 31), 1)
    ways = {
        "success": rise,
        "half": 0.6 * rise,
        "back": np.minimum(0.6 * rise, 1.2 - 0.04 * np.arange(31)),
        "no": 0 * rise,
    }
    rows = [row.tolist() for row in ways.values()]
    total = dict(
        zip(ways, (sum(paid) for paid in priced(MinForm(segment=segment), [[0.0] * 30] * 4, rows)), strict=True)
    )
    assert total["success"] > total["half"] + 0.2
    assert total["half"] > total["back"] + 0.2
    assert total["back"] > total["no"] - 0.05
    assert total["no"] < -0.8


def test_min_form_of_rewards_takes_their_place() -> None:
    piece = MinForm("reward", temperature=0.0)
    assert piece.base_reward is None
    assert priced(piece, [[0.3, -0.1, 0.2]], [[0, 0, 0, 0]]) == [pytest.approx([0, -0.1, 0], abs=1e-6)]


def test_min_form_of_segments_pays_at_their_ends() -> None:
    """Means of [0.4, 0.0], [-0.2, 0.6] and [0.1]: the last segment, cut short, is the worst."""
    piece = MinForm("reward", temperature=0.0, segment=2)
    assert priced(piece, [[0.4, 0.0, -0.2, 0.6, 0.1]], [[0] * 6]) == [pytest.approx([0, 0, 0, 0, 0.1], abs=1e-6)]


def test_min_form_refuses() -> None:
    with pytest.raises(UserError, match="temperature=-1"):
        MinForm(temperature=-1)
    with pytest.raises(UserError, match="unknown source"):
        MinForm("gain")  # type: ignore[arg-type]


# --- gated and stratified ---------------------------------------------------------------------------------------------


def test_outcome_gate_golden_values() -> None:
    """R = 10 * 0.8 + (1 + 2); below the threshold the low rewards are gone."""
    piece = OutcomeGate(threshold=0.5, weight=10)
    paid = priced(piece, [[1, 2], [1, 2]], [[0, 0, 0.8], [0, 0.9, 0.4]])
    assert paid == [pytest.approx([1, 10]), pytest.approx([0, 4])]
    with pytest.raises(UserError, match="threshold=2"):
        OutcomeGate(threshold=2)


def test_hero_golden_values() -> None:
    dense = np.asarray([0.2, 0.5, 0.9])
    no, yes = np.zeros(3, bool), np.ones(3, bool)
    assert stratify(dense, no, 0.1, 0.1) == pytest.approx([-0.1, -0.0143, 0.1], abs=1e-4)
    assert stratify(dense, yes, 0.1, 0.1) == pytest.approx([0.9, 0.9857, 1.1], abs=1e-4)
    assert stratify(dense, np.asarray([False, True, False]), 0.1, 0.1) == pytest.approx([-0.1, 0.9, 0.1], abs=1e-6)
    assert Weighting().of(0.3, 0.2) == pytest.approx(2.0787, abs=1e-4)
    assert Weighting().of(0.2, 0.2) == pytest.approx(1.7)


@given(st.lists(st.tuples(st.floats(-5, 5), st.booleans()), min_size=2, max_size=10))
def test_no_failure_outranks_a_success(group: list[tuple[float, bool]]) -> None:
    dense, verified = np.asarray([d for d, _ in group]), np.asarray([v for _, v in group])
    found = stratify(dense, verified, 0.45, 0.45)
    if verified.any() and not verified.all():
        assert found[verified].min() > found[~verified].max()
    for member in (verified, ~verified):
        order = np.argsort(dense[member], kind="stable")
        assert (np.diff(found[member][order]) >= 0).all()


def test_a_group_is_paid_at_its_last_steps() -> None:
    piece = Stratified()
    paid = priced(piece, [[0, 1], [1, 1], [0, 0]], [[0, 0, 0.2], [0, 0, 0.9], [0, 0, 0.1]])
    assert paid == [pytest.approx([0, 0.1]), pytest.approx([0, 0.9]), pytest.approx([0, -0.1])]
    with pytest.raises(UserError, match="could outrank"):
        Stratified(failure=0.5, success=0.5)


def test_a_weighted_group_counts_by_its_spread() -> None:
    """The first group sets the mean, 0.5; the second one, of spread 0, counts less: w(0, 0.5)."""
    piece = Stratified(weighting=True)
    first = priced(piece, [[0], [1]], [[0, 0], [0, 0]])
    assert first == [pytest.approx([-0.17]), pytest.approx([0.17])]
    second = priced(piece, [[1], [1]], [[0, 0], [0, 0]])
    assert second[0] == pytest.approx([-0.1 * Weighting().of(0.0, 0.5)])


def test_normalised_advantages_cancel_what_a_group_shares() -> None:
    """GRPO's (R - mean) / std of [-.1, 0, .1] and of [-.5, 0, .5]: the same, hence the refusal."""

    def advantage(rewards: Sequence[float]) -> np.ndarray:
        values = np.asarray(rewards)
        return (values - values.mean()) / values.std()

    assert advantage([-0.1, 0, 0.1]) == pytest.approx([-1.2247, 0, 1.2247], abs=1e-4)
    assert advantage([-0.5, 0, 0.5]) == pytest.approx(advantage([-0.1, 0, 0.1]))
