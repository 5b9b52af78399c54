"""The whole chain: policy, loop, guarded robot, arm server, LeRobot's driver, emulated bus; exit codes and records."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("scservo_sdk")
sys.path.append(str(Path(__file__).parent))
from deployable import make_run  # type: ignore[import-not-found]

from robo_reward import cli
from robo_reward.errors import UserError
from robo_reward.real_robot.black_box import read_black_box

LENIENT = ["sight.age_periods=30", "loop.joints_age=1", "loop.patience=3", "robot.watches.bus_lost=2"]
"""For a machine that does other things, too."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("train") / "run")


@pytest.fixture
def arm(tmp_path: Path) -> Iterator[Any]:
    """An emulated arm in this process, so that its bus can be looked at."""
    from robo_reward.real_robot.emulation.emulated_arm import EmulatedArm
    from robo_reward.real_robot.emulation.ideal_plant import IdealPlant

    with EmulatedArm(IdealPlant()) as made:
        made.write_calibration(tmp_path, "twin")
        yield made


def words(arm: Any, folder: Path) -> list[str]:
    """robot=so101 on the arm of this process."""
    given = {"port": arm.port, "id": "twin", "calibration_dir": folder, "black_box": folder / "box.jsonl"}
    return ["robot=so101", *(f"robot.{key}={value}" for key, value in given.items()), "robot.workspace=null"]


def test_an_episode_on_the_emulated_arm_is_kept_as_it_was_sent(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert cli.run(["deploy", f"run={run}", f"run_dir={out}", "seconds=1", *LENIENT]) == 0
    summary = json.loads((out / "summary.json").read_text())
    assert (summary["verb"], summary["status"], summary["episodes"]) == ("deploy", "done", 1)
    assert summary["notes"]["arm"] == "parked, torque off"
    assert summary["notes"]["success_by"] == "twin"
    assert summary["notes"]["counts"]["sent"] > 10
    from robo_reward.data.datasets import read_dataset

    (episode,) = read_dataset(str(out / "episodes"), views=("front", "wrist"))
    assert episode.action.shape[1] == 6
    assert episode.frames["front"].shape[1:] == (48, 64, 3)
    sent = [record["goal"] for record in read_black_box(out / "black_box.jsonl") if "goal" in record]
    away = np.abs(episode.action[:, None, :] - np.array(sent)[None]).max(2).min(1)
    assert away.max() < 1e-3, "what is kept as action is what the guard let through"
    line = json.loads((out / "episodes.jsonl").read_text())
    assert line["reason"] == "time"
    assert line["timing"]["jitter_ms_p99"] >= 0


def test_a_fault_ends_with_exit_code_3_and_says_why(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    asked = ["deploy", f"run={run}", f"run_dir={out}", "start=false", "seconds=20", "robot.faults={36: 0.5}", *LENIENT]
    assert cli.run(asked) == 3
    summary = json.loads((out / "summary.json").read_text())
    assert summary["status"] == "failed"
    assert "reports overload" in summary["notes"]["reasons"][0]
    assert summary["notes"]["arm"].startswith("FAULT")
    assert "reports overload" in capsys.readouterr().err
    torque = [r["value"] for r in read_black_box(out / "black_box.jsonl") if r.get("event") == "torque"]
    assert set(torque[-1].values()) == {"off"}


def test_ctrl_c_leaves_the_arm_held_and_keeps_what_was_played(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"

    def interrupt() -> None:
        """Once the policy has moved the arm for a while: what was read of it is in the black box."""
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            box = out / "black_box.jsonl"
            if box.exists() and sum("command" in record for record in read_black_box(box)) > 40:
                os.kill(os.getpid(), signal.SIGINT)
                return
            time.sleep(0.1)

    waiting = threading.Thread(target=interrupt)
    waiting.start()
    asked = ["deploy", f"run={run}", f"run_dir={out}", "start=false", "seconds=100", *LENIENT]
    assert cli.run(asked) == 130
    waiting.join()
    summary = json.loads((out / "summary.json").read_text())
    assert summary["status"] == "interrupted"
    assert summary["notes"]["arm"].startswith("HOLD (the commanding process")
    assert summary["notes"]["reasons"] == ["broken off: KeyboardInterrupt"]
    assert (out / "episodes" / "meta" / "info.json").exists()


def test_a_dry_run_writes_nothing_to_the_bus(
    run: Path, tmp_path: Path, arm: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["deploy", f"run={run}", f"run_dir={tmp_path / 'out'}", "dry_run=true", "seconds=2", "views=[]"]
    assert cli.run([*asked, *words(arm, tmp_path), *LENIENT]) == 0
    assert not any(arm.torque().values())
    before_any = [write for name in ("Torque_Enable", "Goal_Position") for write in arm.wire.writes(name)]
    assert before_any == []
    said = capsys.readouterr()
    assert "would send shoulder_pan" in said.err
    assert "not moved" in said.out


def test_a_dry_run_of_the_scripted_expert_claims_no_success(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert cli.run(["deploy", f"run_dir={out}", "dry_run=true", "seconds=0.5", *LENIENT]) == 0
    summary = json.loads((out / "summary.json").read_text())
    assert (summary["success_rate"], summary["notes"]["success_by"]) == (None, None)


def test_what_does_not_fit_is_refused_before_torque(
    run: Path, tmp_path: Path, arm: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    ending = [f"run_dir={tmp_path / 'out'}", *words(arm, tmp_path), "views=[]", "seconds=1"]
    foreign = make_run(tmp_path / "foreign", features="places")
    cases = [
        ([f"run={run}", "robot.inner.use_degrees=false"], "the policy speaks degrees"),
        ([f"run={run}", "views=[front]"], "the robot has []"),
        ([f"run={foreign}"], "which no arm knows of itself"),
        ([f"run={run}", "robot.id=stranger"], "calibration file"),
        ([f"run={tmp_path}"], "not the folder of a finished train run"),
    ]
    for given, said in cases:
        assert cli.run(["deploy", *ending, *given]) == 2, said
        assert said in capsys.readouterr().err
        assert not (tmp_path / "out").exists(), "nothing is left, so the mended command can be given as it is"
    assert list(arm.wire.writes("Torque_Enable")) == []


def test_the_doctor_checks_an_arm_without_moving_it(
    tmp_path: Path, arm: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["doctor", *words(arm, tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "calibration as in the file" in said
    assert "power switch in reach" in said
    arm.inject(44, motor=2)
    assert cli.run(["doctor", *words(arm, tmp_path)]) == 2
    assert "calibration in the motors is not that of" in capsys.readouterr().out
    assert list(arm.wire.writes("Torque_Enable")) == []


def test_a_joint_that_is_moved_by_hand_must_be_the_one_that_reads_so(tmp_path: Path, arm: Any) -> None:
    from hydra import compose, initialize_config_module

    from robo_reward.build import build
    from robo_reward.real_robot.deploy.commissioning import check_arm

    with initialize_config_module("robo_reward.configs", version_base=None):
        group = compose("doctor", words(arm, tmp_path)).robot
    plant, asked = arm.plant, []
    plant._sag[:] = 0  # nobody holds the arm

    def person(question: str) -> str:
        """Moves the joint that is asked for, but takes the elbow for the wrist."""
        name = question.split("'")[1]
        asked.append(name)
        with arm.bus.lock:
            index = list(arm.servos).index("wrist_flex" if name == "elbow_flex" else name)
            plant._at[index] += 0.35
        return ""

    found = {finding.name: finding for finding in check_arm(build(group), hands=True, ask=person)}
    assert asked == list(arm.servos)
    assert found["shoulder_pan"].state == "ok"
    assert "+20." in found["shoulder_pan"].text
    assert found["elbow_flex"].state == "fail"
    assert "wrist_flex" in found["elbow_flex"].text


def test_without_a_run_an_emulated_arm_shows_the_chain_and_a_real_one_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert cli.run(["deploy", f"run_dir={out}", "robot.plant.task=push", "seconds=1", *LENIENT]) == 0
    assert "no learning" in capsys.readouterr().out
    summary = json.loads((out / "summary.json").read_text())
    assert (summary["policy"], summary["learner"], summary["notes"]["run"]) == ("scripted_expert", None, None)
    assert summary["notes"]["counts"]["sent"] > 10
    from robo_reward.data.datasets import read_dataset

    trace = next(iter(read_dataset(out / "episodes")))
    assert trace.task == "push the red cube onto the blue disc"
    assert np.ptp(trace.action, axis=0).max() > 2, "it moves"

    assert cli.run(["deploy", "robot=so101", "robot.port=/dev/nothing", f"run_dir={tmp_path / 'no'}"]) == 2
    assert "an arm needs run=DIR" in capsys.readouterr().err
    assert cli.run(["evaluate", "robot=emulated_so101", f"run_dir={tmp_path / 'no'}"]) == 2
    assert "an arm needs run=DIR" in capsys.readouterr().err


def test_goals_of_the_scripted_expert_do_not_run_away_from_the_arm() -> None:
    from robo_reward.contracts import Observation
    from robo_reward.real_robot.deploy.scripted import AHEAD, ScriptedPolicy

    class Twin:
        asked: list[dict[str, Any]]

        def __init__(self) -> None:
            self.asked = []

        def ask(self, what: str, **more: Any) -> list[float]:
            self.asked.append(more)
            return [value + 10.0 for value in more["last"]]

    twin = Twin()
    policy = ScriptedPolicy(twin, [*"abcde", "gripper.pos"])
    look = Observation({}, np.zeros((1, 6), np.float32), ("",))
    assert policy.act(look).tolist() == [[[10.0] * 6]]
    assert policy.act(look).tolist() == [[[10.0] * 6]], "the arm is more than AHEAD behind: it is waited for"
    assert len(twin.asked) == 1
    near = np.array([[10.0 - AHEAD] * 5 + [-50.0]], np.float32)  # jaws that hold something lag by more
    assert policy.act(Observation({}, near, ("",))).tolist() == [[[20.0] * 6]]
    policy.reset(np.ones(1, bool))
    policy.act(look)
    assert [asked["fresh"] for asked in twin.asked] == [True, False, True]
    assert [asked["last"][0] for asked in twin.asked] == [0.0, 10.0, 0.0]
    with pytest.raises(UserError, match="emulated arms only"):
        ScriptedPolicy(None, [])


def test_evaluate_on_an_arm_is_deploy_with_a_question(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from robo_reward.arm import policy_run

    seen: list[Any] = []
    monkeypatch.setattr(policy_run, "run_on_arm", lambda verb, cfg: seen.append((verb, cfg)))
    assert cli.run(["evaluate", f"run={run}", "robot=so101", "robot.port=/dev/nothing"]) == 0
    assert cli.run(["evaluate", f"run={run}", "robot=emulated_so101", "episodes=3"]) == 0
    (verb, real), (_, twin) = seen
    assert verb == "evaluate"
    assert (real.operator, real.episodes, real.robot.port, real.run) == (True, 10, "/dev/nothing", str(run))
    assert (twin.operator, twin.episodes) == (False, 3), "the twin knows"
    assert cli.run(["evaluate", f"run={run}", "robot=so101", "horizon=10"]) == 2
    for simulated in ("env.starts=moved", "execute=3", "disturbance=sweep"):
        assert cli.run(["evaluate", f"run={run}", "robot=emulated_so101", simulated]) == 2
    assert len(seen) == 2
