"""Random numbers that follow from (seed, world, episode) by a hash: many worlds draw at once, without generators.

SplitMix64 (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators") as a counter-based generator.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

Keys = NDArray[np.uint64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX = (
    (np.uint64(30), np.uint64(0xBF58476D1CE4E5B9)),
    (np.uint64(27), np.uint64(0x94D049BB133111EB)),
)
_LAST = np.uint64(31)


def mix(value: Keys) -> Keys:
    """SplitMix64's finaliser, element by element; a bijection of the 64-bit integers."""
    for shift, factor in _MIX:  # products of arrays wrap around silently, which is what the hash wants
        value = (value ^ (value >> shift)) * factor
    return value ^ (value >> _LAST)


def fold(keys: Keys, part: NDArray[np.int64]) -> Keys:
    """New keys (N,) from keys (N,) and a number for each."""
    return mix(keys + (part.astype(np.uint64) + np.uint64(1)) * _GOLDEN)


@cache
def _counters(first: int, count: int) -> Keys:
    """(count,) multiples of the golden number, from the ``first`` one on."""
    return np.arange(first, first + count, dtype=np.uint64) * _GOLDEN


def world_keys(seed: int, worlds: int) -> Keys:
    """(N,) keys of all worlds, from which ``episode_keys`` makes those of their episodes."""
    start = mix(np.full(worlds, np.uint64(seed % 2**64)))
    return fold(start, np.arange(worlds))


def episode_keys(worlds: Keys, episodes: NDArray[np.int64]) -> Keys:
    """(M,) keys of the episodes with these numbers in the worlds that have these keys (M,)."""
    return fold(worlds, episodes)


def uniform(keys: Keys, count: int, stream: int = 0) -> NDArray[np.float64]:
    """(M, count) numbers in [0, 1) with 53 random bits; other ``stream`` numbers give independent draws."""
    bits = mix(keys[:, None] + _counters((stream << 20) + 1, count))
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53


def between(keys: Keys, low: float, high: float, count: int, stream: int = 0) -> NDArray[np.float64]:
    """(M, count) uniform numbers in [low, high)."""
    return low + (high - low) * uniform(keys, count, stream)


def normal(keys: Keys, count: int, stream: int = 0) -> NDArray[np.float64]:
    """(M, count) standard normal numbers, by Box and Muller."""
    draws = uniform(keys, 2 * count, stream)
    radius = np.sqrt(-2.0 * np.log1p(-draws[:, :count]))
    return np.asarray(radius * np.cos(2.0 * np.pi * draws[:, count:]))
