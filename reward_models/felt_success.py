"""What an arm felt of late, as evidence of success: fingers that carried something stayed apart, empty ones shut."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robo_reward.errors import UserError
from robo_reward.reward_models.frames import settled_step
from robo_reward.trace import Trace

Array = NDArray[np.float64]
LEAST_SPREAD = 1e-3
LATE = 0.9
"""Replays tell what failing feels like from this share of the demonstrations' time to success on."""
STEEP = 6.0
NEARER = 0.25
"""p is 1/2 at this share of the way to what failing feels like, or farther off where demonstrations differ by more."""


class FeltSuccess:
    """p(success) by how near the last ``looks`` state vectors (W = looks * S numbers) are to a demonstrated success's.

    Looks are ``stride`` decisions apart, however densely an episode's pictures were kept.

    Nearness is one-sided: moments unlike any demonstrated success are none, whatever they are, so that a policy cannot
    earn by what neither demonstrations nor failures show. Numbers of a window count by how well they tell demonstrated
    successes from failures of the very same motion (Fisher's ratio of their means' distance to their spread): with
    ``negatives.hollow`` of the same task those are the fingers; a task without any is weighed by the others'. p is 1/2
    at a quarter of the median distance of failures, or at twice the distance at which nine of ten demonstrations of a
    task lie from the rest, whichever is more: a policy may hold things otherwise than the demonstrations, which are all
    alike where one expert made them. It sees the arm's state, as the policy does, and never the simulator's.
    """

    def __init__(self, looks: int, stride: int = 1) -> None:
        """Raises UserError for fewer than 1 look."""
        if looks < 1:
            raise UserError(f"reward_model.feels={looks} must be 1 or more looks, or 0 to judge by pictures alone")
        self.looks, self.stride = looks, stride
        self._known: dict[str, Array] = {}
        self._weights: dict[str, Array] = {}
        self._reach: dict[str, float] = {}

    def fit(self, demonstrations: Sequence[Trace], failures: Sequence[Trace], settle: int) -> float:
        """Remembers demonstrated successes; the mean over tasks of the distance at which p is 1/2.

        Raises:
            UserError: no replays among ``failures`` that last until success, or a task with a single demonstration.
        """
        replays = [trace for trace in failures if trace.source == "replay"]
        if not replays:
            raise UserError("reward_model.feels learns from replays that failed: set negatives.hollow=30, or feels=0")
        tasks = sorted({trace.task for trace in demonstrations})
        parts = {task: [self._ended(t, settle) for t in demonstrations if t.task == task] for task in tasks}
        self._known = {task: np.concatenate(rows) for task, rows in parts.items()}
        for task in tasks:
            late = LATE * min(step for t in demonstrations if t.task == task and (step := t.success_step) is not None)
            failed = np.concatenate([self.windows(t)[t.frame_steps >= late] for t in _lasting(replays, task, late)])
            self._weights[task] = weights = _weights(self._known[task], failed)
            rows = parts[task]
            if len(rows) < 2:
                raise UserError(
                    f"reward_model.feels needs 2 demonstrations or more of {task!r} to know how alike they are"
                )
            others = [np.concatenate(rows[:k] + rows[k + 1 :]) for k in range(len(rows))]
            apart = [_nearest(row, rest, weights).min() for row, rest in zip(rows, others, strict=True)]
            failing = float(np.median(_nearest(failed, self._known[task], weights)))
            self._reach[task] = max(2 * float(np.quantile(apart, 0.9)), NEARER * failing, LEAST_SPREAD)
        return float(np.mean(list(self._reach.values())))

    def windows(self, trace: Trace) -> Array:
        """(F, W): at each kept frame what was felt at it and at the looks before it, newest first.

        The last frame of an episode is looked at whenever it comes: the looks before it are where they were.
        """
        steps = trace.frame_steps[:, None] - self.stride * np.arange(self.looks)
        early = -len(trace) % self.stride
        steps[trace.frame_steps == len(trace), 1:] += early
        steps = np.maximum(steps, 0)
        return np.asarray(trace.state[steps], np.float64).reshape(len(steps), -1)

    def probability(self, windows: Array, tasks: Sequence[str]) -> NDArray[np.float32]:
        """(N,) in [0, 1] of ``windows`` (N, W) under instructions; of a task never shown by the nearest known one's."""
        if not self._known:
            raise UserError("this reward is not fitted: run robo-reward fit, or give reward_model.path=FOLDER")
        distance = np.empty(len(windows))
        for task in dict.fromkeys(tasks):
            mine = np.asarray([t == task for t in tasks])
            asked = [task] if task in self._known else list(self._known)
            each = [
                _nearest(windows[mine], self._known[name], self._weights[name]) / self._reach[name] for name in asked
            ]
            distance[mine] = np.min(each, 0)
        out: NDArray[np.float32] = (1 / (1 + np.exp(STEEP * (distance - 1)))).astype(np.float32)
        return out

    def state(self) -> dict[str, Any]:
        """For saving."""
        return {"known": dict(self._known), "weights": dict(self._weights), "reach": dict(self._reach)}

    def load(self, state: Mapping[str, Any]) -> None:
        """Takes back what ``state`` gave."""
        self._known, self._weights = (
            {task: np.asarray(rows, np.float64) for task, rows in state[name].items()} for name in ("known", "weights")
        )
        self._reach = {task: float(reach) for task, reach in state["reach"].items()}

    def _ended(self, trace: Trace, settle: int) -> Array:
        return self.windows(trace)[trace.frame_steps >= settled_step(trace, settle)]


class Feeling:
    """The last states of every world while it is stepped, as ``FeltSuccess.windows`` would have them."""

    def __init__(self, looks: int) -> None:
        self._looks = looks
        self._held: Array = np.zeros((0, looks, 0))

    def begin(self, state: NDArray[Any], fresh: NDArray[np.bool_]) -> None:
        """The worlds where ``fresh`` (N,) is True have felt nothing but their first state (N, S)."""
        first = np.repeat(np.asarray(state, np.float64)[:, None], self._looks, 1)
        if len(self._held) != len(first):
            self._held = first
        self._held[fresh] = first[fresh]

    def look(self, state: NDArray[Any], where: NDArray[np.bool_]) -> None:
        """Adds the states (N, S) of the worlds where ``where`` (N,) is True."""
        newest = np.asarray(state, np.float64)[where][:, None]
        self._held[where] = np.concatenate([newest, self._held[where][:, :-1]], 1)

    def windows(self) -> Array:
        """(N, W)."""
        return self._held.reshape(len(self._held), -1)


def _lasting(replays: Sequence[Trace], task: str, late: float) -> list[Trace]:
    """Those with a frame at step ``late`` or after: of the task, or where it has none the others'.

    Raises:
        UserError: there is none at all.
    """
    lasting = [trace for trace in replays if trace.frame_steps[-1] >= late]
    if not lasting:
        end = max(int(trace.frame_steps[-1]) for trace in replays)
        raise UserError(
            f"hollow replays end at step {end}, before success (step {late:.0f}, {LATE} of the fastest demonstration's "
            f"of {task!r}): what failing feels like then is not in them; set env.horizon higher"
        )
    return [trace for trace in lasting if trace.task == task] or lasting


def _weights(good: Array, bad: Array) -> Array:
    """(W,): the share of each number in a squared distance, already in units of its spread."""
    spread = np.maximum(np.concatenate([good, bad]).std(0), LEAST_SPREAD)
    least = (0.05 * spread) ** 2  # what never varied in a few demonstrations is not known to a hair
    ratio = (good.mean(0) - bad.mean(0)) ** 2 / (good.var(0) + bad.var(0) + 2 * least)
    return np.asarray(ratio / max(ratio.sum(), 1e-12) / spread**2)


def _nearest(windows: Array, known: Array, weights: Array) -> Array:
    """(N,) the weighed distance of each window to the nearest known one."""
    off = (windows[:, None] - known[None]) ** 2
    return np.asarray(np.sqrt((off * weights).sum(-1)).min(1))
