"""Stands in for the arm server in a dry run: reads the arm, decides as the guard does, and writes nothing to it."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from robo_reward.real_robot.arm_client import ArmView
from robo_reward.real_robot.arm_driver import Reading, read_surely
from robo_reward.real_robot.arm_server.serve import Server, make_driver
from robo_reward.real_robot.arm_server.spec import ServerSpec
from robo_reward.real_robot.braking import Floats
from robo_reward.real_robot.guard import Command

CATCH_UP = 10
"""Control periods that one look makes up for at most."""


class DryArm:
    """Offers what ``ArmClient`` offers; ``position`` is measured, ``goal`` is what would be on the wire."""

    def __init__(self, spec: ServerSpec) -> None:
        # an arm that does not move follows nothing: that is no fault here
        spec = replace(spec, watches=replace(spec.watches, tracking=1e9))
        self.server = Server(spec, make_driver(spec))
        self.is_connected = False
        self._sequence = 0
        self._advanced = 0.0

    def connect(self) -> None:
        """Opens the port and checks all that is checked before torque. Raises UserError."""
        self.server.check()
        self.about, self.names = self.server.about, self.server.arm.names
        self.guard, self._period = self.server.guard, self.server.guard.limiter.period
        now = time.monotonic()
        self.guard.start(now, read_surely(self.server.arm).position)
        self._advanced = now
        self.is_connected = True

    def close(self) -> None:
        """Frees the port; the arm has no torque, as before."""
        if self.is_connected:
            self.is_connected = False
            self.server.arm.close()
            self.server.box.close()

    def arm(self, *, again: bool = False) -> ArmView:
        """Lets goals count."""
        self.guard.arm(time.monotonic())
        return self.observe()

    def observe(self) -> ArmView:
        """Reads the arm and lets the guard decide up to now."""
        try:
            reading: Reading | None = replace(self.server.arm.read(), torque=None)
        except Exception:  # a bus raises what it likes; the guard counts what is missing
            reading = None
        now = time.monotonic()
        for _ in range(min(int((now - self._advanced) / self._period), CATCH_UP)):
            self.guard.decide(now, reading)
        self._advanced = max(self._advanced + int((now - self._advanced) / self._period) * self._period, now - 1.0)
        return self._view()

    def act(self, goal: object, observed_at: float) -> ArmView:
        """Asks for a goal, which is judged and limited and goes nowhere."""
        self._sequence += 1
        now = time.monotonic()
        refused = self.guard.submit(now, Command(self._sequence, now, observed_at, goal))
        return replace(self.observe(), refused=refused)

    def pause(self, reason: str) -> ArmView:
        """As the server does."""
        self.guard.wait(time.monotonic(), reason)
        return self._view()

    def hold(self, reason: str = "") -> ArmView:
        """As the server does."""
        self.guard.hold(time.monotonic(), reason or "asked by the dry run")
        return self._view()

    def estop(self) -> ArmView:
        """As the server does."""
        self.guard.fault(time.monotonic(), "emergency stop in the dry run")
        return self._view()

    def _view(self) -> ArmView:
        watches, state = self.guard.watches, self.guard.state
        position: Floats = np.zeros(len(self.names)) if watches.position is None else watches.position
        return ArmView(
            read_at=watches.read_at,
            position=self._named(position),
            goal=self._named(self.guard.limiter.command[0]),
            state=str(state.state),
            reason=state.reason,
            latched=state.latched,
            blocked=bool(self.guard.limiter.blocked.any()),
            refused="",
            reset_failed="",
            torque={},
        )

    def _named(self, joints: Floats) -> dict[str, float]:
        return dict(zip(self.names, joints.tolist(), strict=True))
