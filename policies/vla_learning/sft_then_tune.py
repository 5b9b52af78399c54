"""Imitation first, then tuning by the learned reward, in one run: ``learner=sft_grpo``; the report has both numbers."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor

from robo_reward.contracts import Policy, World
from robo_reward.data.recording import Recording
from robo_reward.errors import UserError
from robo_reward.policies.vla.lerobot_policy import LeRobotPolicy
from robo_reward.policies.vla.sft import SftLearner
from robo_reward.policies.vla_learning.grpo import GrpoLearner
from robo_reward.runs.checkpoint import load_state, save_state
from robo_reward.session import Session

STAGE = "after_sft"
IMITATED = "policy_sft"
TRAINED = "trained"


class SftThenTune:
    """``sft`` trains the policy on the run's demonstrations (or data), ``then`` tunes it. Both count updates."""

    name = "sft+grpo"

    def __init__(self, sft: SftLearner, then: GrpoLearner) -> None:
        self._sft, self._then = sft, then
        self.name = f"sft+{then.name}"
        self._imitated: LeRobotPolicy | None = None
        sft.suits = self._suits

    needs_demonstrations = True
    takes_stopper = False

    @property
    def single_world(self) -> bool:
        """As of the imitation: scenes that the run's own world shows are drawn in one."""
        return self._sft.single_world

    @property
    def moments(self) -> int:
        """How many steps the policy looks at."""
        return self._sft.moments

    def take_policy(self, recipe: Any) -> None:
        """The policy that is trained."""
        with _settings_of("sft"):
            self._sft.take_policy(recipe)

    def policy_views(self, available: Sequence[str]) -> Sequence[str]:
        """Which of the available views the policy looks at."""
        return self._sft.policy_views(available)

    def check_world(self, world: World, recording: Recording | None = None) -> None:
        """As of the imitation: whether world and demonstrations can show what they are to show."""
        with _settings_of("sft"):
            self._sft.check_world(world, recording)

    def learn(self, session: Session) -> Policy:
        """The tuned policy; what imitation alone gave lies in ``policy_sft/``."""
        folder = session.run.path / IMITATED
        restored = session.restored
        if restored is not None and restored.get("stage") == STAGE:
            policy = self._as_it_was(session, folder)
        else:
            with _settings_of("sft"):
                policy = self._sft.learn(session)
            policy.save(folder)
            save_state(folder, TRAINED, trained_state(policy))
        self._imitated = _copied(policy)
        with _settings_of("then"):
            return self._then.tune(session, policy, STAGE)

    def _suits(self, policy: LeRobotPolicy) -> None:
        """Refuses what cannot be tuned as asked, before it has been trained."""
        with _settings_of("then"):
            self._then.check(policy)

    def _as_it_was(self, session: Session, folder: Path) -> LeRobotPolicy:
        """The imitated policy of an interrupted run, adapters apart from the weights (``folder`` has them merged)."""
        session.counts_updates = True
        policy, _ = self._sft.prepare(session)
        policy.module.load_state_dict({**policy.module.state_dict(), **load_state(folder, TRAINED)})
        policy.policy.eval()
        return policy

    def controls(self, session: Session) -> Mapping[str, Policy]:
        """The cloned start of the run, evaluated on the same episodes."""
        return {} if self._imitated is None else {"cloned": self._imitated}


@contextmanager
def _settings_of(part: str) -> Iterator[None]:
    """Messages name a learner's settings as if it were the only one; here they are those of a ``part``."""
    try:
        yield
    except UserError as error:
        error.args = (re.sub(r"\blearner\.(?!sft\.|then\.)(?=\w)", f"learner.{part}.", str(error)),)
        raise


def trained_state(policy: LeRobotPolicy) -> dict[str, Tensor]:
    """What imitation changed of the module: all but frozen weights, by name."""
    frozen = {name for name, weight in policy.module.named_parameters() if not weight.requires_grad}
    return {name: value for name, value in policy.module.state_dict().items() if name not in frozen}


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
