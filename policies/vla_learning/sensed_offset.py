"""Exploration that lasts an episode: the arm acts as if it were a little beside where it is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from robo_reward.contracts import Floats
from robo_reward.errors import UserError
from robo_reward.seeding import derive_seed


@dataclass(frozen=True, slots=True)
class Displaced:
    """By how much some ``numbers`` of the sensed state are off in each of K episodes: ``by`` (K, len(numbers))."""

    numbers: tuple[int, ...]
    by: Floats

    def after(self, episodes: int) -> Displaced:
        """Without the first so many episodes."""
        return Displaced(self.numbers, self.by[episodes:])

    def off(self, world: int) -> bool:
        """Whether world ``world`` has an episode that senses anything else than it is."""
        return world < len(self.by) and bool(self.by[world].any())

    def sensed(self, state: torch.Tensor, worlds: Sequence[int]) -> torch.Tensor:
        """What the policy is told of the states (M, S) of ``worlds``, whose episodes are in the order of ``by``.

        Raises:
            UserError: the state has no such number.
        """
        width = state.shape[-1]
        if max(self.numbers) >= width:
            raise UserError(f"group.offset_of={list(self.numbers)}: the state has numbers 0 to {width - 1}")
        told = state.clone()
        for row, world in enumerate(worlds):
            if world < len(self.by):
                told[row, list(self.numbers)] += torch.as_tensor(self.by[world], dtype=state.dtype)
        return told


class SensedOffset:
    """Half of a group's episodes sense some numbers of their state displaced, by as much for the whole episode.

    A policy that steers its hand to where it sees something arrives beside it, by as much each time; noise that is
    drawn anew at each step averages out on the way there. What such an episode did is learned from what was truly
    there, so a policy that is always off to one side learns where it should have gone. Exploration that is the same all
    episode long is Rueckstiess et al.'s (2008, state-dependent exploration) and gSDE's (arXiv 2005.05719), there in the
    weights; here it is in the units of the state. ``within``: each number is displaced by up to so much, uniformly.
    """

    def __init__(self, within: float, numbers: Sequence[int], seed: int) -> None:
        """Raises UserError for numbers out of range."""
        if not math.isfinite(within) or within < 0:
            raise UserError(f"group.offset={within} must be 0 (none) or more, in the units of the state")
        whole = [isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in numbers]
        if not numbers or not all(whole) or len(set(numbers)) < len(numbers):
            raise UserError(f"group.offset_of={list(numbers)} must be different numbers of the state, e.g. [0,1]")
        self._within, self._numbers, self._seed = within, tuple(numbers), seed

    def of_group(self, number: int, size: int) -> Displaced | None:
        """Of the episodes of group ``number``: its first half is not displaced. None where none is."""
        if not self._within:
            return None
        random = np.random.default_rng(derive_seed(self._seed, "offset", number))
        by = random.uniform(-self._within, self._within, (size, len(self._numbers))).astype(np.float32)
        by[: (size + 1) // 2] = 0.0
        return Displaced(self._numbers, by)
