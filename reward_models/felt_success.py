"""What an arm felt of late, as evidence of success: fingers that carried something stayed apart, empty ones shut."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from robo_reward.errors import UserError
from robo_reward.reward_models.frames import settled_step
from robo_reward.trace import Trace

Array = NDArray[np.float64]
LEAST_SPREAD = 1e-3
LATE = 0.9
"""Replays tell what failing feels like from this share of the demonstrations' time to success on."""
STEEP = 6.0
TELLING = 0.95
"""The numbers that hold this share of what tells successes from failures decide; the rest must not be far off."""
NEARER, FARTHER = 0.25, 0.5
"""How far off p may be 1/2, in shares of the way to what failing feels like, however (un)like demonstrations are."""
LENIENT = 2.0
"""The rest may be so many times as far off, in units of how demonstrations differ."""


class FeltSuccess:
    """p(success) by how near the last ``looks`` state vectors (W = looks * S numbers) are to a demonstrated success's.

    Looks are ``stride`` decisions apart, however densely an episode's pictures were kept.

    Nearness is one-sided: moments unlike any demonstrated success are none, whatever they are, so that a policy cannot
    earn by what neither demonstrations nor failures show. Numbers of a window count by how well they tell demonstrated
    successes from failures of the very same motion (Fisher's ratio of their means' distance to their spread): with
    ``negatives.hollow`` of the same task those are the fingers; a task without any is weighed by the others'.

    The few numbers that hold 95% of it are compared apart from the rest, and the worse of the two comparisons counts.
    p is 1/2 at twice the distance at which nine of ten demonstrations of a task lie from the others. For the numbers
    that tell that is no less than a quarter of the median distance of failures, for a policy may hold things otherwise
    than demonstrations that one expert made all alike, and no more than half of it; for the rest it is twice as far.
    It sees the arm's state, as the policy does, and never the simulator's.
    """

    def __init__(self, looks: int, stride: int = 1) -> None:
        """Raises UserError for fewer than 1 look."""
        if looks < 1:
            raise UserError(f"reward_model.feels={looks} must be 1 or more looks, or 0 to judge by pictures alone")
        self.looks, self.stride = looks, stride
        self._known: dict[str, Array] = {}
        self._weights: dict[str, Array] = {}
        self._reach: dict[str, Array] = {}

    def fit(self, demonstrations: Sequence[Trace], failures: Sequence[Trace], settle: int) -> float:
        """Remembers demonstrated successes; the mean over tasks of the distance at which p is 1/2.

        Warns where demonstrations of a task differ more than half as much as they do from failures.

        Raises:
            UserError: no replays among ``failures`` that last until success, or a task with a single demonstration, or
                one whose failures feel as its demonstrations do.
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
            apart = [_distances(row, rest, weights).min((1, 2)) for row, rest in zip(rows, others, strict=True)]
            failing = float(np.median(_distances(failed, self._known[task], weights)[0].min(1)))
            self._reach[task] = _reach(2 * np.quantile(apart, 0.9, axis=0), failing, task)
        return float(np.mean([reach[0] for reach in self._reach.values()]))

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
            each = [self._off(windows[mine], name) for name in asked]
            distance[mine] = np.min(each, 0)
        out: NDArray[np.float32] = (1 / (1 + np.exp(STEEP * (distance - 1)))).astype(np.float32)
        return out

    def state(self) -> dict[str, Any]:
        """For saving."""
        return {"known": dict(self._known), "weights": dict(self._weights), "reach": dict(self._reach)}

    def load(self, state: Mapping[str, Any]) -> None:
        """Takes back what ``state`` gave."""
        self._known = {task: np.asarray(rows, np.float64) for task, rows in state["known"].items()}
        weights = {task: np.asarray(rows, np.float64) for task, rows in state["weights"].items()}
        reach = {task: np.asarray(far, np.float64).reshape(-1) for task, far in state["reach"].items()}
        # before there was a rest all numbers were compared together
        self._weights = {task: rows if rows.ndim == 2 else np.stack([rows, 0 * rows]) for task, rows in weights.items()}
        self._reach = {task: far if len(far) == 2 else np.append(far, np.inf) for task, far in reach.items()}

    def _off(self, windows: Array, task: str) -> Array:
        """(N,) how far windows are from the nearest demonstrated success of a task; p is 1/2 at 1."""
        each = _distances(windows, self._known[task], self._weights[task]) / self._reach[task][:, None, None]
        return np.asarray(each.max(0).min(1))

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
    """(2, W): what each number weighs in a squared distance of those that tell, and of the rest, in units of spread."""
    spread = np.maximum(np.concatenate([good, bad]).std(0), LEAST_SPREAD)
    least = (0.05 * spread) ** 2  # what never varied in a few demonstrations is not known to a hair
    ratio = (good.mean(0) - bad.mean(0)) ** 2 / (good.var(0) + bad.var(0) + 2 * least)
    order = np.argsort(-ratio)
    told = np.cumsum(ratio[order])
    telling = np.zeros(len(ratio), bool)
    telling[order[: 1 + int(np.searchsorted(told, TELLING * told[-1]))]] = True
    shares = np.stack([np.where(telling, ratio, 0), np.where(telling, 0, ratio)])
    return np.asarray(shares / np.maximum(shares.sum(1, keepdims=True), 1e-12) / spread**2, np.float64)


def _distances(windows: Array, known: Array, weights: Array) -> Array:
    """(2, N, M) of windows (N, W) from known ones (M, W), by the numbers that tell and by the rest."""
    return np.asarray([cdist(windows * root, known * root) for root in np.sqrt(weights)], np.float64)


def _reach(alike: Array, failing: float, task: str) -> Array:
    """(2,) the distances at which p is 1/2; ``alike``: twice that of nine of ten demonstrations from the others."""
    if failing <= 0:
        raise UserError(
            f"the failures of {task!r} feel just as its demonstrations do: reward_model.feels tells nothing here; set "
            "it to 0, or give failures that differ (negatives.hollow, env.target_shift)"
        )
    telling = np.clip(alike[0], NEARER * failing, FARTHER * failing)
    if alike[0] > FARTHER * failing:
        warnings.warn(
            f"reward_model.feels: demonstrations of {task!r} differ by {alike[0] / failing:.0%} of what failures feel "
            "like; some of them are not felt as successes: give more of them, alike ones, or feels=0",
            stacklevel=2,
        )
    return np.asarray(np.maximum([telling, LENIENT * alike[1]], LEAST_SPREAD), np.float64)
