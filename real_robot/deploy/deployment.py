"""A policy on an arm from start to end: checks before torque, the way to the start, episodes, and how it is left.

The entry for programs of one's own (``docs/real_arm.md``): any ``GuardedRobot`` and any ``Policy``; where the robot is
emulated, faults are injected from outside.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from robo_reward.contracts import Observation, Policy
from robo_reward.errors import UserError
from robo_reward.real_robot.arm_client import ArmView
from robo_reward.real_robot.deploy.adapting import ArmAdaptation, adapted
from robo_reward.real_robot.deploy.approach import clipped, go_to
from robo_reward.real_robot.deploy.camera_watch import CameraPlan
from robo_reward.real_robot.deploy.critic import Critic, Watchers
from robo_reward.real_robot.deploy.dry_arm import DryArm
from robo_reward.real_robot.deploy.eyes import Eyes
from robo_reward.real_robot.deploy.goals import GoalMaker
from robo_reward.real_robot.deploy.hand import Hand
from robo_reward.real_robot.deploy.interface import PolicyInterface
from robo_reward.real_robot.deploy.leave import cut_at_next_interrupt, leave
from robo_reward.real_robot.deploy.loop import DeployLoop, LoopPlan
from robo_reward.real_robot.deploy.metronome import Metronome
from robo_reward.real_robot.deploy.outcome import Outcome, counts_of, timing_of
from robo_reward.real_robot.deploy.preflight import check_robot, rehearse
from robo_reward.real_robot.deploy.record import Record
from robo_reward.real_robot.deploy.witness import Witness
from robo_reward.real_robot.safety_state import SafetyStop
from robo_reward.reward_stack import RewardStack
from robo_reward.trace import Trace

Shown = Callable[[int, ArmView, Critic | None, Observation | None], None]


@dataclass
class Deployment:
    """``open``, ``episode`` as often as wanted, ``close``. ``robot`` is a ``GuardedRobot`` that is not connected.

    ``dry_run``: the arm is read and everything is decided, but nothing is written to the bus: no torque, no goal.
    """

    robot: Any
    policy: Policy
    interface: PolicyInterface
    watchers: Watchers = field(default_factory=Watchers)
    loop: LoopPlan = field(default_factory=LoopPlan)
    sight: CameraPlan = field(default_factory=CameraPlan)
    dry_run: bool = False
    hand: Hand | None = None
    shown: Shown | None = None
    arm: Any = None
    stack: RewardStack | None = None
    """Prices the episodes that are kept."""
    left: str = ""
    """How the arm stands, after ``close``."""
    broken: Outcome | None = None
    """What there is of an episode that an interruption or a fault of ours ended."""
    adaptation: ArmAdaptation | None = None
    """Changes the policy after each episode."""

    @property
    def twin(self) -> Any:
        """The ``EmulatedProcess`` behind an emulated robot, None with a real one."""
        return getattr(self.robot, "twin", None)

    @property
    def black_box(self) -> str:
        """Where the arm's record is: a server that ran already goes on with its own."""
        about = {} if self.arm is None else self.arm.about
        return str(about.get("black_box", self.robot.config.black_box))

    def open(self) -> None:
        """Everything that can be refused is refused before torque. Raises UserError or SafetyStop."""
        check_robot(self.interface, self.robot)
        missing = [view for view in self.watchers.views if view not in self.interface.views]
        if missing:
            views = (*self.interface.views, *missing)
            self.interface = replace(self.interface, views=views)
        self.eyes = Eyes(self.robot.cameras, self.interface, self.sight)
        rehearse(self.policy, self.interface)
        if self.dry_run:
            self._open_dry()
        else:
            self.robot.connect()
            self.arm = self.robot.client
        limits = self.arm.about["limits"]
        order = [list(self.arm.names).index(key.removesuffix(".pos")) for key in self.interface.joints]
        self.maker = GoalMaker(self.interface, np.array(limits["acceleration"])[order])

    def _open_dry(self) -> None:
        self.arm = DryArm(self.robot.spec())
        try:
            self.robot.open_cameras()
            self.arm.connect()
            self.arm.arm()
        except BaseException:
            self.arm.close()
            self.robot.disconnect()
            raise

    def go_to_start(self) -> None:
        """Moves to where the policy's episodes began, if that is known. Raises UserError or SafetyStop."""
        if self.interface.start is None or self.dry_run:
            return
        by_name = dict(zip((k.removesuffix(".pos") for k in self.interface.joints), self.interface.start, strict=True))
        pose = clipped([by_name[name] for name in self.arm.names], self.arm.names, self.arm.about["limits"])
        go_to(self.arm, pose, Metronome(self.interface.fps))

    def episode(self, number: int = 0) -> Outcome:
        """One episode from where the arm is. A stop by guard or loop is an outcome, with ``stopped``, too."""
        record = Record(self.interface.views, self.interface.fps, self.interface.task)
        seen_by = None if self.dry_run else self.twin  # an arm that did not move neither succeeded nor failed
        metronome, witness = Metronome(self.interface.fps), Witness(seen_by, self.shown)
        loop = DeployLoop(
            self.arm, self.eyes, self.policy, self.interface, self.maker, self._critic, record, self.loop, metronome,
            self.hand, witness,
        )  # fmt: skip
        if self.twin is not None:
            self.twin.begin()
        try:
            return _outcome(number, loop.run(), False, loop, witness)
        except SafetyStop as stop:
            return _outcome(number, str(stop), True, loop, witness)
        except BaseException as error:
            self.robot.client.close()  # the server holds the arm at once
            if isinstance(error, KeyboardInterrupt):
                cut_at_next_interrupt(self.robot)
            self.broken = _outcome(number, f"broken off: {type(error).__name__}", False, loop, witness)
            raise

    def adapt(self, outcome: Outcome) -> dict[str, float]:
        """Test-time adaptation on an episode that was not stopped; metrics. Raises SafetyStop with the arm held."""
        if self.adaptation is None or self.dry_run or outcome.stopped or outcome.trace is None:
            return {}
        self.arm.pause("the policy adapts")
        try:
            priced = self.priced(outcome.trace)
        except UserError:  # a chain that prices only while training
            priced = outcome.trace
        return adapted(self.adaptation, self.policy, self.interface, priced)

    def raise_if_stopped(self, outcome: Outcome) -> None:
        """Raises SafetyStop (exit code 3) where the arm was stopped."""
        if outcome.stopped:
            raise SafetyStop(f"{outcome.reason}. {self.left}")

    def priced(self, trace: Trace) -> Trace:
        """The episode with the rewards that training would have paid; as it is where there is no reward model."""
        return trace if self.stack is None else self.stack.price(trace)

    def interrupted(self) -> None:
        """A person has said Ctrl-C, wherever the program was: the next one cuts torque at once."""
        if self.arm is not None and not self.dry_run:
            cut_at_next_interrupt(self.robot)

    def close(self, clean: bool) -> str:
        """Leaves the arm; ``clean`` False after a stop or an interruption. Says how the arm stands."""
        if hasattr(self.shown, "done"):
            self.shown.done()  # type: ignore[union-attr]
        if self.arm is None:
            self.left = "never commanded by this program"
        elif self.dry_run:
            self.arm.close()
            self.robot.disconnect()
            self.left = "not moved"
        else:
            self.left = leave(self.robot, clean)
        return self.left

    def _critic(self, first: Observation) -> Critic:
        return Critic(self.watchers, self.interface.fps, first)


def _outcome(number: int, reason: str, stopped: bool, loop: DeployLoop, witness: Witness) -> Outcome:
    return Outcome(
        number=number,
        reason=reason,
        stopped=stopped,
        trace=loop.record.trace(),
        counts=counts_of(loop.record, loop.schedule, loop.metronome),
        timing=timing_of(loop.metronome.lateness, loop.record.think_seconds),
        events=loop.record.events,
        progress=loop.critic.curve if loop.critic is not None else [],
        success=witness.success,
        success_by=None if witness.success is None else "twin",
        episode=loop.record.episode(),
    )
