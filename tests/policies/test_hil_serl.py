"""Learning on an arm: what is imitated, what is corrected, what is owed, and that goals stay near the joints."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from robo_reward.arm.episode import ArmEpisode, read_episode, write_episode
from robo_reward.build import load_policy
from robo_reward.contracts import Observation
from robo_reward.errors import UserError
from robo_reward.policies.on_arm.hil_serl import HilSerl, confirmed
from robo_reward.policies.on_arm.sight import SightSettings
from robo_reward.policies.soft_actor_critic import SacSettings
from robo_reward.trace import Trace

REACH = 5.0


class Paid:
    """A reward stack that pays what ``rule`` says of an episode's asked-for actions."""

    def __init__(self, rule: Any) -> None:
        self.model, self._rule = SimpleNamespace(needs=SimpleNamespace(stride=1)), rule
        self.prices_ends = False

    def price(self, trace: Trace) -> Trace:
        return replace(trace, reward=np.asarray(self._rule(trace), np.float32))


def picture(place: float) -> Any:
    """(32, 32, 3): a green blob at ``place`` in -1..1, left to right."""
    shown = np.full((32, 32, 3), 90, np.uint8)
    at = round((place + 1) / 2 * 25) + 3
    shown[14:18, at - 2 : at + 2] = (20, 220, 20)
    return shown


def episode(places: Any, action: Any, by_hand: Any = None, success: Any = None) -> ArmEpisode:
    """Joints at rest, blobs at ``places`` (T+1,), goals ``action`` (T, 2) times the reach away."""
    steps = len(action)
    state = np.tile(np.array([10.0, -20.0], np.float32), (steps + 1, 1))
    frames = {"front": np.stack([picture(place) for place in places])}
    asked: Any = state[:-1] + np.float32(REACH) * np.asarray(action, np.float32)
    trace = Trace("t", state, asked, frames, np.arange(steps + 1), 30.0, "policy", success=success)
    return ArmEpisode(trace, asked, np.ones(steps, bool) if by_hand is None else np.asarray(by_hand))


def shown(rng: Any, steps: int = 20) -> ArmEpisode:
    """A demonstration: the first joint goes where the blob is."""
    places = rng.uniform(-1, 1, steps + 1)
    return episode(places, np.stack([0.9 * places[:-1], np.zeros(steps)], 1))


def learner(rule: Any = lambda trace: np.zeros(len(trace)), **more: Any) -> HilSerl:
    rng = np.random.default_rng(0)
    given = {"reach": REACH, "sight_updates": 150, "batch": 32, "sight": SightSettings(keypoints=4, width=32, batch=32)}
    made = HilSerl(**{**given, **more})
    made.begin([shown(rng) for _ in range(4)], Paid(rule), 0)  # type: ignore[arg-type]
    return made


def test_what_people_did_is_found_again_in_pictures_that_were_not_shown() -> None:
    made = learner()
    made.prepare()
    for place in (-0.7, -0.2, 0.3, 0.8):
        seen = Observation({"front": picture(place)[None]}, np.array([[10.0, -20.0]], np.float32), ("t",))
        goal = made.acting("prior").act(seen)[0, 0]
        assert (goal - [10, -20]) / REACH == pytest.approx([0.9 * place, 0], abs=0.2)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from(["prior", "average", "sample", "offset"]))
def test_no_goal_is_further_from_the_joints_than_the_reach(seed: int, mode: Any) -> None:
    made = HilSerl(reach=[3.0, 7.0], scale=2.0, sight=SightSettings(keypoints=2, width=8))
    made.begin([shown(np.random.default_rng(0), 3)], Paid(None), seed % 1000)  # type: ignore[arg-type]
    policy = made.acting(mode)
    policy.practise(seed, mode)
    rng = np.random.default_rng(seed)
    joints = rng.normal(0, 200, (1, 2)).astype(np.float32)
    frames = {"front": rng.integers(0, 256, (1, 32, 32, 3), np.uint8)}
    away = np.abs(policy.act(Observation(frames, joints, ("t",)))[0, 0] - joints[0])
    assert (away <= np.array([3.0, 7.0]) + 1e-4 * np.abs(joints[0])).all()


def test_the_actions_of_an_episode_are_its_goals_in_units_of_the_reach() -> None:
    made = learner()
    held = episode([0, 0, 0], [[0.4, -0.2], [3.0, -3.0]])
    assert made._action(held) == pytest.approx(np.array([[0.4, -0.2], [1.0, -1.0]]), abs=1e-6)


def test_what_a_person_did_lies_in_both_buffers() -> None:
    made = learner()
    by_hand = np.array([False, True, True, False, True, False])
    made.hear(episode(np.zeros(7), np.zeros((6, 2)), by_hand))
    assert made.heard[0].interventions == 2
    assert [(led.start, led.stop) for led in made.heard[0].led()] == [(1, 3), (4, 5)]
    made._fill()
    assert len(made._own) == 6
    assert len(made._demonstrated) == 4 * 20 + 3


@pytest.mark.parametrize("whole", [False, True])
def test_nothing_comes_after_an_episode_that_is_priced_as_a_whole(whole: bool) -> None:
    made = learner()
    made._stack.prices_ends = whole  # type: ignore[misc]
    made.hear(episode(np.zeros(7), np.zeros((6, 2)), np.array([False, True, True, False, False, False])))
    made._fill()
    assert made._own._terminal[:7].tolist() == [0.0] * 5 + [float(whole), 0.0]
    assert made._demonstrated._terminal[:22].nonzero().flatten().tolist() == ([19] if whole else [])
    assert made._demonstrated._terminal[80:].sum() == 0, "what a person did ended in the middle of an episode"


def test_what_is_owed_follows_from_steps_and_interventions() -> None:
    made = learner(updates_per_step=2.0, refresh_updates=3, refit_every=100)
    assert made.work() is None
    made.hear(episode(np.zeros(7), np.zeros((6, 2)), [False, True, False, True, True, False]))
    assert made.owed == 12
    assert "sight/loss" in (made.work() or {}), "what a person just showed comes first"
    done = made.work() or {}
    assert done["sac/updates"] == 12
    assert made.work() is None


def test_imitation_alone_makes_no_corrections() -> None:
    made = learner(correct=False)
    assert made.mode(0) == made.mode(7) == "prior"
    made.hear(episode(np.zeros(7), np.zeros((6, 2)), np.zeros(6, bool)))
    assert made.work() is None
    assert made.agent.updates == 0


def test_corrections_go_where_the_reward_is() -> None:
    """What people did is paid 0, what lies 0.3 further in the first joint is paid 1."""

    def rule(trace: Trace) -> Any:
        return (trace.action[:, 0] - trace.state[:-1, 0]) / REACH > 0.2

    made = learner(rule, scale=0.5, updates_per_step=4.0, sac=SacSettings(gamma=0.0, anchor=0.0))
    made.prepare()
    rng = np.random.default_rng(1)
    for _ in range(4):
        action = np.stack([rng.uniform(-0.5, 0.5, 40), np.zeros(40)], 1)
        made.hear(episode(np.zeros(41), action, np.zeros(40, bool)))
        while made.work() is not None:
            pass
    seen = Observation({"front": picture(0.0)[None]}, np.array([[10.0, -20.0]], np.float32), ("t",))
    found = []
    for mode in ("prior", "average"):
        made.policy.inner.start(mode, np.random.default_rng(0))
        found.append(float(made.policy.act(seen)[0, 0, 0] - 10) / REACH)
    before, after = found
    assert before == pytest.approx(0, abs=0.2)
    assert after > 0.2


def test_corrections_are_kept_where_they_do_no_worse_than_imitation() -> None:
    def rule(trace: Trace) -> Any:
        return trace.action[:, 0] > 10

    cases = [(0.5, -0.1, False, "average"), (-0.5, 0.1, False, "prior"), (0.5, 0.1, True, "prior")]
    for corrected, imitated, helped, kept in cases:
        made = learner(rule, updates_per_step=0.0, offset_episodes=0)
        for number in range(8):
            mode = made.mode(number)
            action = np.tile([{"average": corrected, "prior": imitated}.get(mode, 0.0), 0.0], (6, 1))
            made.hear(episode(np.zeros(7), action, np.full(6, helped and mode == "average")))
        assert made.better() == kept, "what needed help is worth nothing, whatever the reward says"
    assert learner(correct=False).better() == "prior"


def test_only_what_a_person_called_done_teaches_the_reward() -> None:
    success = np.array([False, False, True, True, False, False])
    kept = confirmed(episode(np.zeros(6), np.zeros((5, 2)), success=success).trace)
    assert (len(kept), kept.source) == (3, "demonstration")
    assert kept.success is not None
    assert kept.success.tolist() == [False, False, True, True]
    made = learner()
    made.hear(episode(np.zeros(6), np.zeros((5, 2))))
    assert made._confirmed() == []


def test_a_resumed_learner_goes_on_where_it_was(tmp_path: Path) -> None:
    made = learner(refresh_updates=2)
    made.prepare()
    held = [episode(np.zeros(7), np.zeros((6, 2)), [True] * 3 + [False] * 3) for _ in range(2)]
    made.hear(held[0])
    while made.work() is not None:
        pass
    again = learner(refresh_updates=2)
    again.load(made.state(), held)
    assert len(again.heard) == 2
    assert again.owed == 6, "the second one came after the checkpoint"
    assert again.agent.updates == made.agent.updates
    seen = Observation({"front": picture(0.4)[None]}, np.array([[10.0, -20.0]], np.float32), ("t",))
    made.acting("average").save(tmp_path / "policy")
    found = load_policy(tmp_path / "policy").act(seen)
    assert found == pytest.approx(made.acting("average").act(seen), abs=1e-5)
    assert found == pytest.approx(again.acting("average").act(seen), abs=1e-5)


def test_an_episode_on_disk_is_the_episode(tmp_path: Path) -> None:
    held = episode([0.1, 0.2, 0.3], [[0.4, -0.2], [0.0, 0.1]], [True, False], np.array([False, True, True]))
    write_episode(tmp_path / "000004", held)
    read = read_episode(tmp_path / "000004")
    assert (read.asked == held.asked).all()
    assert (read.by_hand == held.by_hand).all()
    assert (read.trace.frames["front"] == held.trace.frames["front"]).all()
    assert read.trace.success is not None
    assert read.trace.success.tolist() == [False, True, True]


def test_what_does_not_go_is_refused() -> None:
    with pytest.raises(UserError, match="scale=3"):
        HilSerl(scale=3)
    with pytest.raises(UserError, match="starts from demonstrations"):
        HilSerl().begin([], Paid(None), 0)  # type: ignore[arg-type]
    made = learner()
    with pytest.raises(UserError, match="no picture of"):
        made.acting("prior").act(Observation({}, np.zeros((1, 2), np.float32), ("t",)))


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
