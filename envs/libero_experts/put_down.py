"""Where and how turned a thing has to be let go so that an ``on`` or ``in`` goal comes true."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.spatial.transform import Rotation

from robo_reward.envs.libero_experts.cavity import Cavity, between_walls, find_cavity, open_middle
from robo_reward.envs.libero_experts.scene import Goal, Place, Scene, Turn

TILT = np.radians(50)
"""How far a thing is laid back where it does not fit upright."""
INSIDE = 0.018
"""Metres past a cavity's mouth at which a thing counts as inside and the hand is still outside."""
ABOVE_FLOOR = 0.035
"""Metres above the floor of a narrow compartment at which a thing is let go at the lowest."""
HELD = 0.055
"""Metres that a thing must stand out over a rim for the fingers to hold it above the rim."""
PLAY = 0.02
"""Metres of play under which a compartment is narrow."""
LAID_BACK = ((np.radians(65), 0.045), (TILT, INSIDE))
"""How far a thing is laid back in a cavity, and how deep its middle comes: leaning more, the hand reaches deeper."""


@dataclass(frozen=True)
class Spot:
    """Where the thing's origin (3,) should come to lie, and how many metres higher to let it go (may be negative).

    ``turn`` (3, 3) turns the thing from how it stands. ``out`` (3,): something is above the spot, which is reached
    straight against this direction; None: from above. ``above``: metres over it at which the thing is brought there;
    ``exact``: by the millimetre and turned just so, as where walls are near.
    """

    place: Place
    release: float
    turn: Turn = field(default_factory=lambda: np.eye(3))
    out: Place | None = None
    above: float = 0.05
    exact: bool = False

    @property
    def tilted(self) -> bool:
        """Whether the thing does not end upright."""
        return bool(self.turn[2, 2] < 0.99)


@dataclass(frozen=True)
class Shape:
    """A thing as it stands: metres from lowest corner to origin, height, yaw (rad) of its thin side, both widths.

    ``off``: metres in x and y from the origin to the middle.
    """

    below: float
    height: float
    thin: float
    widths: tuple[float, float]
    off: tuple[float, float] = (0.0, 0.0)

    @classmethod
    def of(cls, scene: Scene, thing: str) -> Shape:
        body = scene.body(thing)
        corners = scene.boxes.corners(scene.boxes.tree(body))
        low, high, at = corners.min(0), corners.max(0), scene.place(body)
        off = (low + high) / 2 - at
        yaws = np.radians(np.arange(0, 180, 3))
        along = corners[:, :2] @ np.stack([np.cos(yaws), np.sin(yaws)])
        spans = np.ptp(along, axis=0)
        thinnest = int(np.argmin(spans))
        wide = float(spans[(thinnest + 30) % len(yaws)])
        return cls(
            float(at[2] - low[2]),
            float(high[2] - low[2]),
            float(yaws[thinnest]),
            (float(spans[thinnest]), wide),
            (float(off[0]), float(off[1])),
        )


def put_down(scene: Scene, goal: Goal, shape: Shape) -> list[Spot]:
    """The spots for a goal, the best first, in the present state; ``shape`` as taken before the thing was gripped."""
    if scene.is_site(goal.target):
        return _inside(scene, goal, shape) if goal.predicate == "in" else [_on_region(scene, goal, shape)]
    under = scene.body(goal.target)
    low, high = scene.boxes.bounds(scene.boxes.tree(under))
    at = scene.place(under)
    if "bowl" in goal.target:
        return [Spot(np.array([at[0], at[1], high[2] + shape.below]), 0.0)]
    return [Spot(np.array([at[0], at[1], low[2] + 0.008 + shape.below]), 0.012)]


def _on_region(scene: Scene, goal: Goal, shape: Shape) -> Spot:
    """Its middle, or a share of it where several things go onto one region: side by side by their thin sides."""
    at, _ = scene.region(goal.target)
    sharing = [other.thing for other in scene.goals if (other.predicate, other.target) == ("on", goal.target)]
    place = np.array([at[0], at[1], at[2] + shape.below])
    if len(sharing) > 1:
        slot = sharing.index(goal.thing) - (len(sharing) - 1) / 2
        apart = shape.widths[0] + 0.012
        place[:2] += slot * apart * np.array([np.cos(shape.thin), np.sin(shape.thin)])
    return Spot(place, 0.015)


def _inside(scene: Scene, goal: Goal, shape: Shape) -> list[Spot]:
    at, half = scene.region(goal.target)
    holder = int(scene.model.site_bodyid[scene.site(goal.target)])
    cavity = find_cavity(scene, goal.target)
    if cavity is not None:
        return _through_mouth(cavity, shape)
    rim = float(scene.boxes.bounds(scene.boxes.tree(holder))[1][2])
    if "cabinet" in goal.target:
        at = open_middle(scene, goal.target, rim)
    elif _is_narrow(half, shape):
        return _slotted(between_walls(scene, goal.target), half, shape, rim)
    thin_side = int(np.argmin(half[:2]))
    if shape.below > half[2] * 2 + 0.005 and "cabinet" in goal.target:
        return [_laid(at, half, shape, 1 - thin_side)]
    turn = np.eye(3)
    if shape.widths[1] > 2 * half[thin_side] > shape.widths[0]:
        turn = _aligned(shape.thin, float(thin_side) * np.pi / 2)
    return [Spot(np.array([at[0], at[1], rim + shape.below]), -0.03, turn)]


def _is_narrow(half: Place, shape: Shape) -> bool:
    """Whether a thing fits between a compartment's walls, but hardly so when turned anyhow."""
    room, longest = 2 * float(half[:2].min()), float(np.hypot(*shape.widths))
    return shape.widths[0] < room < longest + PLAY and shape.widths[1] < 2 * float(half[:2].max())


def _slotted(at: Place, half: Place, shape: Shape, rim: float) -> list[Spot]:
    """Along a narrow compartment's walls, its middle between them, let go only when well inside, the hand over them."""
    across = [0, 1] if abs(half[0] - half[1]) < PLAY / 2 else [int(np.argmin(half[:2]))]
    turns = [_aligned(shape.thin, side * np.pi / 2) for side in across]
    low = max(min(rim + HELD - shape.height, at[2] + half[2] - PLAY), at[2] - half[2] + ABOVE_FLOOR)
    spots = []
    for turn in sorted(turns, key=lambda each: -float(each[0, 0])):
        place = at - turn @ np.array([*shape.off, 0.0])
        place[2] = low + shape.below
        spots.append(Spot(place, 0.0, turn, above=rim + 0.015 - low, exact=True))
    return spots


def _laid(at: Place, half: Place, shape: Shape, long_side: int) -> Spot:
    """Let go leaning along a drawer's long side, so that it falls over: upright its origin would stick out."""
    axis = np.array([0.0, -1.0, 0.0]) if long_side == 0 else np.array([1.0, 0.0, 0.0])
    low = at[2] - half[2] + np.cos(TILT) * shape.below + shape.widths[0] / 2
    return Spot(np.array([at[0], at[1], low]), 0.0, Rotation.from_rotvec(axis * TILT).as_matrix())


def _through_mouth(cavity: Cavity, shape: Shape) -> list[Spot]:
    """Just past the mouth: upright where there is room, else, or where the hand does not fit, laid back."""
    room = cavity.roof - cavity.floor
    laid = [_laid_back(cavity, shape, tilt, inside) for tilt, inside in LAID_BACK]
    if shape.height >= room - 0.02:
        return laid
    place = cavity.mouth - cavity.out * INSIDE
    place[2] = cavity.floor + shape.below + (room - shape.height - 0.006 if room - shape.height < 0.05 else 0.03)
    return [Spot(place, 0.0, out=cavity.out), *laid]


def _laid_back(cavity: Cavity, shape: Shape, tilt: float, inside: float) -> Spot:
    """Leaning out of the mouth with the bottom ahead, the hand behind it."""
    middle = np.sin(tilt) * (shape.height / 2 - shape.below)
    place = cavity.mouth - cavity.out * (inside + middle)
    aligned = _aligned(shape.thin, float(np.arctan2(cavity.out[1], cavity.out[0])))
    back = Rotation.from_rotvec(np.cross(cavity.out, [0, 0, 1.0]) * -tilt).as_matrix()
    place[2] = cavity.floor + np.sin(tilt) * shape.widths[0] / 2 + np.cos(tilt) * shape.below + 0.01
    return Spot(place, 0.0, back @ aligned, cavity.out)


def _aligned(yaw: float, to: float) -> Turn:
    """(3, 3) the smallest turn about the vertical that brings a line at one yaw onto another."""
    by = (to - yaw + np.pi / 2) % np.pi - np.pi / 2
    turn: Turn = Rotation.from_euler("z", by).as_matrix()
    return turn
