"""The buffer hands out what was stored, with the rewards of the last pricing."""

import numpy as np
import pytest
import torch

from robo_reward.errors import UserError
from robo_reward.policies.episode_buffer import EpisodeBuffer, mix


def filled() -> EpisodeBuffer:
    """Two episodes of 3 and 2 steps; states count 0.. and 10.., rewards are the state's number."""
    buffer = EpisodeBuffer(8, 1, 1)
    for start, steps, ended in ((0, 3, True), (10, 2, False)):
        state = np.arange(start, start + steps + 1, dtype=np.float32)[:, None]
        buffer.add(state, -state[:-1], state[:-1, 0], ended)
    return buffer


def test_transitions_belong_together() -> None:
    torch.manual_seed(0)
    buffer = filled()
    assert (len(buffer), buffer.episodes) == (5, 2)
    batch = buffer.sample(500)
    assert torch.equal(batch.after, batch.state + 1), "no transition spans two episodes"
    assert torch.equal(batch.action, -batch.state)
    assert torch.equal(batch.reward, batch.state[:, 0])
    assert sorted(set(batch.state[:, 0].tolist())) == [0, 1, 2, 10, 11]
    assert torch.equal(batch.terminal, (batch.state[:, 0] == 2).float()), "only the terminated end is terminal"


def test_repricing_replaces_one_episodes_rewards() -> None:
    torch.manual_seed(0)
    buffer = filled()
    buffer.reprice(1, np.array([70, 71], np.float32))
    batch = buffer.sample(200)
    expected = torch.where(batch.state[:, 0] >= 10, batch.state[:, 0] + 60, batch.state[:, 0])
    assert torch.equal(batch.reward, expected)


def test_a_full_buffer_says_what_to_raise() -> None:
    buffer = filled()
    with pytest.raises(UserError, match=r"holds 8 .* 9 are needed.*learner\.capacity"):
        buffer.add(np.zeros((5, 1), np.float32), np.zeros((4, 1), np.float32), np.zeros(4, np.float32), False)
    assert buffer.episodes == 2


def test_mix_joins_in_order() -> None:
    torch.manual_seed(0)
    buffer = filled()
    first, second = buffer.sample(3), buffer.sample(2)
    both = mix(first, second)
    assert len(both.reward) == 5
    assert torch.equal(both.state[:3], first.state)
    assert torch.equal(both.terminal[3:], second.terminal)
