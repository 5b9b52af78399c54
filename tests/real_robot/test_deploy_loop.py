"""The loop on an emulated bus: policies that are late, wrong or stuck, cameras that fail, progress that ends it."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parent))
from loop_rig import Scripted, Sees, Start, calm, interface, loop, on_wire, pan  # type: ignore[import-not-found]

from robo_reward.contracts import Needs, Observation, Transition
from robo_reward.real_robot.deploy.camera_watch import Trouble
from robo_reward.real_robot.deploy.critic import Watchers
from robo_reward.real_robot.deploy.progress_stop import ProgressPlan
from robo_reward.real_robot.safety_state import SafetyStop


def test_what_is_kept_is_what_was_sent(start: Start) -> None:
    rig = calm(start)
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
    rig = calm(start)
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
    rig = calm(start)
    run = loop(rig, Scripted(actions))
    with pytest.raises(SafetyStop, match=said) as stop:
        run.run()
    assert stop.value.exit_code == 3
    view = rig.client.observe()
    assert (view.state, view.latched) == ("HOLD", True)
    assert all(rig.arm.torque().values()), "held, not dropped"


def test_goals_of_another_unit_are_refused(start: Start) -> None:
    rig = calm(start)
    run = loop(rig, Scripted(lambda n: pan(5000.0)), interface=interface(control="goals"))
    with pytest.raises(SafetyStop, match="another unit"):
        run.run()


def test_an_overloaded_motor_is_a_fault_and_its_torque_is_off(start: Start) -> None:
    rig = calm(start)
    rig.arm.inject(36, at=0.5, motor=3)
    with pytest.raises(SafetyStop, match=r"FAULT: motor 'elbow_flex' reports overload"):
        loop(rig, Scripted(lambda n: pan(0.2))).run()
    rig.wait("FAULT")
    deadline = time.monotonic() + 3
    while any(rig.arm.torque().values()):
        assert time.monotonic() < deadline


def test_a_camera_that_comes_back_only_pauses_the_arm(start: Start) -> None:
    rig = calm(start)
    run = loop(rig, Scripted(lambda n: pan(0.2)), eyes=Sees(Trouble("camera 'front' is late"), 15, 18))
    assert run.run() == "time"
    assert run.record.counts["paused"] == 4
    assert [e["value"] for e in run.record.events if e["event"] == "paused"] == ["camera 'front' is late"]
    states = [event["value"][:2] for event in rig.events() if event["event"] == "state"]
    held = [at for at, (state, reason) in enumerate(states) if state == "HOLD" and "'front' is late" in reason]
    assert len(held) == 1, "the guard was told at once"
    assert ["RUN", ""] in states[held[0] :], "and went on"


def test_a_camera_that_stays_away_ends_the_run_and_a_swap_at_once(start: Start) -> None:
    rig = calm(start)
    gone = Sees(Trouble("camera 'front' is late"), 10)
    with pytest.raises(SafetyStop, match="'front' is late"):
        loop(rig, Scripted(lambda n: pan(0.2)), eyes=gone).run()
    assert gone.looks > 15
    rig.client.arm(again=True)
    fits = Sees()
    fits.look, looks = lambda joints: ({}, Trouble("late")) if next(looks) % 2 else Sees().look(joints), count()
    with pytest.raises(SafetyStop, match="late"):
        loop(rig, Scripted(lambda n: pan(0.2)), eyes=fits).run()
    rig.client.arm(again=True)
    swapped = Sees(Trouble("the cameras are swapped", lasting=True), 10)
    with pytest.raises(SafetyStop, match="swapped"):
        loop(rig, Scripted(lambda n: pan(0.2)), eyes=swapped).run()
    assert swapped.looks == 10


def watched_by(model: Any, judge: Any = None, **plan: Any) -> Watchers:
    return Watchers(model, judge, plan=ProgressPlan(**plan))


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
        (watched_by(Surely(lambda n: n / 60, 10)), "time"),
        (watched_by(Surely(lambda n: 0.5), stalled_time=0.5), "no progress for 0.5 s"),
        (
            watched_by(Surely(lambda n: 0.9 if n < 10 else 0.1), fallen_time=0.3),
            "progress fell from 0.90 to 0.10",
        ),
    ],
    ids=["rises", "stands", "falls"],
)
def test_progress_ends_episodes(start: Start, watchers: Any, said: str) -> None:
    run = loop(calm(start), Scripted(lambda n: pan(0.1)), watchers=watchers)
    assert said in run.run()
    assert run.critic is not None
    assert run.critic.progress is not None


def test_the_judge_ends_an_episode_in_success(start: Start) -> None:
    sure = Surely(lambda n: n / 100, success_from=12)
    run = loop(calm(start), Scripted(lambda n: pan(0.1)), watchers=watched_by(sure, sure))
    assert run.run() == "success"


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    deadline = time.monotonic() + 5
    while any(thread.name == "critic" for thread in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
