"""A line world that yaml can build, a tiny policy for it, and a session around them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from robo_reward.contracts import Budget, Estimate, RewardModel
from robo_reward.line_world import LineReward, LineWorld
from robo_reward.playground import Playground
from robo_reward.policies.vla.features import DataFacts
from robo_reward.policies.vla.lerobot_policy import LeRobotPolicy
from robo_reward.policies.vla.recipe import PolicyRecipe
from robo_reward.reward_models.transforms.level import Level
from robo_reward.reward_stack import RewardStack
from robo_reward.session import Session
from robo_reward.trace import Trace

NANO: dict[str, Any] = {
    "channels": 8, "keypoints": 8, "hidden_dim": 32, "image_size": 16, "chunk_size": 2, "n_action_steps": 2,
}  # fmt: skip


class NumberedLine(LineWorld):
    """Tells of its one task, as worlds whose episodes are numbered do."""

    tasks, starts = ("go right",), "drawn"

    def begin_at(self, number: int) -> None:
        """One task, and starts that the seed draws: the number says nothing."""


def make_world(num_worlds: int = 1, horizon: int | None = 10, oracle: Any = "none", **_: Any) -> LineWorld:
    """Takes what other worlds take."""
    return NumberedLine(num_worlds, horizon or 10, oracle=oracle)


def make_reward() -> LineReward:
    """Progress is the brightness."""
    return LineReward()


class CountedReward(LineReward):
    """Finds one answer unreadable per episode, and replaces two."""

    parse_failures = fallbacks = 0

    def estimate_episode(self, trace: Trace) -> Estimate:
        """As without counting."""
        self.parse_failures, self.fallbacks = self.parse_failures + 1, self.fallbacks + 2
        return super().estimate_episode(trace)


def make_counted_reward() -> CountedReward:
    """Progress is the brightness, and answers are counted."""
    return CountedReward()


def make_policy(head: str = "flow", **more: Any) -> LeRobotPolicy:
    """Untrained: its actions are about 0, its noise about half of what a world takes."""
    stats = {
        "observation.state": {"mean": np.zeros(2, np.float32), "std": np.ones(2, np.float32)},
        "action": {"mean": np.zeros(1, np.float32), "std": np.full(1, 0.5, np.float32)},
    }
    facts = DataFacts("line", {"front": (8, 8)}, 2, 1, stats)
    bound = np.ones(1, np.float32)
    return PolicyRecipe("nano_vla", head=head, **NANO, **more).build(facts, -bound, bound)


def make_session(worlds: int = 4, model: RewardModel | None = None, run: Any = None, **budget: Any) -> Session:
    """Prices by progress."""
    stack = RewardStack(model or LineReward(), [Level()])
    return Session(LineWorld(worlds, 10), stack, [], Budget(**budget), run, 0)


def goes_on_as_saved(make: Callable[[], Any], rel: float = 1e-6) -> None:
    """A tuner that took back what another saved after a round goes that one's way in the next."""
    one, ground = make(), Playground(make_session())
    one.round(ground)
    state = one.state()
    expected = one.round(ground)
    two = make()
    two.load(state)
    assert two.round(Playground(make_session())) == pytest.approx(expected, rel=rel)
