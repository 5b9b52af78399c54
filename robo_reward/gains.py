"""Gains in the one unit that transforms add up: the signed hop."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from robo_reward.contracts import Estimate, Floats

LEAST_SHARE = 0.02
"""Denominators of hops are raised to it: next to either end of a task hops stay finite."""


def signed_hop(before: Floats, after: Floats) -> Floats:
    """The hop between progress values in [0, 1], in [-1, 1], elementwise (Robo-Dopamine, arXiv 2512.23703, Eq. 2).

    Forward the share of the remaining distance that was covered, backward the share of the covered one that was lost.
    """
    delta = after - before
    whole = np.where(delta >= 0, 1 - before, before)
    return np.asarray(np.clip(delta / np.maximum(whole, LEAST_SHARE), -1, 1), np.float32)


def with_hops(estimate: Estimate, gives_hops: bool) -> Estimate:
    """The estimate with hops as gains, (N,); of a model that gives them (``Traits.gives_hops``) as it is."""
    if gives_hops:
        return estimate
    before = np.clip(estimate.progress - estimate.gain, 0, 1)
    return replace(estimate, gain=signed_hop(before, np.where(estimate.gain == 0, before, estimate.progress)))
