"""People who step in while a policy acts: keys, a leader arm, and demonstrations without any policy."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parent))
from loop_rig import KEYS, Scripted, Start, calm, loop, on_wire, pan  # type: ignore[import-not-found]

from robo_reward.real_robot.deploy.keyboard import Keyboard
from robo_reward.real_robot.deploy.leader import Leader
from robo_reward.real_robot.safety_state import SafetyStop


class Typed:
    """Keys at certain calls."""

    def __init__(self, keys: dict[int, str]) -> None:
        self.keys, self.calls = keys, 0

    def __call__(self) -> str:
        self.calls += 1
        return self.keys.get(self.calls, "")


def test_a_person_holds_moves_and_ends(start: Start) -> None:
    rig = calm(start)
    hand = Keyboard(KEYS, Typed({8: " ", 12: " ", 16: "h", 17: "5+", 18: "+", 30: "q"}))
    run = loop(rig, Scripted(lambda n: pan(0.0)), hand=hand)
    assert run.run() == "ended by a person"
    assert run.record.counts["paused"] == 4
    assert run.record.counts["by_hand"] > 5
    moved = on_wire(rig, "wrist_roll")
    assert 3.5 < np.ptp(moved) < 4.5, "two keys of 2 degrees"


def test_what_a_person_led_and_called_done_is_kept_as_such(start: Start) -> None:
    """Seven periods of the policy, then by hand; a key moves a joint 2 degrees; 9 periods after "s" it is over."""
    rig = calm(start)
    hand = Keyboard(KEYS, Typed({8: "h", 10: "5+", 20: "s"}))
    run = loop(rig, Scripted(lambda n: pan(0.5)), hand=hand)
    assert run.run() == "done, says a person"
    episode = run.record.episode()
    assert episode is not None
    (led,) = episode.led()
    assert led.stop == len(episode.trace)
    assert 5 <= led.start <= 8
    asked = episode.asked[episode.by_hand]
    assert np.ptp(asked[:, 4]) == pytest.approx(2.0), "what was asked for, not what was sent"
    assert np.ptp(asked[:, 0]) == 0, "the policy moves nothing while a person leads"
    assert episode.trace.success is not None
    assert 7 <= episode.trace.success.sum() <= 9
    assert episode.trace.success[-1]


def test_x_is_an_emergency_stop(start: Start) -> None:
    rig = calm(start)
    with pytest.raises(SafetyStop, match="emergency stop: key x"):
        loop(rig, Scripted(lambda n: pan(0.1)), hand=Keyboard(KEYS, Typed({10: "x"}))).run()
    rig.wait("FAULT")


class FakeLeader:
    """A leader arm far from the follower, which is brought nearer with every look."""

    action_features = dict.fromkeys(KEYS, float)
    is_connected = True

    def __init__(self, at: dict[str, float], fails_at: int = 10**6) -> None:
        self.at = at
        self.away, self.looks, self.fails_at = 30.0, 0, fails_at

    def connect(self) -> None: ...

    def disconnect(self) -> None:
        if self.looks >= self.fails_at:
            raise ConnectionError("unplugged")

    def get_action(self) -> dict[str, float]:
        self.looks += 1
        if self.looks >= self.fails_at:
            raise ConnectionError("unplugged")
        self.away = max(self.away - 3.0, 0.0)
        return {key: value + self.away * (key == KEYS[0]) for key, value in self.at.items()}


def test_the_follower_waits_for_the_leader_to_come_near_and_a_lost_leader_stops_it(start: Start) -> None:
    rig = calm(start)
    at = rig.arm.positions()
    leader = Leader(FakeLeader(at), KEYS, Typed({5: "i", 35: "i"}))
    with leader:
        run = loop(rig, Scripted(lambda n: pan(0.0)), hand=leader)
        assert run.run() == "time"
    assert run.record.counts["paused"] == 8, "30 degrees away, 3 nearer each look, until 5"
    assert run.record.counts["by_hand"] > 5
    assert np.ptp(on_wire(rig)) < 6, "it never went to where the leader had lain"
    lost = Leader(FakeLeader(at, fails_at=15), KEYS, Typed({5: "i"}))
    with pytest.raises(SafetyStop, match="leader arm was lost"), lost:
        loop(rig, Scripted(lambda n: pan(0.0)), hand=lost).run()
    assert rig.client.observe().latched, "the policy does not take over by itself"


def test_demonstrations_by_keyboard_keep_what_a_person_called_a_success(start: Start) -> None:
    from robo_reward.real_robot.deploy.demonstrate import Told, collect

    rig = calm(start)
    robot = SimpleNamespace(
        action_features=dict.fromkeys(KEYS, float), inner=SimpleNamespace(use_degrees=True), cameras={},
        client=rig.client, connect=rig.client.arm, disconnect=lambda: None, launched=None,
        config=SimpleNamespace(rest=None, keep_server=False),
    )  # fmt: skip
    attempts = [{3: "1+", 20: "d"}, {3: "1+", 6: "+", 30: "s"}]
    kept: list[Any] = []
    told: list[str] = []

    def hand() -> Told:
        return Told(Typed(attempts.pop(0)), lambda keys: Keyboard(KEYS, keys), "h")

    collect(robot, 1, hand, "move it", 30.0, 20.0, kept.append, told.append)
    assert told[:2] == ["dropped: 0 of 1", "success: 1 of 1"]
    (trace,) = kept
    assert trace.source == "demonstration"
    assert trace.task == "move it"
    assert trace.success.tolist()[-2:] == [True, True]
    assert not trace.success[:-2].any()
    assert 3.5 < np.ptp(trace.action[:, 0]) < 4.5, "two keys of 2 degrees"
    assert rig.client.path.exists()
    assert "held in place" in told[-1]
