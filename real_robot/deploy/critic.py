"""Watches an episode with the run's reward model and success judge, beside the loop: live progress, reasons to end."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field

import numpy as np

from robo_reward.contracts import Observation, RewardModel, Transition
from robo_reward.real_robot.deploy.background import Background
from robo_reward.real_robot.deploy.progress_stop import ProgressPlan, ProgressStop
from robo_reward.rollout import Stopper
from robo_reward.session import Judge
from robo_reward.trace import Trace

SUCCESS = "success"
FINISH_SECONDS = 5.0
FRESH = np.ones(1, bool)


@dataclass(frozen=True)
class Watchers:
    """Who watches: ``model`` gives progress, ``judge`` (the run's guard) and ``stopper`` (a classifier) see success."""

    model: RewardModel | None = None
    judge: Judge | None = None
    stopper: Stopper | None = None
    plan: ProgressPlan = field(default_factory=ProgressPlan)
    looks: int = 2
    """How many looks in a row the judge is shown: as many as it wants to be sure in."""

    @property
    def views(self) -> tuple[str, ...]:
        """The cameras that any of them needs."""
        parts = (self.model, self.judge, self.stopper)
        return tuple(dict.fromkeys(view for part in parts if part is not None for view in part.needs.views))


@dataclass(frozen=True, slots=True)
class Opinion:
    """After the step of ``period``: progress (None without a model or a look), and why the episode should end."""

    period: int
    progress: float | None
    ends: str = ""


class Critic:
    """One episode. ``see`` hands over what happened and returns at once; ``opinions`` fetches what came of it."""

    def __init__(self, watchers: Watchers, fps: float, first: Observation) -> None:
        self._watchers, self._fps = watchers, fps
        self._stop = ProgressStop(watchers.plan)
        self._seen: deque[Observation] = deque(maxlen=watchers.looks)
        self._live = watchers.model is not None and not watchers.model.needs.episode
        self._first = first
        self._steps = 0
        self.progress: float | None = None
        self.behind = 0
        """Most steps that were waiting to be looked at."""
        self._background: Background[tuple[int, Transition], Opinion] = Background(self._judge, "critic")

    @property
    def wanted(self) -> bool:
        """Whether anybody watches at all."""
        w = self._watchers
        return self._live or w.judge is not None or w.stopper is not None

    def see(self, period: int, transition: Transition) -> None:
        """Hands over one step."""
        if self.wanted:
            self._background.ask((period, transition))
            self.behind = max(self.behind, self._background.waiting)

    def opinions(self, seconds: float = 0.0) -> str:
        """Takes in what was found out; why the episode should end, or empty. Raises what a model raised."""
        while (done := self._background.answer(seconds)) is not None:
            if done.answer.progress is not None:
                self.progress = done.answer.progress
            if done.answer.ends:
                return done.answer.ends
        return ""

    def finish(self) -> str:
        """Waits for what is still being looked at, not for a model that hangs; why the episode should have ended."""
        ends, deadline = "", time.monotonic() + FINISH_SECONDS
        while self._background.waiting and not ends and time.monotonic() < deadline:
            ends = self.opinions(0.5)
        return ends

    def close(self) -> None:
        """Ends the thread."""
        self._background.close()

    @property
    def curve(self) -> list[tuple[float, float]]:
        """(seconds, progress) of the looks so far."""
        return list(self._stop.curve)

    def _judge(self, step: tuple[int, Transition]) -> Opinion:
        period, transition = step
        if self._steps == 0:
            self._begin()
        self._steps += 1
        stopper = self._watchers.stopper
        if stopper is not None and bool(stopper.stops(transition)[0]):
            return Opinion(period, None, SUCCESS)
        if self._judged(transition.after):
            return Opinion(period, None, SUCCESS)
        model = self._watchers.model
        if model is None or not self._live or self._steps % model.needs.stride:
            return Opinion(period, None)
        progress = float(model.estimate(transition).progress[0])
        return Opinion(period, progress, self._stop.see(self._steps / self._fps, progress))

    def _begin(self) -> None:
        watchers = self._watchers
        if watchers.model is not None and self._live:
            watchers.model.begin(self._first, FRESH)
        if watchers.stopper is not None:
            watchers.stopper.begin(self._first, FRESH)

    def _judged(self, after: Observation) -> bool:
        """Whether the judge is sure in its last looks, of which a trace is made as of a whole episode."""
        judge = self._watchers.judge
        if judge is None or self._steps % judge.needs.stride:
            return False
        self._seen.append(after)
        if len(self._seen) < self._watchers.looks:
            return False
        return judge.moment(glimpse(list(self._seen), judge.needs.views, self._fps)) is not None


def glimpse(seen: list[Observation], views: tuple[str, ...], fps: float) -> Trace:
    """Observations of one world as a trace of their frames."""
    return Trace(
        task=seen[0].task[0],
        state=np.stack([each.state[0] for each in seen]),
        action=np.zeros((len(seen) - 1, 1), np.float32),
        frames={view: np.stack([each.views[view][0] for each in seen]) for view in views},
        frame_steps=np.arange(len(seen)),
        fps=fps,
        source="policy",
    )
