"""What one demonstration says about a task in any scene: its phases, and what each phase is relative to.

The idea is object-centric demonstration transfer (as in MimicGen, Mandlekar et al. 2023): before contact the hand's
path belongs to the object, after it the object's path leads to the goal. Everything is read off the demonstration
itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from robo_reward.contracts import Landmarks
from robo_reward.trace import Trace

Array = NDArray[np.float64]
Anchor = Literal["object", "goal"]

STILL, MOVED, ONSET = 0.0015, 0.01, 0.002
"""Metres: an object is still below the first per step, has been moved beyond the second, is moving above the third."""
NEAR_GOAL, FAR_GOAL = 0.10, 0.25
"""Metres: where hand or object end within the first of the goal, the motion aims at it; within the second it may."""
EASE = 0.6
"""Share of the approach over which the start's displacement fades into the anchor's."""
WEAK = 0.25
"""Share of the strongest action's response below which an action is not taken to move the hand."""


@dataclass(frozen=True, slots=True)
class WarpPlan:
    """A demonstration of T steps, ready to be replayed elsewhere; positions in metres.

    ``hand``, ``object`` (T+1, 3), ``goal`` (3,), ``action`` (T, A). ``contact``: step at which the object starts to
    move (T if it never does). ``carried`` (T+1,): share of the object's way to the goal that is done, 0 to 1; all 0 if
    the goal plays no part. ``ease`` (T+1,): how much of the approach is done. ``anchor``: what a task without contact
    aims at.
    """

    hand: Array
    object: Array
    goal: Array
    action: NDArray[np.float32]
    contact: int
    carried: Array
    ease: Array
    anchor: Anchor

    @property
    def moves_object(self) -> bool:
        """Whether the demonstration moves the object at all."""
        return self.contact < len(self.action)

    def __len__(self) -> int:
        return len(self.action)


def make_plan(demonstration: Trace, landmarks: Landmarks, goal_within: float = NEAR_GOAL) -> WarpPlan:
    """Finds contact, transport and approach in a demonstration.

    ``goal_within``: metres within which hand or object must end for the goal to be what the object is carried to.
    """
    states = demonstration.state
    hand, thing = landmarks.of(states, "hand"), landmarks.of(states, "object").copy()
    thing[0] = thing[1]  # simulators report the object's place only after the first step
    goal = landmarks.of(states, "goal")[1]
    steps = len(demonstration)
    finish = min(demonstration.success_step or steps, steps)
    settled = _settled(thing)
    contact = _contact(thing, settled, steps)
    near = min(_distance(thing[finish], goal), _distance(hand[finish], goal)) < goal_within
    carried = _carried(thing, contact, finish) if contact < steps and near else np.zeros(steps + 1)
    to_goal = _distance(hand[finish], goal) < _distance(hand[finish], thing[finish])
    ease = _ease(hand, min(contact, finish))
    action = demonstration.action
    return WarpPlan(hand, thing, goal, action, contact, carried, ease, "goal" if to_goal else "object")


def make_plans(demonstration: Trace, episodes: Sequence[Trace], landmarks: Landmarks) -> dict[str, WarpPlan]:
    """``warp``, and ``warp_goal`` where one demonstration leaves open whether the object was carried to the goal.

    That is so if it ended between ``NEAR_GOAL`` and ``FAR_GOAL`` from it and the two do not always start in the same
    places relative to each other (``episodes``: of any policy); which of the two plans is right, an audition tells.
    """
    plans = {"warp": make_plan(demonstration, landmarks)}
    other = make_plan(demonstration, landmarks, FAR_GOAL)
    starts = [trace.state[min(1, len(trace))] for trace in (demonstration, *episodes)]
    apart = np.stack([landmarks.of(state, "goal") - landmarks.of(state, "object") for state in starts])
    if other.carried.any() and not plans["warp"].carried.any() and np.ptp(apart, axis=0).max() > MOVED:
        plans["warp_goal"] = other
    return plans


def hand_response(episodes: Sequence[Trace], landmarks: Landmarks) -> Array:
    """The actions (A, 3) that move the hand by one metre along each axis, fitted on random episodes.

    Least squares of the hand's displacement on this and the previous action; the sum of both effects is the lasting
    response. Actions whose response is below a quarter of the strongest (grippers) are left out: the fit's noise alone
    can feign a tenth.
    """
    moved, now, before = [], [], []
    for trace in episodes:
        hand = landmarks.of(trace.state, "hand")
        moved.append(np.diff(hand, axis=0)[1:])
        now.append(trace.action[1:])
        before.append(trace.action[:-1])
    design = np.concatenate([np.concatenate(now), np.concatenate(before)], 1)
    fitted = np.linalg.lstsq(design, np.concatenate(moved), rcond=None)[0]
    actions = episodes[0].action.shape[1]
    lasting = fitted[:actions] + fitted[actions:]
    strength = np.linalg.norm(lasting, axis=1)
    lasting[strength < WEAK * strength.max()] = 0.0
    return np.asarray(np.linalg.pinv(lasting).T, np.float64)


def _settled(thing: Array) -> int:
    """The first step from which the object rests for three steps: objects drop and roll a little after a reset."""
    speed = np.linalg.norm(np.diff(thing, axis=0), axis=1)
    for step in range(1, min(20, len(speed) - 3)):
        if speed[step : step + 3].max() < STILL:
            return step
    return min(1, len(thing) - 1)


def _contact(thing: Array, settled: int, steps: int) -> int:
    away = np.linalg.norm(thing - thing[settled], axis=1)
    away[:settled] = 0
    if away.max() <= MOVED:
        return steps
    contact = int(np.argmax(away > MOVED))
    while contact > settled and _distance(thing[contact], thing[contact - 1]) > ONSET:
        contact -= 1
    return contact


def _carried(thing: Array, contact: int, finish: int) -> Array:
    way = np.linalg.norm(np.diff(thing, axis=0), axis=1)
    way[:contact] = 0
    done = np.concatenate([[0.0], np.cumsum(way)])
    return np.asarray(np.clip(done / max(float(done[finish]), 1e-6), 0, 1))


def _ease(hand: Array, until: int) -> Array:
    way = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(hand, axis=0), axis=1))])
    last = max(2, min(until, len(hand) - 1))
    return np.asarray(np.clip(way / max(EASE * float(way[last]), 1e-6), 0, 1))


def _distance(a: Array, b: Array) -> float:
    return float(np.linalg.norm(a - b))
