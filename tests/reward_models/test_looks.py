"""A world that shows what it showed has made no step, however many others are looked at meanwhile."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from robo_reward.contract_tests import frame_transition, moving_square, observe_frames
from robo_reward.reward_models.looks import Looks, embed_episode
from robo_reward.reward_models.progress import ProgressModel
from robo_reward.reward_models.progress_fit import FitSettings


def uneven() -> Callable[[Tensor], Tensor]:
    """An encoder whose last bits differ between rows and calls."""
    calls = [0]

    def encode(inputs: Tensor) -> Tensor:
        calls[0] += 1
        noise = torch.arange(len(inputs))[:, None] + calls[0]
        return inputs.flatten(1)[:, -2:] + 1e-5 * noise

    return encode


@pytest.mark.parametrize("encoder", ["conv", "state"])
def test_a_frozen_robot_gains_nothing_beside_worlds_that_are_due_at_other_steps(encoder: str) -> None:
    torch.set_num_threads(1)
    views = ["front"] if encoder == "conv" else []
    settings = FitSettings(steps=40, batch=16)
    model = ProgressModel(views, 1, "both", 2, encoder=encoder, refit_steps=2, fit=settings)
    model.fit([moving_square(0)], [moving_square(k, source="random") for k in (1, 2)], seed=0)
    frozen = [(moving_square(3 + k), 4 + k) for k in range(3)]
    others = moving_square(9)
    shown = [observe_frames([*frozen, (others, step)]) for step in range(9)]
    model.begin(shown[0], np.ones(4, bool))
    looks = ["1111", "1001", "1010", "1100"]
    gains = []
    for step in range(1, 9):
        rows = [*frozen, (others, step)]
        transition = frame_transition(shown[step - 1], shown[step], rows)
        gains.append(model.estimate_where(transition, np.array([due == "1" for due in looks[step % 4]])).gain)
        if step == 5:
            model.begin(shown[step], np.array([False, False, False, True]))
    assert not np.any([g[:3] for g in gains]), "equal pictures were paid for"
    assert np.any([g[3] for g in gains])


@pytest.mark.parametrize("views", [["front"], []])
def test_equal_frames_of_an_episode_have_equal_embeddings(views: list[str]) -> None:
    trace = moving_square(5, 10)
    for values in (trace.frames["front"], trace.state):
        values[4:7] = values[4]
    z = embed_episode(uneven(), trace, views)
    assert np.flatnonzero((z[1:] == z[:-1]).all(1)).tolist() == [4, 5]
    assert embed_episode(uneven(), trace.cut(0), views).shape == (1, 2)


def test_what_another_encoder_saw_is_forgotten_world_by_world() -> None:
    looks, encode = Looks(2), uneven()
    one, two = ({"front": np.full((2, 4, 4, 3), value, np.uint8)} for value in (1, 2))
    first = looks.begin(encode, one, np.ones(2, bool))
    only = np.array([True, False])
    assert torch.equal(looks.at(encode, one, ~only), first)
    looks.forget()
    z = looks.at(encode, two, only)
    looks.remember(two, z, only)
    assert torch.equal(z[1], first[1]), "a world that was not looked at keeps its last look"
    again = looks.at(encode, two, np.ones(2, bool))
    assert torch.equal(again[0], z[0])
    assert not torch.equal(again[1], first[1]), "what it shows now was never encoded"
