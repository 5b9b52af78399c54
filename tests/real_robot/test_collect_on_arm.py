"""``collect robot=... teleop=so101_leader`` as one types it: a leader on a bus of its own, keys on a terminal."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("scservo_sdk")
pytest.importorskip("mujoco")
FOLDED = (0.0, -99.5, 89.0, 77.5, 0.0, 5.0)
"""Where the emulated arm lies: the follower goes along once the leader is near it."""
TURN = 20.0
BUSY = ("robot.watches.bus_lost=5", "robot.answer_seconds=3")


def collected(words: list[str], press: Any) -> tuple[int, str]:
    """Exit code and what was said; ``press(said, seconds since the leader leads)`` gives keys."""
    master, slave = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-m", "robo_reward.cli", "collect", *words],
        stdin=slave,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert child.stdout is not None
    said, leads, until = b"", None, time.monotonic() + 90
    try:
        while child.poll() is None and time.monotonic() < until:
            if select.select([child.stdout], [], [], 0.05)[0]:
                said += os.read(child.stdout.fileno(), 4096)
            if leads is None and b"the leader leads" in said:
                leads = time.monotonic()
            os.write(master, press(-1.0 if leads is None else time.monotonic() - leads))
        assert child.poll() is not None, f"it goes on and on: {said.decode()}"
        return child.returncode, (said + child.stdout.read()).decode()
    finally:
        child.kill()
        child.wait()
        os.close(master)
        os.close(slave)


def test_a_leader_arm_demonstrates_and_the_joints_have_their_names(tmp_path: Path) -> None:
    from robo_reward.data.datasets import read_dataset
    from robo_reward.envs.so101_arm import STATE_NAMES
    from robo_reward.real_robot.emulation.emulated_arm import EmulatedArm
    from robo_reward.real_robot.emulation.ideal_plant import IdealPlant

    plant = IdealPlant(sags=False)
    jaw = plant.joints[-1]
    pose = np.array([*np.radians(FOLDED[:5]), jaw.low + FOLDED[5] / 100 * (jaw.high - jaw.low)])
    with EmulatedArm(plant) as leader:
        leader.write_calibration(tmp_path / "leader", "mine")
        pressed = []

        def press(seconds: float) -> bytes:
            """The person turns the leader for two seconds, and says after four that it was a success."""
            with leader.bus.lock:
                plant._at[:] = pose
                plant._at[0] += np.radians(min(max(seconds, 0.0) * TURN / 2, TURN))
            if seconds < 4 or pressed:
                return b""
            pressed.append(seconds)
            return b"s"

        words = [
            "robot=emulated_so101", "teleop=so101_leader", f"leader.port={leader.port}", "leader.id=mine",
            f"leader.calibration_dir={tmp_path / 'leader'}", "task=go left", "demos=1", "images=true", "seconds=20",
            f"data_dir={tmp_path / 'demos'}", f"robot.black_box={tmp_path / 'box.jsonl'}", *BUSY,
        ]  # fmt: skip
        code, said = collected(words, press)
    assert code == 0, said
    assert "1 demonstrations of 'go left'" in said
    (trace,) = read_dataset(str(tmp_path / "demos"), views=("front", "wrist"))
    assert trace.success is not None
    assert trace.success[-1]
    assert np.ptp(trace.state[:, 0]) == pytest.approx(TURN, abs=2), "the follower went along"
    info = json.loads((tmp_path / "demos" / "meta" / "info.json").read_text())
    assert info["features"]["action"]["names"] == list(STATE_NAMES)
