"""A guarded SO-101 whose motors, bus and cameras are emulated on this machine: ``robot=emulated_so101``."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from robo_reward.errors import UserError
from robo_reward.real_robot.arm_client import ArmClient
from robo_reward.real_robot.emulation.camera_server import CameraSettings
from robo_reward.real_robot.emulation.own_process import EmulatedProcess
from robo_reward.real_robot.robot_yaml import guarded_robot

TIMEOUT_MS = 400
"""Below the 2 s after which LeRobot's ZMQ camera closes a socket under its own reader."""
ID = "emulated"


def emulated_robot(
    inner: Mapping[str, Any],
    plant: Mapping[str, Any],
    views: Sequence[str] = ("front", "wrist"),
    height: int = 48,
    width: int = 64,
    camera_fps: float = 30.0,
    faults: Mapping[int, float | None] | None = None,
    seed: int = 0,
    port: None = None,
    cameras: Mapping[str, Any] | None = None,
    **settings: Any,
) -> Any:
    """A ``GuardedRobot`` that is not connected, with ``twin``, its running ``EmulatedProcess``; ``release`` it.

    ``plant`` is the yaml of the group ``plant`` (``_recursive_: false`` keeps it one). ``faults``: id of
    ``emulation/faults.py`` -> seconds after the first episode begins, None: from the start. ``settings`` are
    ``GuardedRobotConfig``'s.
    """
    if port is not None or cameras:
        raise UserError(
            "an emulated arm has its own port and cameras: leave robot.port and robot.cameras, or robot=so101"
        )
    folder = tempfile.TemporaryDirectory(prefix="emulated-so101-", ignore_cleanup_errors=True)
    home = Path(folder.name)
    socket = home / "arm.sock"
    shown = CameraSettings(tuple(views), height, width, camera_fps)
    twin = EmulatedProcess(plant, shown, home, ID, faults, seed, socket)
    twin.start()
    try:
        named = {view: _zmq(view, twin.camera_port, shown) for view in views}
        own = {"id": ID, "calibration_dir": home, "socket": socket}
        robot = guarded_robot(inner, twin.port, named, **{**settings, **own})
    except BaseException:
        twin.close()
        folder.cleanup()
        raise
    robot.twin, robot.twin_folder = twin, folder
    return robot


def release(robot: Any) -> None:
    """Ends the arm server and the emulated arm behind a robot of ``emulated_robot``; a real arm is left as it is."""
    twin = getattr(robot, "twin", None)
    if twin is None:
        return
    client = ArmClient(robot.client.path, "end of the emulated arm", deadline=2.0)
    with contextlib.suppress(UserError):
        client.connect()
        client.stop(park=False)
        if robot.launched is not None:
            robot.launched.process.wait(timeout=30)
    client.close()
    twin.close()
    robot.twin_folder.cleanup()


def _zmq(view: str, port: int | None, cameras: CameraSettings) -> dict[str, Any]:
    return {
        "type": "zmq",
        "server_address": "127.0.0.1",
        "port": port,
        "camera_name": view,
        "height": cameras.height,
        "width": cameras.width,
        "fps": round(cameras.fps),
        "timeout_ms": TIMEOUT_MS,
        "warmup_s": 1,
    }
