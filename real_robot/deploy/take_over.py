"""Who may take over while a policy acts, made of what the command line says."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

from robo_reward.errors import MissingExtra, UserError, unknown_name
from robo_reward.real_robot.arm_client import ArmView
from robo_reward.real_robot.deploy.hand import Hand, Wish
from robo_reward.real_robot.deploy.interface import PolicyInterface
from robo_reward.real_robot.deploy.keyboard import HELP, Keyboard
from robo_reward.real_robot.deploy.keys import Keys
from robo_reward.real_robot.deploy.leader import Leader

TELEOPS = ("keyboard", "so101_leader", "so100_leader")


class HandAtWork:
    """A hand with all that must be opened and closed around it."""

    def __init__(self, teleop: str, leader: Mapping[str, Any], interface: PolicyInterface) -> None:
        self._teleop, self._leader, self._interface = teleop, leader, interface
        self._open = ExitStack()
        self._hand: Hand | None = None

    def __enter__(self) -> Self:
        with self._open:
            keys = self._open.enter_context(Keys())
            if self._teleop == "keyboard":
                print(HELP, file=sys.stderr)
                self._hand = Keyboard(self._interface.joints, keys)
            else:
                device = lerobot_leader(self._teleop, self._leader)
                self._hand = self._open.enter_context(Leader(device, self._interface.joints, keys))
            self._open = self._open.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._open.close()

    def wish(self, view: ArmView) -> Wish:
        """What the person wants."""
        assert self._hand is not None
        return self._hand.wish(view)


def make_hand(teleop: str | None, leader: Mapping[str, Any], interface: PolicyInterface) -> HandAtWork | None:
    """``teleop``: keyboard, so101_leader or so100_leader; None: nobody takes over. UserError for anything else."""
    if teleop is None:
        return None
    if teleop not in TELEOPS:
        raise unknown_name("teleop", teleop, TELEOPS)
    if teleop != "keyboard" and not leader.get("port"):
        raise UserError(f"teleop={teleop} needs leader.port, e.g. leader.port=/dev/ttyACM1 leader.id=my_leader")
    return HandAtWork(teleop, leader, interface)


def lerobot_leader(kind: str, settings: Mapping[str, Any]) -> Any:
    """LeRobot's own teleoperator, not connected. MissingExtra without the servos' SDK."""
    try:
        import draccus
        import lerobot.teleoperators.so_leader  # noqa: F401 - registers the kinds
        from lerobot.teleoperators.config import TeleoperatorConfig
        from lerobot.teleoperators.utils import make_teleoperator_from_config
    except ImportError as error:
        raise MissingExtra("lerobot[feetech]", "arm", f"teleop={kind}") from error
    given = {key: value for key, value in settings.items() if value is not None}
    try:
        return make_teleoperator_from_config(draccus.decode(TeleoperatorConfig, {"type": kind, **given}))
    except (draccus.utils.DraccusException, TypeError, ValueError) as error:
        raise UserError(f"the leader's settings cannot be read: {error}") from error
