"""Steps, hop labels, keyframes and balanced pairs of step_prm, by hand and by property."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robo_reward.contract_tests import moving_square
from robo_reward.errors import UserError
from robo_reward.reward_models.hops import accumulate
from robo_reward.reward_models.step_prm.discretise import Steps, discretise, signed_hop
from robo_reward.reward_models.step_prm.keyframes import find_keyframes, gripper_changes, pauses
from robo_reward.reward_models.step_prm.pair_sampling import SCORE_BINS, balanced_pairs, sample_pairs
from robo_reward.trace import Trace


def with_actions(actions: np.ndarray, **meta: float) -> Trace:
    """An episode without pictures that acts so."""
    steps = len(actions)
    return Trace(
        task="stack",
        state=np.zeros((steps + 1, 2), np.float32),
        action=actions.astype(np.float32),
        frames={},
        frame_steps=np.arange(steps + 1),
        fps=10.0,
        source="demonstration",
        success=np.arange(steps + 1) >= steps - 2,
        meta=meta,
    )


def test_every_segment_owns_the_same_share_of_progress() -> None:
    # 60 frames, 2 segments, chunks of 5: m = round(60 / 10) = 6 steps each, though one is five times as long
    steps = discretise([0, 10, 60], 5)
    assert len(steps.frame) == 13
    assert steps.frame[[0, 6, 12]].tolist() == [0, 10, 60]
    assert np.allclose(steps.progress, np.arange(13) / 12)
    assert steps.progress_at(np.array([0, 5, 10, 35, 60, 70])) == pytest.approx([0, 0.25, 0.5, 0.75, 1, 1], abs=0.02)


def test_a_segment_shorter_than_its_steps_is_merged_but_keeps_its_share() -> None:
    steps = discretise([0, 2, 40], 2)  # ten steps on two frames
    assert steps.frame[:3].tolist() == [0, 1, 2]
    assert steps.progress_at(np.array([2]))[0] == pytest.approx(0.5, abs=0.03)
    assert steps.progress[0] == 0
    assert steps.progress[-1] == 1


@pytest.mark.parametrize(("marks", "chunk"), [([0], 3), ([0, 0], 3), ([5, 2], 3), ([0, 9], 0)])
def test_keyframes_that_make_no_segments_are_refused(marks: list[int], chunk: int) -> None:
    with pytest.raises(UserError, match=r"keyframes|chunk"):
        discretise(marks, chunk)


def test_hop_labels_by_hand() -> None:
    before, after = np.array([0.2, 0.6, 0.0, 1.0, 0.5, 0.3]), np.array([0.6, 0.2, 0.3, 0.7, 1.0, 0.3])
    assert signed_hop(before, after) == pytest.approx([0.5, -2 / 3, 0.3, -0.3, 1.0, 0.0])


@given(st.lists(st.integers(0, 40), min_size=2, max_size=12))
def test_adding_up_the_labels_gives_back_the_progress(places: list[int]) -> None:
    progress = np.array([0, *places]) / 40
    hops = signed_hop(progress[:-1], progress[1:])
    value, seen = 0.0, []
    for hop in hops:
        value = accumulate(value, float(hop), "grm")
        seen.append(value)
    assert seen == pytest.approx(progress[1:], abs=1e-9)


def test_balanced_pairs_spread_over_the_hops() -> None:
    """Of 60 steps, uniform pairs would put a third into the middle bins; balanced ones are nearly even."""
    steps = Steps(np.arange(61), np.arange(61) / 60)
    pairs = balanced_pairs(steps, 500, np.random.default_rng(0))
    assert len(pairs) == 500
    bins = np.bincount(np.clip(((pairs.hop + 1) / 2 * SCORE_BINS).astype(int), 0, SCORE_BINS - 1), minlength=SCORE_BINS)
    assert bins.min() >= 15
    assert bins.max() <= 30
    distances = np.abs(pairs.after - pairs.before)
    assert (distances > 45).any()
    assert (distances <= 15).any()


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 50), st.integers(1, 300), st.integers(0, 1000))
def test_pairs_carry_exact_labels_and_come_in_the_number_asked_for(points: int, count: int, seed: int) -> None:
    steps = Steps(3 * np.arange(points), np.arange(points) / (points - 1))
    pairs = sample_pairs(steps, count, 3 * (points - 1), np.random.default_rng(seed))
    assert len(pairs) == count
    zeros = round(0.05 * count)
    body = slice(0, count - zeros)
    label = signed_hop(steps.progress_at(pairs.before[body]), steps.progress_at(pairs.after[body]))
    assert np.allclose(pairs.hop[body], label, atol=1e-5)
    assert (pairs.before[body] != pairs.after[body]).all()
    assert (pairs.hop[count - zeros :] == 0).all()
    assert (np.abs(pairs.before - pairs.after)[count - zeros :] == 1).all()
    assert (pairs.after >= 0).all()
    assert (pairs.after <= 3 * (points - 1)).all()


def test_the_gripper_and_rests_mark_sub_tasks() -> None:
    actions = np.full((40, 3), 0.5)
    actions[:, 2] = np.where((np.arange(40) >= 12) & (np.arange(40) < 28), 1.0, -1.0)
    actions[18:20, :2] = 0.0
    trace = with_actions(actions)
    assert np.flatnonzero(gripper_changes(trace)).tolist() == [12, 28]
    assert np.flatnonzero(pauses(trace)).tolist() == [18, 19]
    assert find_keyframes([trace], [37], "gripper") == [[0, 12, 28, 37]]
    assert find_keyframes([trace], [37], "velocity") == [[0, 18, 37]]
    assert find_keyframes([trace], [37], "none") == [[0, 37]]
    assert find_keyframes([trace], [30], "gripper", gap=6) == [[0, 12, 30]]


def test_a_change_of_the_picture_marks_a_sub_task() -> None:
    trace = moving_square(0, 40)
    frames = np.full((41, 32, 32, 3), 50, np.uint8)
    frames[20:, :16] = 200
    changed = replace(trace, frames={"front": frames})
    assert find_keyframes([changed], [40], "features") == [[0, 20, 40]]


def test_demonstrations_of_one_task_get_equally_many_keyframes() -> None:
    once, twice = np.full((40, 2), 0.5), np.full((40, 2), 0.5)
    once[:, 1] = np.where(np.arange(40) >= 12, 1.0, -1.0)
    twice[:, 1] = np.where((np.arange(40) >= 12) & (np.arange(40) < 28), 1.0, -1.0)
    found = find_keyframes([with_actions(a) for a in (once, once, twice)], [38] * 3, "gripper")
    assert [len(marks) for marks in found] == [3, 3, 3]


def test_annotated_keyframes_are_read_and_missed() -> None:
    actions = np.full((20, 2), 0.5)
    assert find_keyframes([with_actions(actions, keyframe1=7.0, keyframe2=12.0)], [18], "annotated") == [[0, 7, 12, 18]]
    with pytest.raises(UserError, match="subtask_end_frames"):
        find_keyframes([with_actions(actions)], [18], "annotated")
