"""The guard without an arm: watches, states, black box and MuJoCo's workspace, with times and numbers by hand."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from robo_reward.errors import UserError
from robo_reward.real_robot import hostile_goals as small
from robo_reward.real_robot.arm_driver import Reading
from robo_reward.real_robot.black_box import BlackBox, older, read_black_box
from robo_reward.real_robot.braking import Floats
from robo_reward.real_robot.guard import Command, CommandPlan, Guard
from robo_reward.real_robot.limiter import Limiter
from robo_reward.real_robot.mujoco_workspace import WorkspacePlan, load_workspace
from robo_reward.real_robot.safety_state import Event, SafetyState, SafetyStop, State
from robo_reward.real_robot.watches import Watches, WatchPlan


def array(*values: float) -> Floats:
    return np.array(values)


START = np.array([0.0, 20.0, 30.0, 50.0])
GOAL = dict(zip(small.NAMES, START + array(30, 0, 0, 0), strict=True))
PERIOD = small.PERIOD


class Arm:
    """Follows at once; ``tell`` changes what it reports."""

    def __init__(self, plan: WatchPlan | None = None) -> None:
        self.heard: list[Event] = []
        limits = small.limits()
        limiter = Limiter(limits, PERIOD)
        watches = Watches(plan or WatchPlan(), limits)
        self.guard = Guard(limiter, watches, SafetyState(self.heard.append), CommandPlan(gentle_speed=1.0))
        self.now = 100.0
        self.sequence = 0
        self.guard.start(self.now, START)

    def send(self, goal: object = None, **late: float) -> str:
        self.sequence += 1
        sent = self.now - late.get("sent", 0.0)
        return self.guard.submit(
            self.now, Command(self.sequence, sent, self.now - late.get("observed", 0.0), goal or GOAL)
        )

    def tick(self, **told: Floats) -> Floats | None:
        self.now += PERIOD
        reading = Reading(**{"position": self.guard.limiter.command[0].copy(), **told})
        return self.guard.decide(self.now, reading)

    def run(self, ticks: int, **told: Floats) -> None:
        for _ in range(ticks):
            self.send()
            self.tick(**told)

    @property
    def state(self) -> tuple[State, str]:
        return self.guard.state.state, self.guard.state.reason


def test_nothing_moves_before_it_is_armed_and_then_it_does() -> None:
    arm = Arm()
    arm.run(20)
    assert arm.guard.limiter.command[0] == pytest.approx(START)
    assert arm.state == (State.HOLD, "not armed")
    arm.guard.arm(arm.now)
    arm.run(100)
    assert arm.guard.limiter.command[0] == pytest.approx(START + array(30, 0, 0, 0))
    assert arm.state[0] is State.RUN


def test_the_watchdog_holds_after_its_time_and_a_fresh_command_resumes() -> None:
    arm = Arm()
    arm.guard.arm(arm.now)
    arm.run(3)
    for _ in range(6):
        arm.tick()
    assert arm.state[0] is State.RUN, "0.14 s"
    arm.tick()
    arm.tick()
    assert arm.state == (State.HOLD, "no fresh command for 0.15 s")
    arm.run(1)
    assert arm.state[0] is State.RUN


def test_alternating_good_and_bad_actions_latch_once() -> None:
    arm = Arm()
    arm.guard.arm(arm.now)
    arm.run(5)
    for turn in range(20):
        arm.send({**GOAL, "lift": float("nan")} if turn % 2 == 0 else GOAL)
        arm.tick()
    assert [(event.state, event.latched) for event in arm.heard] == [("HOLD", False), ("RUN", False), ("HOLD", True)]
    assert arm.guard.resting
    arm.guard.arm(arm.now)
    arm.run(1)
    assert arm.state[0] is State.RUN


def test_commands_on_their_way_too_long_are_dropped_without_a_latch() -> None:
    arm = Arm()
    arm.guard.arm(arm.now)
    assert "0.20 s on its way" in arm.send(sent=0.2)
    assert "observation of 0.60 s ago" in arm.send(observed=0.6)
    assert arm.guard.dropped == 2
    assert not arm.guard.state.latched


@pytest.mark.parametrize(
    ("told", "seconds", "reason"),
    [
        ({"status": array(0, 36, 0, 0)}, 0.0, "motor 'lift' reports overheating and overload"),
        ({"temperature": array(30, 30, 66, 30)}, 0.0, "motor 'elbow' is at 66 C, above 65"),
        ({"voltage": array(7, 7, 7, 5.5)}, 0.0, "motor 'gripper' has 5.5 V, outside 6 to 14"),
        ({"torque": array(1, 0, 1, 1)}, 0.0, "motor 'lift' lost its torque: was it reset?"),
        ({"current": array(0, -1.6, 0, 0)}, 1.0, "joint 'lift' draws more than 1.5 A for 1 s"),
        ({"position": START + array(0, 0, 16, 0)}, 0.5, "joint 'elbow' does not follow: more than 15 behind for 0.5 s"),
    ],
)
def test_each_watch_ends_in_fault_after_its_time(told: dict[str, Floats], seconds: float, reason: str) -> None:
    arm = Arm(WatchPlan(fastest=1e6))
    began = arm.now + PERIOD
    for _ in range(100):
        if arm.tick(**told) is None:
            break
    assert arm.state == (State.FAULT, reason)
    assert arm.now - began == pytest.approx(seconds, abs=2 * PERIOD)


def test_a_gripper_that_holds_something_may_stay_behind() -> None:
    arm = Arm(WatchPlan(fastest=1e6))
    for _ in range(100):
        assert arm.tick(position=START - array(0, 0, 0, 40)) is not None


def test_one_impossible_reading_is_not_believed_and_three_are_a_fault() -> None:
    arm = Arm()
    arm.tick(position=START + array(90, 0, 0, 0))
    assert arm.guard.watches.position == pytest.approx(START)
    arm.tick()
    assert arm.guard.watches.jumps == 0
    for _ in range(3):
        arm.tick(position=START + array(90, 0, 0, 0))
    assert arm.state == (State.FAULT, "the measured position jumps, three readings in a row")


def test_missing_readings_hold_and_then_are_a_lost_bus() -> None:
    arm = Arm()
    arm.guard.arm(arm.now)
    arm.run(2)
    states = []
    for _ in range(27):
        arm.send()
        arm.now += PERIOD
        arm.guard.decide(arm.now, None)
        states.append(arm.guard.state.state)
    assert states[:5] == [State.RUN] * 5  # 0.1 s
    assert states[5:24] == [State.HOLD] * 19
    assert states[-1] is State.FAULT
    assert "bus lost" in arm.guard.state.reason


def test_a_fault_keeps_its_reason_and_cannot_be_armed_away() -> None:
    arm = Arm()
    arm.guard.fault(arm.now, "first")
    arm.guard.fault(arm.now, "second")
    arm.guard.hold(arm.now, "third")
    assert arm.state == (State.FAULT, "first")
    with pytest.raises(SafetyStop, match="ask for a reset"):
        arm.guard.arm(arm.now)
    assert arm.tick() is None


def test_the_black_box_is_whole_after_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "box.jsonl"
    code = (
        "import sys, pathlib; from robo_reward.real_robot.black_box import BlackBox\n"
        "box = BlackBox(pathlib.Path(sys.argv[1])); box.open()\n"
        "for n in range(10**9):\n    box.add({'n': n}); print(n, flush=True)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        said = [int(process.stdout.readline()) for _ in range(200)][-1]
        os.kill(process.pid, signal.SIGKILL)
    numbers = [record["n"] for record in read_black_box(path)]
    assert numbers[: said + 1] == list(range(said + 1)), "what was said to be written was written"


def test_the_black_box_skips_damage_and_goes_on_after_a_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "box.jsonl"
    for turn in range(2):
        box = BlackBox(path)
        box.open()
        box.add({"turn": turn, "x": float("nan")})
        box.close()
        box.add({"turn": "too late"})
        with open(path, "ab") as file:
            file.write(b'0badc0de {"turn": 9}\n1234')  # a flipped bit, and a line that power cut short
    assert [record["turn"] for record in read_black_box(path)] == [0, 1]


def test_the_black_box_keeps_two_segments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("robo_reward.real_robot.black_box.SEGMENT_BYTES", 1000)
    path = tmp_path / "box.jsonl"
    box = BlackBox(path)
    box.open()
    for n in range(200):
        box.add({"n": n})
    box.close()
    numbers = [record["n"] for record in read_black_box(path)]
    assert numbers == list(range(numbers[0], 200))
    assert path.stat().st_size + older(path).stat().st_size < 2100


SO101 = WorkspacePlan("robo_reward.envs:assets/so101/so101.xml", low=(-0.4, -0.4, 0.0), high=(0.45, 0.4, 0.5))
JOINTS = ("shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll", "gripper")
FOLDED = np.array([0, -99.5, 89.0, 79, 0, 5])
"""The jaw lies on the table."""


def test_mujoco_finds_table_box_and_speed() -> None:
    space = load_workspace(SO101, JOINTS)
    home = np.array([0.0, 0, 0, 0, 0, 50])
    assert space.reason(home) == ""
    down = np.array([0.0, 90, 0, 60, 0, 50])
    assert "would touch" in space.reason(down) or "outside the box" in space.reason(down)
    step = np.array([home, home + array(1, 0, 0, 0, 0, 0)])
    # the tip is some 0.3 m from the pan axis: 1 degree is 5 mm, so 0.26 m/s at 50 Hz and 0.13 m/s at 25 Hz
    assert not space.allows(step[None], 0.02)[0]
    assert space.allows(step[None], 0.04)[0]


def test_what_the_arm_rests_on_is_allowed_as_far_as_it_goes() -> None:
    space = load_workspace(SO101, JOINTS)
    folded = FOLDED
    assert "would touch" in space.reason(folded)
    space.begin(folded)
    assert space.reason(folded) == ""
    assert "'table' would touch 'fixed_jaw'" in space.reason(folded + array(0, 0, 0, 2, 0, 0))
    beside, elsewhere = array(4, 0, 0, 0, 0, 0), array(40, 0, 0, 0, 0, 0)
    assert space.reason(folded + beside) == ""
    assert "'table' would touch 'fixed_jaw'" in space.reason(folded + elsewhere), "it pressed on the table there"
    assert space.reason(folded) == "", "and may come back"
    deep = np.array([0, -60, 89.0, 79, 0, 5])
    space.begin(deep)
    assert space.reason(deep) != "", "centimetres inside the table is no resting"


@pytest.mark.parametrize("start", [np.array([0.0, 0, 0, 0, 0, 50]), FOLDED], ids=["in the air", "on the table"])
def test_no_goal_leaves_the_workspace_of_the_so101(start: Floats) -> None:
    space = load_workspace(SO101, JOINTS)
    space.begin(start)
    ranges = np.array([[-110.0, 110], [-100, 100], [-96.8, 96.8], [-95, 95], [-157, 162], [0, 100]])
    from robo_reward.real_robot.limits import LimitPlan

    limiter = Limiter(LimitPlan().limits(JOINTS, ranges), PERIOD, space)
    limiter.start(start[None])
    rng, blocked, before = np.random.default_rng(0), 0, None
    for step in range(600):
        if step % 50 == 0:
            goal = rng.uniform(*ranges.T)[None]
        emitted = limiter.step(goal)[0]
        blocked += int(limiter.blocked[0])
        assert space.reason(emitted) == ""
        tip = space._data.site_xpos[space._site].copy()
        assert before is None or np.linalg.norm(tip - before) / PERIOD <= 0.25 + 1e-6
        before = tip
    assert blocked > 40, "the workspace had something to do"


def test_a_workspace_that_does_not_fit_is_refused() -> None:
    with pytest.raises(UserError, match="does not exist"):
        load_workspace(WorkspacePlan("nowhere.xml"), JOINTS)
    with pytest.raises(UserError, match="did you mean 'gripper'"):
        load_workspace(SO101, (*JOINTS[:5], "griper"))
    with pytest.raises(UserError, match="below high"):
        WorkspacePlan("x", low=(1.0, 0, 0), high=(0.0, 1, 1))


def test_a_step_of_the_guard_fits_into_a_period() -> None:
    arm = Arm()
    arm.guard.limiter.workspace = small.workspace()
    arm.guard.arm(arm.now)
    took = []
    for _ in range(100):
        arm.send()
        began = time.perf_counter()
        arm.tick()
        took.append(time.perf_counter() - began)
    assert np.median(took) < PERIOD / 4
