"""The checks before an arm moves for the first time, none of which moves it; and what only a person can check."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from robo_reward.errors import UserError
from robo_reward.machine_checks import Finding
from robo_reward.real_robot.any_arm import AnyArm
from robo_reward.real_robot.arm_driver import read_surely
from robo_reward.real_robot.deploy.dry_arm import DryArm
from robo_reward.real_robot.emulated_robot import release

FRAMES_SECONDS = 1.0
DARK = 6.0
MOVED, STILL = 8.0, 4.0
"""Units by which a joint that is moved by hand must differ, and the others must not."""
POWERED = "this robot's own connect may switch torque on, in a doctor's check and a dry run, too: stand clear"
BY_PERSON = (
    "power switch in reach, nobody within the arm's reach",
    "first run with robot.limits.velocity=15; does each joint move as expected?",
    "estop from another terminal: does the arm sink at once? (python -m robo_reward.real_robot.arm_server.ask)",
    "pull the USB cable while it holds: FAULT within half a second, the motors stay powered",
    "dry run of the policy: robo-reward deploy run=RUN robot=... dry_run=true",
)


def check_arm(robot: Any, hands: bool = False, ask: Callable[[str], str] = input) -> list[Finding]:
    """``robot`` is a guarded robot that is not connected; with ``hands`` a person moves each joint when told to.

    Torque is never switched on, but by robots whose own ``connect`` does that (``AnyArm``), which is said. A robot that
    is emulated is ended afterwards.
    """
    arm = DryArm(robot.spec())
    try:
        findings = [_opened(arm)]
        if arm.is_connected:
            if isinstance(arm.server.arm, AnyArm):
                findings.append(Finding("torque", "warn", POWERED))
            findings += _registers(arm)
            if hands:
                findings += [_by_hand(arm, name, ask) for name in arm.names]
        for name, camera in robot.cameras.items():
            findings.append(_camera(name, camera))
    finally:
        arm.close()
        release(robot)
    todo = [Finding("by hand", "warn", text) for text in BY_PERSON]
    if not hands:
        todo.insert(0, Finding("joints", "warn", "not moved by hand yet", "hands=true: one joint after the other"))
    return findings + todo


def _opened(arm: DryArm) -> Finding:
    """Port, motors, models, firmware, calibration, range, workspace: all that the arm server refuses for."""
    try:
        arm.connect()
    except UserError as error:
        return Finding("arm", "fail", str(error), "see docs/real_arm.md, Before the arm moves")
    limits = arm.about["limits"]
    reach = ", ".join(
        f"{n} {a:.0f} to {b:.0f}" for n, a, b in zip(arm.names, limits["lower"], limits["upper"], strict=True)
    )
    return Finding("arm", "ok", f"motors answer, calibration as in the file; limits: {reach}")


def _registers(arm: DryArm) -> list[Finding]:
    reading, watches = read_surely(arm.server.arm), arm.guard.watches.plan
    at = ", ".join(f"{name} {value:.1f}" for name, value in zip(arm.names, reading.position, strict=True))
    findings = [Finding("pose", "ok", at)]
    if reading.voltage is not None:
        low, high = watches.voltage
        fine = bool(((reading.voltage >= low) & (reading.voltage <= high)).all())
        text = f"{reading.voltage.min():.1f} to {reading.voltage.max():.1f} V"
        findings.append(Finding("supply", "ok" if fine else "fail", text, "" if fine else f"{low:g} to {high:g} V"))
    if reading.temperature is not None:
        warm = float(reading.temperature.max())
        hot = warm > watches.temperature
        findings.append(Finding("heat", "fail" if hot else "ok", f"{warm:.0f} C at most", "let it cool" if hot else ""))
    if reading.status is not None and reading.status.any():
        findings.append(
            Finding("status", "fail", f"error bits {reading.status.astype(int).tolist()}", "power-cycle it")
        )
    return findings


def _by_hand(arm: DryArm, name: str, ask: Callable[[str], str]) -> Finding:
    """Whether the joint that a person moves is the one that reads so: swapped cables and ids show here."""
    before = read_surely(arm.server.arm).position
    ask(f"move '{name}' by hand by 15 degrees or more, leave the others, then press ENTER ")
    moved = read_surely(arm.server.arm).position - before
    at = list(arm.names).index(name)
    others = [other for k, other in enumerate(arm.names) if k != at and abs(moved[k]) > STILL]
    if abs(moved[at]) < MOVED:
        return Finding(
            name, "fail", f"moved by {moved[at]:+.1f}; {others or 'nothing'} moved", "are ids or cables swapped?"
        )
    if others:
        return Finding(name, "warn", f"moved by {moved[at]:+.1f}, but {others} moved, too", "move one joint at a time")
    return Finding(name, "ok", f"moved by {moved[at]:+.1f}: is that the direction you moved it in?")


def _camera(name: str, camera: Any) -> Finding:
    """Whether it gives pictures of its size, at its rate, that show something."""
    try:
        camera.connect()
        came, last, until = 0, None, time.monotonic() + FRAMES_SECONDS
        while time.monotonic() < until:
            stamp = camera.latest_timestamp
            came, last = came + (stamp != last), stamp
            time.sleep(0.002)
        picture = np.asarray(camera.read_latest())
    except Exception as error:  # LeRobot's cameras raise what they like
        return Finding(
            f"camera {name}", "fail", str(error), "robot.cameras: index, size and fps as the camera has them"
        )
    finally:
        if camera.is_connected:
            camera.disconnect()
    rate, size = came / FRAMES_SECONDS, picture.shape[:2]
    text = f"{size[1]} x {size[0]}, {rate:.0f} pictures a second, brightness {picture.mean():.0f}"
    if size != (camera.height, camera.width):
        return Finding(f"camera {name}", "fail", text, f"it should give {camera.width} x {camera.height}")
    if rate < 0.8 * camera.fps:
        return Finding(f"camera {name}", "fail", text, f"it should give {camera.fps}: light, USB port, resolution")
    if picture.mean() < DARK:
        return Finding(f"camera {name}", "fail", text, "it shows nothing: lens cap, light")
    return Finding(f"camera {name}", "ok", text)


def check_on_terminal(robot: Any, hands: bool = False) -> list[Finding]:
    """``check_arm``, which asks on the terminal. UserError where ``hands`` has nobody to ask."""
    if hands and not sys.stdin.isatty():
        raise UserError("hands=true asks on the terminal, and there is none")
    return check_arm(robot, hands)
