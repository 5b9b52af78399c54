"""The learner's process as the arm's loop sees it: episodes in, newer weights out, no waiting while the arm moves."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from robo_reward.arm.json_lines import JsonLines
from robo_reward.arm.learner_work import WEIGHTS
from robo_reward.errors import UserError

START_SECONDS, SAVE_SECONDS = 900.0, 300.0


class LearnerProcess:
    """``start`` first. ``metrics``: what it said since they were last taken."""

    def __init__(self, run: Path, checkpoint: Path | None) -> None:
        self._run, self._checkpoint = run, checkpoint
        self._process: subprocess.Popen[bytes] | None = None
        self.version, self.heard, self.idle = 0, 0, False
        self.metrics: dict[str, float] = {}
        self._did: list[str] = []

    def start(self) -> None:
        """Waits until demonstrations and reward are learned. UserError where they cannot be."""
        command = [sys.executable, "-m", "robo_reward.arm.learner_work", str(self._run)]
        command += [] if self._checkpoint is None else [str(self._checkpoint)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._line = JsonLines(self._process.stdout.fileno(), self._process.stdin.fileno())
        self._wait(lambda: self.version > 0, START_SECONDS, "to learn the demonstrations")

    def tell(self, number: int) -> None:
        """Practice episode ``number`` lies in the run's folder."""
        self.idle = False
        self._say({"do": "hear", "number": number})

    def listen(self) -> Path:
        """Takes in what was said, without waiting; the folder of the newest weights."""
        self._take(0.0)
        return self._run / WEIGHTS / f"{self.version:06d}"

    def catch_up(self, episodes: int, behind: int) -> None:
        """Waits until at most ``behind`` episodes of ``episodes`` were not learned from."""

        def near() -> bool:
            return self.heard + behind >= episodes and (behind > 0 or self.idle)

        self._wait(near, START_SECONDS, "to learn from the episodes played")

    def save(self, folder: Path, what: str = "save") -> None:
        """A checkpoint into ``folder``; ``what`` "finish": policy and reward model for other verbs."""
        self._did.clear()
        self._say({"do": what, "folder": str(folder.absolute())})
        self._wait(lambda: what in self._did, SAVE_SECONDS, "to save")

    def close(self) -> None:
        """Ends it: it reads that this side is gone."""
        process, self._process = self._process, None
        if process is None or process.stdin is None:
            return
        process.stdin.close()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _say(self, said: dict[str, Any]) -> None:
        self._line.write(said)
        if self._line.closed:
            raise UserError("the learner's process is gone; what it said is above")

    def _wait(self, until: Any, seconds: float, what: str) -> None:
        deadline = time.monotonic() + seconds
        while not until():
            self._take(0.2)
            if self._line.closed and not until():
                raise UserError("the learner's process ended; what it said is above")
            if time.monotonic() > deadline:
                raise UserError(f"the learner took more than {seconds:.0f} s {what}")

    def _take(self, seconds: float) -> None:
        for said in self._line.read(seconds):
            if "error" in said:
                raise UserError(str(said["error"]))
            if "did" in said:
                self._did.append(said["did"])
            if "weights" in said:
                self.version, self.heard, self.idle = said["weights"], said["heard"], said["idle"]
                self.metrics |= said["metrics"]
