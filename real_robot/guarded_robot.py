"""A LeRobot robot that moves an arm through the arm server only: LeRobot's own programs run behind the guard."""

from __future__ import annotations

import contextlib
import logging
import subprocess
import time
from copy import copy
from functools import cached_property
from pathlib import Path
from typing import Any

from lerobot.cameras import make_cameras_from_configs
from lerobot.robots.robot import Robot

from robo_reward.errors import UserError
from robo_reward.real_robot.arm_client import ArmClient, ArmView
from robo_reward.real_robot.arm_server.launch import Launched, default_socket, launch
from robo_reward.real_robot.arm_server.spec import ServerSpec, settings_of
from robo_reward.real_robot.config_guarded_robot import GuardedRobotConfig
from robo_reward.real_robot.safety_state import NOTHING_WRONG, SafetyStop

logger = logging.getLogger(__name__)
END_SECONDS = 60.0
"""For a server that parks first."""
ASK = "python -m robo_reward.real_robot.arm_server.ask"
STOPPED = (
    "the arm stays in %s (%s); its server goes on. See to it, then run again with --robot.rearm=true, or end it "
    f"(the arm sinks): {ASK} %s stop"
)


class GuardedRobot(Robot):  # type: ignore[misc]
    """Joint values come from and go to the arm server, which it starts if none listens; cameras are opened here.

    Every way to move goes through ``send_action``, LeRobot's return to the start pose included. Once the guard has
    stopped the arm, ``send_action`` raises SafetyStop, and only a new run with ``rearm=true`` moves it again.
    """

    config_class = GuardedRobotConfig
    name = "guarded_robot"

    def __init__(self, config: GuardedRobotConfig) -> None:
        self.inner = config.robot()
        inner = _made(self.inner)  # for its features; it is never connected
        config.id, config.calibration_dir = self.inner.id, inner.calibration_dir
        super().__init__(config)
        self.config = config
        self._joints = {key: kind for key, kind in inner.action_features.items() if key.endswith(".pos")}
        self._images = {key: kind for key, kind in inner.observation_features.items() if isinstance(kind, tuple)}
        self.cameras = make_cameras_from_configs(getattr(self.inner, "cameras", {}))
        self.client = ArmClient(self._socket(), f"guarded_robot {config.id}", config.answer_seconds)
        self.launched: Launched | None = None
        self.view: ArmView | None = None
        """The server's answer to the last ``get_observation`` or ``send_action``."""
        self._observed_at: float | None = None

    def _socket(self) -> Path:
        return self.config.socket or default_socket(str(getattr(self.inner, "port", self.inner.id)))

    @cached_property
    def observation_features(self) -> dict[str, Any]:
        return {**self._joints, **self._images}

    @cached_property
    def action_features(self) -> dict[str, Any]:
        return dict(self._joints)

    @property
    def is_connected(self) -> bool:
        """Whether the arm server is reached; a lost camera must not keep anybody from stopping the arm."""
        return self.client.is_connected

    @property
    def is_calibrated(self) -> bool:
        return True  # the server refuses an arm that is not

    def calibrate(self) -> None:
        """Raises UserError: an arm is calibrated without the guard, by hand and without torque."""
        raise UserError("calibrate the inner robot itself: lerobot-calibrate --robot.type=... --robot.id=...")

    def configure(self) -> None:
        """Nothing: the server configures the motors before it powers them."""

    def connect(self, calibrate: bool = True) -> None:
        """Cameras first, then the server, then arming. Raises UserError or SafetyStop and leaves nothing open."""
        try:
            self.open_cameras()
            self._reach_server()
            self._check_settings()
            self._check_joints()
            self._arm()
        except BaseException:
            self._end_unreached()
            self.disconnect()
            raise

    def _end_unreached(self) -> None:
        """A server that was started here and never answered, Ctrl-C before its first word say: it ends in order."""
        if self.launched is not None and not self.client.is_connected:
            self.launched.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.launched.process.wait(timeout=END_SECONDS)

    def open_cameras(self) -> None:
        """Raises UserError for one that is not there or does not give what is asked of it."""
        for name, camera in self.cameras.items():
            try:
                camera.connect()
            except Exception as error:  # LeRobot's cameras raise what they like
                raise UserError(
                    f"camera '{name}' cannot be opened: {error} (`lerobot-find-cameras` lists those there are; mend "
                    f"robot.cameras.{name})"
                ) from error

    def _reach_server(self) -> None:
        try:
            self.client.connect()
        except UserError as none_listens:
            if isinstance(none_listens, SafetyStop):
                raise
            self.launched = launch(self.spec())
            logger.info("arm server ready: %s", self.launched.said)
            self.client.connect()

    def spec(self) -> ServerSpec:
        """What the arm server is started with."""
        config, inner = self.config, copy(self.inner)
        if hasattr(inner, "cameras"):
            inner.cameras = {}  # they are opened here, and the server need not know their kinds
        return ServerSpec(
            robot=inner,
            socket=self._socket().absolute(),
            black_box=config.black_box.absolute(),
            rate_hz=config.rate_hz,
            limits=config.limits,
            watches=config.watches,
            commands=config.commands,
            workspace=config.workspace,
            ranges=config.ranges,
            rest=config.rest,
        )

    def _check_settings(self) -> None:
        """A server that runs already keeps the limits that it was started with: others must not be believed to hold."""
        if self.launched is not None:
            return
        there, wanted = self.client.about.get("settings", {}), settings_of(self.spec())
        other = [key for key in sorted({*there, *wanted}) if there.get(key) != wanted.get(key)]
        if other:
            told = "; ".join(f"{key} is {there.get(key)} there, {wanted.get(key)} here" for key in other[:5])
            raise UserError(
                f"the arm is held by a server that was started with other settings ({told}). End that one first: "
                f"{ASK} {self.client.path} park, or stop (the arm sinks)"
            )

    def _check_joints(self) -> None:
        wanted = [key.removesuffix(".pos") for key in self._joints]
        if list(self.client.names) != wanted:
            raise UserError(f"the arm server at '{self.client.path}' drives {list(self.client.names)}, not {wanted}")

    def _arm(self) -> None:
        view = self.client.observe()
        if view.state == "FAULT" and self.config.rearm:
            self.client.reset()
        self.client.arm(again=self.config.rearm)

    def get_observation(self) -> dict[str, Any]:
        """Joints {name.pos: value} and newest camera frames. Raises SafetyStop without a server."""
        self.view = view = self.client.observe()
        self._observed_at = view.read_at
        seen: dict[str, Any] = {f"{name}.pos": value for name, value in view.position.items()}
        for name, camera in self.cameras.items():
            if name in self._images:
                seen[name] = camera.read_latest()
            if f"{name}_depth" in self._images:
                seen[f"{name}_depth"] = camera.read_latest_depth()
        return seen

    def send_action(self, action: dict[str, Any]) -> dict[str, Any]:
        """Asks for a goal; returns the goal that is on the wire now, in LeRobot's keys.

        The first action after an observation is as old as that one, so what a slow policy computed from the past is
        dropped; actions without a look in between (LeRobot's return to the start) count as new. Raises SafetyStop once
        the arm is stopped for good; a command that merely came late is dropped and logged.
        """
        goal = {
            key.removesuffix(".pos") if key in self._joints else key: _plain(value) for key, value in action.items()
        }
        observed_at, self._observed_at = self._observed_at, None
        self.view = view = self.client.act(goal, time.monotonic() if observed_at is None else observed_at)
        if view.latched:
            raise SafetyStop(f"the arm is in {view.state}: {view.reason}")
        if view.refused:
            logger.warning("command dropped: %s", view.refused)
        return {f"{name}.pos": value for name, value in view.goal.items()}

    def disconnect(self) -> None:
        """Brakes, parks at ``rest`` if one is set, and cuts torque, unless ``keep_server``; every camera is closed."""
        try:
            self._leave_server()
        finally:
            for name, camera in self.cameras.items():
                try:
                    if camera.is_connected:
                        camera.disconnect()
                except Exception as error:
                    logger.warning("camera '%s' could not be closed: %s", name, error)

    def _leave_server(self) -> None:
        """A server that somebody else started stays; so does one that stopped the arm, for a person to look at."""
        try:
            if not self.client.is_connected or self.launched is None or self.config.keep_server:
                return
            view = self.client.observe()
            if view.latched and view.reason not in NOTHING_WRONG:
                logger.error(STOPPED, view.state, view.reason, self.client.path)
                return
            self.client.stop(park=self.config.rest is not None)
            try:
                self.launched.process.wait(timeout=END_SECONDS)
            except subprocess.TimeoutExpired:
                logger.error("the arm server did not end: see %s %s observe", ASK, self.client.path)
        finally:
            self.client.close()


def _made(config: Any) -> Any:
    """LeRobot's robot. UserError where it cannot be made: its calibration file is torn, say."""
    from lerobot.robots.utils import make_robot_from_config

    try:
        return make_robot_from_config(config)
    except (ImportError, UserError):
        raise
    except Exception as error:  # LeRobot's robots raise what they like
        raise UserError(
            f"robot '{config.type}' with the id '{config.id}' cannot be made ({type(error).__name__}: "
            f"{' '.join(str(error).split())[:200]}). Is its calibration file damaged? lerobot-calibrate writes it anew"
        ) from error


def _plain(value: Any) -> Any:
    """A Python number of a numpy or torch scalar; anything else is for the server to refuse."""
    try:
        return value.item()
    except (AttributeError, RuntimeError, ValueError):  # not an array, or not of one number
        return value
