"""Keeps an episode as it happened: what was seen, what was sent, what went late and why it ended."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robo_reward.arm.episode import ArmEpisode, Kind
from robo_reward.contracts import Observation
from robo_reward.trace import Trace


@dataclass
class Record:
    """One episode; ``sent`` closes each row with the goal that was on the wire at its end."""

    views: tuple[str, ...]
    fps: float
    task: str
    counts: Counter[str] = field(default_factory=Counter)
    """sent, refused (by the guard), starved, paused, by_hand: periods."""
    events: list[dict[str, Any]] = field(default_factory=list)
    think_seconds: list[float] = field(default_factory=list)
    _seen: list[Observation] = field(default_factory=list)
    _sent: list[NDArray[np.float32]] = field(default_factory=list)
    _asked: dict[int, tuple[NDArray[np.float32], bool]] = field(default_factory=dict)
    _done: set[int] = field(default_factory=set)

    def note(self, period: int, event: str, value: Any) -> None:
        """An event of a period, written beside the episode; what repeats itself is noted once."""
        entry = {"period": period, "event": event, "value": value}
        if not self.events or (self.events[-1]["event"], self.events[-1]["value"]) != (event, value):
            self.events.append(entry)

    def seen(self, observation: Observation) -> None:
        """A new row begins with what was seen, pictures included."""
        if len(self._sent) < len(self._seen):
            raise RuntimeError("the last row has no action yet")
        self._seen.append(observation)

    def sent(self, goal: NDArray[np.float64]) -> None:
        """The goal (J,) on the wire at the end of the open row; without one nothing happens."""
        if len(self._sent) < len(self._seen):
            self._sent.append(goal.astype(np.float32))

    def asked(self, goal: NDArray[np.float64], by_hand: bool) -> None:
        """The goal (J,) that is asked for in the open row, by the policy or by a person."""
        self._asked[len(self._seen) - 1] = (np.asarray(goal, np.float32), by_hand)

    def done(self) -> None:
        """A person says that the task is done in the open row."""
        self._done.add(len(self._seen) - 1)

    @property
    def last(self) -> Observation | None:
        """What was seen last."""
        return self._seen[-1] if self._seen else None

    def trace(self) -> Trace | None:
        """The episode; None where fewer than two looks were taken."""
        steps = len(self._seen) - 1
        if steps < 1:
            return None
        frames = {view: np.stack([each.views[view][0] for each in self._seen]) for view in self.views}
        return Trace(
            task=self.task,
            state=np.stack([each.state[0] for each in self._seen]),
            action=np.stack(self._sent[:steps]),
            frames=frames,
            frame_steps=np.arange(steps + 1),
            fps=self.fps,
            source="policy",
        )

    def episode(self, kind: Kind = "practice") -> ArmEpisode | None:
        """The episode with the goals that were asked for; where none was, the last one still stood."""
        trace = self.trace()
        if trace is None:
            return None
        steps, standing = len(trace), trace.state[0]
        goals = np.empty((steps, trace.state.shape[1]), np.float32)
        by_hand = np.zeros(steps, bool)
        for row in range(steps):
            if row in self._asked:
                standing, by_hand[row] = self._asked[row]
            goals[row] = standing
        done = np.isin(np.arange(steps + 1), list(self._done)) if self._done else None
        return ArmEpisode(replace(trace, success=done), goals, by_hand, kind)
