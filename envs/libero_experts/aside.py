"""A free place for what stands where a drawer will come out, so that the hand can still get at it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from robo_reward.envs.libero_experts.put_down import Shape, Spot
from robo_reward.envs.libero_experts.scene import Goal, Place, Scene

HAND = 0.1
"""Metres that a hand needs beside a drawer."""
DRAWN = 0.22
"""Metres that a drawer with its bar comes out."""
FARTHEST = 0.3
"""Metres to look around."""


def in_the_way(scene: Scene, goal: Goal) -> bool:
    """Whether the thing that should go into a shut drawer stands where the drawer will hang over the hand."""
    return _meets(_bounds(scene, goal.thing), _swept(scene, goal.target))


def aside(scene: Scene, goal: Goal, shape: Shape) -> list[Spot]:
    """The nearest free place for the thing of a goal ``aside``; its target is the drawer."""
    own = scene.boxes.tree(scene.body(goal.thing))
    box, at = _bounds(scene, goal.thing), scene.place(scene.body(goal.thing))
    others = scene.boxes.upright(but=own)
    others = others[(others[:, 5] > box[2] + 0.005) & (others[:, 2] < box[5] + 0.25)]
    swept = _swept(scene, goal.target)
    for shift in _around():
        moved = box + np.concatenate([shift, shift])
        grown = moved + np.array([-0.03, -0.03, 0, 0.03, 0.03, 0])
        if not _meets(moved, swept) and not any(_meets(grown, other) for other in others):
            return [Spot(at + shift, 0.008)]
    return [Spot(at, 0.008)]


def _swept(scene: Scene, drawer: str) -> Place:
    """(6,) the box that a shut drawer goes through, grown by the hand's size."""
    joint = scene.joint(drawer)
    low, high = scene.model.jnt_range[joint]
    out = np.round(scene.data.xaxis[joint]) * (1.0 if abs(high) > abs(low) else -1.0)
    first, last = scene.boxes.bounds(scene.boxes.tree(int(scene.model.jnt_bodyid[joint])))
    ends = np.stack([first, last, first + out * DRAWN, last + out * DRAWN])
    return np.concatenate([ends.min(0) - HAND * (1 - np.abs(out)), ends.max(0) + HAND * (1 - np.abs(out))])


def _bounds(scene: Scene, thing: str) -> Place:
    low, high = scene.boxes.bounds(scene.boxes.tree(scene.body(thing)))
    return np.concatenate([low, high])


def _meets(one: Place, other: Place) -> bool:
    """Whether two boxes overlap, seen from above."""
    return bool((one[:2] < other[3:5]).all() and (other[:2] < one[3:5]).all())


def _around() -> Iterator[Place]:
    """Shifts (3,) in growing distance, towards the arm first."""
    for distance in np.arange(0.02, FARTHEST, 0.02):
        for angle in np.pi + np.radians([0, 30, -30, 60, -60, 90, -90, 150, -150, 180]):
            yield np.array([distance * np.cos(angle), distance * np.sin(angle), 0.0])
