"""Publishes the plant's pictures in the form that LeRobot's ZMQ camera reads."""

from __future__ import annotations

import base64
import json
import threading
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robo_reward.errors import MissingExtra, UserError, unknown_name
from robo_reward.real_robot.emulation.plant import Plant

Picture = NDArray[np.uint8]


@dataclass(slots=True)
class CameraFaults:
    """What is wrong with the pictures; may be turned while they are published."""

    frozen: bool = False
    silent: bool = False
    black: bool = False
    half_size: bool = False
    swapped: bool = False
    fps: float | None = None
    """Pictures a second instead of the camera's own."""


@dataclass(frozen=True, slots=True)
class CameraSettings:
    """``views`` of the plant, published under their names; ``height``, ``width`` pixels; ``fps`` pictures a second."""

    views: tuple[str, ...]
    height: int = 48
    width: int = 64
    fps: float = 30.0

    def __post_init__(self) -> None:
        if min(self.height, self.width) < 8 or self.fps <= 0:
            raise UserError(
                f"pictures must be 8 pixels high and wide or more and fps above 0, got {self.height} x {self.width} "
                f"at {self.fps}"
            )


class CameraServer:
    """A thread that makes pictures and sends them: one JSON text a round, timestamps and base64 JPEGs by name.

    LeRobot's ``ZMQCamera`` reads them from 127.0.0.1, ``port``, with camera_name = the view's name. It takes whatever
    channel order it gets, so RGB is encoded as it is. ``failure``: what ended the thread, if anything did.
    """

    def __init__(self, plant: Plant, settings: CameraSettings) -> None:
        for view in settings.views:
            if view not in plant.views:
                raise unknown_name("view of the emulated arm", view, plant.views)
        self._plant, self._settings = plant, settings
        self.faults = CameraFaults()
        self.port = 0
        self.published = 0
        self.failure: Exception | None = None
        self._kept: dict[str, Picture] = {}
        self._running = threading.Event()
        self._thread: threading.Thread | None = None
        self._socket: Any = None
        self._context: Any = None

    def start(self) -> None:
        """Binds a free port and begins to publish. MissingExtra without pyzmq."""
        try:
            import zmq
        except ModuleNotFoundError as error:
            raise MissingExtra("pyzmq", "arm", "an emulated camera") from error
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.PUB)
        self._socket.setsockopt(zmq.SNDHWM, 2)
        self._socket.setsockopt(zmq.LINGER, 0)
        self.port = int(self._socket.bind_to_random_port("tcp://127.0.0.1"))
        self._running.set()
        self._thread = threading.Thread(target=self._run, name="emulated-cameras", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends the thread and frees the port."""
        self._running.clear()
        if self._thread is not None:
            self._thread.join()
            self._socket.close()
            self._context.term()

    def _run(self) -> None:
        try:
            due = time.perf_counter()
            while self._running.is_set():
                if not self.faults.silent:
                    self._socket.send_string(self._message())
                    self.published += 1
                due = max(due + 1 / (self.faults.fps or self._settings.fps), time.perf_counter())
                self._sleep_until(due)
        except Exception as error:  # who uses the arm asks for it: a thread cannot raise into another
            self.failure = error
        finally:
            self._plant.close()

    def _sleep_until(self, due: float) -> None:
        while self._running.is_set() and (left := due - time.perf_counter()) > 0:
            time.sleep(min(left, 0.05))

    def _message(self) -> str:
        views = self._settings.views
        pictures = [self._picture(view) for view in views]
        names = (*views[1:], views[0]) if self.faults.swapped else views
        now = time.time()
        named = dict(zip(names, pictures, strict=True))
        images = {name: _jpeg(picture) for name, picture in named.items()}
        return json.dumps({"timestamps": dict.fromkeys(images, now), "images": images})

    def _picture(self, view: str) -> Picture:
        if not (self.faults.frozen and view in self._kept):
            self._kept[view] = self._plant.picture(view, self._settings.height, self._settings.width)
        picture = self._kept[view]
        if self.faults.black:
            picture = np.zeros_like(picture)
        return np.ascontiguousarray(picture[::2, ::2]) if self.faults.half_size else picture


def _jpeg(picture: Picture) -> str:
    import cv2

    whole = [cv2.IMWRITE_JPEG_QUALITY, 100, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    done, data = cv2.imencode(".jpg", picture, whole)  # halved colours would blur away what is a few pixels large
    if not done:
        raise RuntimeError("OpenCV could not encode a picture as JPEG")
    return base64.b64encode(data.tobytes()).decode("ascii")
