"""How a run leaves the arm: parked, held by its server, or stopped as the guard stopped it; and what to do then."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import threading
import time
from types import FrameType
from typing import Any

from robo_reward.errors import UserError
from robo_reward.real_robot.arm_client import ArmClient, ArmView

ASK = "python -m robo_reward.real_robot.arm_server.ask"
PARK_SECONDS = 60.0
CUT_SECONDS = 2.0
UNWATCHED = (
    "Nobody watches the arm: if its server died, the motors hold their last goal, powered. Start a program on it "
    "again, which takes it over as it stands, or cut its power"
)


def leave(robot: Any, clean: bool) -> str:
    """Ends this process's command over the arm and says how the arm stands now; cameras are closed.

    A clean end parks the arm and cuts torque if ``rest`` is set. Otherwise the arm is held, powered, by its server:
    without power it would fall. Ctrl-C in here cuts torque.
    """
    if clean:
        with contextlib.suppress(UserError):
            robot.client.leave()
    robot.client.close()  # the server holds the arm at once, whatever was half-said
    try:
        return _leave(robot, clean)
    except KeyboardInterrupt:  # a person who cannot wait: category 0
        _cut(robot)
        raise
    except UserError as error:
        return f"the arm server cannot be asked any more ({error}). {UNWATCHED}"
    except subprocess.TimeoutExpired:
        return f"still powered, not parked within {PARK_SECONDS:g} s: {ASK} {robot.client.path} observe"
    finally:
        robot.disconnect()  # its client is closed already: only the cameras are left


def cut_at_next_interrupt(robot: Any) -> None:
    """From now on Ctrl-C cuts torque at once: the first one held the arm, and a person who repeats it means more."""

    def cut(number: int, frame: FrameType | None) -> None:
        _cut(robot)
        raise KeyboardInterrupt

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, cut)


def _leave(robot: Any, clean: bool) -> str:
    client = ArmClient(robot.client.path, "leaving", deadline=2.0)
    client.connect()
    try:
        view = _settled(client)
        if not clean or robot.config.rest is None or robot.config.keep_server or robot.launched is None:
            return _held(view, client, parks=robot.config.rest is not None)
        client.stop(park=True)
    finally:
        client.close()
    code = robot.launched.process.wait(timeout=PARK_SECONDS)
    return "parked, torque off" if code == 0 else f"the arm server ended with {code} while it parked. {UNWATCHED}"


def _settled(client: ArmClient) -> ArmView:
    """The arm as it stands; in FAULT once its motors were told to let go, which takes some milliseconds."""
    until = time.monotonic() + CUT_SECONDS
    while (view := client.observe()).state == "FAULT" and not view.torque and time.monotonic() < until:
        time.sleep(0.02)
    return view


def _cut(robot: Any) -> None:
    client = ArmClient(robot.client.path, "interrupted while leaving", deadline=2.0)
    with contextlib.suppress(UserError):
        client.connect()
        client.estop()
    client.close()


def _held(view: ArmView, client: ArmClient, parks: bool) -> str:
    powered = {joint: told for joint, told in view.torque.items() if told != "off"}
    what = "powered, held in place"
    if view.state == "FAULT":
        what = f"TORQUE MAY BE ON: {powered}" if powered or not view.torque else "torque is off"
    return (
        f"{view.state} ({view.reason}): {what}. Its server goes on: {ASK} {client.path} observe, "
        f"{'or park, ' if parks else ''}or stop (the arm sinks)"
    )
