"""How far an episode truly came, by the simulator's reward: for the audit alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from robo_reward.reward_models.audit.metrics import concordance
from robo_reward.trace import Trace

Floats64 = NDArray[np.float64]
FLAT = 0.05
"""Of the rise of a success's reward: where it moves by less before the success itself, it tells nothing of the way."""
RISING = 0.5
"""Concordance with time until success from which on a reward says where one is; one that pays for changes does not."""
ROUNDING = 1e-5
"""Of a reward's size: what differs by less is the rounding of single precision."""


def rises(successes: Sequence[Trace]) -> bool:
    """Whether the simulator's reward is one of the state: it rises until success (with it, if sparse), in the mean.

    False without a reward, and for one that pays for change (the way that was made in a step) or is mostly shaping.
    """
    paid = [_until_success(trace) for trace in successes]
    return bool(paid) and float(np.mean([0.0 if p is None else _order(p) for p in paid])) >= RISING


def share_of_way(trace: Trace, share: float) -> float:
    """What share of the way of a success is done after a share of its time, in [0, 1].

    By the simulator's reward; the share itself without one, and where it does not tell.
    """
    paid = _until_success(trace)
    if paid is None or not _tells(paid):
        return share
    at = float(paid[max(0, int(share * len(paid)) - 1)])
    return float(np.clip((at - paid[0]) / (paid.max() - paid[0]), 0, 1))


def ways(failures: Sequence[Trace], successes: Sequence[Trace]) -> list[float]:
    """What share of the way each failure ends at, in [0, 1], by the simulator's reward of its last three priced frames.

    0 is what failures begin with, 1 the best that successes reach, both in the mean. All 0 where the reward does not
    tell, or there is none: random actions are then taken to have done nothing.
    """
    told = [p for trace in successes if (p := _until_success(trace)) is not None and _tells(p)]
    backs = [np.asarray(trace.env_reward, np.float64) for trace in failures if trace.env_reward is not None]
    if not told or 2 * len(told) < len(successes) or not backs or len(backs) < len(failures):
        return [0.0] * len(failures)
    low, high = float(np.mean([b[0] for b in backs])), float(np.mean([p.max() for p in told]))
    if high <= low:
        return [0.0] * len(failures)
    ends = [_last(back, trace, low) for back, trace in zip(backs, failures, strict=True)]
    return [float(np.clip((end - low) / (high - low), 0, 1)) for end in ends]


def _last(back: Floats64, trace: Trace, start: float) -> float:
    """The mean reward of the last three priced frames, ``start`` where none follows a step."""
    steps = trace.frame_steps[-3:]
    return float(back[steps[steps > 0] - 1].mean()) if (steps > 0).any() else start


def _until_success(trace: Trace) -> Floats64 | None:
    """Rewards (K,) up to and with that of the first success; None without them, and where rest at the goal pays less
    than the way there does in the mean: such a reward pays for change.
    """
    done = trace.success_step
    if trace.env_reward is None or done is None or done < 2:
        return None
    paid, rest = np.split(trace.env_reward.astype(np.float64), [done])
    return None if len(rest) and rest.mean() < paid.mean() else paid


def _tells(paid: Floats64) -> bool:
    """Whether the way before success is paid for, and more the farther one is."""
    rise = float(paid.max() - paid[0])
    return rise > 0 and float(np.ptp(paid[:-1])) > FLAT * rise and _order(paid) >= RISING


def _order(paid: Floats64) -> float:
    """In [-1, 1], 0 where nothing differs."""
    spread = float(np.ptp(paid))
    return concordance(paid / spread) if spread > ROUNDING * float(np.abs(paid).max()) else 0.0
