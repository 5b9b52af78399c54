"""Which episodes only calibrate: whole recordings, each with all copies that were made of it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from robo_reward.reward_models.looks import seen_along
from robo_reward.trace import Trace

Parts = tuple[list[Trace], list[Trace]]
"""Fitted and held out."""


def split_recordings(
    demonstrations: Sequence[Trace], negatives: Sequence[Trace], views: Sequence[str], every: int
) -> tuple[Parts, Parts]:
    """Demonstrations and negatives, of which every ``every``-th recording is held out, demonstrated ones by themselves.

    A negative that was made of a demonstration lies where that one does.
    """
    traces = [*demonstrations, *negatives]
    of = recordings(traces, views)
    demonstrated = list(dict.fromkeys(of[: len(demonstrations)]))
    others = [own for own in dict.fromkeys(of) if own not in set(demonstrated)]
    out = {*demonstrated[every - 1 :: every], *others[every - 1 :: every]}
    held = [own in out for own in of]

    def parts(which: range) -> Parts:
        return [traces[k] for k in which if not held[k]], [traces[k] for k in which if held[k]]

    return parts(range(len(demonstrations))), parts(range(len(demonstrations), len(traces)))


def recordings(traces: Sequence[Trace], views: Sequence[str]) -> list[int]:
    """For each trace the index of the one that it was made of, its own where there is none.

    Copies (stopped, clipped, rewound, reversed, under another instruction) show frames of one recording alone, equal to
    the last bit. A trace does not say where it comes from: it is taken for a copy of the first one that shows all of
    its frames and more, or the same ones earlier in the list.
    """
    shown = [_frames(trace, views) for trace in traces]
    holders: dict[bytes, list[int]] = {}
    for k, own in enumerate(shown):
        for frame in own:
            holders.setdefault(frame, []).append(k)
    made_of = []
    for k, own in enumerate(shown):
        near = holders[next(iter(own))] if own else []
        made_of.append(next((j for j in near if own < shown[j] or (own == shown[j] and j < k)), k))
    for k, whole in enumerate(made_of):
        while made_of[whole] != whole:
            whole = made_of[whole]
        made_of[k] = whole
    return made_of


def _frames(trace: Trace, views: Sequence[str]) -> set[bytes]:
    """The frames that a reward with these views sees of a trace, as digests."""
    parts = seen_along(trace, [view for view in views if view in trace.frames]).values()
    return {hashlib.blake2b(b"".join(p[k].tobytes() for p in parts)).digest() for k in range(len(trace.frame_steps))}
