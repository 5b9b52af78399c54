"""Which episodes a reward is fitted on, which only its audit sees, and what earlier fits decided about that."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from robo_reward.errors import UserError
from robo_reward.fitting.episodes import Episode
from robo_reward.trace import Trace

FILE = "split.json"
SIDES = ("fitted", "held_out")
UNTOLD = {"origin": "not on record", "task": "not on record"}
"""Of rows that somebody else wrote."""
Rows = dict[str, dict[str, list[dict[str, Any]]]]
"""What ``split.json`` holds: demonstrations and negatives, fitted and held_out, a row (``Episode.as_json``) each."""


@dataclass(frozen=True, slots=True)
class Split:
    """Episodes that are fitted on, and episodes that only the audit sees; no episode is in both."""

    fitted: list[Episode]
    held_out: list[Episode]

    def as_json(self) -> dict[str, Any]:
        """What is stored beside the model."""
        return {"fitted": [e.as_json() for e in self.fitted], "held_out": [e.as_json() for e in self.held_out]}

    def tasks(self, side: str) -> list[str]:
        """The instructions of the episodes that are ``fitted`` or ``held_out``, in order."""
        return list(dict.fromkeys(e.trace.task for e in getattr(self, side)))

    def audited(self) -> list[Trace]:
        """The held-out traces, or the fitted ones where there are too few to hold any out."""
        return [e.trace for e in self.held_out or self.fitted]


class StoredSplit:
    """What a fit before decided about recordings; ``rows``: its ``split.json``.

    A recording is known by its video where the same views are read. Else the motion must be the same, and of several
    of one motion the dataset's name and the number decide, then the last pictures of views that both read. A motion
    without movement says nothing alone.
    """

    def __init__(self, rows: Rows) -> None:
        """Raises KeyError, TypeError or ValueError for rows that are none."""
        self.rows = rows
        self._videos: dict[str, str] = {}
        self._motions: dict[str, list[_Told]] = {}
        for side in SIDES:
            for row in rows["demonstrations"][side]:
                self._videos[row["video"]] = side
                told = _Told(side, _named(str(row["origin"]), row.get("number")), dict(row.get("pictures") or {}))
                self._motions.setdefault(row.get("motion") or "", []).append(told)

    def sides(self, episode: Episode) -> set[str]:
        """``fitted`` or ``held_out``; nothing for an episode that it does not know; both where it could be either."""
        if episode.video in self._videos:
            return {self._videos[episode.video]}
        alike = self._motions.get(episode.motion, []) if episode.motion else []
        named = [told for told in alike if told.name == _named(episode.origin, episode.number)]
        equal = [told for told in alike if all(told.pictures[v] == episode.pictures[v] for v in told.both(episode))]
        seen = [told for told in equal if told.both(episode)]
        return {told.side for told in named or seen or (equal if _moves(episode.trace) else [])}


@dataclass(frozen=True, slots=True)
class _Told:
    """What a row tells of a recording."""

    side: str
    name: tuple[str, Any]
    pictures: Mapping[str, str]

    def both(self, episode: Episode) -> set[str]:
        """The views that were read then and now."""
        return set(self.pictures) & set(episode.pictures)


def _named(origin: str, number: Any) -> tuple[str, Any]:
    """A dataset may lie in another folder meanwhile."""
    return origin.rstrip("/").rpartition("/")[2], number


def _moves(trace: Trace) -> bool:
    return any(bool((values != values[:1]).any()) for values in (trace.state, trace.action))


def read_split(place: Path) -> StoredSplit:
    """What ``split.json`` tells: the file, or that of a model's folder or a run's.

    Raises:
        UserError: there is none, it is damaged, or it was written before videos were told apart.
    """
    names = (place, place / FILE, place / "reward_model" / FILE)
    path = next((name for name in names if name.is_file()), None)
    if path is None:
        raise UserError(f"'{place}' holds no {FILE}: give the folder of a fitted model, or the file")
    try:
        held = json.loads(path.read_text("utf-8"))
        made = held.get("negatives") or {side: [] for side in SIDES}
        parts = {"demonstrations": held["demonstrations"], "negatives": made}
        return StoredSplit(
            {name: {side: [UNTOLD | row for row in part[side]] for side in SIDES} for name, part in parts.items()}
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"'{path}' is no split of videos ({error!r}): fit the model again") from error


def decided(episode: Episode, stored: Sequence[StoredSplit]) -> bool | None:
    """Whether the first split that knows this episode held it out; None if none knows it."""
    return next(("held_out" in sides for known in stored if (sides := known.sides(episode))), None)


def split(
    episodes: Sequence[Episode], share: float, rng: np.random.Generator, stored: Sequence[StoredSplit] = ()
) -> Split:
    """Holds out ``share`` of the videos, drawn at random; none of fewer than ``1 / share``.

    Of each task its share, and what that leaves of the whole share one more a task; never the last that a task is
    fitted on. All episodes of one video land on one side. ``stored``: what earlier splits decided stays as it is, by
    the first that knows an episode.

    Raises:
        UserError: for a share outside [0, 1).
    """
    if not 0 <= share < 1:
        raise UserError(f"held_out={share} must be at least 0 and below 1: it is a share of the episodes")
    told = [decided(episode, stored) for episode in episodes]
    before: dict[str, bool] = {}
    for episode, held_out in zip(episodes, told, strict=True):
        if held_out is not None:
            before[episode.video] = held_out or before.get(episode.video, False)
    out = _drawn(episodes, share, rng, before) | {video for video, held_out in before.items() if held_out}
    parts = Split([], [])
    for episode, held_out in zip(episodes, told, strict=True):
        is_out = episode.video in out if held_out is None else held_out
        (parts.held_out if is_out else parts.fitted).append(episode)
    return parts


def _drawn(episodes: Sequence[Episode], share: float, rng: np.random.Generator, before: Mapping[str, bool]) -> set[str]:
    tasks: dict[str, set[str]] = {}
    for episode in episodes:
        tasks.setdefault(episode.video, set()).add(episode.trace.task)
    new = [video for video in tasks if video not in before]
    known = Counter(task for video in new for task in tasks[video])
    fitted = Counter(task for video, its in tasks.items() if not before.get(video) for task in its)
    order = [new[k] for k in rng.permutation(len(new))]
    drawn: set[str] = set()
    out: Counter[str] = Counter()
    for bound in (math.floor, math.ceil):
        for video in order:
            free = all(out[t] < bound(share * known[t]) and fitted[t] - out[t] > 1 for t in tasks[video])
            if free and video not in drawn and len(drawn) < math.floor(share * len(new)):
                drawn.add(video)
                out.update(tasks[video])
    return drawn


def on_record(
    positive: Split, negative: Split, rehearsed: Sequence[Episode] = (), before: StoredSplit | None = None
) -> Rows:
    """What ``split.json`` is to hold of a model that was fitted on ``positive.fitted`` and ``rehearsed``.

    ``before``: of the model that it was adapted from, whose episodes it has seen too.
    """
    shown = Split([*rehearsed, *positive.fitted], positive.held_out)
    rows = {"demonstrations": shown.as_json(), "negatives": negative.as_json()}
    if before is None:
        return rows
    told = {(row["video"], row["task"]) for side in SIDES for row in rows["demonstrations"][side]}
    for part, sides in rows.items():
        for side in SIDES:
            own = part == "demonstrations"
            old = [r for r in before.rows[part][side] if not own or (r["video"], r["task"]) not in told]
            sides[side] = [*old, *sides[side]]
    return rows
