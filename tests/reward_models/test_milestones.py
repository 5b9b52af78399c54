"""Accumulative milestone estimation by hand."""

from __future__ import annotations

import pytest

from robo_reward.errors import UserError
from robo_reward.reward_models.milestones import milestone_progress


def test_every_frame_a_milestone_is_the_plain_recursion() -> None:
    hops = {(0, 1): 0.23, (1, 2): 0.22, (2, 3): 0.15, (3, 4): 0.40}
    values = milestone_progress(lambda i, j: hops[i, j], 5, interval=1)
    assert values == pytest.approx([0, 0.23, 0.3994, 0.48949, 0.693694], abs=1e-6)


def test_between_milestones_values_are_provisional() -> None:
    asked = []

    def critic(i: int, j: int) -> float:
        asked.append((i, j))
        return 0.5 if j % 2 == 0 else -0.5

    values = milestone_progress(critic, 5, interval=2, rule="grm")
    # frame 1 hops from 0, frame 2 from 0 and is kept, frame 3 from 2, frame 4 from 2: a wrong frame 1 leaves no trace
    assert asked == [(0, 1), (0, 2), (2, 3), (2, 4)]
    assert values == pytest.approx([0, 0, 0.5, 0.25, 0.75])


def test_an_interval_below_one_is_refused() -> None:
    with pytest.raises(UserError, match="interval 0 must be at least 1"):
        milestone_progress(lambda i, j: 0.0, 3, interval=0)
