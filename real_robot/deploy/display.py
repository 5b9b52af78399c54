"""Shows a running episode: one line that is overwritten on a terminal, a line per change of state in a log."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TextIO

from robo_reward.contracts import Observation
from robo_reward.real_robot.arm_client import ArmView
from robo_reward.real_robot.deploy.critic import Critic

BAR = 20
TIMES_A_SECOND = 5.0


@dataclass
class Display:
    """Called once a period; ``seconds`` of an episode at ``fps`` periods a second."""

    fps: float
    seconds: float
    out: TextIO | None = None
    goals: bool = False
    """Whether to print, once a second, the goals that are (or, in a dry run, would be) on the wire."""
    _state: tuple[str, str] = ("", "")

    def __call__(self, period: int, view: ArmView, critic: Critic | None, seen: Observation | None = None) -> None:
        """Shows time, state and progress."""
        out = self.out or sys.stderr
        state = (view.state, "".join(letter for letter in view.reason if not letter.isdigit()))
        if out.isatty():
            if period % max(1, round(self.fps / TIMES_A_SECOND)) == 0 or state != self._state:
                out.write("\r" + self.line(period, view, critic) + "\x1b[K")
                out.flush()
        elif state != self._state:
            print(self.line(period, view, critic).rstrip(), file=out, flush=True)
        self._state = state
        if self.goals and period % max(1, round(self.fps)) == 0:
            print("  would send " + ", ".join(f"{k} {v:.1f}" for k, v in view.goal.items()), file=out, flush=True)

    def line(self, period: int, view: ArmView, critic: Critic | None) -> str:
        """One line: state, time, progress, what is in the way."""
        progress = None if critic is None else critic.progress
        filled = 0 if progress is None else round(progress * BAR)
        bar = "" if progress is None else f" progress [{'#' * filled}{'.' * (BAR - filled)}] {progress:.2f}"
        more = f" ({view.reason})" if view.reason else " (workspace in the way)" if view.blocked else ""
        return f"{view.state:<5} {period / self.fps:5.1f}/{self.seconds:.0f} s{bar}{more}"

    def done(self) -> None:
        """Leaves the line as it is and begins a new one."""
        out = self.out or sys.stderr
        if out.isatty():
            out.write("\n")
        self._state = ("", "")
