"""``python -m robo_reward.real_robot.emulation``: an emulated arm in this process, told what to do on stdin.

The first line is JSON: plant (a yaml's ``_target_`` mapping), cameras, faults, seed. The answer says port and camera
port; each further line is a request {"do": NAME, ...} with one line of answer. It ends when stdin does.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # before numpy: servos, physics and pictures are a thread each

from robo_reward.build import build
from robo_reward.errors import UserError
from robo_reward.real_robot.arm_client import ArmClient
from robo_reward.real_robot.emulation.camera_server import CameraSettings
from robo_reward.real_robot.emulation.emulated_arm import EmulatedArm


def main() -> int:
    """The exit code: 0, or 2 if what was asked for does not exist."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever started us
    told = sys.stdin.readline()
    try:
        asked: dict[str, Any] = json.loads(told)
        cameras = CameraSettings(**asked["cameras"]) if asked["cameras"]["views"] else None
        arm = EmulatedArm(build(asked["plant"]), asked["faults"], asked["seed"], cameras, keep=asked["keep"])
    except UserError as error:
        _tell({"error": str(error)})
        return 2
    with arm:
        path = arm.write_calibration(Path(asked["calibration_dir"]), asked["id"])
        _tell({"port": arm.port, "camera_port": arm.camera_port, "pid": os.getpid(), "calibration": str(path)})
        for line in sys.stdin:
            _tell(_answer(arm, json.loads(line)))
        _stop_server(asked.get("socket"))
    return 0


def _answer(arm: EmulatedArm, asked: dict[str, Any]) -> dict[str, Any]:
    try:
        return {"done": _do(arm, asked.pop("do"), asked)}
    except UserError as error:
        return {"error": str(error)}


def _do(arm: EmulatedArm, what: str, more: dict[str, Any]) -> Any:
    if what == "inject":
        return arm.inject(int(more.pop("fault")), float(more.pop("at", 0.0)), **more)
    if what == "clear":
        return arm.clear(int(more["fault"]))
    if what == "rearrange":
        return arm.rearrange(int(more["seed"]))
    if what == "turn":
        return arm.turn(bool(more["back"]))
    if what == "success":
        return arm.success()
    if what == "look":
        return {"left": arm.left(), "success": arm.success()}
    if what == "expert_goal":
        return arm.expert_goal(more["last"], bool(more["fresh"]))
    if what == "save_wire":
        return arm.wire.save(Path(more["path"]))
    if what in ("torque", "positions"):
        return getattr(arm, what)()
    raise UserError(f"an emulated arm cannot '{what}'")


def _stop_server(socket: str | None) -> None:
    """Whoever used the arm is gone: its server would watch over nothing."""
    if socket is None:
        return
    client = ArmClient(Path(socket), "emulated arm", deadline=2.0)
    with contextlib.suppress(UserError):
        client.connect()
        client.stop(park=False)


def _tell(answer: dict[str, Any]) -> None:
    with contextlib.suppress(BrokenPipeError):
        print(json.dumps(answer, default=str), flush=True)


if __name__ == "__main__":
    sys.exit(main())
