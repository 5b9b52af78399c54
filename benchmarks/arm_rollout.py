"""LeRobot's own programs, unchanged, through the guard: rollout (tiny ACT, tiny SmolVLA), record, teleoperate, replay.

python benchmarks/arm_rollout.py   (a minute a program, most of it imports; LeRobot finds the guard by its plug-in)
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import arm_chain as chain
import arm_fault_child as child
from arm_plain import make_checkpoint
from arm_wire import Box, goals_sent, read_wire, violations
from cells import Row, run_cells, write_result

from robo_reward.errors import UserError
from robo_reward.real_robot.arm_client import ArmClient
from robo_reward.real_robot.emulation.camera_server import CameraSettings
from robo_reward.real_robot.emulation.emulated_arm import EmulatedArm
from robo_reward.real_robot.emulation.ideal_plant import IdealPlant
from robo_reward.real_robot.emulation.own_process import EmulatedProcess

ROOT = Path(__file__).parents[1]
SECONDS = 5
WORKSPACE = (
    "{model: 'robo_reward.envs:assets/so101/so101.xml', tip: tcp, low: [-0.4, -0.4, 0.0], high: [0.45, 0.4, 0.5]}"
)


def make_smolvla(folder: Path) -> Path:
    """A SmolVLA of a few hundred thousand weights with a language model of its own, as the tests build it."""
    sys.path.append(str(ROOT / "tests/policies/vla"))
    from lerobot.configs.types import FeatureType, PolicyFeature
    from lerobot.policies.factory import make_pre_post_processors
    from lerobot.policies.smolvla.configuration_smolvla import SmolVLAConfig
    from lerobot.policies.smolvla.modeling_smolvla import SmolVLAPolicy
    from tiny_smolvlm import SETTINGS, build_vlm  # type: ignore[import-not-found]

    pictures = {f"observation.images.{view}": PolicyFeature(FeatureType.VISUAL, (3, 48, 64)) for view in chain.VIEWS}
    settings = {**SETTINGS, "max_state_dim": 8, "max_action_dim": 8, "chunk_size": 10, "n_action_steps": 10}
    config = SmolVLAConfig(
        vlm_model_name=str(build_vlm(folder / "vlm")),
        input_features={**pictures, "observation.state": PolicyFeature(FeatureType.STATE, (6,))},
        output_features={"action": PolicyFeature(FeatureType.ACTION, (6,))},
        device="cpu",
        **settings,
    )
    SmolVLAPolicy(config).save_pretrained(folder)
    for processor in make_pre_post_processors(config):
        processor.save_pretrained(folder)
    return folder


def robot_words(folder: Path, twin: EmulatedProcess) -> list[str]:
    """The guarded robot as one writes it for LeRobot's programs."""
    cameras = ", ".join(
        f"{view}: {{type: zmq, server_address: 127.0.0.1, port: {twin.camera_port}, camera_name: {view}, width: 64, "
        "height: 48, fps: 30, timeout_ms: 400}"
        for view in chain.VIEWS
    )
    inner = f"{{type: so101_follower, port: {twin.port}, cameras: {{{cameras}}}}}"
    given = {
        "type": "guarded_robot", "id": "twin", "calibration_dir": folder, "inner": inner, "workspace": WORKSPACE,
        "black_box": folder / "box.jsonl", "socket": folder / "arm.sock", "answer_seconds": 2.0,
    }  # fmt: skip
    return [f"--robot.{key}={value}" for key, value in given.items()]


def rollout(checkpoint: Path, more: list[str]) -> list[str]:
    """lerobot-rollout's words but for the robot."""
    given = [f"--policy.path={checkpoint}", "--policy.device=cpu", "--strategy.type=base", "--fps=30"]
    return ["lerobot.scripts.lerobot_rollout", *given, f"--duration={SECONDS}", "--task=go right",
            "--play_sounds=false", *more]  # fmt: skip


def program(words: list[str], name: str) -> Row:
    """Runs one of LeRobot's programs on a new emulated arm; its row."""
    with tempfile.TemporaryDirectory(prefix="arm-rollout-") as held, contextlib.ExitStack() as stack:
        folder = Path(held)
        twin = EmulatedProcess(chain.START, CameraSettings(chain.VIEWS), folder, "twin", keep=None)
        twin.start()
        stack.callback(twin.close)
        if name in ("record", "replay"):
            words = [*words, f"--dataset.root={folder / 'data'}"]
        if name in ("record", "teleoperate"):
            words = [*words, *stack.enter_context(leader(folder))]
        if name == "replay":
            write_recording(folder / "data")
        env = {**os.environ, "PYTHONPATH": str(ROOT / "plugins/lerobot_policy_robo_reward"), "HF_HUB_OFFLINE": "1"}
        began = time.monotonic()
        command = [sys.executable, "-m", *words, *robot_words(folder, twin)]
        done = subprocess.run(command, capture_output=True, text=True, env=env, stdin=subprocess.DEVNULL, timeout=400)
        seconds = time.monotonic() - began
        torque = twin.torque()
        twin.ask("save_wire", path=str(folder / "wire.jsonl"))
        with contextlib.suppress(UserError):  # a stop by the guard leaves its server
            client = ArmClient(folder / "arm.sock", "benchmark", deadline=2.0)
            client.connect()
            client.stop(park=False)
        log, box = read_wire(folder / "wire.jsonl"), Box.read(folder / "box.jsonl")
        limits = box.limits()
        commands = [record for record in box.records if "command" in record]
        row: Row = {
            "program": name,
            "exit_code": done.returncode,
            "seconds": round(seconds, 1),
            "commands": len(commands),
            "commands_refused": sum(bool(record["refused"]) for record in commands),
            "goals_on_wire": goals_sent(log),
            "limit_violations": sum(violations(log, *limits, by_period=True).values()) if limits else None,
            "torque_zero": not any(torque.values()),
            "black_box_complete": box.complete(log) if box.records else None,
            "load": round(os.getloadavg()[0], 1),
        }
        if done.returncode:
            row["error"] = done.stderr.strip()[-300:]
        if name == "record" and not done.returncode:
            row["dataset"] = dataset(folder / "data")
    return row


@contextlib.contextmanager
def leader(folder: Path) -> Iterator[list[str]]:
    """A leader arm that a hand moves slowly: LeRobot's SO101Leader on an emulated bus of its own."""
    plant = IdealPlant(start=(*child.START[:5], 0.0), sags=False)
    with EmulatedArm(plant) as arm:
        arm.write_calibration(folder / "leader", "leader")
        moving = threading.Event()

        def hand() -> None:
            began = time.monotonic()
            while not moving.wait(0.02):
                with arm.bus.lock:
                    plant._at[0] = math.radians(20) * math.sin((time.monotonic() - began) / 2)

        thread = threading.Thread(target=hand, daemon=True)
        thread.start()
        given = {"type": "so101_leader", "port": arm.port, "id": "leader", "calibration_dir": folder / "leader"}
        yield [f"--teleop.{key}={value}" for key, value in given.items()]
        moving.set()
        thread.join()


def write_recording(root: Path) -> None:
    """An episode as ``deploy`` and ``collect`` keep it: joints by name, goals as sent; a swing of the arm."""
    import numpy as np

    from robo_reward.data.datasets import write_dataset
    from robo_reward.trace import Trace

    goals = np.array([child.swing(step / 30) for step in range(30 * SECONDS + 1)], np.float32)
    pictures = {view: np.zeros((len(goals), 48, 64, 3), np.uint8) for view in chain.VIEWS}
    trace = Trace("swing", goals, goals[1:], pictures, np.arange(len(goals)), 30.0, "policy")
    write_dataset([trace], root, images=True, robot_type="guarded_robot", joints=child.KEYS)


def dataset(root: Path) -> dict[str, Any]:
    """Episodes and frames that lerobot-record kept."""
    info = json.loads((root / "meta/info.json").read_text())
    return {"episodes": info["total_episodes"], "frames": info["total_frames"], "keys": sorted(info["features"])}


RECORD = [
    "lerobot.scripts.lerobot_record", "--dataset.repo_id=local/guarded", "--dataset.single_task=follow",
    "--dataset.num_episodes=2", f"--dataset.episode_time_s={SECONDS}", "--dataset.reset_time_s=1",
    "--dataset.push_to_hub=false", "--dataset.video=false", "--play_sounds=false",
]  # fmt: skip

TELEOPERATE = ["lerobot.scripts.lerobot_teleoperate", "--fps=30", f"--teleop_time_s={SECONDS}"]
REPLAY = ["lerobot.scripts.lerobot_replay", "--dataset.repo_id=local/guarded", "--dataset.episode=0",
          "--play_sounds=false"]  # fmt: skip


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="arm-checkpoints-") as held:
        folder = Path(held)
        act, vla = make_checkpoint(folder / "act"), make_smolvla(folder / "smolvla")
        rtc = ["--inference.type=rtc", "--inference.rtc.execution_horizon=8", "--inference.queue_threshold=10"]
        cells = {
            "act": lambda: program(rollout(act, []), "rollout act"),
            "smolvla": lambda: program(rollout(vla, []), "rollout smolvla"),
            "smolvla_rtc": lambda: program(rollout(vla, rtc), "rollout smolvla rtc"),
            "record": lambda: program(RECORD, "record"),
            "teleoperate": lambda: program(TELEOPERATE, "teleoperate"),
            "replay": lambda: program(REPLAY, "replay"),
        }
        rows = run_cells("arm_rollout", cells, jobs=1)
    summary = {
        "programs": len(rows),
        "ended_well": sum(row["exit_code"] == 0 for row in rows),
        "limit_violations": sum(row["limit_violations"] or 0 for row in rows),
    }
    write_result("arm_rollout", "python benchmarks/arm_rollout.py", rows, summary, (0,))
    print(summary)


if __name__ == "__main__":
    main()
