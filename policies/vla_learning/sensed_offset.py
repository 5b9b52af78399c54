"""Exploration that lasts an episode: the arm acts as if it were a little beside where it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from robo_reward.contracts import Floats
from robo_reward.errors import UserError
from robo_reward.policies.vla.lerobot_policy import LeRobotPolicy
from robo_reward.seeding import derive_seed

MOST = 1e3
"""Units of the state: more is a slip of the pen."""


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
        """What the policy is told of the states (M, S) of ``worlds``, whose episodes are in the order of ``by``."""
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
        if isinstance(within, bool) or not isinstance(within, int | float) or not 0 <= within <= MOST:
            raise UserError(f"group.offset={within!r} must be 0 (none) to {MOST:g}, in the units of the state")
        given = list(numbers) if isinstance(numbers, Sequence) and not isinstance(numbers, str) else [None]
        whole = [isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in given]
        if not given or not all(whole) or len(set(given)) < len(given):
            raise UserError(f"group.offset_of={numbers} must be a list of different numbers of the state, e.g. [0,1]")
        self._within, self._numbers, self._seed = within, tuple(numbers), seed

    def check(self, policy: LeRobotPolicy) -> None:
        """Whether ``policy`` can be told another state and learn from the true one.

        Raises:
            UserError: it reads no state, none with such numbers, or its actions count from the state.
        """
        from lerobot.processor.relative_action_processor import RelativeActionsProcessorStep

        if not self._within:
            return
        said = f"group.offset={self._within:g}"
        state = policy.config.input_features.get(policy.names.theirs("state"))
        if state is None:
            raise UserError(
                f"{said} displaces what is sensed of the state, and the policy reads none: set group.offset=0"
            )
        if max(self._numbers) >= state.shape[0]:
            raise UserError(f"group.offset_of={list(self._numbers)}: the state has numbers 0 to {state.shape[0] - 1}")
        steps = getattr(policy.before, "steps", ())
        if any(isinstance(step, RelativeActionsProcessorStep) and step.enabled for step in steps):
            raise UserError(
                f"{said}: the policy's actions count from its state (use_relative_actions), so those from a displaced "
                "one mean others from the true one: set group.offset=0"
            )

    def of_group(self, number: int, size: int) -> Displaced | None:
        """Of the episodes of group ``number``: its first half is not displaced. None where none is."""
        if not self._within:
            return None
        random = np.random.default_rng(derive_seed(self._seed, "offset", number))
        by = random.uniform(-self._within, self._within, (size, len(self._numbers))).astype(np.float32)
        by[: (size + 1) // 2] = 0.0
        return Displaced(self._numbers, by)
