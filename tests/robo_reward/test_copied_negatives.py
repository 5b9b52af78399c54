"""Copies of demonstrations that fail: what they show, in which order, and what they are worth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robo_reward.contract_tests import moving_square
from robo_reward.errors import UserError
from robo_reward.fitting.copied_negatives import copies, score
from robo_reward.fitting.counterfactuals import counterfactuals, different, perturbed, proposals
from robo_reward.fitting.episodes import Episode
from robo_reward.wording import words

STEPS = 40  # success from 80% of the way on: 32 frames before it, of which a copy shows 28


def episode(seed: int = 0, stride: int = 1) -> Episode:
    return Episode(moving_square(seed, STEPS).every(stride), "paper", seed)


def shown(made: Episode, of: Episode) -> list[int]:
    """Which steps of the original the copy's pictures are (each picture shows the square at its own place)."""
    originals = of.trace.frames["front"]
    found = [np.flatnonzero((originals == picture).all((1, 2, 3))) for picture in made.trace.frames["front"]]
    assert all(len(f) for f in found)
    return [int(of.trace.frame_steps[f[0]]) for f in found]


@given(st.sampled_from(["clipped", "rewound", "reversed"]), st.integers(0, 99), st.sampled_from([1, 4]))
def test_copies_never_show_success_and_keep_the_pace(kind: str, seed: int, stride: int) -> None:
    source = episode(seed % 3, stride)
    (made,) = copies([source], kind, 1, np.random.default_rng(seed))
    steps = shown(made, source)
    assert max(steps) <= 0.9 * 32
    assert (np.abs(np.diff(steps)) <= stride * 1.5 + 1).all(), "neighbouring pictures were neighbours"
    assert made.trace.source == "replay"
    assert made.trace.success is None
    assert made.video == source.video
    assert (np.diff(made.trace.frame_steps) == stride).all()
    places, there = made.trace.state[made.trace.frame_steps, 0], source.trace.state[steps, 0]
    assert np.allclose(places, there, atol=1.5 / STEPS), "states go with pictures (two neighbours may look alike)"


def test_the_three_orders() -> None:
    source = episode()
    for kind in ("clipped", "rewound", "reversed"):
        (made,) = copies([source], kind, 1, np.random.default_rng(2))
        steps = shown(made, source)
        if kind == "clipped":
            assert steps == sorted(steps)
        elif kind == "reversed":
            assert steps == sorted(steps, reverse=True)
            assert steps[-1] == 0
        else:
            turn = int(np.argmax(steps))
            assert 0 < turn < len(steps) - 1
            assert steps[:turn] == sorted(steps[:turn])
            assert steps[turn:] == sorted(steps[turn:], reverse=True)
        assert made.trace.meta["progress"] == pytest.approx(steps[-1] / STEPS)


@pytest.mark.parametrize(("progress", "expected"), [(0.0, 1), (0.24, 1), (0.25, 2), (0.5, 3), (0.75, 4), (1.0, 4)])
def test_scores(progress: float, expected: int) -> None:
    assert score(progress) == expected


def test_rule_based_proposals() -> None:
    found = proposals("open the left drawer", ["open the left drawer", "push the window"])
    assert found[0] == "push the window", "another task of the dataset"
    for said in ("close the left drawer", "open the right drawer", "push the left drawer", "open the window"):
        assert said in found
    assert len(found) == 5
    assert proposals("dance", ["dance"]) == []


@given(st.lists(st.sampled_from(["open", "close", "the", "door", "left", "cup", "!"]), max_size=6))
def test_no_proposal_says_the_same(parts: list[str]) -> None:
    task = " ".join(parts)
    for said in proposals(task, [task, "close the door"]):
        assert words(said)
        assert sorted(words(said)) != sorted(words(task))


def test_paraphrases_and_repetitions_are_dropped() -> None:
    assert different("Open the door", ["open the DOOR.", "", "shut it", "Shut it!"]) == ["shut it"]


def test_a_counterfactual_is_the_same_video_under_another_instruction() -> None:
    source = episode()
    made = counterfactuals([source], 3, np.random.default_rng(0), lambda task, tasks: ["hover above the square"])
    assert [e.trace.task for e in made] == ["hover above the square"] * 3
    assert all(e.video == source.video and e.trace.source == "counterfactual" for e in made)
    assert made[0].trace.success is None
    assert made[0].trace.frames is source.trace.frames
    lone = Episode(replace(source.trace, task="dance"), "paper", 0)
    with pytest.raises(UserError, match="no counterfactual instruction was found for 'dance'"):
        counterfactuals([lone], 1, np.random.default_rng(0))


def test_perturbed_instructions_share_no_word() -> None:
    for seed in range(20):
        drawn = perturbed("push the cup", np.random.default_rng(seed))
        assert not {"push", "cup"} & set(words(drawn))


def test_instructions_of_any_script_have_counterfactuals() -> None:
    assert proposals("打开抽屉", ["打开抽屉", "关上抽屉"]) == ["关上抽屉"]
