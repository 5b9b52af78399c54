"""The loop on an emulated bus: policies that are late, wrong or stuck, cameras that fail, people who step in."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from robo_reward.contracts import Needs, Observation, Transition
from robo_reward.real_robot.deploy.camera_watch import Trouble
from robo_reward.real_robot.deploy.critic import Critic, Watchers
from robo_reward.real_robot.deploy.goals import GoalMaker
from robo_reward.real_robot.deploy.interface import PolicyInterface
from robo_reward.real_robot.deploy.keyboard import Keyboard
from robo_reward.real_robot.deploy.leader import Leader
from robo_reward.real_robot.deploy.loop import DeployLoop, LoopPlan
from robo_reward.real_robot.deploy.metronome import Metronome
from robo_reward.real_robot.deploy.progress_stop import ProgressPlan
from robo_reward.real_robot.deploy.record import Record
from robo_reward.real_robot.safety_state import SafetyStop

NAMES = ("shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll", "gripper")
KEYS = tuple(f"{name}.pos" for name in NAMES)
Start = Callable[..., Any]
PICTURE = np.full((1, 24, 32, 3), 90, np.uint8)
LOW, HIGH = (-90.0,) * 5 + (0.0,), (90.0,) * 5 + (100.0,)


def interface(**more: Any) -> PolicyInterface:
    given = {"joints": KEYS, "control": "steps", "low": LOW, "high": HIGH, "speed": (60.0,) * 6, "fps": 30.0}
    return PolicyInterface(**{**given, "views": ("front",), "height": 24, "width": 32, "task": "reach", **more})


class Scripted:
    """Says ``actions(number of the look)``: (K, 6)."""

    def __init__(self, actions: Callable[[int], Any]) -> None:
        self.actions, self.looks = actions, 0

    def act(self, observation: Observation) -> Any:
        self.looks += 1
        return np.asarray(self.actions(self.looks - 1), np.float32)[None]

    def reset(self, fresh: Any) -> None:
        self.looks = 0

    def save(self, folder: Any) -> None: ...


class Sees:
    """Cameras that are in trouble from one look to another."""

    def __init__(self, trouble: Trouble | None = None, first: int = 0, last: int = 10**6) -> None:
        self.trouble, self.first, self.last, self.looks = trouble, first, last, 0

    def look(self, joints: Any) -> tuple[dict[str, Any], Trouble | None]:
        self.looks += 1
        if self.trouble is not None and self.first <= self.looks <= self.last:
            return {}, self.trouble
        return {"front": PICTURE}, None


def pan(step: float, chunk: int = 1) -> list[list[float]]:
    return [[step, 0, 0, 0, 0, 0]] * chunk


def loop(rig: Any, policy: Scripted, **more: Any) -> DeployLoop:
    face = more.pop("interface", interface())
    watchers = more.pop("watchers", Watchers())
    rig.client.arm()
    acceleration = np.array(rig.client.about["limits"]["acceleration"])
    plan = LoopPlan(**{"seconds": 2.0, "patience": 0.8, "joints_age": 2.0, **more.pop("plan", {})})
    return DeployLoop(
        arm=rig.client,
        eyes=more.pop("eyes", Sees()),
        policy=policy,
        interface=face,
        maker=GoalMaker(face, acceleration),
        critic_of=lambda first: Critic(watchers, face.fps, first),
        record=Record(face.views, face.fps, face.task),
        plan=plan,
        metronome=Metronome(face.fps),
        **more,
    )


def on_wire(rig: Any, name: str = "shoulder_pan") -> np.ndarray:
    return np.asarray(rig.arm.wire.goals_in_units(name)[1])


def test_what_is_kept_is_what_was_sent(start: Start) -> None:
    rig = start()
    run = loop(rig, Scripted(lambda n: pan(0.5)))
    assert run.run() == "time"
    trace = run.record.trace()
    assert trace is not None
    assert trace.state.shape[1] == trace.action.shape[1] == 6
    assert trace.frames["front"].shape[1:] == (24, 32, 3)
    wire = on_wire(rig)
    # each kept action is a goal of the wire, not the one that was asked for; an encoder tick is 0.09 degrees
    nearest = np.abs(trace.action[:, 0][:, None] - wire[None]).min(1)
    assert nearest.max() < 0.1
    assert trace.action[-1, 0] > 3, "it moved"
    assert np.diff(trace.action[:, 0]).max() <= 60 / 30 + 60 * 0.02 + 0.2
    assert run.record.counts["sent"] > 10


def test_chunks_go_out_one_action_a_period(start: Start) -> None:
    rig = start()
    policy = Scripted(lambda n: pan(0.3, 10))
    run = loop(rig, policy)
    assert run.run() == "time"
    assert policy.looks < run.record.counts["sent"], "one look for several actions"
    assert run.schedule.replaced > 0


@pytest.mark.parametrize(
    ("actions", "said"),
    [
        (lambda n: pan(float("nan") if n > 5 else 0.2), "shoulder_pan' is nan"),
        (lambda n: [[0.1] * 5], r"shape \(1, 1, 5\)"),
        (lambda n: time.sleep(2.0) or pan(0.2), "no action came in time"),
        (lambda n: time.sleep(0.06) or pan(0.2), "a period is 0.033 s"),
    ],
    ids=["NaN", "shape", "hangs", "slow"],
)
def test_policies_that_end_in_a_held_arm(start: Start, actions: Any, said: str) -> None:
    rig = start()
    run = loop(rig, Scripted(actions))
    with pytest.raises(SafetyStop, match=said) as stop:
        run.run()
    assert stop.value.exit_code == 3
    view = rig.client.observe()
    assert (view.state, view.latched) == ("HOLD", True)
    assert all(rig.arm.torque().values()), "held, not dropped"


def test_goals_of_another_unit_are_refused(start: Start) -> None:
    rig = start()
    run = loop(rig, Scripted(lambda n: pan(5000.0)), interface=interface(control="goals"))
    with pytest.raises(SafetyStop, match="another unit"):
        run.run()


def test_an_overloaded_motor_is_a_fault_and_its_torque_is_off(start: Start) -> None:
    rig = start()
    rig.arm.inject(36, at=0.5, motor=3)
    with pytest.raises(SafetyStop, match=r"FAULT: motor 'elbow_flex' reports overload"):
        loop(rig, Scripted(lambda n: pan(0.2))).run()
    rig.wait("FAULT")
    deadline = time.monotonic() + 3
    while any(rig.arm.torque().values()):
        assert time.monotonic() < deadline


def test_a_camera_that_comes_back_only_pauses_the_arm(start: Start) -> None:
    rig = start()
    run = loop(rig, Scripted(lambda n: pan(0.2)), eyes=Sees(Trouble("camera 'front' is late"), 15, 18))
    assert run.run() == "time"
    assert run.record.counts["paused"] == 4
    assert [e["value"] for e in run.record.events if e["event"] == "paused"] == ["camera 'front' is late"]
    states = [event["value"][:2] for event in rig.events() if event["event"] == "state"]
    held = [at for at, (state, reason) in enumerate(states) if state == "HOLD" and "'front' is late" in reason]
    assert len(held) == 1, "the guard was told at once"
    assert ["RUN", ""] in states[held[0] :], "and went on"


def test_a_camera_that_stays_away_ends_the_run_and_a_swap_at_once(start: Start) -> None:
    rig = start()
    gone = Sees(Trouble("camera 'front' is late"), 10)
    with pytest.raises(SafetyStop, match="'front' is late"):
        loop(rig, Scripted(lambda n: pan(0.2)), eyes=gone).run()
    assert gone.looks > 15
    rig.client.arm(again=True)
    swapped = Sees(Trouble("the cameras are swapped", lasting=True), 10)
    with pytest.raises(SafetyStop, match="swapped"):
        loop(rig, Scripted(lambda n: pan(0.2)), eyes=swapped).run()
    assert swapped.looks == 10


class Surely:
    """A reward model and a judge by a table: progress and success of the n-th look."""

    def __init__(self, progress: Callable[[int], float], success_from: int = 10**6) -> None:
        self.needs, self.looks = Needs(views=("front",), stride=1), 0
        self.progress, self.success_from = progress, success_from

    def begin(self, first: Observation, fresh: Any) -> None: ...

    def estimate(self, transition: Transition) -> Any:
        self.looks += 1
        return SimpleNamespace(progress=np.array([self.progress(self.looks)]))

    def moment(self, trace: Any) -> int | None:
        return 0 if self.looks >= self.success_from else None


@pytest.mark.parametrize(
    ("watchers", "said"),
    [
        (Watchers(Surely(lambda n: n / 60, 10), None), "time"),
        (Watchers(Surely(lambda n: 0.5), plan=ProgressPlan(stalled_time=0.5)), "no progress for 0.5 s"),
        (
            Watchers(Surely(lambda n: 0.9 if n < 10 else 0.1), plan=ProgressPlan(fallen_time=0.3)),
            "progress fell from 0.90 to 0.10",
        ),
    ],
    ids=["rises", "stands", "falls"],
)
def test_progress_ends_episodes(start: Start, watchers: Any, said: str) -> None:
    run = loop(start(), Scripted(lambda n: pan(0.1)), watchers=watchers)
    assert said in run.run()
    assert run.critic is not None
    assert run.critic.progress is not None


def test_the_judge_ends_an_episode_in_success(start: Start) -> None:
    sure = Surely(lambda n: n / 100, success_from=12)
    run = loop(start(), Scripted(lambda n: pan(0.1)), watchers=Watchers(sure, sure))  # type: ignore[arg-type]
    assert run.run() == "success"


class Typed:
    """Keys at certain calls."""

    def __init__(self, keys: dict[int, str]) -> None:
        self.keys, self.calls = keys, 0

    def __call__(self) -> str:
        self.calls += 1
        return self.keys.get(self.calls, "")


def test_a_person_holds_moves_and_ends(start: Start) -> None:
    rig = start()
    hand = Keyboard(KEYS, Typed({8: " ", 12: " ", 16: "h", 17: "5+", 18: "+", 30: "q"}))
    run = loop(rig, Scripted(lambda n: pan(0.0)), hand=hand)
    assert run.run() == "ended by a person"
    assert run.record.counts["paused"] == 4
    assert run.record.counts["by_hand"] > 5
    moved = on_wire(rig, "wrist_roll")
    assert 3.5 < np.ptp(moved) < 4.5, "two keys of 2 degrees"


def test_x_is_an_emergency_stop(start: Start) -> None:
    rig = start()
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

    def disconnect(self) -> None: ...

    def get_action(self) -> dict[str, float]:
        self.looks += 1
        if self.looks >= self.fails_at:
            raise ConnectionError("unplugged")
        self.away = max(self.away - 3.0, 0.0)
        return {key: value + self.away * (key == KEYS[0]) for key, value in self.at.items()}


def test_the_follower_waits_for_the_leader_to_come_near_and_a_lost_leader_stops_it(start: Start) -> None:
    rig = start()
    at = rig.arm.positions()
    leader = Leader(FakeLeader(at), KEYS, Typed({5: "i", 35: "i"}))
    with leader:
        run = loop(rig, Scripted(lambda n: pan(0.0)), hand=leader)
        assert run.run() == "time"
    assert run.record.counts["paused"] == 8, "30 degrees away, 3 nearer each look, until 5"
    assert run.record.counts["by_hand"] > 5
    assert np.ptp(on_wire(rig)) < 6, "it never went to where the leader had lain"
    lost = Leader(FakeLeader(at, fails_at=15), KEYS, Typed({5: "i"}))
    with pytest.raises(SafetyStop, match="leader arm was lost"):
        loop(rig, Scripted(lambda n: pan(0.0)), hand=lost).run()
    assert rig.client.observe().latched, "the policy does not take over by itself"


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    deadline = time.monotonic() + 5
    while any(thread.name == "critic" for thread in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
