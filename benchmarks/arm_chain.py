"""One run of the whole chain under one fault: emulated arm, ``robo-reward deploy``, what is done, what is left."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import arm_fault_child as child

from robo_reward.errors import UserError
from robo_reward.real_robot.arm_client import ArmClient
from robo_reward.real_robot.arm_server.launch import default_socket
from robo_reward.real_robot.emulation.camera_server import CameraSettings
from robo_reward.real_robot.emulation.faults import FAULTS
from robo_reward.real_robot.emulation.own_process import EmulatedProcess

DELAY = 2.0
"""Seconds into the episode at which the fault strikes: the gentle second after arming is over."""
PLANT = "robo_reward.real_robot.emulation.ideal_plant.IdealPlant"
START = {"_target_": PLANT, "start": (*child.START[:5], 0.0), "sags": False}
VIEWS = ("front", "wrist")
SECONDS = {9: 12.0, 33: 9.0, 43: 16.0}
MORE = {11: ["loop.patience=2"], 45: ["robot.id=stranger"]}
SERVO_MOTOR = 3
READY, ENDS = 120.0, 60.0


@dataclass
class Left:
    """What a run leaves behind; ``strike`` in perf_counter seconds, 0 where the episode never began."""

    fault: int
    folder: Path
    exit_code: int | None = None
    strike: float = 0.0
    torque: dict[str, bool] = field(default_factory=dict)
    server: dict[str, Any] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)
    began: float = 0.0
    """When the arm's port opened."""

    @property
    def said(self) -> str:
        """The last line that the program wrote."""
        log = self.folder / "said.log"
        lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()] if log.exists() else []
        return next((line for line in reversed(lines) if line.startswith("robo-reward:")), lines[-1] if lines else "")


def context() -> Any:
    """Processes that come with LeRobot and torch loaded."""
    made = multiprocessing.get_context("forkserver")
    made.set_forkserver_preload(["arm_preload"])
    return made


def words(run: Path, folder: Path, port: str, camera_port: int | None, fault: int) -> list[str]:
    """The command line of the deploy verb."""
    cameras = ", ".join(
        f"{view}: {{type: zmq, server_address: 127.0.0.1, port: {camera_port}, camera_name: {view}, "
        "height: 48, width: 64, fps: 30, timeout_ms: 400, warmup_s: 1}"
        for view in VIEWS
    )
    given = [
        "deploy", f"run={run}", f"run_dir={folder / 'out'}", "robot=so101", f"robot.port={port}", "robot.id=twin",
        f"robot.calibration_dir={folder}", f"robot.black_box={folder / 'box.jsonl'}", f"robot.cameras={{{cameras}}}",
        f"seconds={SECONDS.get(fault, 7.0)}", "watch=false", "robot.answer_seconds=1.0",
    ]  # fmt: skip
    return [*given, *MORE.get(fault, [])]


@contextlib.contextmanager
def leader_words(fault: int, folder: Path) -> Iterator[tuple[list[str], Any]]:
    """For the faults with people: the words of their hand, and the leader arm (on an emulated bus of its own)."""
    if fault not in (50, 51, 52):
        yield [], None
        return
    if fault == 50:
        yield ["teleop=keyboard"], None
        return
    away = 40.0 if fault == 51 else 0.0
    plant = {**START, "start": (away, *child.START[1:5], 0.0)}
    arm = EmulatedProcess(plant, CameraSettings(()), folder / "leader", "leader")
    arm.start()
    settings = {"port": arm.port, "id": "leader", "calibration_dir": folder / "leader"}
    try:
        yield ["teleop=so101_leader", *(f"leader.{key}={value}" for key, value in settings.items())], arm
    finally:
        arm.close()


def run(fault: int, runs: dict[str, Path], processes: Any) -> Left:
    """Brings everything up, lets the fault strike, waits for the end, and looks at what is left."""
    folder = Path(tempfile.mkdtemp(prefix=f"arm-fault-{fault:02d}-"))
    left = Left(fault, folder)
    from_start = {fault: None} if FAULTS[fault].before_connect else {}
    twin = EmulatedProcess(START, CameraSettings(VIEWS), folder, "twin", from_start, keep=None)
    twin.start()
    try:
        with leader_words(fault, folder) as (more, leader):
            told = words(runs.get(str(fault), runs["good"]), folder, twin.port, twin.camera_port, fault) + more
            _play(left, told, twin, leader, processes)
        _look(left, twin)
    finally:
        with contextlib.suppress(UserError):
            twin.ask("save_wire", path=str(folder / "wire.jsonl"))
        _stop_server(twin.port)
        twin.close()
    return left


def _play(left: Left, told: list[str], twin: EmulatedProcess, leader: Any, processes: Any) -> None:
    started, strike = processes.Value("d", 0.0), processes.Value("d", 0.0)
    left.began = time.perf_counter()
    process = processes.Process(
        target=child.deploy, args=(told, left.fault, started, strike, DELAY, str(left.folder / "said.log"))
    )
    process.start()
    deadline = time.monotonic() + READY
    while not started.value and process.is_alive() and time.monotonic() < deadline:
        time.sleep(0.01)
    if started.value:
        left.strike = strike.value
        time.sleep(max(0.0, strike.value - time.perf_counter()))
        at = time.perf_counter()
        bring_about(left, process, twin, leader)
        if left.fault not in child_faults():
            left.strike = at
    process.join(ENDS)
    if process.is_alive():
        left.notes["hung"] = True
        process.kill()
        process.join()
    left.exit_code = process.exitcode
    if left.fault == 54:
        _again(left, told, processes)


def child_faults() -> set[int]:
    """Those that the policy's process brings about by itself."""
    return {*range(1, 13), 14, 18, 19, 20, 50, 51}


def bring_about(left: Left, process: Any, twin: EmulatedProcess, leader: Any) -> None:
    """What is done from outside at the time of the fault."""
    fault, entry = left.fault, FAULTS[left.fault]
    if entry.where != "caller" and not entry.before_connect:
        twin.inject(fault, **({"motor": SERVO_MOTOR} if entry.where == "servo" else {}))
    elif fault == 13:
        os.kill(process.pid, signal.SIGKILL)
    elif fault in (15, 16):
        os.kill(process.pid, signal.SIGINT)
        if fault == 16:
            time.sleep(0.15)
            os.kill(process.pid, signal.SIGINT)
    elif fault == 17:
        os.kill(process.pid, signal.SIGTERM)
    elif fault == 21:
        _stall_server(left.folder)
    elif fault == 43:
        left.notes["second"] = _second_server(left.folder)
    elif fault == 52:
        leader.inject(42)
    elif fault == 53:
        client = _client(twin.port)
        client.estop()
        client.close()
    elif fault == 54:
        twin.inject(36, motor=SERVO_MOTOR)


def _stall_server(folder: Path) -> None:
    """Five periods, during which the arm server does not run at all."""
    found = subprocess.run(["pgrep", "-f", str(folder / "box.spec.json")], capture_output=True, text=True)
    for pid in map(int, found.stdout.split()):
        os.kill(pid, signal.SIGSTOP)
        time.sleep(0.1 + 0.06)
        os.kill(pid, signal.SIGCONT)


def _second_server(folder: Path) -> dict[str, Any]:
    spec = json.loads((folder / "box.spec.json").read_text())
    spec["spec"] |= {"socket": str(folder / "second.sock"), "black_box": str(folder / "second.jsonl")}
    (folder / "second.json").write_text(json.dumps(spec))
    command = [sys.executable, "-m", "robo_reward.real_robot.arm_server", str(folder / "second.json")]
    done = subprocess.run(command, capture_output=True, text=True)
    return {"exit_code": done.returncode, "said": done.stderr.strip()[-200:]}


def _again(left: Left, told: list[str], processes: Any) -> None:
    """A second program that says it has seen to it, although the overload still stands."""
    started, strike = processes.Value("d", 0.0), processes.Value("d", 0.0)
    more = [word for word in told if not word.startswith("run_dir=")]
    log = str(left.folder / "again.log")
    args = ([*more, f"run_dir={left.folder / 'again'}", "robot.rearm=true"], 0, started, strike, DELAY, log)
    process = processes.Process(target=child.deploy, args=args)
    process.start()
    process.join(READY)
    left.notes["again"] = {"exit_code": process.exitcode, "said": Path(log).read_text().strip()[-200:]}


def _client(port: str) -> ArmClient:
    client = ArmClient(default_socket(port), "benchmark", deadline=2.0)
    client.connect()
    return client


def _look(left: Left, twin: EmulatedProcess) -> None:
    """Torque registers and the server's state as the program left them."""
    time.sleep(0.3)
    left.torque = twin.torque()
    with contextlib.suppress(UserError):
        client = _client(twin.port)
        view = client.observe()
        left.server = {"state": view.state, "reason": view.reason, "latched": view.latched}
        if left.fault == 53:
            left.notes["e_stop"] = _more_stops(client, twin)
        client.close()
    summary = left.folder / "out" / "summary.json"
    if summary.exists():
        left.notes["counts"] = json.loads(summary.read_text())["notes"].get("counts")


def _more_stops(client: ArmClient, twin: EmulatedProcess) -> dict[str, Any]:
    """In HOLD, after a reset, and in FAULT."""
    found: dict[str, Any] = {"after_reset": client.reset().state, "torque_after_reset": all(twin.torque().values())}
    client.estop()
    time.sleep(0.1)
    found["in_hold"] = not any(twin.torque().values())
    client.estop()
    time.sleep(0.1)
    found["in_fault"] = not any(twin.torque().values())
    return found


def _stop_server(port: str) -> None:
    with contextlib.suppress(UserError):
        client = _client(port)
        client.stop(park=False)
        client.close()
