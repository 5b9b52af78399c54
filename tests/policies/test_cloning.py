"""Clones act as they were shown; clones of shifted states find back to the path."""

from pathlib import Path

import numpy as np
import pytest
import torch

from robo_reward.build import load_policy
from robo_reward.contracts import Landmarks, Observation
from robo_reward.policies.cloning import CloneSettings, clone_demonstrations
from robo_reward.seeding import seed_everything
from robo_reward.trace import Trace

LANDMARKS = Landmarks(hand=0, object=3, goal=6)


def demonstration() -> Trace:
    """The hand goes along x; the actions turn half-way."""
    steps = 40
    state = np.zeros((steps + 1, 9), np.float32)
    state[:, 0] = np.linspace(0, 1, steps + 1)
    action = np.zeros((steps, 4), np.float32)
    action[:, 0] = np.where(np.arange(steps) < 20, 0.8, -0.4)
    return Trace("t", state, action, {}, np.zeros(0, np.int64), 10.0, "demonstration")


def seen(state: np.ndarray) -> Observation:
    return Observation({}, state.astype(np.float32), ("t",) * len(state))


def test_a_clone_repeats_what_it_was_shown() -> None:
    seed_everything(0, "test")
    trace = demonstration()
    clone = clone_demonstrations([trace], CloneSettings(steps=300))
    acted = clone.act(seen(trace.state[:-1]))
    assert acted.shape == (40, 1, 4)
    error = np.abs(acted[:, 0] - trace.action).mean(1)
    assert error[[5, 10, 15, 25, 30, 35]].max() < 0.1


def test_shifted_states_teach_the_way_back() -> None:
    seed_everything(0, "test")
    trace = demonstration()
    undo = np.zeros((4, 3))
    undo[:3] = 10 * np.eye(3)  # one metre takes ten full actions
    settings = CloneSettings(steps=800, shift=0.05, noise=0.0)
    clone = clone_demonstrations([trace], settings, LANDMARKS, undo, np.random.default_rng(0))
    for side in (-0.04, 0.04):
        moved = trace.state[10:11].copy()
        moved[0, 1] += side
        action = clone.act(seen(moved))[0, 0]
        # half of the shift is undone: -.5 * 10 * side
        assert action[1] == pytest.approx(-5 * side, abs=0.1)
        assert action[0] == pytest.approx(0.8, abs=0.15)


def test_dropped_state_dimensions_play_no_part() -> None:
    seed_everything(0, "test")
    clone = clone_demonstrations([demonstration()], CloneSettings(steps=20, drop=(4, 5)))
    state = demonstration().state[3:4]
    other = state.copy()
    other[0, 4:6] = 3.0
    np.testing.assert_array_equal(clone.act(seen(state)), clone.act(seen(other)))


def test_a_saved_clone_acts_alike(tmp_path: Path) -> None:
    torch.manual_seed(0)
    clone = clone_demonstrations([demonstration()], CloneSettings(steps=30))
    clone.save(tmp_path)
    state = demonstration().state
    np.testing.assert_array_equal(load_policy(tmp_path).act(seen(state)), clone.act(seen(state)))
