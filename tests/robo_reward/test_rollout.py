"""Rollouts: whole episodes, kept frames, repeatable starts, and verdicts that stay sealed."""

from __future__ import annotations

import numpy as np
import pytest

from robo_reward.contracts import Flags, Floats, Observation
from robo_reward.line_world import VIEW, LineWorld, brightness
from robo_reward.rollout import rollout
from robo_reward.sealed_log import SealedError


class Right:
    """Full speed to the right; remembers which worlds it was told to forget."""

    def __init__(self) -> None:
        self.forgot: list[list[bool]] = []

    def act(self, observation: Observation) -> Floats:
        return np.ones((len(observation.state), 1, 1), np.float32)

    def reset(self, fresh: Flags) -> None:
        self.forgot.append(fresh.tolist())

    def save(self, folder: object) -> None: ...


def test_episodes_come_whole_with_frames_at_the_stride_and_at_the_end() -> None:
    world = LineWorld(horizon=7)
    (trace,) = rollout(world, Right(), 1, 0, views=(VIEW,), stride=3)
    assert trace.frame_steps.tolist() == [0, 3, 6, 7]
    assert (len(trace), trace.truncated, trace.terminated, trace.source) == (7, True, False, "policy")
    assert trace.env_reward is None
    # the last frame is that of the episode, not of the next one
    assert (trace.frames[VIEW] == brightness(trace.state[[0, 3, 6, 7], 0])).all()


def test_episodes_of_several_worlds_and_lengths() -> None:
    world = LineWorld(2, ends=[(3, True), (5, False)], oracle="reward")
    traces = list(rollout(world, Right(), 3, 0))
    assert [len(t) for t in traces] == [3, 5, 3]
    assert [t.terminated for t in traces] == [True, False, True]
    assert traces[0].env_reward == pytest.approx(traces[0].state[1:, 0], abs=1e-6)


def test_the_same_seed_gives_the_same_episodes() -> None:
    once, again, other = ([t.state for t in rollout(LineWorld(2, horizon=4), Right(), 4, seed)] for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(once, again, strict=True))
    assert not np.array_equal(once[0], other[0])
    assert not np.array_equal(once[0], once[2])


def test_policies_forget_ended_episodes() -> None:
    policy = Right()
    list(rollout(LineWorld(2, ends=[(2, False), (3, False)]), policy, 2, 0))
    assert policy.forgot == [[True, True], [False, False], [True, False], [False, True]]


def test_verdicts_are_found_but_not_read_before_the_end() -> None:
    world = LineWorld(3, ends=[(2, False), (2, False), (6, False)])
    traces = list(rollout(world, Right(), 3, 0))
    positions = [int(t.meta["outcome"]) for t in traces]
    with pytest.raises(SealedError):
        world.sealed.outcomes()
    world.sealed.unseal()
    outcomes = world.sealed.outcomes()
    for trace, position in zip(traces, positions, strict=True):
        assert outcomes[position].length == len(trace)
        assert outcomes[position].success == bool(trace.state[-1, 0] >= 0.9)
