"""The workspace by MuJoCo's kinematics: a box for the tip, a limit to its speed, no contact with itself or table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robo_reward.errors import UserError, unknown_name
from robo_reward.real_robot.braking import Floats

RESTING = 0.01
"""An arm without power lies on something: the model may see it this deep (m) in contact at the start."""
DEEPER = 0.001
"""And so much deeper (m) it may come there again."""
THERE = 0.03
"""There: the two lie to each other as at the start, to so many metres. A hand that lay on the table at the start must
not press on it elsewhere."""


@dataclass(frozen=True)
class WorkspacePlan:
    """Which MJCF describes the arm, and what of space is allowed; metres and metres per second."""

    model: str
    """An MJCF whose joints bear the arm's names: a path, or PACKAGE:PATH. Free and mocap bodies in it are ignored."""
    tip: str = "tcp"
    """A site of the model."""
    low: tuple[float, float, float] = (-1.0, -1.0, -1.0)
    high: tuple[float, float, float] = (1.0, 1.0, 1.0)
    speed: float = 0.25
    """Of the tip: the 250 mm/s of manual reduced speed."""
    clearance: float = 0.001
    """Closer than this counts as contact."""
    percent: tuple[str, ...] = ("gripper",)
    """Joints given as 0..100 of the model's range; all others are degrees."""

    def __post_init__(self) -> None:
        if not all(least < most for least, most in zip(self.low, self.high, strict=True)):
            raise UserError(f"workspace: low={self.low} must be below high={self.high} in each direction")
        if not (self.speed > 0 and self.clearance >= 0):
            raise UserError(f"workspace: speed={self.speed} must be above 0 and clearance={self.clearance} at least 0")


class MujocoWorkspace:
    """Keeps ``workspace.Workspace``. ``names`` are the joints in the order of the goals."""

    def __init__(self, model: Any, data: Any, plan: WorkspacePlan, names: Sequence[str]) -> None:
        """``model`` and ``data`` are an ``MjModel`` and its ``MjData``, from ``load_workspace``."""
        self.plan = plan
        self._model, self._data = model, data
        self._site = model.site(plan.tip).id
        joints = [model.joint(name) for name in names]
        self._addresses = np.array([int(joint.qposadr[0]) for joint in joints])
        ranges = np.array([joint.range for joint in joints])
        percent = np.array([name in plan.percent for name in names])
        self._scale = np.where(percent, np.ptp(ranges, axis=1) / 100, np.pi / 180)
        self._offset = np.where(percent, ranges[:, 0], 0.0)
        free = {int(model.jnt_bodyid[at]) for at in range(model.njnt) if model.jnt_type[at] == 0}
        mocap = {body for body in range(model.nbody) if model.body_mocapid[body] >= 0}
        self._loose = np.array([int(model.body_rootid[body]) in free | mocap for body in range(model.nbody)])

        self._resting: dict[tuple[int, int], tuple[float, Floats]] = {}

    def begin(self, pose: Floats) -> None:
        """Contacts at the start (J,) stay allowed there, as deep as they are; everything else is judged as ever."""
        self._move(pose)
        depths: dict[tuple[int, int], float] = {}
        for pair, depth in self._contacts():
            depths[pair] = min(depth, depths.get(pair, np.inf))
        self._resting = {pair: (depth - DEEPER, self._lie(pair)) for pair, depth in depths.items() if depth > -RESTING}

    def allows(self, paths: Floats, period: float) -> NDArray[np.bool_]:
        """See ``Workspace.allows``; one kinematics and one collision pass a goal, some 20 microseconds."""
        return np.array([self._allowed(path, period) for path in paths], dtype=np.bool_)

    def rests(self, poses: Floats) -> NDArray[np.bool_]:
        """See ``Workspace.rests``: where anything touches."""
        return np.array([self._touches(pose) for pose in poses], dtype=np.bool_)

    def _touches(self, pose: Floats) -> bool:
        self._move(pose)
        return any(True for _ in self._contacts())

    def _allowed(self, path: Floats, period: float) -> bool:
        before: Floats | None = None
        for pose in path:
            if self.reason(pose):
                return False
            tip = self._data.site_xpos[self._site].copy()
            if before is not None and np.linalg.norm(tip - before) > self.plan.speed * period:
                return False
            before = tip
        return True

    def reason(self, pose: Floats) -> str:
        """Why the pose (J,) is not allowed; empty where it is. Leaves the model in that pose."""
        self._move(pose)
        tip = self._data.site_xpos[self._site]
        if not ((tip >= self.plan.low) & (tip <= self.plan.high)).all():
            return f"the tip at {np.round(tip, 3)} m is outside the box {self.plan.low} to {self.plan.high}"
        for pair, depth in self._contacts():
            if not self._rests(pair, depth):
                return f"{self._called(pair[0])} would touch {self._called(pair[1])}"
        return ""

    def _move(self, pose: Floats) -> None:
        import mujoco

        self._data.qpos[self._addresses] = self._offset + self._scale * pose
        mujoco.mj_kinematics(self._model, self._data)
        mujoco.mj_collision(self._model, self._data)

    def _contacts(self) -> Iterator[tuple[tuple[int, int], float]]:
        """Pairs of geoms that touch, and their distance in metres (below 0 inside each other)."""
        contact = self._data.contact
        for at in range(self._data.ncon):
            first, second = (int(geom) for geom in contact.geom[at])
            if not self._loose[self._model.geom_bodyid[[first, second]]].any():
                yield (first, second), float(contact.dist[at])

    def _rests(self, pair: tuple[int, int], depth: float) -> bool:
        """Whether a contact is one of the start, as deep and at the same place."""
        least, place = self._resting.get(pair, (np.inf, np.zeros(3)))
        return depth >= least and float(np.linalg.norm(self._lie(pair) - place)) <= THERE

    def _lie(self, pair: tuple[int, int]) -> Floats:
        """(3,) metres: where one geom of the pair lies as seen from the other, from what stands still if one does."""
        fixed, other = pair if self._model.geom_bodyid[pair[1]] != 0 else pair[::-1]
        away = self._data.geom_xpos[other] - self._data.geom_xpos[fixed]
        seen: Floats = self._data.geom_xmat[fixed].reshape(3, 3).T @ away
        return seen

    def _called(self, geom: int) -> str:
        return f"'{self._model.geom(geom).name or self._model.body(self._model.geom_bodyid[geom]).name}'"


def load_workspace(plan: WorkspacePlan, names: Sequence[str]) -> MujocoWorkspace:
    """Reads the MJCF. Raises UserError where it is no model, or has not these joints or the tip."""
    import mujoco

    path = _path(plan.model)
    try:
        model = mujoco.MjModel.from_xml_path(str(path))
    except ValueError as error:
        raise UserError(f"workspace.model='{plan.model}' is no MuJoCo model: {error}") from error
    joints = [model.joint(at).name for at in range(model.njnt)]
    for name in names:
        if name not in joints:
            raise unknown_name(f"joint in '{plan.model}'", name, joints)
    sites = [model.site(at).name for at in range(model.nsite)]
    if plan.tip not in sites:
        raise unknown_name(f"site in '{plan.model}'", plan.tip, sites)
    model.geom_margin[:] = np.maximum(model.geom_margin, plan.clearance / 2)  # the margins of both geoms add up
    return MujocoWorkspace(model, mujoco.MjData(model), plan, names)


def _path(model: str) -> Path:
    package, colon, inside = model.partition(":")
    try:
        path = Path(str(files(package))) / inside if colon else Path(model)
    except ModuleNotFoundError:
        raise UserError(f"workspace.model='{model}' names the package '{package}', which is not installed") from None
    if not path.is_file():
        raise UserError(f"workspace.model='{model}' does not exist; give the path of the arm's MJCF")
    return path
