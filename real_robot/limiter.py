"""Turns whatever a policy asks for into goals that stay within every limit, always."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from robo_reward.errors import UserError
from robo_reward.real_robot.braking import Floats, fastest, path_to_rest
from robo_reward.real_robot.limits import JointLimits
from robo_reward.real_robot.workspace import Everywhere, Workspace

INWARD_SPEED = 0.1
"""Share of the velocity limit for a joint that starts in the margin of its range."""
SHARES = (1.0, 0.75, 0.5, 0.25)
"""How much of the wished change of velocity is tried first, where the workspace is in the way."""
STRAIGHT = (1.0, 0.25)
"""Then how much of the straight way to the goal, on which all joints arrive together."""


class Limiter:
    """Emits goals from the previous *command*, not from the measured position, for N arms at once.

    Each period it emits positions q' = q + v' * period with |v'| <= velocity, |v' - v| <= acceleration * period,
    lower <= q' <= upper, and a way to rest from (q', v') that stays within the workspace. The last condition makes
    the rule safe by induction: if nothing better is allowed, the arm goes on along the way to rest that was checked
    one period ago. (The idea of "previous command" is ros2_control's joint_limits; of an invariant braking set,
    libfranka's limitRate.)
    """

    def __init__(self, limits: JointLimits, period: float, workspace: Workspace | None = None) -> None:
        if not 0 < period < 1:
            raise UserError(f"the control period of {period} s must lie between 0 and 1 s")
        self.limits = limits
        self.period = period
        self.workspace = workspace or Everywhere()
        self.velocity_step = limits.acceleration * period
        self.steps_to_rest = int(np.ceil((limits.velocity / self.velocity_step).max()))
        self.command: Floats = np.empty((0, len(limits.names)))
        self.velocity: Floats = self.command.copy()
        self.blocked: NDArray[np.bool_] = np.zeros(0, dtype=np.bool_)
        """(N,) where the workspace changed the last step."""

    def start(self, positions: Floats) -> None:
        """Begins at rest at (N, J): what the arm measures, which ``check_start`` has found allowed."""
        self.command = np.array(positions, dtype=np.float64)
        self.velocity = np.zeros_like(self.command)
        self.blocked = np.zeros(len(self.command), dtype=np.bool_)

    def check_start(self, pose: Floats) -> None:
        """Raises UserError where the limits exclude the pose (J,) that the arm has now."""
        limits = self.limits
        for k, (name, at) in enumerate(zip(limits.names, pose, strict=True)):
            if not limits.hard_lower[k] <= at <= limits.hard_upper[k]:
                raise UserError(
                    f"joint '{name}' is at {at:.1f}, outside its calibrated range {limits.hard_lower[k]:.1f} to "
                    f"{limits.hard_upper[k]:.1f}: move it back by hand (torque is off) or calibrate again"
                )
            if not limits.start_lower[k] <= at <= limits.start_upper[k]:
                raise UserError(
                    f"joint '{name}' is at {at:.1f}, outside its limits {limits.lower[k]:.1f} to "
                    f"{limits.upper[k]:.1f}: move it there by hand (torque is off) or widen limits.joints.{name}"
                )
        self.workspace.begin(pose)
        reason = self.workspace.reason(pose)
        if reason:
            raise UserError(
                f"the arm is outside its workspace: {reason}. Move it by hand (torque is off) or widen the workspace"
            )

    def step(self, goals: Floats | None, speed: float = 1.0) -> Floats:
        """The next goals (N, J) on the way to ``goals`` (N, J); None, or a row that is not finite, brakes to rest.

        ``speed`` in (0, 1] scales the velocity limit; a faster arm slows down to it within its acceleration limit.
        """
        braking = np.sign(self.velocity) * np.maximum(np.abs(self.velocity) - self.velocity_step, 0.0)
        if goals is None:
            return self._emit(braking)
        sound = np.isfinite(goals).all(axis=1, keepdims=True)
        wished = np.where(sound, self._towards(goals, speed), braking)
        error = np.clip(np.where(sound, goals, self.command), *self._bounds()) - self.command
        return self._emit(self._inside(wished, braking, error))

    def _towards(self, goals: Floats, speed: float) -> Floats:
        """Velocities (N, J) of one step to the goals, within position, velocity and acceleration limits."""
        limits = self.limits
        lower, upper = self._bounds()
        outside = (self.command < limits.lower) | (self.command > limits.upper)
        top = limits.velocity * np.where(outside, min(speed, INWARD_SPEED), speed)
        error = np.clip(np.nan_to_num(goals), lower, upper) - self.command
        wished = np.sign(error) * np.minimum(self._fastest(np.abs(error)), top)
        slowest, quickest = self.velocity - self.velocity_step, self.velocity + self.velocity_step
        least = np.maximum(-self._fastest(self.command - lower), slowest)
        most = np.minimum(self._fastest(upper - self.command), quickest)
        bounded: Floats = np.minimum(np.maximum(wished, least), most)
        return bounded

    def _bounds(self) -> tuple[Floats, Floats]:
        """The limits; a joint that starts in the margin is bounded by where it is, so that it only moves inwards."""
        return np.minimum(self.limits.lower, self.command), np.maximum(self.limits.upper, self.command)

    def _fastest(self, distance: Floats) -> Floats:
        return fastest(distance, self.limits.acceleration, self.period)

    def _inside(self, wished: Floats, braking: Floats, error: Floats) -> Floats:
        """The first of the ways from which a way to rest inside the workspace is left; braking where there is none."""
        velocity = braking.copy()
        open_rows: NDArray[np.intp] = np.arange(len(wished))
        self.blocked[:] = False
        for number, share in enumerate(_ways(wished, braking, error)):
            if number == len(SHARES):  # from here on it would go along what is in the way: not if it lies on it
                open_rows = open_rows[~self.workspace.rests(self.command[open_rows])]
            tried = (braking + share * (wished - braking))[open_rows]
            allowed = self._allowed(open_rows, tried)
            velocity[open_rows[allowed]] = tried[allowed]
            open_rows = open_rows[~allowed]
            self.blocked[open_rows] = True
            if not len(open_rows):
                break
        return velocity

    def _allowed(self, rows: NDArray[np.intp], velocity: Floats) -> NDArray[np.bool_]:
        if isinstance(self.workspace, Everywhere):
            return np.ones(len(rows), dtype=np.bool_)
        command = self.command[rows]
        reached = command + velocity * self.period
        rest = path_to_rest(reached, velocity, self.limits.acceleration, self.period, self.steps_to_rest)
        return self.workspace.allows(np.concatenate([command[:, None], reached[:, None], rest], axis=1), self.period)

    def _emit(self, velocity: Floats) -> Floats:
        lower, upper = self._bounds()
        emitted = np.clip(self.command + velocity * self.period, lower, upper)  # rounding errors only
        self.velocity = (emitted - self.command) / self.period
        self.command = emitted
        return emitted


def _ways(wished: Floats, braking: Floats, error: Floats) -> Iterator[Floats | float]:
    """Shares of the wished change of velocity, (N, J) or one for all, in the order in which they are tried.

    Joints move at their own pace, so the way may lead through the table though the goal and the straight way to it do
    not; and a hand that may not come lower may still move on above the table. A joint's limits hold for any share in
    [0, 1] of its change: between braking and the wish every velocity keeps them, whatever the other joints do.
    """
    yield from SHARES
    change = wished - braking
    away = np.abs(error)
    pace = np.divide(np.abs(wished), away, out=np.full_like(away, np.inf), where=away > 0).min(axis=1, keepdims=True)
    straight = np.where(np.isfinite(pace), pace, 0.0) * error - braking
    along = np.clip(np.divide(straight, change, out=np.zeros_like(change), where=change != 0), 0.0, 1.0)
    for share in STRAIGHT:
        yield share * along
    for joint in range(change.shape[1]):
        if change[:, joint].any():
            without = np.ones_like(change)
            without[:, joint] = 0.0
            yield without
