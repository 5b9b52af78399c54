"""Replays a demonstration in a new scene: tracks its hand path, displaced by how the objects are displaced."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from robo_reward.contracts import Flags, Floats, Landmarks
from robo_reward.policies.warp_plan import Array, WarpPlan

CONTEXT = 4
"""Numbers that tell where in the plan a world is: phase, and the tracking error in three directions."""


@dataclass(frozen=True, slots=True)
class TrackSettings:
    """How a plan is tracked. Distances in metres, the rest in steps or shares.

    ``correction``: share of the tracking error that one action undoes. ``tolerance``: how near the reference counts as
    reached; until then the plan waits, at most ``patience`` steps, with ``waiting_share`` of the demonstrated action.
    ``look``: how many steps of the approach may be skipped. ``lost``, ``lost_at_end``: an object this far from where
    the plan has it sends the plan back to the best earlier step, at most once per ``rest`` steps.
    """

    correction: float = 0.3
    tolerance: float = 0.02
    patience: int = 8
    waiting_share: float = 0.3
    stall: float = 0.001
    look: int = 3
    lost: float = 0.05
    lost_at_end: float = 0.02
    rest: int = 8


@dataclass(slots=True)
class _Place:
    """Where one world is in the plan."""

    start: Array
    step: int = 0
    waited: int = 0
    age: int = 0
    rest: int = 0
    error: float = 9.0
    object_shift: Array | None = None
    offset: Array = field(default_factory=lambda: np.zeros(3))


class WarpedReplay:
    """A prior: proposes actions for N worlds from their states and remembers where in the plan each of them is."""

    context_size = CONTEXT

    def __init__(
        self, plan: WarpPlan, landmarks: Landmarks, undo: Array, settings: TrackSettings | None = None
    ) -> None:
        """``undo`` (A, 3): the actions that move the hand by one metre along each axis, from ``hand_response``."""
        self.plan, self.landmarks, self.undo = plan, landmarks, undo
        self.settings = settings or TrackSettings()
        self._places: list[_Place | None] = []

    def reset(self, fresh: Flags) -> None:
        """Worlds where ``fresh`` (N,) start the plan anew at their next proposal."""
        if len(self._places) != len(fresh):
            self._places = [None] * len(fresh)
        for index in np.flatnonzero(fresh):
            self._places[index] = None

    def propose(self, state: Floats) -> tuple[Floats, Floats]:
        """Actions (N, A) within [-1, 1] and context (N, 4) for states (N, S)."""
        if len(self._places) != len(state):
            self.reset(np.ones(len(state), bool))
        rows = [self._one(i, state[i]) for i in range(len(state))]
        return np.stack([a for a, _ in rows]), np.stack([c for _, c in rows])

    def _one(self, index: int, state: Floats) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        hand, thing, goal = (self.landmarks.of(state, name) for name in ("hand", "object", "goal"))
        place = self._places[index]
        if place is None:
            place = self._places[index] = _Place(start=hand - self.plan.hand[0])
        self._skip(place, hand, thing, goal)
        self._recover(place, hand, thing, goal)
        action = self._track(place, hand, thing, goal)
        phase = 2 * place.step / len(self.plan)
        context = np.concatenate([[phase], np.clip(place.offset * 20, -2, 2)])
        return action, context.astype(np.float32)

    def _shift(self, place: _Place, step: int, thing: Array, goal: Array) -> Array:
        """How far the reference of a plan step is displaced in this scene."""
        plan, ease = self.plan, float(self.plan.ease[step])
        away = goal - plan.goal
        if not plan.moves_object and plan.anchor == "goal":
            return ease * away + (1 - ease) * place.start
        if not plan.moves_object or step <= plan.contact:
            shift = place.object_shift = thing - plan.object[min(step, plan.contact)]
            # the first observation of an episode may still show the object where it was before the reset
            known = shift if place.age > 0 else np.zeros(3)
            return ease * known + (1 - ease) * place.start
        kept = place.object_shift
        if kept is None:
            kept = place.object_shift = thing - plan.object[step]
        carried = float(plan.carried[step])
        return (1 - carried) * kept + carried * away

    def _skip(self, place: _Place, hand: Array, thing: Array, goal: Array) -> None:
        """Jumps ahead on the approach to the nearest reference, while the gripper's command stays the same."""
        plan, s = self.plan, self.settings
        if place.step >= plan.contact:
            return
        free = self.undo.any(axis=1)
        last = min(place.step + s.look, plan.contact, len(plan) - 1)
        command = plan.action[place.step][~free]
        steps = [j for j in range(place.step, last + 1) if (np.abs(plan.action[j][~free] - command) < 0.1).all()]
        errors = [np.linalg.norm(plan.hand[j] + self._shift(place, j, thing, goal) - hand) for j in steps]
        best = int(np.argmin(errors))
        if best > 0 and errors[best] < s.tolerance:
            place.step, place.waited = steps[best], 0

    def _recover(self, place: _Place, hand: Array, thing: Array, goal: Array) -> None:
        """Goes back to the step that fits hand and object best when the object is not where the plan has it."""
        plan, s = self.plan, self.settings
        place.rest -= 1
        if not plan.moves_object or place.step <= plan.contact or place.rest >= 0:
            return
        gap = np.linalg.norm(plan.object[place.step] + self._shift(place, place.step, thing, goal) - thing)
        at_end = place.step >= len(plan) - 1
        if gap <= s.lost and not (at_end and gap > s.lost_at_end):
            return
        kept = place.object_shift
        assert kept is not None  # set by _shift above
        best, least = place.step, np.inf
        for step in range(min(place.step + 1, len(plan))):
            if plan.ease[step] < 1:
                continue
            if step <= plan.contact:
                regrasp = plan.hand[step] + thing - plan.object[plan.contact]
                cost = float(np.linalg.norm(regrasp - hand)) + 0.02
            else:
                carried = float(plan.carried[step])
                shift = (1 - carried) * kept + carried * (goal - plan.goal)
                cost = float(np.linalg.norm(plan.hand[step] + shift - hand))
                cost += float(np.linalg.norm(plan.object[step] + shift - thing))
            if cost < least:
                best, least = step, cost
        place.step, place.waited, place.rest = best, 0, s.rest

    def _track(self, place: _Place, hand: Array, thing: Array, goal: Array) -> NDArray[np.float32]:
        plan, s, step = self.plan, self.settings, place.step
        place.offset = plan.hand[step] + self._shift(place, step, thing, goal) - hand
        error = float(np.linalg.norm(place.offset))
        stalled = place.waited >= 2 and place.error - error < s.stall
        reached = error < s.tolerance or place.waited >= s.patience or stalled
        place.error, place.age = error, place.age + 1
        free = self.undo.any(axis=1)
        action = plan.action[step].astype(np.float64)
        forward = action + self.undo @ self._drift(place, step, goal)
        action[free] = (forward if reached else s.waiting_share * forward)[free]
        action += s.correction * (self.undo @ place.offset)
        if reached:
            place.step, place.waited = min(step + 1, len(plan) - 1), 0
        else:
            place.waited += 1
        chosen: NDArray[np.float32] = np.clip(action, -1, 1).astype(np.float32)
        return chosen

    def _drift(self, place: _Place, step: int, goal: Array) -> Array:
        """How the displacement itself moves during the next step of carrying the object to another goal."""
        plan = self.plan
        if not plan.moves_object or step <= plan.contact or place.object_shift is None:
            return np.zeros(3)
        share = float(plan.carried[step + 1] - plan.carried[step])
        return share * (goal - plan.goal - place.object_shift)
