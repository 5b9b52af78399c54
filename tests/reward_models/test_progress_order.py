"""Progress that was fitted by level alone and lies flat where a demonstration begins rises there afterwards."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from robo_reward.errors import UserError
from robo_reward.reward_models.progress_fit import ORDERED, FitSettings, FrameSet, fit_progress, thinned
from robo_reward.reward_models.progress_net import ProgressNet, StateEncoder

STEPS, FRAMES, EPISODES = 150, 30, 4


def way(start: float, stop: float, labelled: bool) -> FrameSet:
    """Episodes along a line, the last state of each a success, or random places on the line: progress and success 0."""
    count = FRAMES * EPISODES
    line = torch.linspace(start, stop, FRAMES).repeat(EPISODES)
    place = line if labelled else start + (stop - start) * torch.rand(count)
    states = torch.stack([place, *0.3 * torch.randn(2, count)], 1)
    done = (line == line.max()).float() if labelled else torch.zeros(count)
    progress = line if labelled else torch.zeros(count)
    return FrameSet(states, progress, done, torch.arange(EPISODES).repeat_interleave(FRAMES), torch.zeros(count, 32))


def fitted(order_weight: float, steps: int = STEPS, ordered: bool = True) -> tuple[ProgressNet, torch.Tensor]:
    """A network fitted to the same episodes from the same start, and the next number that torch draws."""
    torch.manual_seed(0)
    demonstrations, negatives = way(0.0, 1.0, labelled=True), way(0.15, 0.35, labelled=False)
    net = ProgressNet(StateEncoder(3))
    settings = FitSettings(steps=steps, order_weight=order_weight)
    fit_progress(net, demonstrations, negatives, settings, torch.zeros(1, 32), ordered)
    return net, torch.rand(3)


@torch.no_grad()
def curve(net: ProgressNet, places: torch.Tensor) -> torch.Tensor:
    """Progress along the middle of the line."""
    states = torch.stack([places, torch.zeros_like(places), torch.zeros_like(places)], 1)
    return net.progress(net.encoder(states), torch.zeros(len(places), 32)).mean(0)


def test_the_flat_first_stretch_rises_and_levels_stay() -> None:
    """Over the first tenth of a demonstration the logit is to rise by a tenth of ``SLOPE``, 0.3."""
    ends, whole = torch.tensor([0.0, 0.1]), torch.linspace(0.0, 1.0, 21)
    (level, _), (ordered, _) = fitted(0.0), fitted(0.1)
    flat, risen = (float(torch.logit(curve(net, ends)).diff()) for net in (level, ordered))
    assert flat < 0.15, "the case does not show what it should"
    assert risen > flat + 0.1
    assert (curve(level, whole) - curve(ordered, whole)).abs().max() < 0.05


def test_nothing_but_the_progress_head_learns_and_randomness_stays() -> None:
    (plain, drawn), (ordered, drawn_after) = fitted(0.0, 20), fitted(0.1, 20)
    for name, weight in plain.state_dict().items():
        same = torch.equal(weight, ordered.state_dict()[name])
        assert same != name.startswith("progress_head"), name
    assert torch.equal(drawn, drawn_after)


@pytest.mark.parametrize("tasks", [1, 2])
def test_a_wrong_instruction_still_means_no_progress(tasks: int) -> None:
    torch.manual_seed(0)
    named = torch.nn.functional.one_hot(torch.arange(2), 32).float()
    demonstrations = way(0.0, 1.0, labelled=True)
    task = named[demonstrations.episode % tasks]
    demonstrations = FrameSet(
        demonstrations.inputs, demonstrations.progress, demonstrations.success, demonstrations.episode, task
    )
    negatives = way(5.0, 6.0, labelled=False)
    net = ProgressNet(StateEncoder(3))
    fit_progress(net, demonstrations, negatives, FitSettings(steps=STEPS, mismatch=0.5), named[:tasks])
    end = torch.tensor([[1.0, 0.0, 0.0]])
    with torch.no_grad():
        right = net.progress(net.encoder(end), named[:1]).mean()
        apart = net.progress(net.encoder(torch.tensor([[5.5, 0.0, 0.0]])), named[:1]).mean()
    assert right > 0.5 > apart


def test_order_is_learned_on_a_bounded_number_of_frames() -> None:
    few = way(0.0, 1.0, labelled=True)
    assert thinned(few) is few
    many = FrameSet(*(getattr(few, part).repeat_interleave(40, 0) for part in FrameSet.__slots__))
    kept = thinned(many)
    assert len(kept) == ORDERED
    assert (kept.episode.diff() >= 0).all()
    assert torch.equal(kept.episode.unique(), few.episode.unique())
    assert kept.progress[-1] == 1


def test_heads_that_read_no_level_learn_no_order() -> None:
    (plain, _), (unordered, _) = fitted(0.0, 20), fitted(0.1, 20, ordered=False)
    assert torch.equal(
        *(torch.cat([w.flatten() for w in net.progress_head.parameters()]) for net in (plain, unordered))
    )


@pytest.mark.parametrize(
    ("name", "value", "bound"),
    [
        ("steps", 0, "a whole number of 1 or more"),
        ("batch", 1, "a whole number of 2 or more"),
        ("order_weight", -1.0, "a finite number of 0 or more"),
        ("hop_weight", float("nan"), "a finite number of 0 or more"),
        ("mismatch", 5.0, "a finite number of 0 or more and of 1 or less"),
        ("learning_rate", 0.0, "above 0"),
    ],
)
def test_settings_out_of_bounds_are_refused_by_name(name: str, value: Any, bound: str) -> None:
    with pytest.raises(UserError, match=f"reward_model.fit: {name}={value} must be {bound}"):
        FitSettings(**{name: value})
