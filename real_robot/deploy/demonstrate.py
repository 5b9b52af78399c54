"""Demonstrations on an arm: a leader arm or the keyboard moves it, through the guard; a person says what succeeded."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import numpy as np

from robo_reward.build import build
from robo_reward.contracts import Flags, Floats, Observation
from robo_reward.errors import UserError, unknown_name
from robo_reward.real_robot.arm_client import ArmView
from robo_reward.real_robot.deploy.camera_watch import CameraPlan
from robo_reward.real_robot.deploy.deployment import Deployment
from robo_reward.real_robot.deploy.display import Display
from robo_reward.real_robot.deploy.hand import Hand, Say, Wish
from robo_reward.real_robot.deploy.interface import PolicyInterface
from robo_reward.real_robot.deploy.keyboard import Keyboard
from robo_reward.real_robot.deploy.keys import Keys
from robo_reward.real_robot.deploy.leader import Leader
from robo_reward.real_robot.deploy.loop import LoopPlan
from robo_reward.real_robot.deploy.take_over import TELEOPS, lerobot_leader
from robo_reward.real_robot.emulated_robot import release
from robo_reward.trace import Trace

SUCCESS, DROPPED = "success", "dropped"
HELP = "s: done, it succeeded; d: drop this attempt; x: torque off; keyboard: space holds, 1-6 and +/- move a joint"


class Stay:
    """The policy of an arm that somebody else moves: to be where it is."""

    def act(self, observation: Observation) -> Floats:
        """(N, 1, J): the joints as they are."""
        return observation.state[:, None]

    def reset(self, fresh: Flags) -> None:
        """Nothing to forget."""

    def save(self, folder: Any) -> None:
        """Nothing to save."""


class Told:
    """Keys that end an attempt, in front of a hand that moves the arm all the time."""

    def __init__(self, keys: Callable[[], str], make: Callable[[Callable[[], str]], Hand], first: str) -> None:
        """``make`` the hand that hears all other keys; ``first``: the key that makes it lead from the start."""
        self._keys, self._first, self._ended = keys, first, ""
        self._hand = make(self._others)

    def _others(self) -> str:
        pressed, first = self._keys(), self._first
        self._first = ""
        self._ended = SUCCESS if "s" in pressed else DROPPED if "d" in pressed else ""
        return first + "".join(key for key in pressed if key not in "sdihq")

    def wish(self, view: ArmView) -> Wish:
        """What the hand wants, or the end of the attempt."""
        wish = self._hand.wish(view)
        return Wish(Say.END, self._ended) if self._ended and wish.say is not Say.ESTOP else wish


def interface_of(robot: Any, fps: float, task: str) -> PolicyInterface:
    """What a policy for this robot would be like: joint goals, its cameras. UserError for cameras of several sizes."""
    sizes = {(int(camera.height), int(camera.width)) for camera in robot.cameras.values()}
    if len(sizes) > 1:
        raise UserError(f"the cameras give pictures of several sizes, {sorted(sizes)}: make them alike")
    height, width = next(iter(sizes), (48, 64))
    joints = tuple(robot.action_features)
    zeros, ones = (0.0,) * len(joints), (1.0,) * len(joints)
    return PolicyInterface(joints, "goals", zeros, ones, ones, fps, tuple(robot.cameras), height, width, task)


def demonstrate(
    robot: Mapping[str, Any],
    demos: int,
    teleop: str,
    leader: Mapping[str, Any],
    task: str,
    fps: float,
    seconds: float,
    keep: Callable[[Trace], None],
    tell: Callable[[str], None] = print,
    joints: Callable[[Sequence[str]], Any] = tuple,
) -> None:
    """Hands over ``demos`` attempts that a person called a success, annotated so at the end; actions are goals sent.

    ``joints`` is told first what their values are called.

    Raises:
        UserError: no terminal, no leader, a robot that is refused.
        SafetyStop: the arm was stopped.
    """
    if teleop not in TELEOPS:
        raise unknown_name("teleop", teleop, TELEOPS)
    made = build(robot)
    joints(list(made.action_features))
    try:
        with ExitStack() as stack:
            keys = stack.enter_context(Keys())
            tell(HELP)
            device = None if teleop == "keyboard" else stack.enter_context(_connected(teleop, leader, made))
            collect(made, demos, lambda: _hand(made, device, keys), task, fps, seconds, keep, tell)
    finally:
        release(made)


def collect(
    robot: Any,
    demos: int,
    hand: Callable[[], Hand],
    task: str,
    fps: float,
    seconds: float,
    keep: Callable[[Trace], None],
    tell: Callable[[str], None] = print,
) -> None:
    """The same with a robot and hands that exist; ``hand`` makes a new one for each attempt."""
    sight = CameraPlan(swapped=False, frozen_move=8.0)
    deployment = Deployment(robot, Stay(), interface_of(robot, fps, task), loop=LoopPlan(seconds), sight=sight)
    deployment.shown = Display(fps, seconds)  # a leader that is waited for is seen there
    kept, clean = 0, False
    try:
        deployment.open()
        while kept < demos:
            deployment.hand = hand()
            outcome = deployment.episode(kept)
            deployment.raise_if_stopped(outcome)
            reason = outcome.reason
            if reason == SUCCESS and outcome.trace is not None:
                keep(_annotated(outcome.trace))
                kept += 1
            elif reason == SUCCESS:
                reason = "success was said before anything was seen, not kept"
            tell(f"{reason}: {kept} of {demos}")
        clean = True
    finally:
        tell(f"the arm: {deployment.close(clean)}")


def _hand(robot: Any, device: Leader | None, keys: Callable[[], str]) -> Told:
    joints = tuple(robot.action_features)
    if device is None:
        return Told(keys, lambda others: Keyboard(joints, others), "h")
    return Told(keys, device.hearing, "i")


def _connected(teleop: str, leader: Mapping[str, Any], robot: Any) -> Leader:
    if not leader.get("port"):
        raise UserError(f"teleop={teleop} needs leader.port, e.g. leader.port=/dev/ttyACM1 leader.id=my_leader")
    return Leader(lerobot_leader(teleop, leader), tuple(robot.action_features), str)


def _annotated(trace: Trace) -> Trace:
    done = np.arange(len(trace) + 1) >= len(trace) - 1
    return replace(trace, source="demonstration", success=done)
