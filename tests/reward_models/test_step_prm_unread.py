"""A released checkpoint whose answers cannot be read pays nothing for it, step by step as for whole episodes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from robo_reward.contract_tests import frame_transition, moving_square, observe_frames
from robo_reward.contracts import Estimate, Flags, Floats, Transition
from robo_reward.reward_models.judges.answer_tally import Reading
from robo_reward.reward_models.step_prm.fusion import PERSPECTIVES, Fusion, Hops, Perspective
from robo_reward.reward_models.step_prm.step_prm import StepPrm
from robo_reward.reward_models.step_prm.vlm_hops import VlmHops
from robo_reward.reward_stack import RewardStack
from robo_reward.trace import Trace

NAN = math.nan


class Seeing:
    """Tells the hop of the moving square's place, but where ``blind`` (before, after) is true."""

    def __init__(self, blind: Callable[[float, float], bool]) -> None:
        self.blind = blind

    def answer(self, prompts: Sequence[Any], max_tokens: int) -> list[str]:
        return [self._answer(prompt) for prompt in prompts]

    def _answer(self, prompt: Any) -> str:
        shown = [part for part in prompt if not isinstance(part, str)]
        p, q = (float(np.flatnonzero((shown[k][..., 0] > 160).any(0))[0]) / 36 for k in (2, 5))
        if self.blind(p, q):
            return "I cannot see that picture well."
        return f"<score>{100 * (0.0 if p == q else (q - p) / (1 - p) if q > p else (q - p) / p):+.0f}%</score>"


def grm(
    blind: Callable[[float, float], bool],
    perspective: Perspective = "fused",
    fallback: Any = "previous",
    consistency: float | None = None,
    stride: int = 1,
) -> StepPrm:
    backend = VlmHops(Seeing(blind), Reading(0, fallback, 1.0))
    model = StepPrm(["front"], stride, perspective, consistency, references=1, backend=backend)
    model.fit([moving_square(0, 20)], [], 0)
    return model


def never(p: float, q: float) -> bool:
    return False


# --- the fusion -------------------------------------------------------------------------------------------------------


def fused(
    fusion: Fusion, last: float, hops: tuple[float, float, float], unread: tuple[int, ...]
) -> tuple[float, float]:
    flags = np.asarray([[k in unread] for k in range(3)])
    first, second, third = (np.asarray([hop], np.float32) for hop in hops)
    progress, spread = fusion(np.asarray([last], np.float32), Hops(first, second, third, flags))
    return float(progress[0]), float(spread[0])


def test_what_was_not_read_is_left_out_and_pays_nothing_by_hand() -> None:
    assert fused(Fusion(), 0.5, (-0.2, 0.2, NAN), (2,)) == (pytest.approx(0.3), 1.0)  # the mean of .4 and .2
    assert fused(Fusion(), 0.5, (0.2, 0.9, NAN), (2,)) == (0.5, 1.0)  # the others say more: not on their word alone
    assert fused(Fusion(), 0.5, (NAN, NAN, NAN), (0, 1, 2)) == (0.5, 1.0)
    assert fused(Fusion(), 0.5, (0.2, 0.9, NAN), ()) == (pytest.approx(0.75), pytest.approx(0.15))  # no goal is known
    assert fused(Fusion("forward"), 0.5, (NAN, 0.9, NAN), (0, 2)) == (pytest.approx(0.9), pytest.approx(0.0))
    assert fused(Fusion("backward"), 0.5, (0.2, 0.3, NAN), (2,)) == (pytest.approx(0.3), 1.0)
    for perspective in PERSPECTIVES:
        assert fused(Fusion(perspective), 0.5, (NAN, NAN, NAN), (0, 1, 2)) == (0.5, 1.0)


@pytest.mark.parametrize("alpha", [None, 0.0, 20.0])
@pytest.mark.parametrize("perspective", PERSPECTIVES)
def test_unread_answers_never_raise_progress(perspective: Perspective, alpha: float | None) -> None:
    fusion, rng = Fusion(perspective, alpha), np.random.default_rng(0)
    for _ in range(50):
        last, hops = rng.random(7).astype(np.float32), rng.uniform(-1, 1, (3, 7)).astype(np.float32)
        missing = rng.random((3, 7)) < 0.5
        missing[:, 0] = True
        hops[missing] = NAN
        progress, spread = fusion(last, Hops(hops[0], hops[1], hops[2], missing))
        used = missing if perspective == "fused" else missing[[PERSPECTIVES.index(perspective) - 1]]
        assert np.isfinite(progress).all()
        assert (progress <= last)[used.any(0)].all()
        assert (spread[used.any(0)] == 1).all()


# --- episodes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fallback", ["previous", "worst"])
@pytest.mark.parametrize("perspective", PERSPECTIVES)
def test_a_failure_earns_nothing_by_an_unreadable_answer(perspective: Perspective, fallback: Any) -> None:
    """It stops at 30% of the way; of the moment at 15% the answer about the goal cannot be read."""
    stopped = moving_square(0, 20).cut(6)
    clean = grm(never, perspective).estimate_episode(stopped)
    model = grm(lambda p, q: p > 0.95 and abs(q - 0.15) < 0.03, perspective, fallback)
    seen = model.estimate_episode(stopped)
    assert (seen.progress <= clean.progress + 0.02).all()
    assert (seen.success <= clean.success + 1e-6).all()
    assert (model.parse_failures, model.fallbacks) == (1, 1)


@pytest.mark.parametrize("perspective", PERSPECTIVES)
def test_a_moment_of_which_nothing_is_read_keeps_the_progress_and_gains_nothing(perspective: Perspective) -> None:
    episode = moving_square(0, 20)
    seen = grm(lambda p, q: abs(q - 0.5) < 0.02, perspective).estimate_episode(episode)
    assert seen.progress[10] == seen.progress[9]
    assert (seen.gain[10], seen.uncertainty[10]) == (0, 1)
    assert seen.progress[12:] == pytest.approx(grm(never).estimate_episode(episode).progress[12:], abs=0.1)
    assert np.isfinite(np.stack([seen.progress, seen.gain, seen.success, seen.uncertainty])).all()


class Level:
    """Pays the progress; here only so that there is an objective."""

    name = "level"
    base_reward: str | None = "level"

    def begin(self, first: Estimate, fresh: Flags) -> None: ...

    def __call__(self, reward: Floats, transition: Transition, estimate: Estimate) -> Floats:
        return reward + estimate.progress


def play(model: StepPrm, worlds: Sequence[Sequence[Trace]], steps: int) -> list[tuple[Trace, list[Estimate]]]:
    """Episodes one after another in each world, whose ends do not fall together; those that ended, and their looks."""
    stack, queues, ended = RewardStack(model, [Level()]), [list(world) for world in worlds], []
    rows = [(queue.pop(0), 0) for queue in queues]
    begun = stack.begin(observe_frames(rows), np.ones(len(rows), bool))
    seen = [[begun.at(slice(k, k + 1))] for k in range(len(rows))]
    for _ in range(steps):
        before = observe_frames(rows)
        rows = [(episode, at + 1) for episode, at in rows]
        done = np.asarray([at == len(episode) for episode, at in rows])
        made = frame_transition(before, observe_frames(rows), rows)
        step = stack.step(Transition(made.before, made.action, made.after, made.env_reward, made.terminated, done))
        for k, looks in enumerate(seen):
            looks.append(step.estimate.at(slice(k, k + 1)))
        if done.any():
            for k in np.flatnonzero(done).tolist():
                ended.append((rows[k][0], seen[k]))
                rows[k] = (queues[k].pop(0), 0)
            begun = stack.begin(observe_frames(rows), done)
            for k in np.flatnonzero(done).tolist():
                seen[k] = [begun.at(slice(k, k + 1))]
    return ended


@pytest.mark.parametrize("stride", [1, 3])
@pytest.mark.parametrize(("perspective", "consistency"), [("fused", None), ("fused", 20.0), ("backward", None)])
def test_two_worlds_with_resets_are_priced_as_whole_episodes(
    perspective: Perspective, consistency: float | None, stride: int
) -> None:
    model = grm(lambda p, q: round(1000 * (p + q)) % 4 == 0, perspective, "previous", consistency, stride)
    left = [moving_square(1, 5, source="policy"), moving_square(2, 8), moving_square(3, 30)]
    right = [moving_square(4, 7), moving_square(5, 1, source="policy"), moving_square(6, 30)]
    ended = play(model, (left, right), steps=14)
    assert [len(episode) for episode, _ in ended] == [5, 7, 1, 8]
    assert model.fallbacks > 5
    for episode, looks in ended:
        kept = episode.every(stride)
        whole = model.estimate_episode(kept)
        for name in ("progress", "gain", "success", "uncertainty"):
            stepped = [float(getattr(looks[step], name)[0]) for step in kept.frame_steps.tolist()]
            assert stepped == pytest.approx(getattr(whole, name), abs=1e-5), name


def test_what_stands_in_for_an_unknown_goal_may_be_unread_too() -> None:
    unread = np.array([[False], [True], [False]])
    hops = Hops(np.array([0.1]), np.array([np.nan]), np.array([np.nan]), unread)
    progress, spread = Fusion("backward")(np.array([0.5], np.float32), hops)
    assert (float(progress[0]), float(spread[0])) == (0.5, 1.0)
