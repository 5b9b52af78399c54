"""The Panda's hand under OSC_POSE: where it is, and moves that bring it somewhere."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from robo_reward.envs.libero_experts.scene import Place, Scene, Turn

Action = NDArray[np.float32]
Moves = Generator[Action, None, bool]
"""A skill: it yields (7,) actions, each chosen in the state that the last one led to; True where it got there."""

DOWN = np.array([[0.0, 1, 0], [1, 0, 0], [0, 0, -1]])
"""The hand pointing down; columns are its axes. Fingers open along the first, the world's y."""
OPEN, SHUT, KEEP = -1.0, 1.0, 0.0
"""Gripper commands; the last keeps the width."""
METRES, RADIANS = 0.05, 0.5
"""What 1.0 means in an OSC_POSE delta."""
REACH = 0.62
"""Metres from shoulder to wrist beyond which the elbow goes straight and the arm locks."""
WRIST = 0.1
"""Radians to be left at the ends of the wrist's last joint."""


class Hand:
    """Reads the hand's pose and makes actions and moves."""

    def __init__(self, scene: Scene) -> None:
        self._scene, self._data = scene, scene.data
        self._site = scene.site("gripper0_grip_site")
        self._shoulder = scene.model.body("robot0_link2").id
        self._wrist = scene.model.joint("robot0_joint7").id
        self._fingers = [int(scene.model.joint(f"gripper0_finger_joint{i}").qposadr[0]) for i in (1, 2)]

    @property
    def place(self) -> Place:
        """(3,) between the fingertips."""
        return np.array(self._data.site_xpos[self._site])

    @property
    def turn(self) -> Turn:
        """(3, 3) the hand's axes as columns."""
        return np.array(self._data.site_xmat[self._site].reshape(3, 3))

    @property
    def width(self) -> float:
        """Metres between the fingers, 0 to 0.08."""
        return float(np.abs(self._data.qpos[self._fingers]).sum())

    def leaned(self, to: Place, turn: Turn, reach: float = REACH) -> Turn:
        """``turn`` leaned back towards the arm, up to 40 degrees, where the elbow would otherwise go straight."""
        at = self.place
        near = at + np.clip(to - at, -0.1, 0.1)
        lean, ahead = self.lean(near, reach)
        back: Turn = Rotation.from_rotvec(np.cross(up(-1.0), ahead) * lean).as_matrix() @ turn
        return back

    def lean(self, at: Place, reach: float = REACH) -> tuple[float, Place]:
        """Radians that the hand leans back at a place, and the unit vector (3,) from the arm towards it."""
        shoulder = np.array(self._data.xpos[self._shoulder])
        ahead = (at - shoulder) * [1, 1, 0]
        ahead = ahead / np.linalg.norm(ahead)
        lean = 0.0
        for degrees in range(0, 41, 2):
            lean = float(np.radians(degrees))
            pointing = -np.cos(lean) * up(1.0) + np.sin(lean) * ahead
            wrist = at - 0.21 * pointing - 0.088 * (np.cos(lean) * ahead + np.sin(lean) * up(1.0))
            if np.linalg.norm(wrist - shoulder) < reach:
                break
        return lean, ahead

    def towards(self, to: Place, turn: Turn, grip: float, speed: float = 1.0) -> Action:
        """(7,) the action that goes towards a pose, at most ``speed`` (1.0 is 0.3 m/s)."""
        return self._delta((to - self.place) / METRES * 2.0, turn, grip, speed)

    def _delta(self, move: Place, turn: Turn, grip: float, speed: float) -> Action:
        spin = Rotation.from_matrix(turn @ self.turn.T).as_rotvec()
        moved = np.clip(move, -speed, speed)
        return np.array([*moved, *np.clip(spin / RADIANS * 1.5, -0.6, 0.6), grip], np.float32)

    def off(self, to: Place, turn: Turn) -> tuple[float, float]:
        """Metres and radians between the hand and a pose."""
        spin = Rotation.from_matrix(turn @ self.turn.T).magnitude()
        return float(np.linalg.norm(to - self.place)), float(spin)

    def nearest(self, poses: Iterable[Turn]) -> Turn:
        """That of some poses (3, 3) which asks for the least turning, unless the wrist's last joint would end there."""

        def asks(pose: Turn) -> tuple[bool, float]:
            spin = Rotation.from_matrix(pose @ self.turn.T).as_rotvec()
            angle = self._scene.joint_value(self._wrist) + float(spin @ self.turn[:, 2])
            low, high = self._scene.model.jnt_range[self._wrist]
            return not low + WRIST < angle < high - WRIST, float(np.linalg.norm(spin))

        return min(poses, key=asks)

    def go(
        self,
        to: Place | Callable[[], Place],
        turn: Turn | Callable[[], Turn],
        grip: float,
        near: float = 0.01,
        steps: int = 60,
        speed: float = 1.0,
        until: Callable[[], bool] | None = None,
        lean: bool = True,
        turned: float = 0.1,
    ) -> Moves:
        """Goes to a pose, which may move, until within ``near`` metres and ``turned`` radians or ``until`` holds."""
        for _ in range(steps):
            goal = to() if callable(to) else to
            pose = turn() if callable(turn) else turn
            pose = self.leaned(goal, pose) if lean else pose
            away, spin = self.off(goal, pose)
            if until is not None and until():
                return True
            if away < near and spin < turned:
                return True
            yield self.towards(goal, pose, grip, speed)
        return False

    def hold(self, to: Place, turn: Turn, grip: float, steps: int) -> Moves:
        """Stays at a pose, as when the fingers close."""
        for _ in range(steps):
            yield self.towards(to, turn, grip)
        return True

    def rest(self, grip: float, steps: int) -> Moves:
        """Moves nothing but the fingers."""
        for _ in range(steps):
            yield np.array([0, 0, 0, 0, 0, 0, grip], np.float32)
        return True

    def lift(self, metres: float, turn: Turn, grip: float = OPEN, steps: int = 20) -> Moves:
        """Straight up."""
        return (yield from self.go(self.place + up(metres), turn, grip, 0.02, steps))


def up(metres: float) -> Place:
    """(3,) straight up."""
    return np.array([0.0, 0.0, metres])


def turned_about_up(radians: float) -> Turn:
    """(3, 3) the hand pointing down, turned about the vertical."""
    pose: Turn = Rotation.from_euler("z", radians).as_matrix() @ DOWN
    return pose
