"""What the RLPD learner carries from rollout to rollout, and how it is saved and restored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robo_reward.policies.anchored_policy import AnchoredPolicy
from robo_reward.policies.audition import Audition
from robo_reward.policies.episode_buffer import EpisodeBuffer
from robo_reward.policies.priors import Prior
from robo_reward.trace import Trace


@dataclass(slots=True)
class Played:
    """One of the learner's own episodes: how it acted, what it was worth, and its features (T, F), corrections (T, A).

    ``slot``: its number in the replay buffer, None if it is not in there.
    """

    trace: Trace
    kind: str
    judged: float
    features: NDArray[np.float32]
    correction: NDArray[np.float32]
    reward: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    slot: int | None = None

    @property
    def mean_reward(self) -> float:
        """The mean reward of a step, as last priced."""
        return float(self.reward.mean()) if len(self.reward) else 0.0


@dataclass(slots=True)
class Training:
    """Everything that changes while the learner runs."""

    priors: Mapping[str, Prior]
    audition: Audition
    policy: AnchoredPolicy
    own: EpisodeBuffer
    demonstrated: EpisodeBuffer
    played: list[Played] = field(default_factory=list)
    prior: str | None = None

    def dump(self) -> dict[str, Any]:
        """For a checkpoint; traces are kept by the session, by rollout number."""
        return {
            "prior": self.prior,
            "verdicts": {k: [list(pair) for pair in v] for k, v in self.audition.verdicts.items()},
            "agent": self.policy.agent.state(),
            "played": [
                {"kind": p.kind, "judged": p.judged, "features": p.features, "correction": p.correction}
                for p in self.played
            ],
        }
