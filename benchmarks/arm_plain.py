"""The same faults on plain ``lerobot-rollout`` with its own defaults: what it sends, when it stops, how it ends."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import arm_chain as chain
import arm_fault_child as child
import numpy as np
from arm_wire import CALIBRATION, NAMES, goals_sent, read_wire, rest_after, violations

from robo_reward.errors import UserError
from robo_reward.real_robot.emulation.calibration import to_units
from robo_reward.real_robot.emulation.camera_server import CameraSettings
from robo_reward.real_robot.emulation.faults import FAULTS
from robo_reward.real_robot.emulation.own_process import EmulatedProcess
from robo_reward.runs.summary import git_commit

NOT_APPLICABLE = {
    4: "the engine makes the keys of an action itself",
    5: "the engine makes the keys of an action itself",
    18: "the sync engine knows no chunks",
    19: "the sync engine knows no chunks",
    43: "no lock: whoever opens the port has it; not run",
    48: "not compared by lerobot-rollout; not run",
    49: "as fault 1",
    50: "another strategy (dagger)",
    51: "another strategy (dagger)",
    52: "another strategy (dagger)",
    53: "it has no emergency stop",
    54: "it has no states",
}
APPLIES = tuple(fault for fault in FAULTS if fault not in NOT_APPLICABLE)
SECONDS = 5.0
MARGIN = 5.0
ENDS = 40.0


def make_checkpoint(folder: Path) -> Path:
    """A tiny ACT with LeRobot's own classes; what it says is put in its place while it runs."""
    from lerobot.configs.types import FeatureType, NormalizationMode, PolicyFeature
    from lerobot.policies.act.configuration_act import ACTConfig
    from lerobot.policies.act.modeling_act import ACTPolicy
    from lerobot.policies.factory import make_pre_post_processors

    pictures = {f"observation.images.{view}": PolicyFeature(FeatureType.VISUAL, (3, 48, 64)) for view in chain.VIEWS}
    as_it_is = NormalizationMode.IDENTITY
    config = ACTConfig(
        input_features={**pictures, "observation.state": PolicyFeature(FeatureType.STATE, (6,))},
        output_features={"action": PolicyFeature(FeatureType.ACTION, (6,))},
        normalization_mapping={"VISUAL": as_it_is, "STATE": as_it_is, "ACTION": as_it_is},
        pretrained_backbone_weights=None,
        dim_model=16, n_heads=2, dim_feedforward=32, n_encoder_layers=1, n_vae_encoder_layers=1, latent_dim=4,
        chunk_size=10, n_action_steps=10, device="cpu",
    )  # fmt: skip
    ACTPolicy(config).save_pretrained(folder)
    for processor in make_pre_post_processors(config):
        processor.save_pretrained(folder)
    return folder


def rollout(words: list[str], fault: int, started: Any, strike: Any, delay: float, log: str) -> None:
    """The process: ``lerobot-rollout`` whose policy is well until the fault is due."""
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(out, 1)
    os.dup2(out, 2)
    os.environ["HF_HUB_OFFLINE"] = "1"
    import torch
    from lerobot.policies.act.modeling_act import ACTPolicy
    from lerobot.scripts.lerobot_rollout import main

    torch.set_num_threads(1)
    clock = child.Clockwork(started, strike, delay)
    bad = child.Misbehaving(fault, clock)

    def select_action(self: Any, batch: Any, **more: Any) -> Any:
        if not started.value:
            clock.begin()
        return torch.from_numpy(np.asarray(bad.chunk()[0, :1], np.float32))

    ACTPolicy.select_action = select_action  # type: ignore[method-assign]
    _connect_patiently()
    if fault == 20:
        real = time.time
        time.time = lambda: real() + 3600.0 * clock.struck
    sys.argv = ["lerobot-rollout", *words]
    main()


def _connect_patiently() -> None:
    """While connecting, and only then, the emulated servos may take longer than LeRobot's 50 ms on a busy machine."""
    from lerobot.robots.so_follower import SO101Follower

    from robo_reward.real_robot.emulation.patience import be_patient

    real = SO101Follower.connect

    def connect(self: Any, calibrate: bool = True) -> None:
        handler = self.bus.port_handler
        before = handler.readPort, handler.setPacketTimeout
        be_patient(self.bus, 0.5)
        try:
            real(self, calibrate)
        finally:
            handler.readPort, handler.setPacketTimeout = before

    SO101Follower.connect = connect


def words(checkpoint: Path, folder: Path, port: str, camera_port: int | None, fault: int) -> list[str]:
    """The command line, with LeRobot's own defaults wherever it has one."""
    cameras = ", ".join(
        f"{view}: {{type: zmq, server_address: 127.0.0.1, port: {camera_port}, camera_name: {view}, width: 64, "
        "height: 48, fps: 30}"
        for view in chain.VIEWS
    )
    return [
        f"--policy.path={checkpoint}", "--policy.device=cpu", "--strategy.type=base", "--robot.type=so101_follower",
        f"--robot.port={port}", f"--robot.id={'stranger' if fault == 45 else 'twin'}",
        f"--robot.calibration_dir={folder}", f"--robot.cameras={{{cameras}}}", "--fps=30", f"--duration={SECONDS}",
        "--task=swing", "--play_sounds=false",
    ]  # fmt: skip


def row(fault: int, checkpoint: Path, processes: Any) -> dict[str, Any]:
    """One fault on the plain chain."""
    folder = Path(tempfile.mkdtemp(prefix=f"arm-plain-{fault:02d}-"))
    left = chain.Left(fault, folder)
    from_start = {fault: None} if FAULTS[fault].before_connect else {}
    twin = EmulatedProcess(chain.START, CameraSettings(chain.VIEWS), folder, "twin", from_start, keep=None)
    twin.start()
    try:
        _play(left, words(checkpoint, folder, twin.port, twin.camera_port, fault), twin, processes)
        time.sleep(0.3)
        left.torque = twin.torque()
    finally:
        with contextlib.suppress(UserError):
            twin.ask("save_wire", path=str(folder / "wire.jsonl"))
        twin.close()
    log = read_wire(folder / "wire.jsonl")
    broken = violations(log, *_limits(), by_period=False)
    after = left.strike or np.inf
    found = {
        "id": fault,
        "name": FAULTS[fault].name,
        "goals_after": goals_sent(log, after),
        "seconds_of_motion_after": rest_after(log, after) if left.strike else None,
        "torque_zero": not any(left.torque.values()),
        "torque_left_on": [name for name, on in left.torque.items() if on],
        "exit_code": left.exit_code,
        "hung": left.notes.get("hung", False),
        "limit_violations": broken["position"] + broken["velocity"],
        "ever_powered": any(write.value for write in log.writes("Torque_Enable")),
        "said": re.sub(r"/(tmp|dev|run)/\S+", "...", left.said)[-200:],
        "load": round(os.getloadavg()[0], 1),
        "git_commit": git_commit(),
    }
    shutil.rmtree(folder, ignore_errors=True)
    return found


def _play(left: chain.Left, told: list[str], twin: EmulatedProcess, processes: Any) -> None:
    started, strike = processes.Value("d", 0.0), processes.Value("d", 0.0)
    log = str(left.folder / "said.log")
    process = processes.Process(target=rollout, args=(told, left.fault, started, strike, chain.DELAY, log))
    process.start()
    deadline = time.monotonic() + chain.READY
    while not started.value and process.is_alive() and time.monotonic() < deadline:
        time.sleep(0.01)
    if started.value:
        time.sleep(max(0.0, strike.value - time.perf_counter()))
        left.strike = time.perf_counter()
        if left.fault == 21:
            os.kill(process.pid, 19)
            time.sleep(0.16)
            os.kill(process.pid, 18)
        else:
            chain.bring_about(left, process, twin, None)
    process.join(ENDS if started.value else 1.0)
    if process.is_alive():
        left.notes["hung"] = True
        process.kill()
        process.join()
    left.exit_code = process.exitcode


def _limits() -> tuple[Any, Any]:
    """What the guard would allow with its defaults."""
    ends = [(to_units(n, c["range_min"], c), to_units(n, c["range_max"], c)) for n, c in CALIBRATION.items()]
    margin = np.array([0.0 if name == "gripper" else MARGIN for name in NAMES])
    low, high = np.array(ends).T
    return np.minimum(low, high) + margin, np.maximum(low, high) - margin


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Counts over all faults that apply."""
    dangerous = [row for row in rows if row["torque_left_on"]]
    return {
        "faults": len(rows),
        "goals_beyond_limits": sum(row["limit_violations"] for row in rows),
        "faults_with_goals_beyond_limits": [row["id"] for row in rows if row["limit_violations"]],
        "ended_with_some_motors_powered": {row["id"]: len(row["torque_left_on"]) for row in dangerous},
        "hung": [row["id"] for row in rows if row["hung"]],
        "moved_on_for_more_than_a_second": [row["id"] for row in rows if (row["seconds_of_motion_after"] or 0) > 1],
    }
