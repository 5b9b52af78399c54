"""The loop between policy and guard, at a fixed rate: look, judge the senses, think, send what is due or nothing."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from robo_reward.contracts import Observation, Policy, Transition
from robo_reward.errors import UserError
from robo_reward.real_robot.arm_client import ArmView
from robo_reward.real_robot.deploy.background import Background
from robo_reward.real_robot.deploy.camera_watch import Picture, Trouble
from robo_reward.real_robot.deploy.critic import Critic
from robo_reward.real_robot.deploy.goals import GoalMaker
from robo_reward.real_robot.deploy.hand import NOTHING, Hand, Say, Wish
from robo_reward.real_robot.deploy.interface import PolicyInterface
from robo_reward.real_robot.deploy.metronome import Metronome
from robo_reward.real_robot.deploy.record import Record
from robo_reward.real_robot.deploy.schedule import ActionSchedule, Due
from robo_reward.real_robot.safety_state import SafetyStop

MARGIN = 0.003
"""Seconds before a period ends at which its action must be there to be sent in it."""
WINDOW = 3.0
"""Trouble adds up over so many times ``patience``: a camera that comes and goes must not move the arm in fits."""
Joints = NDArray[np.float64]
Thought = tuple[Observation, int, float]


class Arm(Protocol):
    """What moves: ``ArmClient``, or a dry run's stand-in."""

    def observe(self) -> ArmView: ...

    def act(self, goal: object, observed_at: float) -> ArmView: ...

    def pause(self, reason: str) -> ArmView: ...

    def hold(self, reason: str = "") -> ArmView: ...

    def estop(self) -> ArmView: ...


class Sight(Protocol):
    """The cameras (``Eyes``)."""

    def look(self, joints: Joints) -> tuple[dict[str, Picture], Trouble | None]: ...


@dataclass(frozen=True)
class LoopPlan:
    """``seconds`` of an episode; the rest are times in seconds after which something is wrong."""

    seconds: float = 10.0
    joints_age: float = 0.1
    patience: float = 1.0
    """No action in time for so long, or trouble with a sensor for so long within three times as long, ends the run."""
    horizon: int = 15
    """So many actions of a chunk are used at most: 0.5 s at 30 Hz, the oldest observation that the guard accepts."""
    replan: int = 5
    """A new chunk is asked for once so few actions are left."""

    def __post_init__(self) -> None:
        times = np.array([self.seconds, self.joints_age, self.patience])
        if not (np.isfinite(times).all() and (times > 0).all()) or self.horizon < 1 or self.replan < 0:
            raise UserError(
                f"seconds={self.seconds}, joints_age={self.joints_age}, patience={self.patience} must be above 0, "
                f"horizon={self.horizon} at least 1, replan={self.replan} at least 0"
            )


@dataclass
class DeployLoop:
    """One episode. ``run`` returns why it ended; SafetyStop where the arm was stopped and a person must look."""

    arm: Arm
    eyes: Sight
    policy: Policy
    interface: PolicyInterface
    maker: GoalMaker
    critic_of: Callable[[Observation], Critic]
    record: Record
    plan: LoopPlan
    metronome: Metronome
    hand: Hand | None = None
    shown: Callable[[int, ArmView, Critic | None, Observation | None], None] | None = None
    critic: Critic | None = None

    def run(self) -> str:
        """Until time is up, success is seen, progress stalls, or a person says so."""
        self.schedule = ActionSchedule(self.plan.horizon)
        self._thinker: Background[Thought, NDArray[np.float32]] = Background(self._act, "policy")
        self._last_sent, self._trouble_since = 0, -1
        self._by_hand, self._told = False, ""
        self._troubled: deque[int] = deque()
        self.policy.reset(np.ones(1, bool))
        self.maker.begin()
        self.metronome.begin()
        ended = ""
        try:
            while not ended:
                ended = self._period(self.metronome.wait())
            late = self.critic.finish() if self.critic is not None else ""
        except SafetyStop as stop:
            with contextlib.suppress(UserError):
                self.arm.hold(str(stop))
            raise
        finally:
            self._thinker.close()
            if self.critic is not None:
                self.critic.close()
        return late if ended == "time" and late else ended

    def _period(self, period: int) -> str:
        view = self._stopped(self.arm.observe())
        joints, emitted = self._ordered(view.position), self._ordered(view.goal)
        self.record.sent(emitted)
        if period >= self.plan.seconds * self.interface.fps:
            return "time"
        if self.shown is not None:
            self.shown(period, view, self.critic, self.record.last)
        wish = NOTHING if self.hand is None else self.hand.wish(view)
        if wish.say in (Say.END, Say.ESTOP):
            return self._end(period, wish)
        pictures, trouble = self.eyes.look(joints)
        trouble = self._joints_trouble(view) or trouble
        if trouble is not None or wish.say is Say.HOLD:
            self._pause(period, trouble or Trouble(wish.reason), by_person=trouble is None)
            return ""
        self._trouble_since = -1
        seen = Observation(pictures, joints.astype(np.float32)[None], (self.interface.task,))
        ends = self._judge(period, seen)
        self.record.seen(seen)
        if wish.done:
            self.record.done()
        if ends:
            return ends
        if wish.say is Say.GOAL and wish.goal is not None:
            self._by(period, wish, view)
        else:
            self._follow_policy(period, seen, view, emitted)
        return ""

    # --- who moves ---------------------------------------------------------------------------------------------------

    def _follow_policy(self, period: int, seen: Observation, view: ArmView, emitted: Joints) -> None:
        if self._by_hand:  # handed back: what was thought before counts no more
            self.schedule.forget_before(period)
            self.maker.begin()
            self._by_hand = False
        due = self._due(period, seen, view.read_at)
        if due is None:
            self._starve(period)
            return
        goal = self.maker.goal(due.action, emitted)
        self.record.asked(goal, by_hand=False)
        self._send(period, self.maker.named(goal), due.observed_at, "sent")

    def _by(self, period: int, wish: Wish, view: ArmView) -> None:
        if not self._by_hand:
            self.record.note(period, "by hand", wish.reason)
        self._by_hand = True
        assert wish.goal is not None
        self.record.asked(wish.goal, by_hand=True)
        self._send(period, self.maker.named(wish.goal), view.read_at, "by_hand")

    def _send(self, period: int, goal: object, observed_at: float, how: str) -> None:
        view = self.arm.act(goal, observed_at)
        self._stopped(view)
        self._last_sent = period
        self.record.counts["refused" if view.refused else how] += 1
        if view.refused:
            self.record.note(period, "refused", view.refused)

    def _due(self, period: int, seen: Observation, observed_at: float) -> Due | None:
        """This period's action; a policy that needs a look at each period is waited for until it is too late.

        Where looking took more than the rest of the period, the answer is for the period in which it is asked for: a
        slow machine then acts less often, and not never.
        """
        self._collect(0.0)
        due = self.schedule.due(period)
        asked = max(period, self.metronome.period())
        if not self._thinker.waiting and self.schedule.left(asked) <= self.plan.replan:
            self._thinker.ask((seen, asked, observed_at))
        if due is None:
            self._collect(max(self.metronome.ends(asked) - MARGIN - self.metronome.clock(), MARGIN))
            due = self.schedule.due(max(period, self.metronome.period()))
        return due

    def _collect(self, seconds: float) -> None:
        done = self._thinker.answer(seconds)
        if done is not None:
            _, period, observed_at = done.asked
            self.record.think_seconds.append(done.seconds)
            self.schedule.offer(self._checked(done.answer), period, observed_at, self.metronome.period())

    def _act(self, thought: Thought) -> NDArray[np.float32]:
        return np.asarray(self.policy.act(thought[0]))

    def _checked(self, chunk: NDArray[np.float32]) -> NDArray[np.float32]:
        joints = len(self.interface.joints)
        if chunk.ndim != 3 or chunk.shape[0] != 1 or chunk.shape[2] != joints:
            self.arm.hold("the policy gave actions of another shape")
            raise SafetyStop(f"the policy gave actions of shape {chunk.shape} for 1 arm of {joints} joints")
        return np.asarray(chunk[0], np.float32)

    # --- what is wrong -----------------------------------------------------------------------------------------------

    def _stopped(self, view: ArmView) -> ArmView:
        if view.latched:
            raise SafetyStop(f"the arm is in {view.state}: {view.reason}")
        return view

    def _joints_trouble(self, view: ArmView) -> Trouble | None:
        age = self.metronome.clock() - view.read_at
        return Trouble(f"the joints' reading is {age:.2f} s old") if age > self.plan.joints_age else None

    def _pause(self, period: int, trouble: Trouble, by_person: bool) -> None:
        """Brakes now; what was thought from what cannot be trusted is dropped."""
        if self._trouble_since < 0 or _words(trouble.reason) != _words(self._told):
            self._told = trouble.reason  # a camera gets older with every look: it is told once
            self.record.note(period, "paused", trouble.reason)
        self.arm.pause(self._told)
        self.record.counts["paused"] += 1
        self.schedule.forget_before(period + 1)
        self.maker.begin()
        self._trouble_since = period
        self._last_sent = period
        patience = self.plan.patience * self.interface.fps
        if not by_person:
            self._troubled.append(period)
        while self._troubled and self._troubled[0] < period - WINDOW * patience:
            self._troubled.popleft()
        if trouble.lasting or len(self._troubled) > patience:
            self._stop(trouble.reason)

    def _starve(self, period: int) -> None:
        self.record.counts["starved"] += 1
        if period - self._last_sent > self.plan.patience * self.interface.fps:
            took = f"{np.median(self.record.think_seconds):.3f} s" if self.record.think_seconds else "longer than that"
            self._stop(
                f"no action came in time for {self.plan.patience:g} s: the policy needs {took} for each, a period is "
                f"{1 / self.interface.fps:.3f} s"
            )

    def _stop(self, reason: str) -> None:
        self.arm.hold(reason)
        raise SafetyStop(f"the arm is held: {reason}")

    def _end(self, period: int, wish: Wish) -> str:
        self.record.note(period, wish.say, wish.reason)
        if wish.say is Say.ESTOP:
            self.arm.estop()
            raise SafetyStop(f"emergency stop: {wish.reason}")
        return wish.reason

    # --- what it is worth --------------------------------------------------------------------------------------------

    def _judge(self, period: int, seen: Observation) -> str:
        before = self.record.last
        if before is None:
            self.critic = self.critic_of(seen)
            return ""
        assert self.critic is not None
        nothing, no = np.full(1, np.nan, np.float32), np.zeros(1, bool)
        action = np.zeros((1, len(self.interface.joints)), np.float32)
        self.critic.see(period, Transition(before, action, seen, nothing, no, no))
        return self.critic.opinions()

    def _ordered(self, joints: object) -> Joints:
        """{joint: value} as (J,) in the policy's order."""
        assert isinstance(joints, dict)
        return np.array([joints[key.removesuffix(".pos")] for key in self.interface.joints], np.float64)


def _words(reason: str) -> str:
    """A reason without its numbers."""
    return "".join(letter for letter in reason if not letter.isdigit())
