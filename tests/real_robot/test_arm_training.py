"""Learning on the emulated arm through the whole chain: one command, interrupted, resumed, deployed."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest

pytest.importorskip("scservo_sdk")

from robo_reward import cli
from robo_reward.real_robot.safety_state import SafetyStop

LENIENT = ["arm.loop.joints_age=1", "arm.loop.patience=3", "arm.sight.age_periods=30", "robot.watches.bus_lost=2"]
SMALL = [
    "learner=hil_serl", "demos=2", "rollouts=3", "episodes=1", "learner.sight_updates=5", "learner.refresh_updates=2",
    "reward_model.fit.steps=5", "learner.updates_per_step=0.2", "arm.checkpoint_every=1", "arm.operator.patience=0.3",
]  # fmt: skip


def lines(run: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (run / "episodes.jsonl").read_text().splitlines()]


def finish(asked: list[str]) -> None:
    """Trains to the end. In real time a guard may have reason to stop the arm (exit code 3); then the run goes on."""
    code = cli.run(asked)
    for _ in range(2):
        if code != SafetyStop.exit_code:
            break
        code = cli.run([*asked, "resume=true"])
    assert code == 0


def test_an_arm_practises_is_interrupted_goes_on_and_is_deployed(tmp_path: Path) -> None:
    run = tmp_path / "run"

    def interrupt() -> None:
        """In the second episode of practice."""
        deadline = time.monotonic() + 200
        while time.monotonic() < deadline and not (run / "checkpoints" / "latest").exists():
            time.sleep(0.1)
        time.sleep(1.0)
        os.kill(os.getpid(), signal.SIGINT)

    waiting = threading.Thread(target=interrupt)
    waiting.start()
    asked = ["train", f"run_dir={run}", *SMALL, *LENIENT]
    assert cli.run(asked) == 130
    waiting.join()
    assert json.loads((run / "summary.json").read_text())["status"] == "interrupted"
    before = [line["role"] for line in lines(run)]
    assert before[:3].count("demonstration") == 2
    assert "evaluation" in before

    finish([*asked, "resume=true"])
    summary = json.loads((run / "summary.json").read_text())
    assert (summary["status"], summary["rollouts"], summary["used_env_success"]) == ("done", 3, False)
    assert summary["notes"]["interventions_total"] == sum(summary["notes"]["interventions"])
    assert [line["role"] for line in lines(run)].count("demonstration") >= 2, "not shown a second time"
    assert sum(line["how"] == "before" for line in lines(run)) == 1
    assert (run / "episodes" / "meta" / "info.json").exists()
    assert (run / "reward_model" / "model.yaml").exists()
    assert not (run / "practice").exists()

    out = tmp_path / "deployed"
    more = [f"run={run}", f"run_dir={out}", "seconds=1", "loop.joints_age=1", "loop.patience=3", "sight.age_periods=30"]
    assert cli.run(["deploy", *more, "robot.watches.bus_lost=2"]) == 0
    assert json.loads((out / "summary.json").read_text())["notes"]["counts"]["sent"] > 10


def test_practice_without_resets_goes_there_and_back(tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = ["arm.name=push", "arm.task=push it there", "arm.back={task: push it back}", "arm.seconds=6"]
    small = [*SMALL, "demos=1", "rollouts=2", "episodes=0", "arm.checkpoint_every=2"]
    finish(["train", f"run_dir={run}", *small, *words, *LENIENT])
    whole = [line for line in lines(run) if not line["stopped"]]
    played = [(line["role"], line["back"]) for line in whole if line["role"] == "practice"]
    assert played == [("practice", False), ("practice", True)]
    assert [line["role"] for line in lines(run)].count("demonstration") >= 2, "one of each direction"
    from robo_reward.data.datasets import read_dataset

    assert {trace.task for trace in read_dataset(run / "episodes")} == {"push it there", "push it back"}
    for folder, task in ((run, "push it there"), (run / "back", "push it back")):
        assert json.loads((folder / "policy" / "interface.json").read_text())["task"] == task
        assert (folder / "reward_model" / "model.yaml").exists()
    assert json.loads((run / "summary.json").read_text())["notes"]["put_back"] in (0, 1)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["learner=hil_serl", "rollouts=null"], "rollouts=N is needed"),
        (["learner=hil_serl", "robot=so101"], "emulated arm only"),
        (["learner=hil_serl", "robot=so101", "arm.teleop=keyboard"], "learns from demonstrations"),
        (["robot=so101"], "learner=hil_serl"),
        (["learner=hil_serl", "~arm.start.gripper"], "arm.start must give a value"),
        (["learner=hil_serl", "learner.scale=9"], "learner.demonstration_share"),
        (["learner=hil_serl", "arm.back={task: go back}"], "no task undoes 'reach'"),
        (["learner=hil_serl", "arm.back={}"], "needs the words"),
        (["learner=hil_serl", "arm.behind=-1"], "arm.behind=-1"),
        (["learner=hil_serl", "arm.pause=-1"], "arm.pause=-1"),
    ],
)
def test_what_cannot_be_is_refused_before_torque(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    real = "robot=so101" in words
    cameras = "robot.cameras={front: {type: opencv, index_or_path: 0, width: 64, height: 48, fps: 30}}"
    port = ["robot.port=/dev/nothing", "robot.id=a", cameras] if real else []
    assert cli.run(["train", f"run_dir={out}", *words, *port]) == 2
    assert said in capsys.readouterr().err
    assert not out.exists()
