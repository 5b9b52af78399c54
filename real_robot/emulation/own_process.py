"""An emulated arm in a process of its own, so that a policy's work does not slow its servos down."""

from __future__ import annotations

import json
import select
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from robo_reward.errors import UserError
from robo_reward.real_robot.emulation.camera_server import CameraSettings

START_SECONDS = 60.0
ANSWER_SECONDS = 5.0


class EmulatedProcess:
    """``start`` first; ``port`` and ``camera_port`` are then known. ``close`` ends it, and the arm server with it.

    ``plant`` is a yaml's mapping with ``_target_``; ``faults``: id -> seconds after ``begin``, None: from the start;
    ``socket``: where the arm server listens, which is stopped when the emulated arm ends; ``keep``: wire events that
    are held, None for all.
    """

    def __init__(
        self,
        plant: Mapping[str, Any],
        cameras: CameraSettings,
        folder: Path,
        robot_id: str = "emulated",
        faults: Mapping[int, float | None] | None = None,
        seed: int = 0,
        socket: Path | None = None,
        keep: int | None = 200_000,
    ) -> None:
        self._spec = {
            "plant": dict(plant),
            "cameras": asdict(cameras),
            "faults": [int(number) for number, after in (faults or {}).items() if after is None],
            "seed": seed,
            "calibration_dir": str(folder),
            "id": robot_id,
            "socket": None if socket is None else str(socket),
            "keep": keep,
        }
        self._later = {int(number): after for number, after in (faults or {}).items() if after is not None}
        self.port = ""
        self.camera_port: int | None = None
        self._process: subprocess.Popen[str] | None = None
        self._one_at_a_time = threading.Lock()  # a policy may ask from its own thread, the loop from another

    def start(self) -> None:
        """Raises UserError where it does not come up: an unknown plant, camera or fault."""
        command = [sys.executable, "-m", "robo_reward.real_robot.emulation"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, start_new_session=True
        )
        said = self._ask(self._spec, START_SECONDS)
        self.port, self.camera_port = said["port"], said["camera_port"]

    def set_socket(self, path: Path) -> None:
        """Where the arm server will listen; before ``start``."""
        self._spec["socket"] = str(path)

    def begin(self) -> None:
        """The first episode begins: the faults that come later are due from here on. Again: nothing happens."""
        later, self._later = self._later, {}
        for number, after in later.items():
            self.inject(number, after)

    def inject(self, fault: int, at: float = 0.0, **where: Any) -> None:
        """A fault of ``faults.py`` strikes in ``at`` seconds. UserError where the arm cannot have it."""
        self.ask("inject", fault=fault, at=at, **where)

    def success(self) -> bool | None:
        """Whether the twin's task is done now."""
        done: bool | None = self.ask("success")
        return done

    def torque(self) -> dict[str, bool]:
        """Whether each servo has torque on now."""
        on: dict[str, bool] = self.ask("torque")
        return on

    def positions(self) -> dict[str, float]:
        """Where the joints truly are, in LeRobot's keys and units."""
        at: dict[str, float] = self.ask("positions")
        return at

    def ask(self, what: str, **more: Any) -> Any:
        """Any request of ``__main__.py``. UserError if it was refused or the process is gone."""
        return self._ask({"do": what, **more}, ANSWER_SECONDS)["done"]

    def close(self) -> None:
        """Ends it; the arm server of the same socket is stopped first."""
        process, self._process = self._process, None
        if process is None or process.stdin is None:
            return
        process.stdin.close()
        try:
            process.wait(ANSWER_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _ask(self, request: Mapping[str, Any], seconds: float) -> dict[str, Any]:
        with self._one_at_a_time:
            return self._answer(request, seconds)

    def _answer(self, request: Mapping[str, Any], seconds: float) -> dict[str, Any]:
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise UserError("the emulated arm is not running")
        try:
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
        except OSError as error:
            raise UserError(f"the emulated arm is gone: {error}") from error
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            ready, _, _ = select.select([process.stdout], [], [], 0.2)
            if not ready:
                continue
            line = process.stdout.readline()
            if not line:
                raise UserError("the emulated arm ended; what it said is above")
            if not line.startswith("{"):
                continue  # some library's chatter
            answer: dict[str, Any] = json.loads(line)
            if "error" in answer:
                raise UserError(str(answer["error"]))
            return answer
        raise UserError(f"the emulated arm did not answer within {seconds:g} s")
