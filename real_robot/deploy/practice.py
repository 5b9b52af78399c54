"""An arm at which a policy practises: the deployment's checks, loop and guard, with a person who may take over."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from robo_reward.build import build
from robo_reward.contracts import Policy
from robo_reward.errors import UserError
from robo_reward.real_robot.deploy.camera_watch import CameraPlan
from robo_reward.real_robot.deploy.demonstrate import Stay, interface_of
from robo_reward.real_robot.deploy.deployment import Deployment
from robo_reward.real_robot.deploy.display import Display
from robo_reward.real_robot.deploy.interface import PolicyInterface
from robo_reward.real_robot.deploy.loop import LoopPlan
from robo_reward.real_robot.deploy.operator import OperatorPlan, ScriptedOperator
from robo_reward.real_robot.deploy.outcome import Outcome
from robo_reward.real_robot.deploy.take_over import make_hand

Role = Literal["demonstration", "practice", "evaluation"]
OPERATOR = "operator"


class Practice:
    """``open``, ``play`` as often as wanted, ``close``. ``deployment`` is not open yet.

    ``hand``: who takes over in practice; a simulated operator also demonstrates. Nobody takes over in evaluation, and a
    real person keeps the keys that stop the arm. ``pause``: seconds at the start pose before each episode, held, in
    which somebody puts things back.
    """

    def __init__(self, deployment: Deployment, hand: Any, pause: float = 0.0) -> None:
        self.deployment, self._hand, self._pause = deployment, hand, pause
        self._open = ExitStack()
        self.put_back = 0
        """How often somebody had to put things back in practice without resets."""
        self._given_up = False

    @property
    def twin(self) -> Any:
        """The emulated arm behind it, None with a real one."""
        return self.deployment.twin

    @property
    def interface(self) -> PolicyInterface:
        """What a policy that is learned here is deployed with."""
        return self.deployment.interface

    @property
    def demonstrates(self) -> bool:
        """Whether there is somebody who can be asked for demonstrations here and now."""
        return isinstance(self._hand, ScriptedOperator)

    def open(self) -> None:
        """Everything that can be refused is refused before torque. Raises UserError or SafetyStop."""
        if hasattr(self._hand, "__enter__"):
            self._open.enter_context(self._hand)
        self.deployment.open()

    def turn(self, task: str, back: bool) -> None:
        """From now on ``task``, in words, is done; ``back``: it undoes the first. UserError: the twin has none."""
        if self.twin is not None:
            self.twin.ask("turn", back=back)
        self.deployment.interface = replace(self.deployment.interface, task=task)

    def play(self, role: Role, number: int, policy: Policy | None, seed: int, fresh: bool = True) -> Outcome:
        """One episode from the start pose; ``policy`` None: somebody else leads all of it. Raises SafetyStop or not.

        ``seed``: where an emulated arm's things lie, if ``fresh``; else they stay where they are, unless the operator
        failed in the episode before, too, and therefore puts them back. A demonstration that fails is no episode.
        """
        deployment = self.deployment
        self.put_back += self._given_up and not fresh
        if isinstance(self._hand, ScriptedOperator):
            self._hand.begin(role, number)
        deployment.hand = self._hand
        deployment.policy = Stay() if policy is None else policy
        deployment.go_to_start()
        if self.twin is not None and (fresh or self._given_up):  # on its way the arm would sweep things off
            self.twin.ask("rearrange", seed=seed)
            deployment.eyes.wait_for_new()  # else the first look is of how things lay before
        time.sleep(self._pause)
        outcome = deployment.episode(number)
        self._given_up = isinstance(self._hand, ScriptedOperator) and self._hand.gave_up
        if outcome.episode is None or (role == "demonstration" and self._given_up):
            return replace(outcome, episode=None)
        return replace(outcome, episode=replace(outcome.episode, kind=role))

    def close(self, clean: bool) -> str:
        """Leaves the arm as ``docs/real_arm.md`` says; how it stands."""
        try:
            return self.deployment.close(clean)
        finally:
            self._open.close()


def prepare(
    robot: Mapping[str, Any],
    black_box: str | Path,
    task: str,
    start: Mapping[str, float],
    fps: float,
    seconds: float,
    loop: LoopPlan,
    sight: CameraPlan,
    teleop: str | None,
    leader: Mapping[str, Any],
    operator: OperatorPlan,
    pause: float = 0.0,
) -> Practice:
    """Builds the robot; the practice is not open yet.

    ``start``: joint -> value, where episodes begin. ``teleop``: "operator" (emulated arms), keyboard, so101_leader;
    None: nobody takes over.

    Raises:
        UserError: a start pose that does not name the robot's joints, no cameras, a teleop that does not exist.
    """
    if pause < 0 or seconds <= 0:
        raise UserError(f"arm.pause={pause} must be at least 0 seconds, arm.seconds={seconds} above 0")
    config = dict(robot)
    if config.get("black_box") is None:
        config["black_box"] = str(Path(black_box).absolute())
    made = build(config)
    try:
        interface = _interface(made, start, fps, seconds, task)
        deployment = Deployment(
            made, Stay(), interface, loop=replace(loop, seconds=seconds), sight=replace(sight, swapped=False)
        )
        deployment.shown = Display(fps, seconds)
        if teleop == OPERATOR:
            return Practice(deployment, ScriptedOperator(deployment.twin, interface.joints, fps, operator), pause)
        return Practice(deployment, make_hand(teleop, leader, interface), pause)
    except BaseException:
        from robo_reward.real_robot.emulated_robot import release

        release(made)
        raise


def _interface(robot: Any, start: Mapping[str, float], fps: float, seconds: float, task: str) -> PolicyInterface:
    interface = interface_of(robot, fps, task)
    names: Sequence[str] = [key.removesuffix(".pos") for key in interface.joints]
    if set(start) != set(names):
        raise UserError(f"arm.start must give a value for each of {names}, it names {sorted(start)}")
    if not interface.views:
        raise UserError("a reward from pictures needs cameras: robot.cameras={front: {type: opencv, ...}}")
    pose = tuple(float(start[name]) for name in names)
    return replace(interface, start=pose, horizon=round(seconds * fps))
