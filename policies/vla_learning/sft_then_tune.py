"""Imitation first, then tuning by the learned reward, in one run: ``learner=sft_grpo``; the report has both numbers."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from robo_reward.contracts import Policy
from robo_reward.policies.vla.lerobot_policy import LeRobotPolicy, load_lerobot_policy
from robo_reward.policies.vla.sft import SftLearner
from robo_reward.policies.vla_learning.grpo import GrpoLearner
from robo_reward.session import Session

STAGE = "after_sft"
IMITATED = "policy_sft"


class SftThenTune:
    """``sft`` trains the policy on the run's demonstrations (or data), ``then`` tunes it. Both count updates."""

    name = "sft+grpo"

    def __init__(self, sft: SftLearner, then: GrpoLearner) -> None:
        self._sft, self._then = sft, then
        self.name = f"sft+{then.name}"
        self._imitated: LeRobotPolicy | None = None

    needs_demonstrations = True

    def take_policy(self, recipe: Any) -> None:
        """The policy that is trained."""
        self._sft.take_policy(recipe)

    def policy_views(self, available: Sequence[str]) -> Sequence[str]:
        """Which of the available views the policy looks at."""
        return self._sft.policy_views(available)

    def learn(self, session: Session) -> Policy:
        """The tuned policy; what imitation alone gave lies in ``policy_sft/``."""
        folder = session.run.path / IMITATED
        restored = session.restored
        if restored is not None and restored.get("stage") == STAGE:
            policy = load_lerobot_policy(folder)
            session.counts_updates = True
        else:
            policy = self._sft.learn(session)
            policy.save(folder)
        self._imitated = _copied(policy)
        return self._then.tune(session, policy, STAGE)

    def controls(self, session: Session) -> Mapping[str, Policy]:
        """The cloned start of the run, evaluated on the same episodes."""
        return {} if self._imitated is None else {"cloned": self._imitated}


def _copied(policy: LeRobotPolicy) -> LeRobotPolicy:
    """The same policy with weights of its own."""
    return LeRobotPolicy(
        copy.deepcopy(policy.policy),
        policy.before,
        policy.after,
        policy.names,
        policy.low,
        policy.high,
        execute=policy.execute,
        dtype=policy.dtype,
        seed=policy.seed,
    )
