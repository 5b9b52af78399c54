"""An arm server in this process on an emulated bus, and the client that commands it."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from robo_reward.real_robot.arm_client import ArmClient, ArmView
from robo_reward.real_robot.black_box import read_black_box

sys.path.append(str(Path(__file__).parent))

HOME = {
    "shoulder_pan": 0.0,
    "shoulder_lift": 0.0,
    "elbow_flex": 0.0,
    "wrist_flex": 0.0,
    "wrist_roll": 0.0,
    "gripper": 50.0,
}


@dataclass
class Rig:
    """Everything of one run: the emulated arm, its server on a thread, a client."""

    arm: Any
    server: Any
    client: ArmClient
    thread: threading.Thread
    box: Path
    ended_in_fault: list[bool] = field(default_factory=list)

    def drive(self, goal: dict[str, Any], seconds: float, hz: float = 30.0) -> ArmView:
        """Sends the same goal for some time; the last answer."""
        until = time.monotonic() + seconds
        while True:
            seen = self.client.observe()
            view = self.client.act(goal, seen.read_at)
            if time.monotonic() > until:
                return view
            time.sleep(1 / hz)

    def wait(self, state: str, seconds: float = 3.0) -> ArmView:
        """Looks until the arm is in the state; fails if it never is."""
        until = time.monotonic() + seconds
        while (view := self.client.observe()).state != state:
            assert time.monotonic() < until, f"still {view.state} ({view.reason}) instead of {state}"
            time.sleep(0.005)
        return view

    def events(self) -> list[dict[str, Any]]:
        return [record for record in read_black_box(self.box) if "event" in record]

    def stop(self) -> None:
        self.server.loop.ask_stop("test over", park=False)
        self.thread.join(10)
        assert not self.thread.is_alive()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Rig]]:
    """Starts an emulated arm with faults that stand from the start, and the server with the spec's other settings."""
    pytest.importorskip("scservo_sdk")
    from lerobot.robots.so_follower import SO101FollowerConfig

    from robo_reward.real_robot.arm_server.serve import Server, make_driver
    from robo_reward.real_robot.arm_server.spec import ServerSpec
    from robo_reward.real_robot.emulation.emulated_arm import EmulatedArm
    from robo_reward.real_robot.emulation.ideal_plant import IdealPlant
    from robo_reward.real_robot.emulation.patience import be_patient

    with contextlib.ExitStack() as stack:

        def begin(faults: tuple[int, ...] = (), **settings: Any) -> Rig:
            arm = stack.enter_context(EmulatedArm(IdealPlant(), faults))
            arm.write_calibration(tmp_path, "twin")
            config = SO101FollowerConfig(port=str(arm.port), id="twin", calibration_dir=tmp_path)
            box = tmp_path / "box.jsonl"
            spec = ServerSpec(robot=config, socket=tmp_path / "arm.sock", black_box=box, **settings)
            driver = make_driver(spec)
            be_patient(driver.bus, 0.5)  # of the handshake; once there is torque, the server has its own patience
            server = Server(spec, driver)
            rig = Rig(arm, server, ArmClient(spec.socket, "test", deadline=2.0), threading.Thread(), box)
            server.start()
            rig.thread = threading.Thread(target=lambda: rig.ended_in_fault.append(server.run()), daemon=True)
            rig.thread.start()
            stack.callback(rig.stop)
            rig.client.connect()
            stack.callback(rig.client.close)
            return rig

        yield begin
