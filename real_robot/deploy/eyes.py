"""Reads LeRobot's cameras with the age of each picture, watches them, and shows the policy the size it learned."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robo_reward.errors import UserError
from robo_reward.real_robot.deploy.camera_watch import CameraPlan, CameraWatch, Look, Picture, Trouble
from robo_reward.real_robot.deploy.interface import PolicyInterface

ANY_AGE = 3_600_000
"""Milliseconds: how old a picture is gets judged here."""


class Eyes:
    """The cameras that a policy needs, of those that the robot has; they must be connected before ``look``."""

    def __init__(self, cameras: Mapping[str, Any], interface: PolicyInterface, plan: CameraPlan) -> None:
        """UserError where a camera is missing, slower than the policy, or of another shape."""
        self.size = (interface.height, interface.width)
        missing = [view for view in interface.views if view not in cameras]
        if missing:
            raise UserError(
                f"the policy was trained with the cameras {list(interface.views)}, the robot has {list(cameras)}: "
                f"give robot.cameras.{missing[0]}=..., or views=[...] if the policy does not look at it"
            )
        self.cameras = {view: cameras[view] for view in interface.views}
        for view, camera in self.cameras.items():
            _check(view, camera, interface)
        sizes = {view: (int(camera.height), int(camera.width)) for view, camera in self.cameras.items()}
        fps = {view: float(camera.fps) for view, camera in self.cameras.items()}
        references = {view: interface.references[view] for view in interface.views if view in interface.references}
        self.watch = CameraWatch(plan, sizes, fps, references)

    def wait_for_new(self, pictures: int = 3, seconds: float = 1.0) -> None:
        """Until every camera has given so many more pictures, not longer: what was put elsewhere is seen in them.

        A picture is stamped when it comes; those on their way show how things lay before.
        """
        until = time.monotonic() + seconds
        for camera in self.cameras.values():
            last, came = camera.latest_timestamp, 0
            while came < pictures and time.monotonic() < until:
                time.sleep(0.005)
                stamp = camera.latest_timestamp
                came, last = came + (stamp != last), stamp

    def look(self, joints: NDArray[np.float64]) -> tuple[dict[str, Picture], Trouble | None]:
        """Pictures as the policy knows them, (1, H, W, 3) each, and what is wrong with them; joints (J,) of now."""
        looks: dict[str, Look] = {}
        for view, camera in self.cameras.items():
            try:
                picture = camera.read_latest(max_age_ms=ANY_AGE)
            except Exception as error:  # LeRobot's cameras raise RuntimeError, TimeoutError and their own
                return {}, Trouble(f"camera '{view}' gives no picture: {error}")
            looks[view] = Look(np.asarray(picture), float(camera.latest_timestamp))
        trouble = self.watch.judge(time.monotonic(), looks, joints)
        if trouble is not None:
            return {}, trouble
        return {view: resized(look.picture, self.size)[None] for view, look in looks.items()}, None


def resized(picture: Picture, size: tuple[int, int]) -> Picture:
    """(H, W, 3) as ``size``, averaged over areas."""
    if picture.shape[:2] == size:
        return np.asarray(picture, np.uint8)
    import cv2

    return np.asarray(cv2.resize(picture, (size[1], size[0]), interpolation=cv2.INTER_AREA), np.uint8)


def _check(view: str, camera: Any, interface: PolicyInterface) -> None:
    if not (camera.height and camera.width and camera.fps):
        raise UserError(f"camera '{view}' needs width, height and fps: robot.cameras.{view}.fps=30 and so on")
    if camera.fps < 0.9 * interface.fps:
        raise UserError(
            f"camera '{view}' gives {camera.fps} pictures a second, the policy decides {interface.fps:g} times: "
            f"robot.cameras.{view}.fps={interface.fps:g}"
        )
    there, learned = camera.width / camera.height, interface.width / interface.height
    if abs(there / learned - 1) > 0.02 or camera.height < interface.height:
        raise UserError(
            f"camera '{view}' gives {camera.width} x {camera.height}, the policy learned from {interface.width} x "
            f"{interface.height}: it must be the same shape and at least as large"
        )
