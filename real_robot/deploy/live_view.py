"""Shows a running episode in Rerun: cameras, joints read and sent, live progress; beside the line on the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from robo_reward.contracts import Observation
from robo_reward.errors import MissingExtra, UserError
from robo_reward.real_robot.arm_client import ArmView
from robo_reward.real_robot.deploy.critic import Critic
from robo_reward.real_robot.deploy.display import Display

PICTURES = 3
"""Periods between two pictures of each camera: the loop must keep its beat."""
WINDOW = "rerun"


class LiveView:
    """Called once a period. Rerun sends from a thread of its own, so a viewer that hangs does not hold up the loop.

    ``target``: "rerun" opens a window, FILE.rrd records, rerun+http://HOST:9876/proxy shows it on another machine.
    """

    def __init__(self, target: str, joints: Sequence[str], terminal: Display) -> None:
        """MissingExtra without rerun-sdk, UserError for another target."""
        self._terminal, self._joints = terminal, [key.removesuffix(".pos") for key in joints]
        self._episode, self._last = -1, 0
        self._recording = _recording(target)
        self._name_lines()

    def __call__(self, period: int, view: ArmView, critic: Critic | None, seen: Observation | None) -> None:
        """Shows a period; an episode begins where the periods begin anew."""
        import rerun as rr

        self._terminal(period, view, critic, seen)
        if period < self._last or self._episode < 0:
            self._episode += 1
        self._last = period
        to = self._recording
        to.set_time("episode", sequence=self._episode)
        to.set_time("seconds", duration=period / self._terminal.fps)
        to.log("joints/read", rr.Scalars([view.position[name] for name in self._joints]))
        to.log("joints/sent", rr.Scalars([view.goal[name] for name in self._joints]))
        if critic is not None and critic.progress is not None:
            to.log("progress", rr.Scalars([critic.progress]))
        if period % PICTURES == 0 and seen is not None:
            to.log("state", rr.TextDocument(f"{view.state} {view.reason}"))
            for name in seen.views:
                to.log(f"views/{name}", rr.Image(seen.views[name][0]))

    def done(self) -> None:
        """The end of the run: what is still on its way is sent."""
        self._terminal.done()
        self._recording.flush()

    def _name_lines(self) -> None:
        import rerun as rr

        for kind in ("read", "sent"):
            self._recording.log(f"joints/{kind}", rr.SeriesLines(names=self._joints), static=True)


def _recording(target: str) -> Any:
    try:
        import rerun as rr
    except ImportError as error:
        raise MissingExtra("rerun-sdk", "rerun", f"live={target}") from error
    made: Any = rr.RecordingStream("robo_reward_deploy")
    if target == WINDOW:
        made.spawn()
    elif target.startswith("rerun+"):
        made.connect_grpc(target)
    elif target.endswith(".rrd"):
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        made.save(target)
    else:
        raise UserError(f"live={target} must be rerun (a window), FILE.rrd, or rerun+http://HOST:9876/proxy")
    return made
