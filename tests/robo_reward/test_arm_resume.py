"""Practice without resets that is interrupted goes on where it was, in both directions, each with its own learner."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from omegaconf import OmegaConf

from robo_reward import cli
from robo_reward.arm import direction, training
from robo_reward.arm.episode import ArmEpisode
from robo_reward.arm.learner_work import WEIGHTS, LearnerWork
from robo_reward.real_robot.deploy.interface import PolicyInterface
from robo_reward.real_robot.deploy.operator import GIVEN_UP
from robo_reward.real_robot.deploy.outcome import COUNTS, Outcome
from robo_reward.runs.folder import latest_checkpoint
from robo_reward.trace import Trace

JOINTS = ("a.pos", "b.pos")
STEPS = 12


class InThisProcess:
    """A learner as ``LearnerProcess`` gives it, without a process of its own."""

    def __init__(self, run: Path, checkpoint: Path | None) -> None:
        self._run, self._checkpoint, self.metrics = run, checkpoint, dict[str, float]()
        self._work: LearnerWork | None = None

    @property
    def work(self) -> LearnerWork:
        if self._work is None:
            self._work = LearnerWork(self._run, OmegaConf.load(self._run / "config.yaml"), self._checkpoint)
        return self._work

    def start(self) -> None:
        self.work.publish(idle=False)

    def tell(self, number: int) -> None:
        self.work.hear(number)

    def listen(self) -> Path:
        while self.work.work():
            pass
        self.work.publish(idle=True)
        return self._run / WEIGHTS / f"{self.work.version:06d}"

    def catch_up(self, episodes: int, behind: int) -> None:
        assert self.work.heard == episodes, "all that was played was heard, before the interruption too"

    def save(self, folder: Path, what: str = "save") -> None:
        getattr(self.work, what)(folder)

    def close(self) -> None: ...


class Arm:
    """Stands for arm and operator: plays made-up episodes, gives up where it is told to, and is pulled out once."""

    demonstrates, put_back = True, 0

    def __init__(self, breaks_at: int | None, gives_up_at: tuple[int, ...] = ()) -> None:
        self.twin = SimpleNamespace()
        ones = (1.0, 1.0)
        self.interface = PolicyInterface(
            JOINTS, "goals", (-90.0, -90.0), (90.0, 90.0), ones, 30.0, ("front",), 32, 32, ""
        )
        self.deployment = SimpleNamespace(robot=SimpleNamespace(name="made_up"), raise_if_stopped=lambda outcome: None)
        self.breaks_at, self.gives_up_at = breaks_at, gives_up_at
        self.played: list[tuple[str, bool, bool, int]] = []
        """Role, back, fresh and the version of what acted: 0 where nobody did."""
        self._back, self._given_up = False, False

    def open(self) -> None: ...

    def turn(self, task: str, back: bool) -> None:
        self._back, self._task = back, task

    def play(self, role: str, number: int, policy: Any, seed: int, fresh: bool = True) -> Outcome:
        practised = sum(how[0] == "practice" for how in self.played)
        if role == "practice" and practised == self.breaks_at:
            raise KeyboardInterrupt
        self.put_back += self._given_up and not fresh
        self._given_up = role == "practice" and practised in self.gives_up_at
        self.played.append((role, self._back, fresh, number))
        rng = np.random.default_rng(seed)
        state = rng.normal(size=(STEPS + 1, 2)).astype(np.float32)
        frames = {"front": rng.integers(0, 255, (STEPS + 1, 32, 32, 3), np.uint8)}
        done = np.arange(STEPS + 1) >= STEPS - 1
        trace = Trace(self._task, state, state[1:], frames, np.arange(STEPS + 1), 30.0, "policy", success=done)
        episode = ArmEpisode(trace, state[1:], np.ones(STEPS, bool), role)  # type: ignore[arg-type]
        reason = GIVEN_UP if self._given_up else "time"
        return Outcome(number, reason, False, trace, dict.fromkeys(COUNTS, 0), {}, [], success=True, episode=episode)

    def close(self, clean: bool) -> str:
        return "left"


def test_it_goes_on_in_both_directions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tmp_path / "run"
    words = [
        "train", f"run_dir={run}", "learner=hil_serl", "arm.name=push", "arm.task=there", "arm.back={task: back}",
        "demos=1", "rollouts=6", "episodes=0", "learner.reach=6", "learner.sight_updates=2",
        "learner.refresh_updates=1", "reward_model.fit.steps=2", "learner.updates_per_step=0.2",
        "arm.checkpoint_every=2",
    ]  # fmt: skip
    monkeypatch.setattr(direction, "LearnerProcess", InThisProcess)
    first, second = Arm(breaks_at=3, gives_up_at=(0,)), Arm(breaks_at=None, gives_up_at=(1,))
    monkeypatch.setattr(training, "_practice", lambda cfg, folder: first)
    assert cli.run(words) == 130
    assert [how[1:3] for how in first.played if how[0] == "practice"] == [(False, True), (True, False), (False, False)]
    checkpoint = latest_checkpoint(run)
    assert checkpoint is not None
    assert (checkpoint / "back" / "learner.json").is_file(), "each direction has a learner of its own to go on with"

    monkeypatch.setattr(training, "_practice", lambda cfg, folder: second)
    assert cli.run([*words, "resume=true"]) == 0
    assert "demonstration" not in [how[0] for how in second.played], "nobody shows anything again"
    practised = [how[1:] for how in second.played if how[0] == "practice"]
    assert practised == [(True, True, 1), (False, False, 2), (True, False, 2)], "its turn, things laid out anew once"
    summary = json.loads((run / "summary.json").read_text())
    assert (summary["status"], summary["rollouts"]) == ("done", 6)
    assert summary["notes"]["put_back"] == 2, "one before the interruption and one after it"
    for folder, task in ((run, "there"), (run / "back", "back")):
        assert json.loads((folder / "policy" / "interface.json").read_text())["task"] == task
