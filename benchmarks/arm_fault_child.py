"""The policy's side of a fault: ``robo-reward deploy`` in its own process, its policy made to misbehave on time."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

KEYS = tuple(f"{n}.pos" for n in ("shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll", "gripper"))
START = (0.0, -40.0, 35.0, 75.0, 0.0, 50.0)
SWING = (20.0, 5.0, 18.0, 8.0, 25.0, 20.0)
SECONDS = 5.0
"""Of a swing: no joint is faster than 32 units a second."""
STILL = (51, 52)
CHUNKED = {18: 10, 19: 10, 50: 10}
FPS = 30.0


def swing(seconds: float) -> list[float]:
    """The goal of a well-behaved policy."""
    return [s + a * math.sin(2 * math.pi * seconds / SECONDS) for s, a in zip(START, SWING, strict=True)]


@dataclass
class Clockwork:
    """Shared between the processes: when the episode began and when the fault is due (perf_counter seconds, 0: not)."""

    started: Any
    strike: Any
    delay: float

    def begin(self) -> None:
        self.started.value = time.perf_counter()
        self.strike.value = self.started.value + self.delay

    @property
    def struck(self) -> bool:
        return 0 < self.strike.value <= time.perf_counter()


class Misbehaving:
    """``act`` of a policy that is well until the fault is due."""

    def __init__(self, fault: int, clock: Clockwork) -> None:
        self.fault, self.clock, self.tick, self.done = fault, clock, -1, False

    def chunk(self) -> Any:
        """(1, K, 6) or, with fault 3, (1, 1, 5)."""
        clock, count = self.clock, CHUNKED.get(self.fault, 1)
        if not clock.started.value or self.fault in STILL:
            return np.tile(np.array(START, np.float32), (1, count, 1))
        if clock.struck:
            self.tick += 1
            self._stall()
        now = time.perf_counter() - clock.started.value
        goals = np.array([swing(now + k / FPS) for k in range(count)], np.float32)
        if self.fault == 3 and clock.struck:
            return goals[None, :, :5]
        if clock.struck and self.fault in (1, 2, 6, 7, 8, 9, 10):
            goals[0] = self.spoiled(dict(zip(KEYS, goals[0].tolist(), strict=True)))
        return goals[None]

    def spoiled(self, action: dict[str, float]) -> list[float]:
        from robo_reward.real_robot.emulation.action_faults import spoil

        bad = spoil(self.fault, action, self.tick)
        return [float(bad[key]) for key in KEYS]

    def _stall(self) -> None:
        if self.fault == 18:
            time.sleep(0.25)
        if self.done:
            return
        self.done = True
        if self.fault == 11:
            time.sleep(1.0)
        elif self.fault == 12:
            time.sleep(3600.0)
        elif self.fault == 14:
            import ctypes

            ctypes.PyDLL(None).usleep(800_000)  # a PyDLL keeps the interpreter's lock


class TimedKeys:
    """Keys that a person presses so many seconds after the fault is due."""

    def __init__(self, clock: Clockwork, presses: list[tuple[float, str]]) -> None:
        self.clock, self.presses = clock, list(presses)

    def __enter__(self) -> TimedKeys:
        return self

    def __exit__(self, *of: object) -> None: ...

    def __call__(self) -> str:
        if not self.clock.strike.value:
            return ""
        now, out = time.perf_counter() - self.clock.strike.value, ""
        while self.presses and self.presses[0][0] <= now:
            out += self.presses.pop(0)[1]
        return out


PRESSED: dict[int, list[tuple[float, str]]] = {
    50: [(0.0, "h"), (0.2, "3+"), (0.3, "+"), (1.0, "h")],
    51: [(0.0, "i"), (1.5, "i")],
    52: [(-1.0, "i")],
}


def patch(fault: int, clock: Clockwork) -> None:
    """Puts the misbehaviour in place of the parts of this process that a fault of the list is about."""
    from robo_reward.policies.sb3_policy import Sb3Policy
    from robo_reward.real_robot.deploy import command, deployment, take_over
    from robo_reward.real_robot.deploy.goals import GoalMaker
    from robo_reward.real_robot.deploy.schedule import ActionSchedule

    bad = Misbehaving(fault, clock)
    _replace(Sb3Policy, "act", lambda real: lambda self, seen: bad.chunk())
    _replace(deployment.Deployment, "episode", lambda real: lambda self, n=0: (clock.begin(), real(self, n))[1])
    if fault in (4, 5):
        _replace(GoalMaker, "named", lambda real: lambda self, goal: _keys(fault, clock, real(self, goal)))
    if fault == 19:
        _replace(ActionSchedule, "offer", lambda real: _disordered(clock, real))
    if fault == 20:
        _replace(time, "time", lambda real: lambda: real() + 3600.0 * clock.struck)
    if fault in PRESSED:
        take_over.Keys = lambda: TimedKeys(clock, PRESSED[fault])  # type: ignore[assignment,misc]
    if fault in (51, 52):
        _replace(take_over, "lerobot_leader", lambda real: lambda *told: _patient(real(*told)))
    if fault == 27:
        _replace(command, "read_interface", lambda real: lambda run: _with_references(real(run)))


def _patient(leader: Any) -> Any:
    """LeRobot's leader gives its motors 50 ms to answer; emulated ones need more on a busy machine."""
    from robo_reward.real_robot.emulation.patience import be_patient

    be_patient(leader.bus, 0.5)
    return leader


def _replace(owner: Any, name: str, change: Callable[[Any], Any]) -> None:
    setattr(owner, name, change(getattr(owner, name)))


def _keys(fault: int, clock: Clockwork, goal: dict[str, float]) -> dict[str, float]:
    if not clock.struck:
        return goal
    return {**goal, "tail": 0.0} if fault == 5 else {k: v for k, v in goal.items() if k != "shoulder_lift"}


def _disordered(clock: Clockwork, real: Any) -> Any:
    kept: list[Any] = []

    def offer(self: Any, chunk: Any, period: int, observed_at: float, now: int) -> None:
        real(self, chunk, period, observed_at, now)
        if clock.struck:
            for old in [(chunk, period, observed_at), *kept]:  # again, and the one before
                real(self, *old, now)
        kept[:] = [(chunk, period, observed_at)]

    return offer


def _with_references(interface: Any) -> Any:
    from dataclasses import replace

    from robo_reward.real_robot.emulation.ideal_plant import IdealPlant

    plant = IdealPlant()
    size = (interface.height, interface.width)
    return replace(interface, references={view: plant.picture(view, *size) for view in interface.views})


def deploy(words: list[str], fault: int, started: Any, strike: Any, delay: float, log: str) -> None:
    """The process: its output goes to ``log``; it exits with the verb's code."""
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(out, 1)
    os.dup2(out, 2)
    from robo_reward import cli

    patch(fault, Clockwork(started, strike, delay))
    code = cli.run(words)
    sys.stdout.flush()
    os._exit(code)


def make_run(folder: Path, joints: tuple[str, ...] = KEYS, broken: bool = False) -> Path:
    """A train run whose policy's network is beside the point: ``patch`` puts the swing in its place."""
    import torch
    from gymnasium import spaces
    from omegaconf import OmegaConf

    from robo_reward.policies.sb3_policy import Sb3Network, Sb3Policy, make_net
    from robo_reward.real_robot.deploy.interface import PolicyInterface
    from robo_reward.runs import atomic

    network = Sb3Network("ppo", (4,), "tanh")
    net: Any = make_net(network, 6, spaces.Box(-1.0, 1.0, (6,), np.float32))
    if broken:
        with torch.no_grad():
            net.action_net.weight.fill_(float("nan"))
    Sb3Policy(net, network).save(folder / "policy")
    low, high = (-110.0, -100.0, -97.0, -95.0, -157.0, 0.0), (110.0, 100.0, 97.0, 95.0, 163.0, 100.0)
    speed = (60.0,) * 5 + (120.0,)
    views = ("front", "wrist")
    interface = PolicyInterface(joints, "goals", low, high, speed, FPS, views, 48, 64, "swing", START, horizon=150)
    interface.save(folder / "policy")
    settings = {"env": {"task": "reach"}, "transform": {"chain": []}, "reward_model": {}}
    atomic.write_text(folder / "config.yaml", OmegaConf.to_yaml(OmegaConf.create(settings)))
    atomic.write_json(folder / "summary.json", {"verb": "train", "status": "done"})
    return folder
