"""The critic of the unpushed worlds: its advantages by hand, and that it learns what these worlds pay."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from robo_reward.contracts import Flags, Floats
from robo_reward.reward_models.disturber.calm_critic import CalmCritic
from robo_reward.reward_models.disturber.experience import Experience

GAMMA, DECAY = 0.5, 0.5


def seen(rows: int = 3, worlds: int = 1) -> Experience:
    """Paid 1, 2, 3, ... in each world; the second episode of each is cut off at the end, the first one ends."""
    states: list[Floats] = [np.full((worlds, 2), t, np.float32) for t in range(rows + 1)]
    ended: list[Flags] = [np.full(worlds, t == 1) for t in range(rows)]
    return Experience(
        before=states[:-1],
        after=states[1:],
        paid=[np.full(worlds, t + 1.0, np.float64) for t in range(rows)],
        terminated=ended,
        done=[end | (t == rows - 1) for t, end in enumerate(ended)],
    )


def test_its_advantages_by_hand() -> None:
    critic = CalmCritic(2)
    with torch.no_grad():
        torch.nn.init.zeros_(critic.net[-1].weight)  # type: ignore[arg-type]
        torch.nn.init.constant_(critic.net[-1].bias, 0.25)  # type: ignore[arg-type]
    found = critic.gains(seen(), GAMMA, DECAY, torch.Generator().manual_seed(0))
    # half of what was paid, since values are times 1 - gamma; last: 1.5 + .125 - .25; middle, terminated: 1 - .25;
    # first: .5 + .125 - .25 + .25 * .75
    assert found[:, 0] == pytest.approx([0.5625, 0.75, 1.375])


def test_it_comes_to_value_states_at_what_follows_them() -> None:
    critic, generator = CalmCritic(2), torch.Generator().manual_seed(0)
    for _ in range(60):
        critic.gains(seen(rows=2, worlds=64), GAMMA, DECAY, generator)
    worth = critic.values(torch.tensor([[0.0, 0.0], [1.0, 1.0]])).tolist()
    # the second step pays (1 - gamma) 2 = 1 and ends; the first pays 0.5 and half of that
    assert worth == pytest.approx([1.0, 1.0], abs=0.1)
