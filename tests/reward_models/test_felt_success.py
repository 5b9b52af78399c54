"""Fingers tell what a fixed camera hardly shows: felt successes against the same motion with an empty hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from robo_reward.contracts import Observation, Transition
from robo_reward.errors import UserError
from robo_reward.reward_models.felt_success import Feeling, FeltSuccess
from robo_reward.reward_models.verified_progress import VerifiedProgress
from robo_reward.trace import Source, Trace

STEPS, SIDE = 12, 32
CARRY = "carry it to the right"


def moved(seed: int, holds: bool, source: Source = "demonstration", task: str = CARRY) -> Trace:
    """A hand goes from left to right; its fingers stay apart or shut. Pictures show nothing."""
    rng = np.random.default_rng(seed)
    place = np.linspace(0, 1, STEPS + 1) + 0.02 * rng.normal(size=STEPS + 1)
    fingers = (0.04 if holds else 0.001) + 0.0005 * rng.normal(size=STEPS + 1)
    return Trace(
        task=task,
        state=np.stack([place, fingers], 1).astype(np.float32),
        action=np.zeros((STEPS, 2), np.float32),
        frames={"front": np.full((STEPS + 1, SIDE, SIDE, 3), 60, np.uint8)},
        frame_steps=np.arange(STEPS + 1),
        fps=10.0,
        source=source,
        terminated=False,
        truncated=True,
        success=np.arange(STEPS + 1) >= STEPS - 1 if holds else None,
    )


def fitted(looks: int = 3) -> FeltSuccess:
    felt = FeltSuccess(looks)
    felt.fit([moved(k, True) for k in range(6)], [moved(50 + k, False, "replay") for k in range(6)], 0)
    return felt


def most(felt: FeltSuccess, trace: Trace) -> float:
    windows = felt.windows(trace)
    return float(felt.probability(windows, [trace.task] * len(windows)).max())


def test_the_same_motion_with_empty_fingers_is_no_success() -> None:
    felt = fitted()
    assert min(most(felt, moved(100 + k, True, "policy")) for k in range(8)) > 0.5
    assert max(most(felt, moved(200 + k, False, "policy")) for k in range(8)) < 0.1


@pytest.mark.parametrize(("width", "carries"), [(0.036, True), (0.034, True), (0.027, False), (0.01, False)])
def test_what_is_held_otherwise_counts_up_to_a_quarter_of_the_way_to_an_empty_hand(width: float, carries: bool) -> None:
    """Demonstrated fingers stay at 40 mm within half of one, empty ones at 1 mm: half is reached near 30 mm."""
    trace = moved(7, True, "policy")
    held = trace.state.copy()
    held[:, 1] = width
    assert (most(fitted_once(), replace(trace, state=held)) > 0.5) is carries


@pytest.mark.parametrize("place", [np.zeros(STEPS + 1), -np.linspace(0, 1, STEPS + 1), np.linspace(0, 3, STEPS + 1)])
def test_what_is_held_elsewhere_is_no_success(place: np.ndarray) -> None:
    """Failures make the same motion, so that places tell next to nothing: a hand is asked to be near all the same."""
    trace = moved(7, True, "policy")
    state = trace.state.copy()
    state[:, 0] = place
    felt = fitted_once()
    assert felt.probability(felt.windows(replace(trace, state=state)), [CARRY] * (STEPS + 1))[-1] < 0.1


def test_demonstrations_that_differ_widely_do_not_make_a_success_of_an_empty_hand() -> None:
    good = [moved(k, True) for k in range(6)]
    odd = good[0].state.copy()
    odd[:, 1] = 0.08  # one object was wider: its two like demonstrations lie as far from the rest as empty hands do
    felt = FeltSuccess(3)
    with pytest.warns(UserWarning, match="differ by .* of what failures feel like"):
        felt.fit([replace(good[0], state=odd), *good[1:]], [moved(50 + k, False, "replay") for k in range(6)], 0)
    assert max(most(felt, moved(200 + k, False, "policy")) for k in range(8)) < 0.1


def test_what_was_saved_before_the_rest_was_compared_apart_says_what_it_said() -> None:
    felt, trace = fitted(), moved(3, True, "policy")
    state = felt.state()
    one = {"known": state["known"], "weights": {CARRY: np.ones(6)}, "reach": {CARRY: 0.5}}
    felt.load(one)
    windows = felt.windows(trace)
    off = np.sqrt(((windows[:, None] - state["known"][CARRY][None]) ** 2).sum(-1)).min(1) / 0.5
    np.testing.assert_allclose(felt.probability(windows, [CARRY] * len(windows)), 1 / (1 + np.exp(6 * (off - 1))), 1e-5)


@given(st.integers(0, 10_000))
def test_what_resembles_neither_is_no_success(seed: int) -> None:
    rng = np.random.default_rng(seed)
    trace = moved(1, True, "policy")
    strange = trace.state.copy()
    strange[:, 1] = rng.choice([0.0, 0.02, 0.08], STEPS + 1)  # fingers that open and shut over the goal
    assert most(fitted_once(), replace(trace, state=strange)) < 0.5


KEPT: list[FeltSuccess] = []


def fitted_once() -> FeltSuccess:
    if not KEPT:
        KEPT.append(fitted())
    return KEPT[0]


def test_windows_reach_back_and_begin_with_the_first_state() -> None:
    trace = moved(0, True)
    windows = FeltSuccess(3).windows(trace)
    state = trace.state.astype(np.float64)
    np.testing.assert_array_equal(windows[0], np.tile(state[0], 3))
    np.testing.assert_array_equal(windows[5], np.concatenate([state[5], state[4], state[3]]))


def test_looks_are_a_stride_apart_however_densely_pictures_were_kept() -> None:
    """Demonstrations keep more pictures than the priced episodes that are compared with them."""
    dense, thin = moved(0, True), moved(0, True).every(4)
    felt = FeltSuccess(3, stride=4)
    np.testing.assert_array_equal(felt.windows(dense)[::4], felt.windows(thin))
    np.testing.assert_array_equal(felt.windows(thin)[2], dense.state[[8, 4, 0]].astype(np.float64).ravel())
    replays = [moved(50 + k, False, "replay") for k in range(6)]
    felt.fit([moved(k, True) for k in range(6)], replays, 0)
    assert most(felt, thin) > 0.99, "it was shown this very success"


def test_stepping_feels_what_the_episode_felt() -> None:
    trace, feeling = moved(3, True), Feeling(3)
    state = np.repeat(trace.state[:, None], 2, 1)
    feeling.begin(state[0], np.ones(2, bool))
    for k in range(1, 6):
        feeling.look(state[k], np.array([True, k < 3]))
    windows = FeltSuccess(3).windows(trace)
    np.testing.assert_allclose(feeling.windows(), np.stack([windows[5], windows[2]]))
    feeling.begin(state[0], np.array([False, True]))
    np.testing.assert_allclose(feeling.windows(), np.stack([windows[5], windows[0]]))


@pytest.mark.parametrize("end", [STEPS, STEPS - 1, STEPS - 3])
def test_the_last_look_of_an_episode_is_felt_alike_wherever_it_ends(end: int) -> None:
    """It is looked at when the episode ends, be that between two looks or not."""
    trace, stride, feeling = moved(3, True).cut(end), 4, Feeling(3)
    feeling.begin(trace.state[:1], np.ones(1, bool))
    stepped = [feeling.windows()[0].copy()]
    for k in range(1, end + 1):
        if k % stride == 0 or k == end:
            feeling.look(trace.state[k : k + 1], np.ones(1, bool))
            stepped.append(feeling.windows()[0].copy())
    np.testing.assert_allclose(FeltSuccess(3, stride).windows(trace.every(stride)), np.stack(stepped))
    np.testing.assert_allclose(FeltSuccess(3, stride).windows(trace)[-1], stepped[-1])


def test_an_unknown_task_is_judged_by_the_nearest_known_one() -> None:
    felt, trace = fitted(), moved(9, True, "policy")
    assert most(felt, replace(trace, task="lift it")) == pytest.approx(most(felt, trace))


def test_what_it_cannot_learn_from_is_refused() -> None:
    good = [moved(k, True) for k in range(3)]
    with pytest.raises(UserError, match=r"negatives\.hollow"):
        FeltSuccess(3).fit(good, [moved(5, False, "policy")], 0)
    with pytest.raises(UserError, match="2 demonstrations"):
        FeltSuccess(3).fit(good[:1], [moved(5, False, "replay")], 0)
    with pytest.raises(UserError, match="feel just as its demonstrations do"):
        FeltSuccess(3).fit(good, [replace(trace, source="replay") for trace in good], 0)
    with pytest.raises(UserError, match="1 or more looks"):
        FeltSuccess(0)
    with pytest.raises(UserError, match="feels=-1"):
        VerifiedProgress(["front"], feels=-1)


def test_replays_that_end_before_success_tell_nothing() -> None:
    """With a low horizon: of one task they are left out, of all they are refused, before pictures are learned from."""
    good = [moved(k, True) for k in range(6)]
    short = [moved(50 + k, False, "replay").cut(STEPS // 2) for k in range(6)]
    with pytest.raises(UserError, match=r"replays end at step 6, before success \(step 10, .* set env.horizon higher"):
        VerifiedProgress(["front"], stride=1, feels=3, settle=0).fit(good, short, 0)
    felt = FeltSuccess(3)
    felt.fit(good, [*short, moved(60, False, "replay", "lift it")], 0)
    assert most(felt, moved(100, True, "policy")) > 0.5
    assert most(felt, moved(200, False, "policy")) < 0.1


def test_the_reward_pays_only_what_is_seen_and_felt(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    made = VerifiedProgress(["front"], stride=1, feels=3, head="milestones", members=1, settle=0)
    made.fit([moved(k, True) for k in range(6)], [moved(50 + k, False, "replay") for k in range(6)], 0)
    good, empty = moved(100, True, "policy"), moved(200, False, "policy")
    paid = [float(made.estimate_episode(trace).success.max()) for trace in (good, empty)]
    assert paid[0] > 2 * paid[1], "pictures show the same"
    made.save(tmp_path)
    again = VerifiedProgress(["front"], stride=1, feels=3, head="milestones", members=1, settle=0)
    again.load(tmp_path)
    np.testing.assert_allclose(again.estimate_episode(good).success, made.estimate_episode(good).success)
    np.testing.assert_allclose(_stepped(made, good), made.estimate_episode(good).success, atol=1e-5)
    plain = VerifiedProgress(["front"], stride=1, head="milestones", members=1, settle=0)
    plain.load(tmp_path)
    assert float(plain.estimate_episode(empty).success.max()) > paid[1]
    with pytest.raises(UserError, match="feels=3"):
        again.load_state({k: v for k, v in made.state().items() if k != "felt"})


def _stepped(model: VerifiedProgress, trace: Trace) -> list[float]:
    def shown(k: int) -> Observation:
        views = {view: frames[k : k + 1] for view, frames in trace.frames.items()}
        return Observation(views, trace.state[k : k + 1], (trace.task,))

    said = [model.begin(shown(0), np.ones(1, bool)).success[0]]
    no = np.zeros(1, bool)
    for k in range(len(trace)):
        step = Transition(shown(k), trace.action[k : k + 1], shown(k + 1), np.zeros(1, np.float32), no, no)
        said.append(model.estimate(step).success[0])
    return [float(p) for p in said]
