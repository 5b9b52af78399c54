"""GVL and TOPReward: frames put back into order, log-probabilities by hand, what is not success."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scripted_judge import VIEWS, Scripted, episode, pictures, place  # type: ignore[import-not-found]

from robo_reward import contract_tests as contract
from robo_reward.errors import UserError
from robo_reward.reward_models.judges.answer_tally import Reading
from robo_reward.reward_models.judges.backend import Prompt
from robo_reward.reward_models.judges.gvl import GVL, read_percentages
from robo_reward.reward_models.judges.topreward import TOPReward, bounded

# --- GVL --------------------------------------------------------------------------------------------------------------


def percentages(prompt: Prompt) -> str:
    shown = pictures(prompt)[1:]
    return "\n".join(f"Frame {k}: 1 of 3 squares. Done: {100 * place(p):.1f}%" for k, p in enumerate(shown, 1))


def test_gvl_shuffles_and_puts_back() -> None:
    backend = Scripted(percentages)
    trace = episode()
    seen = GVL(backend, VIEWS, max_frames=9).estimate_episode(trace)
    true = [0.0, *(place(frame) for frame in trace.frames["front"][1:])]
    assert seen.progress.tolist() == pytest.approx(true, abs=1e-3)
    (prompt,) = backend.asked
    shown = [place(picture) for picture in pictures(prompt)]
    assert shown[0] == 0
    assert shown[1:] != sorted(shown[1:]), "the frames must not stand in the order of time"
    assert seen.success.tolist() == [float(p >= 0.9) for p in true]


def test_gvl_asks_alike_twice_and_otherwise_for_other_pictures() -> None:
    orders = []
    for seed in (3, 3, 4):
        backend = Scripted(percentages)
        GVL(backend, VIEWS, max_frames=9).estimate_episode(contract.moving_square(seed, 8, VIEWS))
        orders.append([round(place(p), 3) for p in pictures(backend.asked[0])])
    assert orders[0] == orders[1] != orders[2]


def test_gvl_averages_orders_and_their_spread_is_the_uncertainty() -> None:
    shares = iter([20, 60])
    backend = Scripted(lambda p: _constant(p, next(shares)))
    seen = GVL(backend, VIEWS, shuffles=2).estimate_episode(episode())
    assert seen.progress[1:].tolist() == pytest.approx([0.4] * 8)
    assert seen.uncertainty[1:].tolist() == pytest.approx([0.2] * 8)


def _constant(prompt: Prompt, share: int) -> str:
    return "\n".join(f"Frame {k}: Done: {share}%" for k in range(1, len(pictures(prompt))))


def test_gvl_calls_no_success_where_values_do_not_follow_time() -> None:
    falling = Scripted(
        lambda p: "\n".join(f"Frame {k}: Done: {100 - 9 * place(x):.2f}%" for k, x in enumerate(pictures(p)[1:], 1))
    )
    seen = GVL(falling, VIEWS, success_voc=0.5).estimate_episode(episode())
    assert seen.progress[-1] == pytest.approx(0.91)
    assert not seen.success.any()


def test_gvl_retries_in_another_order_and_counts() -> None:
    said = iter(["I cannot tell", None])

    def say(prompt: Prompt) -> str:
        return next(said) or percentages(prompt)

    backend = Scripted(say)
    judge = GVL(backend, VIEWS)
    judge.estimate_episode(episode())
    assert (judge.parse_failures, judge.fallbacks) == (1, 0)
    first, second = ([round(place(p), 3) for p in pictures(prompt)] for prompt in backend.asked)
    assert first != second
    with pytest.raises(UserError, match="cannot tell"):
        GVL(Scripted(lambda _: "I cannot tell"), VIEWS).estimate_episode(episode())


@pytest.mark.parametrize(
    ("answer", "values"),
    [
        ("Frame 2: 50% filled. Done: 30%\nFrame 1: x. Done: 12.5%", [0.125, 0.3]),
        ("frame 1: done 0% Frame 2: done 100 %", [0.0, 1.0]),
        ("Frame 1: Done: 10%", None),
        ("Frame 1: Done: 10%\nFrame 2: Done: 20%\nFrame 3: Done: 30%", None),
        ("Frame 1: Done: 10%\nFrame 1: Done: 20%\nFrame 2: Done: 30%", None),
        ("Frame 1: Done: 10%\nFrame 2: Done: 120%", None),
        ("Frame 1: Done: 10%\nFrame 2: Done: -20%", None),
        ("Frame 1: Done: 10%\nFrame 2: half", None),
        ("", None),
    ],
)
def test_percentages_are_all_read_or_none(answer: str, values: list[float] | None) -> None:
    read = read_percentages(answer, 2)
    assert (None if read is None else read.tolist()) == values


# --- TOPReward --------------------------------------------------------------------------------------------------------


def rising(prompt: Prompt) -> list[float]:
    """p(True) = e^-8 .. e^-0.5 with the square's place, p(False) = 0.1."""
    return [math.exp(-8 + 7.5 * place(pictures(prompt)[-1])), 0.1]


@pytest.mark.parametrize(
    ("scale", "first", "last"),
    [("calibrated", 0.2, 0.95), ("probability", math.exp(-8), math.exp(-0.5)), ("episode", 0.0, 1.0)],
)
def test_topreward_scales(scale: Any, first: float, last: float) -> None:
    seen = TOPReward(Scripted(rising), VIEWS, prefixes=3, scale=scale).estimate_episode(episode())
    assert seen.progress[[0, -1]].tolist() == pytest.approx([first, last], abs=1e-5)
    assert (np.diff(seen.progress) >= 0).all()
    p = math.exp(-0.5)
    assert seen.success[-1] == pytest.approx(p / (p + 0.1), abs=1e-5)


def test_topreward_per_episode_makes_a_failure_look_like_success_and_the_default_does_not() -> None:
    still = replace(episode(), frames={"front": episode().frames["front"][[0] * 8 + [1]]})
    progress = {
        scale: TOPReward(Scripted(rising), VIEWS, scale=scale).estimate_episode(still).progress[-1]
        for scale in ("episode", "calibrated")
    }
    assert progress["episode"] == 1.0
    assert progress["calibrated"] < 0.35


def test_topreward_constant_is_not_progress() -> None:
    seen = TOPReward(Scripted(lambda _: [0.3, 0.3]), VIEWS, scale="episode").estimate_episode(episode())
    assert not seen.progress.any()


def test_topreward_bounds_what_a_server_did_not_list() -> None:
    assert bounded(np.log([0.25, 0.5]), -10).tolist() == pytest.approx(np.log([0.25, 0.5]).tolist())
    unlisted = bounded(np.asarray([-np.inf, math.log(0.9)]), -10.0)
    assert unlisted.tolist() == pytest.approx([-10.0, math.log(0.9)])


def test_topreward_falls_back_to_the_prefix_before() -> None:
    def say(prompt: Prompt) -> list[float] | None:
        return None if 0.4 < place(pictures(prompt)[-1]) < 0.6 else rising(prompt)

    judge = TOPReward(Scripted(say), VIEWS, prefixes=9, reading=Reading(0, "previous"))
    seen = judge.estimate_episode(episode())
    assert seen.progress[4] == seen.progress[3]
    assert seen.uncertainty.tolist() == [0.0] * 4 + [1.0] + [0.0] * 4
    assert (judge.parse_failures, judge.fallbacks) == (1, 1)
