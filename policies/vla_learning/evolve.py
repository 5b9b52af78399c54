"""EVOLVE-VLA as an adaptation hook: GRPO on own rollouts by accumulated progress, with a horizon that grows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from robo_reward.contracts import Policy
from robo_reward.errors import UserError
from robo_reward.playground import Playground
from robo_reward.policies.vla.lerobot_policy import LeRobotPolicy
from robo_reward.policies.vla_learning.clipped_update import UpdateSettings
from robo_reward.policies.vla_learning.flow_sde import FlowNoise
from robo_reward.policies.vla_learning.group_tuning import GroupSettings, GroupTuner
from robo_reward.policies.vla_learning.progress_stop import (
    ProgressStop,
    StopsBy,
    check_stages,
    episode_end,
    horizon_at,
)


class Evolve:
    """arXiv 2512.14666: groups from one start, rewards are final progress, episodes end by progress or horizon.

    The estimator is the run's reward model (head=milestones accumulates over interval milestones, as in the paper).
    ``stages``: shares of the horizon, each for an equal part of rounds or budget, whichever ends first. ``stop``:
    progress (with ``stop_by="success"`` p(success)) above which an episode ends, None: never. All episodes of a group
    have the same horizon, else their rewards could not be compared.
    """

    def __init__(
        self,
        group: GroupSettings | None = None,
        update: UpdateSettings | None = None,
        noise: FlowNoise | None = None,
        stop: float | None = 0.95,
        consecutive: int = 2,
        stop_by: StopsBy = "progress",
        stages: Sequence[float] = (0.5, 0.75, 1.0),
    ) -> None:
        self._group, self._update = group or GroupSettings(), update or UpdateSettings()
        self._noise, self._stop, self._consecutive = noise or FlowNoise(), stop, consecutive
        self._stop_by: StopsBy = stop_by
        self._stages = check_stages(stages)
        self._tuner: GroupTuner | None = None
        self._rounds = 1

    @property
    def tuner(self) -> GroupTuner:
        """What tunes the policy. UserError before ``bind``."""
        if self._tuner is None:
            raise UserError("the hook has no policy yet: bind it first")
        return self._tuner

    def bind(self, policy: Policy, rounds: int, seed: int) -> None:
        """Takes the policy. UserError for one whose chunks have no likelihood."""
        if not isinstance(policy, LeRobotPolicy):
            raise UserError(
                f"adaptation=evolve tunes VLAs, and this is a {type(policy).__name__}: learner=sft makes one"
            )
        self._tuner, self._rounds = GroupTuner(policy, self._group, self._update, self._noise, seed), rounds

    def adapt(self, ground: Playground) -> Mapping[str, float]:
        """One update on fresh groups."""
        world, session = ground.world.horizon, ground.session
        horizon = horizon_at(self._stages, world, (self.tuner.updates, self._rounds), *session.spent)
        model = session.stack.model
        stop = None if self._stop is None else ProgressStop(model, self._stop, self._consecutive, self._stop_by)
        return self.tuner.round(ground, episode_end(horizon, world, stop)) | {"horizon": float(horizon)}

    def drift(self) -> float:
        """``GroupTuner.drift``."""
        return self.tuner.drift()

    def state(self) -> dict[str, Any]:
        """Weights, optimiser, counts."""
        return self.tuner.state()

    def load(self, state: Mapping[str, Any]) -> None:
        """Takes back what ``state`` gave."""
        self.tuner.load(state)

    def go_back(self, state: Mapping[str, Any]) -> None:
        """Takes back weights alone."""
        self.tuner.go_back(state)
