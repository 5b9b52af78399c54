"""Batches of demonstrations and scenes: how many of each there are, and that they lie in any order."""

from __future__ import annotations

import pytest
import torch

from robo_reward.policies.nano_vla.vision import shifted
from robo_reward.policies.vla import training_data as data_of
from robo_reward.ranks import Ranks
from robo_reward.seeding import derive_seed


def test_scenes_take_their_share_of_a_batch_at_most() -> None:
    few = list(data_of.mixed(6, 106, 0.5, 8, 3, 0, 9))
    assert all(len(chosen) == 8 and sum(k < 6 for k in chosen) == 4 for chosen in few)
    acted = [sorted(k for k in chosen if k < 6) for chosen in few]
    assert acted == [sorted(chosen) for chosen in data_of.order(6, 4, derive_seed(3, "sft acted"), 0, 9)], (
        "whole epochs"
    )
    shown = [k for chosen in few for k in chosen if k >= 6]
    assert len(set(shown)) == 36
    assert max(shown) <= 105
    assert list(data_of.mixed(6, 106, 0.5, 8, 3, 4, 9)) == few[4:]
    assert list(data_of.mixed(6, 106, 1.0, 8, 3, 0, 9)) == list(data_of.order(106, 8, 3, 0, 9)), "as many as there are"
    assert list(data_of.mixed(60, 100, 0.5, 8, 3, 0, 9)) == list(data_of.order(100, 8, 3, 0, 9)), "fewer by themselves"
    assert list(data_of.mixed(0, 9, 0.5, 4, 3, 0, 9)) == list(data_of.order(9, 4, 3, 0, 9)), "nothing but scenes"


@pytest.mark.parametrize(("share", "batch", "scenes"), [(0.6, 16, 10), (0.6, 64, 38), (0.99, 16, 15), (0.01, 16, 1)])
def test_the_share_is_rounded_and_leaves_some_of_both(share: float, batch: int, scenes: int) -> None:
    assert all(sum(k >= 10 for k in chosen) == scenes for chosen in data_of.mixed(10, 5000, share, batch, 3, 0, 5))


def test_demonstrations_lie_anywhere_in_a_batch() -> None:
    """Each quarter of a batch is shifted by one draw: what lies together would learn from two of the four."""
    torch.manual_seed(0)
    drawn = [
        len(
            {
                tuple(by)
                for k, by in zip(chosen, shifted(torch.zeros(16, 3, 16, 16), 4)[1].tolist(), strict=True)
                if k < 10
            }
        )
        for chosen in data_of.mixed(10, 500, 0.6, 16, 3, 0, 100)
    ]
    assert sum(drawn) / len(drawn) > 3


def test_processes_share_both_kinds() -> None:
    ranks = [Ranks(rank, 2) for rank in range(2)]
    shares = [
        [sum(k < 10 for k in one.share(chosen)) for one in ranks]
        for chosen in data_of.mixed(10, 500, 0.6, 16, 3, 0, 200)
    ]
    assert {sum(own) for own in shares} == {6}
    first = sum(own[0] for own in shares) / len(shares)
    assert 2.7 < first < 3.3
