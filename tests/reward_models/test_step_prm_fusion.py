"""Three perspectives and their fusion, and the question that a released checkpoint is asked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robo_reward.contract_tests import moving_square, step_through
from robo_reward.errors import UserError
from robo_reward.reward_models.judges.answer_tally import Reading
from robo_reward.reward_models.step_prm.fusion import Fusion, Hops, consistency_weight
from robo_reward.reward_models.step_prm.grm_prompt import GREY, build_prompt, parse_hop, three_views
from robo_reward.reward_models.step_prm.hop_backend import NOT_GIVEN, HopBatch
from robo_reward.reward_models.step_prm.step_prm import StepPrm
from robo_reward.reward_models.step_prm.vlm_hops import VlmHops


def floats(*values: float) -> np.ndarray:
    return np.asarray(values, np.float32)


def test_incremental_progress_by_hand() -> None:
    fusion, progress, seen = Fusion("incremental"), floats(0), []
    for hop in (0.5, 0.5, -0.5, 1.0):
        progress, _ = fusion(progress, Hops(floats(hop), floats(0), floats(0)))
        seen.append(float(progress[0]))
    assert seen == pytest.approx([0.5, 0.75, 0.375, 1.0])


def test_the_mean_of_three_and_their_spread_by_hand() -> None:
    # increment .5 + .5 * .2 = .6, start .5, goal 1 - .3 = .7
    progress, spread = Fusion()(floats(0.5), Hops(floats(0.2), floats(0.5), floats(-0.3)))
    assert progress == pytest.approx([0.6])
    assert spread == pytest.approx([np.std([0.6, 0.5, 0.7])])


def test_consistency_by_hand() -> None:
    hops = Hops(floats(0.05 / 0.45), floats(0.5), floats(-0.3))  # adds .05 to .55
    for alpha, weight, progress in ((1.0, 0.894840, 0.594742), (20.0, 0.108369, 0.555418)):
        assert consistency_weight(floats(0.5), floats(0.7), alpha) == pytest.approx([weight], abs=1e-5)
        assert Fusion("fused", alpha)(floats(0.55), hops)[0] == pytest.approx([progress], abs=1e-5)


def test_without_a_goal_the_other_two_are_averaged() -> None:
    hops = Hops(floats(0.2), floats(0.5), floats(np.nan))
    assert Fusion()(floats(0.5), hops)[0] == pytest.approx([0.55])
    assert Fusion("backward")(floats(0.5), hops)[0] == pytest.approx([0.5])


@given(st.lists(st.floats(-1, 1), min_size=3, max_size=3), st.floats(0, 1), st.sampled_from([None, 0.0, 5.0, 20.0]))
def test_progress_never_leaves_the_unit_interval(hops: list[float], last: float, alpha: float | None) -> None:
    for perspective in ("fused", "incremental", "forward", "backward"):
        progress, spread = Fusion(perspective, alpha)(floats(last), Hops(*(floats(h) for h in hops)))
        assert 0 <= progress[0] <= 1
        assert spread[0] >= 0


def test_unknown_perspectives_and_negative_strengths_are_refused() -> None:
    with pytest.raises(UserError, match="did you mean 'forward'"):
        Fusion("forwards")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="consistency=-1"):
        Fusion("fused", -1)


# --- released checkpoints ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "hop"),
    [
        ("<score>+33%</score>", 0.33),
        ("<score>-7.5%</score>", -0.075),
        ("<score>0%</score>", 0.0),
        ("first <score>+90%</score>,\nthen rather <SCORE> \u221212 % </SCORE>.", -0.12),
        ("<score>+250%</score>", 1.0),
        (" 40% ", 0.4),
        ("The robot did 40% of it", None),
        ("<score>great</score>", None),
        ("<score>+33%", None),
        ("", None),
    ],
)
def test_answers_are_read_or_not(answer: str, hop: float | None) -> None:
    assert parse_hop(answer) == (None if hop is None else pytest.approx(hop))


def pictures_in(prompt: Sequence[str | np.ndarray]) -> list[np.ndarray]:
    return [part for part in prompt if not isinstance(part, str)]


def picture(value: int) -> np.ndarray:
    return np.full((4, 4, 3), value, np.uint8)


def test_eight_pictures_in_the_order_of_the_release() -> None:
    before, after = ({v: picture(10 * k + j) for j, v in enumerate("abc")} for k in (1, 2))
    prompt = build_prompt("open it", picture(1), picture(2), before, after)
    shown = [int(part[0, 0, 0]) for part in pictures_in(prompt)]
    assert shown == [1, 2, 10, 11, 12, 20, 21, 22]
    text = "".join(part for part in prompt if isinstance(part, str))
    assert "open it" in text
    assert "<score>" in text


def test_missing_wrist_views_show_the_front_and_a_missing_goal_is_grey() -> None:
    assert [int(p[0, 0, 0]) for p in three_views({"a": picture(5), "b": picture(6)})] == [5, 6, 5]
    prompt = build_prompt("open it", picture(1), None, {"a": picture(3)}, {"a": picture(4)})
    shown = [int(part[0, 0, 0]) for part in pictures_in(prompt)]
    assert shown == [1, GREY, 3, 3, 3, 4, 4, 4]
    with pytest.raises(UserError, match="instruction"):
        build_prompt(" ", picture(1), None, {"a": picture(3)}, {"a": picture(4)})


class Scripted:
    """Answers as told, then with what the brightness of the front views says: 10 levels are 10%."""

    def __init__(self, *script: str) -> None:
        self.script, self.asked = list(script), 0

    def answer(self, prompts: Sequence[tuple[str | np.ndarray, ...]], max_tokens: int) -> list[str]:
        self.asked += len(prompts)
        return [self.script.pop(0) if self.script else self._honest(prompt) for prompt in prompts]

    def _honest(self, prompt: tuple[str | np.ndarray, ...]) -> str:
        shown = [float(part.mean()) for part in pictures_in(prompt)]
        return f"<score>{shown[5] - shown[2]:+.0f}%</score>"


def batch(*pairs: tuple[int, int]) -> HopBatch:
    frames = {"front": np.stack([picture(v) for v in (0, 10, 40)])}
    before, after = np.asarray(pairs).T
    none = np.full(len(pairs), NOT_GIVEN)
    return HopBatch(frames, before, after, np.zeros(len(pairs), np.int64), none, ["go"] * len(pairs))


def test_equal_questions_are_asked_once() -> None:
    model = Scripted()
    hops = VlmHops(model).hops(batch((0, 1), (0, 2), (0, 1), (2, 1)))
    assert hops == pytest.approx([0.1, 0.4, 0.1, -0.3])
    assert model.asked == 3


def test_unreadable_answers_are_asked_again_and_counted() -> None:
    hops = VlmHops(Scripted("well", "<score>+5%</score>"), Reading(retries=1))
    assert hops.hops(batch((0, 1), (0, 2))) == pytest.approx([0.1, 0.05])
    assert (hops.parse_failures, hops.fallbacks) == (1, 0)
    silent = VlmHops(Scripted("<score>1%</score>", "?", "?"), Reading(retries=1, fallback="worst"))
    assert silent.hops(batch((0, 1), (0, 2))) == pytest.approx([0.01, -1.0])
    assert (silent.parse_failures, silent.fallbacks) == (2, 1)
    with pytest.raises(UserError, match="no answer that can be read"):
        VlmHops(Scripted(*["?"] * 9), Reading(retries=0)).hops(batch((0, 1)))


def test_a_checkpoint_prices_episodes_through_the_same_fusion() -> None:
    """The square's place is what the answers tell: progress follows it, and the counts reach the summary."""

    class Seeing(Scripted):
        def _honest(self, prompt: tuple[str | np.ndarray, ...]) -> str:
            shown = pictures_in(prompt)
            p, q = (float(np.flatnonzero((shown[k][..., 0] > 160).any(0))[0]) / 36 for k in (2, 5))
            hop = (q - p) / (1 - p if q > p else max(p, 1e-6)) if p != q else 0.0
            return f"<score>{100 * hop:+.0f}%</score>"

    model = StepPrm(["front"], stride=1, references=1, backend=VlmHops(Seeing("what?")))
    assert model.fit([moving_square(1)], [], seed=0) == {}
    episode = moving_square(2)
    progress = model.estimate_episode(episode).progress
    assert progress == pytest.approx(np.linspace(0, 1, 17), abs=0.05)
    assert model.estimate_episode(episode).success[-1] > 0.5 > model.estimate_episode(episode).success[8]
    assert model.parse_failures == 1
    stepped = step_through(model, [episode])
    assert [float(e.progress[0]) for e in stepped] == pytest.approx(progress, abs=1e-3)
    with pytest.raises(UserError, match="leave out rehearse="):
        model.adapt([moving_square(1)], [], seed=0, rehearse=[moving_square(3)])
