"""Reinforcement fine-tuning of a VLA by its own episodes: ``learner=grpo|self_imitation|vla_credit|srpo|...``."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from robo_reward.contracts import Policy
from robo_reward.errors import UserError
from robo_reward.playground import Playground
from robo_reward.policies.vla.features import facts_of_world
from robo_reward.policies.vla.lerobot_policy import LeRobotPolicy
from robo_reward.policies.vla_learning.clipped_update import UpdateSettings
from robo_reward.policies.vla_learning.flow_sde import FlowNoise
from robo_reward.policies.vla_learning.given_policy import GivenPolicy
from robo_reward.policies.vla_learning.group_tuning import GroupSettings, GroupTuner
from robo_reward.policies.vla_learning.ppo_tuning import PpoSettings, PpoTuner
from robo_reward.policies.vla_learning.preferences import PreferenceSettings, PreferenceTuner
from robo_reward.policies.vla_learning.progress_stop import (
    OracleStop,
    ProgressStop,
    StopsBy,
    check_stages,
    episode_end,
    horizon_at,
)
from robo_reward.rollout import Stopper
from robo_reward.session import Session
from robo_reward.trace import Trace

ALONE = "tuning"
"""The stage that checkpoints name where nothing was learned before."""


class GrpoLearner(GivenPolicy):
    """Group-relative policy optimisation over chunks (SimpleVLA-RL, SRPO, EVOLVE-VLA), without a value network.

    ``updates``; ``group``, ``update``, ``noise``: how is played, stepped and explored. ``stop``: learned progress (with
    ``stop_by="success"`` p(success)) above which episodes end, None: never; where the simulator's success is the reward
    they end with it. ``stages``: shares of the horizon, growing in equal stages. ``preferences``: DPO on the groups'
    better and worse episodes in place of GRPO. ``ppo``: PPO with a value head on episodes from starts of their own in
    place of groups. ``evaluate_every`` and ``checkpoint_every`` count updates. ``remember``: last episodes kept for the
    report. The run's budget (``rollouts``, ``steps``) may end it earlier.
    """

    needs_demonstrations = False
    takes_stopper = False  # stop and stop_by end its episodes

    def __init__(
        self,
        updates: int = 50,
        group: GroupSettings | None = None,
        update: UpdateSettings | None = None,
        noise: FlowNoise | None = None,
        stop: float | None = None,
        consecutive: int = 2,
        stop_by: StopsBy = "progress",
        stages: Sequence[float] = (1.0,),
        evaluate_every: int | None = None,
        checkpoint_every: int = 10,
        remember: int = 32,
        preferences: PreferenceSettings | None = None,
        ppo: PpoSettings | None = None,
        name: str = "grpo",
        device: str = "cpu",
        seed: int = 0,
    ) -> None:
        """Raises UserError for numbers out of range."""
        for key, value in (("updates", updates), ("checkpoint_every", checkpoint_every), ("remember", remember)):
            if value < 1:
                raise UserError(f"learner.{key}={value} must be 1 or more")
        if preferences is not None and ppo is not None:
            raise UserError("learner.preferences and learner.ppo are two ways of learning: give one of them")
        self.name, self._ppo = name, ppo
        self._updates, self._stop, self._consecutive = updates, stop, consecutive
        self._stop_by: StopsBy = stop_by
        self._stages = check_stages(stages)
        self._group, self._update = group or GroupSettings(), update or UpdateSettings()
        self._noise, self._preferences = noise or FlowNoise(), preferences
        self._evaluate_every, self._checkpoint_every = evaluate_every, checkpoint_every
        self._remember, self._device, self._seed = remember, device, seed

    def learn(self, session: Session) -> Policy:
        """Tunes the policy and returns it, to act without its exploration.

        Raises:
            UserError: there is no trained policy, it does not fit the world, or its chunks have no likelihood.
        """
        policy = built_policy(self._recipe, session, self._device, self._seed, self.name)
        session.notes |= {"prior": policy.config.type, "start": self._recipe.path}
        return self.tune(session, policy)

    def tune(self, session: Session, policy: LeRobotPolicy, stage: str = ALONE) -> LeRobotPolicy:
        """As ``learn``, of a policy that is there; checkpoints name ``stage``."""
        tuner = self._tuner(policy)
        ground, heard = Playground(session), deque[tuple[Trace, str, float, float]](maxlen=self._remember)
        done, restored = 0, session.restored
        if restored is not None and restored.get("stage") == stage:
            tuner.load(restored["tuner"])
            done, ground.earned = int(restored["done"]), [(int(k), float(r)) for k, r in restored["earned"]]
        elif stage != ALONE:
            self._save(session, tuner, ground, 0, stage)  # what came before is not done again
        stop = self._stopper(session)
        for update in range(done, self._updates):
            if not session.left():
                break
            self._one(session, ground, tuner, update, stop, heard)
            self._pause(session, policy, tuner, ground, update + 1, stage)
        session.played, session.earned = list(heard), ground.earned
        session.notes |= {
            "groups_played": tuner.played,
            "groups_without_spread": tuner.skipped,
            "drift": tuner.drift(),
        }
        policy.policy.eval()
        return policy

    def _stopper(self, session: Session) -> Stopper | None:
        if session.stack.model.needs.oracle == "success":
            return OracleStop()
        if self._stop is None:
            return None
        return ProgressStop(session.stack.model, self._stop, self._consecutive, self._stop_by)

    def check(self, policy: LeRobotPolicy) -> None:
        """Raises UserError for a policy whose chunks have no likelihood, or that cannot be tuned as asked."""
        self._tuner(policy)

    def _tuner(self, policy: LeRobotPolicy) -> GroupTuner:
        given = (policy, self._group, self._update, self._noise, self._seed)
        if self._ppo is not None:
            return PpoTuner(*given, ppo=self._ppo)
        if self._preferences is None:
            return GroupTuner(*given)
        return PreferenceTuner(*given, preferences=self._preferences)

    def _one(
        self,
        session: Session,
        ground: Playground,
        tuner: GroupTuner,
        update: int,
        stop: Stopper | None,
        heard: deque[tuple[Trace, str, float, float]],
    ) -> None:
        since, world = time.perf_counter(), ground.world.horizon
        horizon = horizon_at(self._stages, world, (update, self._updates), *session.spent)
        try:
            metrics = tuner.round(ground, episode_end(horizon, world, stop))
        except torch.OutOfMemoryError as error:
            raise UserError(
                f"the GPU's memory does not suffice: lower learner.update.batch={self._update.batch}, tune the head "
                "alone (learner.update.train=head) or use policy.lora=8"
            ) from error
        if session.stack.model.needs.oracle == "success":
            metrics["success"] = success_of([trace for group in tuner.last for trace in group.traces])
        for group in tuner.last:
            for trace, reward in zip(group.traces, group.rewards, strict=True):
                self._hear(session, trace, float(reward), heard)
        session.tally.updates += 1
        row = {f"{self.name}/{key}": value for key, value in metrics.items()}
        session.log({**row, f"{self.name}/horizon": float(horizon), "timing/update": time.perf_counter() - since})
        told = f"reward {metrics['reward']:.3f}, {metrics['groups']:.0f} groups, {metrics['skipped']:.0f} skipped"
        print(f"update {update + 1}/{self._updates}: {told}, kl {metrics.get('kl', 0.0):.4f}", flush=True)

    def _hear(
        self, session: Session, trace: Trace, reward: float, heard: deque[tuple[Trace, str, float, float]]
    ) -> None:
        with session.pricing():
            judged = session.judge.judge(trace) if session.judge is not None else float("nan")
        message = session.alarm.hear(reward, judged) if np.isfinite(judged) else None
        if message is not None:
            print(f"ALARM: {message}", flush=True)
        heard.append((trace, self.name, judged, reward))

    def _pause(
        self, session: Session, policy: LeRobotPolicy, tuner: GroupTuner, ground: Playground, done: int, stage: str
    ) -> None:
        """Evaluates (sealed) and saves, when it is time."""
        if done == self._updates:
            return
        if self._evaluate_every and done % self._evaluate_every == 0 and session.evaluate is not None:
            session.evaluate(policy, session.clock)
        if done % self._checkpoint_every == 0:
            self._save(session, tuner, ground, done, stage)

    @staticmethod
    def _save(session: Session, tuner: GroupTuner, ground: Playground, done: int, stage: str) -> None:
        earned = [list(pair) for pair in ground.earned]
        session.checkpoint({"stage": stage, "done": done, "tuner": tuner.state(), "earned": earned})


def success_of(traces: Sequence[Trace]) -> float:
    """The share of episodes in which the simulator saw success, where its success is asked for."""
    return float(np.mean([t.env_reward is not None and bool((t.env_reward > 0).any()) for t in traces]))


def built_policy(
    recipe: Any, session: Session, device: str, seed: int, name: str, data_views: Sequence[str] = ()
) -> LeRobotPolicy:
    """The trained policy that ``policy.path`` names, made to fit the session's world.

    ``data_views``: cameras of a dataset that is read too, which ``policy.rename`` may name as well.

    Raises:
        UserError: there is none, or it does not fit.
    """
    if recipe.path is None:
        raise UserError(
            f"learner={name} goes on from a trained policy: policy.path=RUN (robo-reward train learner=sft makes one), "
            "or a checkpoint folder or hub id"
        )
    space = session.world.action_space
    low, high = (bound.astype(np.float32) for bound in (space.low, space.high))
    facts = facts_of_world(session.world, session.picture_size)
    recipe.check_names([*facts.views, *data_views])
    policy: LeRobotPolicy = recipe.build(facts, low, high, device, seed)
    return policy
