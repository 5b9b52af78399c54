"""Regions with a roof (microwave, shelf boards): where they are entered from the side, and how much room there is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robo_reward.envs.libero_experts.scene import Place, Scene

WAYS = (np.array([0.0, -1, 0]), np.array([0.0, 1, 0]), np.array([-1.0, 0, 0]), np.array([1.0, 0, 0]))

WALL = 0.2
"""Metres within which a compartment's walls are looked for."""


@dataclass(frozen=True)
class Cavity:
    """``mouth`` (3,): middle of the region's outer edge; ``out`` (3,): the way out; heights of floor and roof."""

    mouth: Place
    out: Place
    floor: float
    roof: float


def find_cavity(scene: Scene, region: str) -> Cavity | None:
    """The region's cavity, or None where it is open above (baskets, drawers)."""
    at, half = scene.region(region)
    holder = int(scene.model.site_bodyid[scene.site(region)])
    if holder == 0 or "cabinet" in region:
        return None
    root = holder
    while int(scene.model.body_parentid[root]):
        root = int(scene.model.body_parentid[root])
    boxes = scene.boxes.upright(scene.boxes.tree(root))
    around = scene.boxes.upright()
    over = _across(boxes, at) & (boxes[:, 2] > at[2])
    if not over.any():
        return None
    beneath = _across(around, at) & (around[:, 5] < at[2] + half[2])
    floor, roof = float(around[beneath, 5].max()), float(boxes[over, 2].min())
    middle = np.array([at[0], at[1], (floor + roof) / 2])
    reaches = [_free(boxes, middle, way, 0.4) for way in WAYS]
    out = WAYS[int(np.argmax(reaches))]
    side = np.array([-out[1], out[0], 0.0])
    left, right = _free(boxes, middle, side, 0.4), _free(boxes, middle, -side, 0.4)
    mouth = at + side * (left - right) / 2 + out * float(np.abs(out) @ half)
    return Cavity(mouth, out, floor, roof)


def open_middle(scene: Scene, region: str, rim: float) -> Place:
    """(3,) middle of that part of a drawer's region over which none of its cabinet's other bars reach out."""
    at, half = scene.region(region)
    joint = scene.joint(region)
    drawer = scene.boxes.tree(int(scene.model.jnt_bodyid[joint]))
    low, high = scene.model.jnt_range[joint]
    out = np.round(scene.data.xaxis[joint]) * (1.0 if abs(high) > abs(low) else -1.0)
    root = min(drawer)
    while int(scene.model.body_parentid[root]):
        root = int(scene.model.body_parentid[root])
    boxes = scene.boxes.upright(scene.boxes.tree(root) - drawer)
    beside = np.abs(out) < 0.5
    beside[2] = False
    near = (boxes[:, 5] > rim) & (np.abs((boxes[:, :3] + boxes[:, 3:]) / 2 - at)[:, beside] < 0.12).all(1)
    ends = np.maximum(boxes[near, :3] @ out, boxes[near, 3:] @ out)
    back, front = float(at @ out - half @ np.abs(out)), float(at @ out + half @ np.abs(out))
    hung = max([back, *(float(end) for end in ends if end < front)])
    middle: Place = at + out * ((hung + front) / 2 - at @ out)
    return middle


def between_walls(scene: Scene, region: str) -> Place:
    """(3,) a region's middle, moved to between the walls of what it belongs to, where there are two that face."""
    at, _ = scene.region(region)
    boxes = scene.boxes.upright(scene.boxes.tree(int(scene.model.site_bodyid[scene.site(region)])))
    middle = at.copy()
    for one, other in (WAYS[:2], WAYS[2:]):
        ends = _free(boxes, at, one, WALL), _free(boxes, at, other, WALL)
        if max(ends) < WALL:
            middle += (one * ends[0] + other * ends[1]) / 2
    return middle


def _across(boxes: Place, at: Place) -> NDArray[np.bool_]:
    """(G,) which boxes lie over or under a place."""
    inside: NDArray[np.bool_] = np.all((boxes[:, :2] < at[:2]) & (boxes[:, 3:5] > at[:2]), axis=1)
    return inside


def _free(boxes: Place, start: Place, way: Place, far: float) -> float:
    """Metres that one can go from ``start`` before a box is met, at most ``far``."""
    for distance in np.arange(0.0, far, 0.002):
        at = start + way * distance
        if ((boxes[:, :3] < at) & (boxes[:, 3:] > at)).all(1).any():
            return float(distance)
    return far
