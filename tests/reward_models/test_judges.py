"""Rubric judge, GVL and TOPReward: golden numbers, unreadable answers counted, bad episodes refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted_judge import VIEWS, Scripted, episode, pictures, place  # type: ignore[import-not-found]

from robo_reward.errors import UserError
from robo_reward.reward_models.judges.answer_tally import Reading
from robo_reward.reward_models.judges.backend import Backend, Prompt
from robo_reward.reward_models.judges.gvl import GVL
from robo_reward.reward_models.judges.openai_server import OpenAIServer
from robo_reward.reward_models.judges.pictures import spread
from robo_reward.reward_models.judges.rubric import expected_verdict, written_verdict
from robo_reward.reward_models.judges.topreward import TOPReward
from robo_reward.reward_models.judges.vlm_judge import VlmJudge


def test_the_backends_are_backends() -> None:
    assert isinstance(Scripted(lambda _: ""), Backend)
    assert isinstance(OpenAIServer("http://localhost:1/v1"), Backend)


# --- rubric -----------------------------------------------------------------------------------------------------------


def test_the_expected_score_by_hand() -> None:
    """p = .1 .2 .3 .2 .2: mean level 3.2, variance 11.8 - 10.24 = 1.56."""
    verdict = expected_verdict(np.log([0.1, 0.2, 0.3, 0.2, 0.2]))
    assert verdict is not None
    assert verdict.progress == pytest.approx(0.55)
    assert verdict.success == pytest.approx(0.2)
    assert verdict.uncertainty == pytest.approx(math.sqrt(1.56) / 4)
    assert expected_verdict(np.full(5, -np.inf)) is None


@given(st.lists(st.floats(-30, 0), min_size=5, max_size=5), st.floats(-20, 0))
def test_only_the_ratios_of_the_score_tokens_matter(values: list[float], shift: float) -> None:
    one, other = expected_verdict(np.asarray(values)), expected_verdict(np.asarray(values) + shift)
    assert one is not None
    assert other is not None
    assert one.progress == pytest.approx(other.progress, abs=1e-9)
    assert 0 <= one.progress <= 1
    assert 0 <= one.uncertainty <= 0.5 + 1e-9


@pytest.mark.parametrize(
    ("text", "progress"),
    [
        ("ANSWER: 4", 0.75),
        ("**Answer:** 1", 0.0),
        ("answer: 2\nOn second thought, ANSWER: 5", 1.0),
        (" 3.\n", 0.5),
        ("ANSWER: 6", None),
        ("ANSWER: 3.5", None),
        ("ANSWER: 55", None),
        ("There are 4 cups", None),
        ("ANSWER: three", None),
        ("ANSWER: **4** of 5", 0.75),
        ("ANSWER: 4/5", 0.75),
        ("ANSWER: -3", None),
        ("-3", None),
        ("ANSWER: 3-4", None),
        ("ANSWER: 5e-3", None),
        ("ANSWER: 5%", None),
        ("ANSWER: <1, 2, 3, 4 or 5>", None),
        ("", None),
    ],
)
def test_levels_are_read_from_text(text: str, progress: float | None) -> None:
    verdict = written_verdict(text)
    assert (None if verdict is None else verdict.progress) == progress


# --- the rubric judge -------------------------------------------------------------------------------------------------


def test_the_end_is_judged_once_and_only_the_end_speaks() -> None:
    backend = Scripted(lambda _: [0, 0, 0, 0.5, 0.5])
    with np.errstate(divide="ignore"):
        judge = VlmJudge(backend, VIEWS, max_frames=4)
        trace = episode()
        seen = judge.estimate_episode(trace)
    assert seen.progress.tolist() == pytest.approx([0.0] * 8 + [0.875])
    assert seen.success.tolist() == pytest.approx([0.0] * 8 + [0.5])
    assert seen.gain.tolist() == pytest.approx([0.0] * 8 + [0.875])
    assert seen.uncertainty[:8].tolist() == [1.0] * 8
    (prompt,) = backend.asked
    shown = pictures(prompt)
    assert len(shown) == 4
    assert np.array_equal(shown[0], trace.frames["front"][0])
    assert np.array_equal(shown[-1], trace.frames["front"][-1])
    assert trace.task in str(prompt[0])
    judge.estimate_episode(trace)
    assert len(backend.asked) == 1, "an episode is asked about once"
    assert (judge.parse_failures, judge.fallbacks) == (0, 0)


def test_prefixes_are_joined_by_straight_lines() -> None:
    def say(prompt: Prompt) -> list[float]:
        level = round(4 * place(pictures(prompt)[-1]))
        return [0.96 if k == level else 0.01 for k in range(5)]

    backend = Scripted(say)
    trace = replace(episode(16), frame_steps=np.arange(17))
    seen = VlmJudge(backend, VIEWS, prefixes=4).estimate_episode(trace)
    assert [place(pictures(p)[-1]) for p in backend.asked] == pytest.approx([0.25, 0.5, 0.75, 1.0])
    assert seen.progress[[0, 2, 4, 8]].tolist() == pytest.approx([0, 0.1312, 0.2625, 0.5], abs=1e-3)
    assert seen.progress[16] == pytest.approx(0.975)


def test_one_frame_is_an_episode() -> None:
    one = replace(episode(), frames={"front": episode().frames["front"][-1:]}, frame_steps=np.asarray([8]))
    for prefixes in (1, 5):
        seen = VlmJudge(Scripted(lambda _: [0.1, 0.2, 0.3, 0.2, 0.2]), VIEWS, prefixes=prefixes).estimate_episode(one)
        assert seen.progress.tolist() == pytest.approx([0.55])
    assert GVL(Scripted(lambda _: ""), VIEWS).estimate_episode(one).progress.tolist() == [0.0]
    assert TOPReward(Scripted(lambda _: [1, 1]), VIEWS).estimate_episode(one).progress.tolist() == [1.0]


def test_unreadable_answers_are_asked_again_and_counted() -> None:
    said = iter([None, [0.1, 0.2, 0.3, 0.2, 0.2]])
    backend = Scripted(lambda _: next(said))
    judge = VlmJudge(backend, VIEWS)
    assert judge.estimate_episode(episode()).progress[-1] == pytest.approx(0.55)
    assert (judge.parse_failures, judge.fallbacks) == (1, 0)
    assert backend.asked[1][:-1] == backend.asked[0]
    assert "could not be read" in str(backend.asked[1][-1])


@pytest.mark.parametrize(("fallback", "progress"), [("previous", 0.55), ("worst", 0.0)])
def test_what_stays_unreadable_falls_back_and_is_counted(fallback: Any, progress: float) -> None:
    def say(prompt: Prompt) -> list[float] | None:
        return None if place(pictures(prompt)[-1]) > 0.9 else [0.1, 0.2, 0.3, 0.2, 0.2]

    judge = VlmJudge(Scripted(say), VIEWS, prefixes=2, reading=Reading(1, fallback))
    seen = judge.estimate_episode(episode())
    assert seen.progress[-1] == pytest.approx(progress)
    assert seen.uncertainty[-1] == 1.0
    assert (judge.parse_failures, judge.fallbacks) == (2, 1)


def test_a_judge_that_never_answers_stops_at_once() -> None:
    judge = VlmJudge(Scripted(lambda _: None), VIEWS)
    with pytest.raises(UserError, match=r"no answer that can be read, after 3 question.*teapot"):
        judge.estimate_episode(episode())


def test_too_many_fallbacks_stop_the_run() -> None:
    said: list[Any] = [[0.2] * 5, None, None]
    answers = iter(said)
    judge = VlmJudge(Scripted(lambda _: next(answers)), VIEWS, reading=Reading(0, "worst", 0.1))
    judge.estimate_episode(episode())
    judge.estimate_episode(episode())  # 1 of 2, as if of 10: 0.1 is allowed
    with pytest.raises(UserError, match=r"2 of 3 judgements.*max_fallback_share=0.1"):
        judge.estimate_episode(episode())


def test_fallback_raise_raises() -> None:
    answers: Any = iter([[0.2] * 5, None])
    judge = VlmJudge(Scripted(lambda _: next(answers)), VIEWS, reading=Reading(0, "raise"))
    judge.estimate_episode(episode())
    with pytest.raises(UserError, match=r"reading\.fallback=previous"):
        judge.estimate_episode(episode())


def test_the_text_score() -> None:
    judge = VlmJudge(Scripted(lambda _: "ANSWER: 5"), VIEWS, score="text")
    seen = judge.estimate_episode(episode())
    assert (seen.progress[-1], seen.success[-1], seen.uncertainty[-1]) == (1, 1, 0)


# --- what no judge takes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [VlmJudge, GVL, TOPReward])
def test_bad_episodes_are_refused(make: Any) -> None:
    backend = Scripted(lambda _: [0.2] * 5)
    judge, good = make(backend, VIEWS), episode()
    nothing = {"front": np.zeros((0, 8, 8, 3), np.uint8)}
    floats: Any = {"front": good.frames["front"].astype(np.float32) * np.nan}
    for bad, words in [
        (replace(good, task="  "), "no instruction"),
        (replace(good, frames={"wrist": good.frames["front"]}), r"view\(s\) \['front'\]"),
        (replace(good, frames=nothing, frame_steps=np.zeros(0, np.int64)), "without kept frames"),
        (replace(good, frames=floats), "float32"),
    ]:
        with pytest.raises(UserError, match=words):
            judge.estimate_episode(bad)
    assert backend.asked == []


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda b: VlmJudge(b, ()), "env.views"),
        (lambda b: VlmJudge(b, VIEWS, stride=0), "at least 1"),
        (lambda b: VlmJudge(b, VIEWS, prefixes=0), "prefixes=0"),
        (lambda b: VlmJudge(b, VIEWS, score="txt"), "did you mean 'text'"),  # type: ignore[arg-type]
        (lambda b: GVL(b, VIEWS, max_frames=1), "max_frames=1"),
        (lambda b: GVL(b, VIEWS, success_at=0), "success_at=0"),
        (lambda b: TOPReward(b, VIEWS, prefixes=1), "prefixes=1"),
        (lambda b: TOPReward(b, VIEWS, low=-1, high=1), "high=1"),
        (lambda b: TOPReward(b, VIEWS, scale="episodes"), "did you mean 'episode'"),  # type: ignore[arg-type]
        (lambda b: Reading(fallback="wurst"), "did you mean 'worst'"),  # type: ignore[arg-type]
        (lambda b: Reading(max_fallback_share=2), "max_fallback_share=2"),
    ],
)
def test_bad_settings_are_refused(make: Callable[[Any], Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        make(Scripted(lambda _: ""))


@given(st.integers(0, 60), st.integers(1, 20))
def test_spread_holds_both_ends(last: int, count: int) -> None:
    chosen = spread(last, count)
    assert chosen[-1] == last
    assert len(chosen) <= count
    assert count == 1 or chosen[0] == 0
    assert (np.diff(chosen) > 0).all()
