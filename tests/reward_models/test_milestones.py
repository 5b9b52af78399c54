"""Accumulative milestone estimation by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from robo_reward.contract_tests import check_steps_agree, moving_square
from robo_reward.errors import UserError
from robo_reward.reward_models.hops import RULES, Rule
from robo_reward.reward_models.milestones import MilestoneTracker, check_threshold, held_above, milestone_progress
from robo_reward.reward_models.progress import ProgressModel
from robo_reward.reward_models.progress_fit import FitSettings
from robo_reward.reward_models.progress_settings import Head
from robo_reward.reward_models.uniform_frames import UniformTracker, spread, uniform_progress


def test_every_frame_a_milestone_is_the_plain_recursion() -> None:
    hops = {(0, 1): 0.23, (1, 2): 0.22, (2, 3): 0.15, (3, 4): 0.40}
    values = milestone_progress(lambda i, j: hops[i, j], 5, interval=1)
    assert values == pytest.approx([0, 0.23, 0.3994, 0.48949, 0.693694], abs=1e-6)


def test_between_milestones_values_are_provisional() -> None:
    asked = []

    def critic(i: int, j: int) -> float:
        asked.append((i, j))
        return 0.5 if j % 2 == 0 else -0.5

    values = milestone_progress(critic, 5, interval=2, rule="grm")
    # frame 1 hops from 0, frame 2 from 0 and is kept, frame 3 from 2, frame 4 from 2: a wrong frame 1 leaves no trace
    assert asked == [(0, 1), (0, 2), (2, 3), (2, 4)]
    assert values == pytest.approx([0, 0, 0.5, 0.25, 0.75])


def test_an_interval_below_one_is_refused() -> None:
    with pytest.raises(UserError, match="interval 0 must be at least 1"):
        milestone_progress(lambda i, j: 0.0, 3, interval=0)


@pytest.mark.parametrize(
    ("rule", "values"),
    [
        # 0.6, then -0.5 of what remains or of what was covered, then +0.3 of what remains
        ("remaining_gap", [0, 0.6, 0.4, 0.58]),
        ("grm", [0, 0.6, 0.3, 0.51]),
        ("vlac_mix", [0, 0.6, 0.2, 0.44]),
        ("vlac_reciprocal", [0, 0.6, 0.2, 0.44]),
    ],
)
def test_all_four_rules_with_every_frame_a_milestone(rule: Rule, values: list[float]) -> None:
    hops = [0.0, 0.6, -0.5, 0.3]
    assert milestone_progress(lambda i, j: hops[j], 4, interval=1, rule=rule) == pytest.approx(values, abs=1e-6)


@pytest.mark.parametrize(
    ("rule", "value"), [("remaining_gap", 0.0), ("grm", 0.15), ("vlac_mix", 0.15), ("vlac_reciprocal", 0.0)]
)
def test_where_the_rules_part_for_steps_back_early_on(rule: Rule, value: float) -> None:
    """0.3, then -0.5: A leaves [0, 1] at -0.05 and D at -0.4, both clamped; B and C lose half of what was covered."""
    assert milestone_progress(lambda i, j: [0, 0.3, -0.5][j], 3, interval=1, rule=rule)[-1] == pytest.approx(value)


def test_the_papers_schedule_asks_once_a_check_and_refers_to_the_milestone_before() -> None:
    """Milestones every 4 checks over 12: at a milestone the reference is still the previous one."""
    asked: list[tuple[int, int]] = []
    milestone_progress(lambda i, j: asked.append((i, j)) or 0.1, 13, interval=4)  # type: ignore[func-returns-value]
    assert asked == [(4 * ((t - 1) // 4), t) for t in range(1, 13)]


def test_a_threshold_must_be_held_and_then_stays() -> None:
    values = np.array([0, 0.95, 0.2, 0.91, 0.92, 0.93, 0.1, 0.95], np.float32)
    assert held_above(values, 0.9, 3).tolist() == [0, 0, 0, 0, 0, 1, 1, 1]
    assert held_above(values, 0.9, 1).tolist() == [0, 1, 1, 1, 1, 1, 1, 1], "the paper's rule: the first check above"
    assert held_above(values, 0.9, 4).tolist() == [0] * 8
    assert held_above(values[:0], 0.9, 1).tolist() == []


@pytest.mark.parametrize(
    ("threshold", "consecutive", "head", "said"),
    [
        (1.0, 1, "milestones", "threshold=1 must be above 0 and below 1"),
        (0.9, 0, "milestones", "consecutive=0 must be at least 1"),
        (0.9, 3, "hop", "belongs to head=milestones"),
    ],
)
def test_thresholds_that_cannot_be_are_refused(threshold: float, consecutive: int, head: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        check_threshold(threshold, consecutive, head)


@given(
    st.lists(st.lists(st.floats(-1, 1, width=32), min_size=3, max_size=3), min_size=1, max_size=14),
    st.sampled_from(RULES),
)
def test_worlds_that_are_stepped_walk_as_whole_episodes_do(rows: list[list[float]], rule: Rule) -> None:
    hops = np.asarray(rows, np.float32)  # (T, 3), whatever the reference
    tracker = MilestoneTracker(3, rule)
    tracker.begin(torch.zeros(3, 1), np.ones(3, bool))
    for frame, row in enumerate(hops, 1):
        assert tracker.references[:, 0].tolist() == [3 * ((frame - 1) // 3)] * 3
        tracker.advance(
            lambda before, after, rows, told=row: told[rows], torch.full((3, 1), float(frame)), np.ones(3, bool)
        )
    for world in range(3):
        whole = milestone_progress(lambda i, j, w=world: float(hops[j - 1, w]), len(hops) + 1, interval=3, rule=rule)  # type: ignore[misc]
        assert tracker.progress()[world] == pytest.approx(whole[-1], abs=1e-6)
        assert tracker.held(0.6, 2)[world] == held_above(whole, 0.6, 2)[-1]
    tracker.begin(torch.ones(3, 1), np.array([False, True, False]))
    assert tracker.progress()[1] == 0
    assert tracker.references[1].tolist() == [1]


def test_without_an_interval_every_hop_is_from_the_first_frame() -> None:
    asked: list[tuple[int, int]] = []
    values = milestone_progress(lambda i, j: asked.append((i, j)) or j / 10, 4, interval=None)  # type: ignore[func-returns-value]
    assert asked == [(0, 1), (0, 2), (0, 3)]
    assert values == pytest.approx([0, 0.1, 0.2, 0.3]), "the critic's word alone, nothing adds up"


def test_a_uniform_spread_by_hand() -> None:
    assert (spread(0, 4), spread(1, 4), spread(3, 4), spread(6, 4)) == ([0], [0, 1], [0, 1, 2, 3], [0, 2, 4, 6])
    assert spread(31, 8) == [0, 4, 9, 13, 18, 22, 27, 31]
    asked: list[tuple[int, int]] = []
    values = uniform_progress(lambda i, j: asked.append((i, j)) or 0.5, 5, count=3)  # type: ignore[func-returns-value]
    # frame 1: one hop; from frame 2 on two of them, 0.5 and half of what remains
    assert asked == [(0, 1), (0, 1), (1, 2), (0, 2), (2, 3), (0, 2), (2, 4)]
    assert values == pytest.approx([0, 0.5, 0.75, 0.75, 0.75])


@given(
    st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=12),
    st.integers(2, 6),
    st.sampled_from(RULES),
)
def test_a_uniform_spread_of_stepped_worlds_is_that_of_whole_episodes(
    rows: list[float], count: int, rule: Rule
) -> None:
    """Two worlds, the second of which begins anew at its third frame; a hop is the difference of what is seen."""
    seen = torch.tensor([[0.0], *([x] for x in rows)])
    tracker = UniformTracker(count, rule)
    tracker.begin(seen[:1].repeat(2, 1), np.ones(2, bool))

    def hops(before: torch.Tensor, after: torch.Tensor, worlds: object) -> NDArray[np.float32]:
        return ((after - before)[:, 0] / 2).numpy()

    def whole(first: int) -> NDArray[np.float32]:
        return uniform_progress(
            lambda i, j: float(seen[first + j, 0] - seen[first + i, 0]) / 2, len(seen) - first, count=count, rule=rule
        )

    for frame in range(1, len(seen)):
        anew = np.array([False, frame == 3])
        if anew.any():
            tracker.begin(seen[[frame, frame]], anew)
        tracker.advance(hops, seen[[frame, frame]], ~anew)
    assert tracker.progress()[0] == pytest.approx(whole(0)[-1], abs=1e-6)
    assert tracker.progress()[1] == pytest.approx(whole(3 if len(seen) > 3 else 0)[-1], abs=1e-6)


@pytest.mark.parametrize("more", [{"uniform": 3}, {"interval": None}])
def test_a_model_without_milestones_is_stepped_as_it_prices_episodes(more: dict[str, int | None]) -> None:
    torch.set_num_threads(1)
    kind = {"stride": 1, "head": "milestones", "members": 1, "refit_steps": 3, "fit": FitSettings(steps=30), **more}
    model = ProgressModel(["front"], **kind)  # type: ignore[arg-type]
    model.fit([moving_square(0)], [moving_square(k, source="random") for k in (1, 2)], seed=0)
    check_steps_agree(model, [moving_square(5), moving_square(6, source="policy")])


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"uniform": 2.5}, "uniform=2.5 must be a whole number"),
        ({"interval": 2.5}, "interval=2.5 must be a whole number"),
        ({"interval": None, "head": "both"}, r"interval=null .* belongs to head=milestones; this is both"),
    ],
)
def test_intervals_that_cannot_be_are_refused(more: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        ProgressModel(["front"], **(dict[str, Any](head="milestones") | more))


@pytest.mark.parametrize(("head", "uniform"), [("milestones", 1), ("hop", 4)])
def test_a_spread_that_cannot_be_is_refused(head: Head, uniform: int) -> None:
    with pytest.raises(UserError, match=rf"uniform={uniform} must be at least 2 frames.*this is {head}"):
        ProgressModel(["front"], head=head, uniform=uniform)


def test_a_model_with_a_threshold_succeeds_where_its_progress_is_held() -> None:
    torch.set_num_threads(1)
    kind = {"stride": 1, "head": "milestones", "members": 1, "refit_steps": 3, "fit": FitSettings(steps=30)}
    model = ProgressModel(["front"], threshold=0.3, consecutive=2, **kind)  # type: ignore[arg-type]
    model.fit([moving_square(0)], [moving_square(k, source="random") for k in (1, 2)], seed=0)
    for episode in (moving_square(5), moving_square(6, source="policy")):
        seen = model.estimate_episode(episode)
        assert seen.success.tolist() == held_above(seen.progress, 0.3, 2).tolist()
    check_steps_agree(model, [moving_square(5), moving_square(6, source="policy")])
