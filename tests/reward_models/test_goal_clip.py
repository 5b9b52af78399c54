"""goal_clip: formulas by hand, scales that bring cosines to [0, 1], clear refusals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from robo_reward.contract_tests import moving_square, step_through
from robo_reward.contracts import Frames
from robo_reward.errors import UserError
from robo_reward.reward_models.clip.encoder import ClipEncoder
from robo_reward.reward_models.clip.goal_clip import FittedGoalClip, GoalClip, goal_clip
from robo_reward.reward_models.clip.goals import Prompts, contrasting_goals, goal_baseline
from robo_reward.reward_models.clip.scale import CosineScale, fit_scale
from robo_reward.reward_models.clip.weights import RandomWeights
from robo_reward.reward_models.transforms.level import Level
from robo_reward.reward_stack import RewardStack
from robo_reward.trace import Trace

TINY = str(Path(__file__).parent / "tiny_clip.json")
ROOT_HALF = 0.5**0.5


def unit(*values: float) -> Tensor:
    return torch.nn.functional.normalize(torch.tensor([float(v) for v in values]), dim=0)


class PaintedEncoder(ClipEncoder):
    """Pictures and prompts become vectors that can be done by hand: a frame is (red, green) of its mean colour."""

    def __init__(self, **prompts: Tensor) -> None:
        super().__init__("painted", None)
        self.asked: list[str] = []
        self._known = prompts

    def fingerprint(self) -> str:
        return "painted"

    def pictures(self, frames: Frames) -> Tensor:
        colour = torch.from_numpy(frames.reshape(len(frames), -1, 3).astype(np.float32)).mean(1)[:, :2]
        return torch.nn.functional.normalize(colour, dim=-1)

    def prompts(self, texts: Sequence[str]) -> Tensor:
        self.asked += texts
        return torch.nn.functional.normalize(torch.stack([self._known[text] for text in texts]).mean(0), dim=0)


def painted(red: Sequence[int], green: Sequence[int], views: Sequence[str] = ("front",), task: str = "") -> Trace:
    """An episode whose frame k has the colour (red k, green k, 0) in every view."""
    count = len(red)
    frames = np.zeros((count, 4, 4, 3), np.uint8)
    frames[..., 0], frames[..., 1] = (np.asarray(c)[:, None, None] for c in (red, green))
    state, action = np.zeros((count, 1), np.float32), np.zeros((count - 1, 1), np.float32)
    return Trace(task, state, action, {v: frames for v in views}, np.arange(count), 10.0, "policy")


# --- formulas ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("alpha", "expected"), [(0.0, 0.707107), (0.5, 0.910692), (1.0, 0.978553)])
def test_goal_baseline_by_hand(alpha: float, expected: float) -> None:
    goal, baseline = unit(1, 0, 0), unit(0, 0, 1)
    score = goal_baseline(unit(1, 1, 0)[None], goal, baseline, alpha)
    assert score.tolist() == pytest.approx([expected], abs=1e-6)


def test_a_mistyped_placeholder_is_no_prompt() -> None:
    with pytest.raises(UserError, match=r"holds \{tsk\}; the only placeholder is \{task\}"):
        Prompts(goal=("a robot that has done this: {tsk}",), alpha=0.0)


def test_goal_baseline_is_the_matrix_form_and_alpha_0_the_cosine() -> None:
    torch.manual_seed(0)
    pictures = torch.nn.functional.normalize(torch.randn(6, 8), dim=-1)
    goal, baseline = unit(*torch.randn(8).tolist()), unit(*torch.randn(8).tolist())
    d = goal - baseline
    for alpha in (0.0, 0.3, 1.0):
        matrix = alpha * torch.outer(d, d) / d.dot(d) + (1 - alpha) * torch.eye(8)
        by_matrix = 1 - ((pictures - goal) @ matrix).square().sum(1) / 2
        assert torch.allclose(goal_baseline(pictures, goal, baseline, alpha), by_matrix, atol=1e-6)
    assert torch.allclose(goal_baseline(pictures, goal, None, 0.0), pictures @ goal, atol=1e-6)
    with pytest.raises(UserError, match="mean the same"):
        goal_baseline(pictures, goal, goal.clone(), 0.5)


def test_contrasting_goals_with_vlm_rls_bounds() -> None:
    """z = cos(neg) - cos(pos) clipped to [0, 0.03] and turned round: R = 1 - z / 0.03."""
    positive, negative = unit(1, 0), unit(0, 1)
    pictures = torch.stack([unit(1, 1), unit(1, 1.03), unit(0, 1), unit(1, 0)])
    z = (pictures @ negative - pictures @ positive).clamp(0, 0.03)
    scale = CosineScale.given(low=-0.03, high=0.0)
    score = contrasting_goals(pictures, positive, negative).numpy()
    assert scale.progress(score) == pytest.approx((1 - z / 0.03).numpy(), abs=1e-5)
    assert scale.progress(score)[[0, 2, 3]].tolist() == pytest.approx([1, 0, 1], abs=1e-5)


# --- the model --------------------------------------------------------------------------------------------------------


def test_rewards_by_hand() -> None:
    encoder = PaintedEncoder(done=unit(1, 0), plain=unit(0, 1))
    prompts = Prompts(("done",), ("plain",), alpha=0.0)
    model = GoalClip(["front"], encoder, prompts, CosineScale.given(0.0, ROOT_HALF))
    seen = model.estimate_episode(painted([0, 30, 100, 200], [50, 40, 100, 0]))
    # cosines with red: 0, 0.6, 0.7071, 1
    assert seen.progress.tolist() == pytest.approx([0, 0.6 / ROOT_HALF, 1, 1], abs=1e-5)
    assert seen.gain.tolist() == pytest.approx([0, 0.848528, 0.151472, 0], abs=1e-5)
    assert seen.success.tolist() == pytest.approx([0, 0, 1, 1], abs=1e-3)
    assert seen.uncertainty.tolist() == [0, 0, 0, 0]
    assert encoder.asked == ["done"], "alpha=0 reads no baseline, and prompts are encoded once"


def test_views_are_averaged_and_their_spread_is_the_uncertainty() -> None:
    model = GoalClip(["a", "b"], PaintedEncoder(x=unit(1, 0)), Prompts(("x",), alpha=0.0), CosineScale.given(0, 2))
    one, two = painted([100], [0], ["a"]), painted([0], [100], ["b"])
    both = Trace("", one.state, one.action, {**one.frames, **two.frames}, one.frame_steps, 10.0, "policy")
    seen = model.estimate_episode(both)
    assert seen.progress.tolist() == pytest.approx([0.25])  # mean of cosines 1 and 0, over a width of 2
    assert seen.uncertainty.tolist() == pytest.approx([0.25])  # population spread 0.5, over 2
    with pytest.raises(UserError, match=r"\['b'\].*\['a'\]"):
        model.estimate_episode(one)


def test_prompts_are_averaged_and_hold_the_instruction() -> None:
    encoder = PaintedEncoder(**{"do open it": unit(1, 0), "open it!": unit(0, 1)})
    model = GoalClip(["front"], encoder, Prompts(("do {task}", "{task}!"), alpha=0.0), CosineScale.given(0, 1))
    seen = model.estimate_episode(painted([100, 100], [0, 100], task="open it"))
    assert seen.progress.tolist() == pytest.approx([ROOT_HALF, 1], abs=1e-6)
    with pytest.raises(UserError, match="has no instruction"):
        model.estimate_episode(painted([1], [1], task=" "))


def test_every_world_is_priced_by_its_own_instruction() -> None:
    encoder = PaintedEncoder(red=unit(1, 0), green=unit(0, 1))
    model = GoalClip(["front"], encoder, Prompts(("{task}",), alpha=0.0), CosineScale.given(0, 1))
    frames = painted([100, 100], [0, 0]).frames["front"]
    assert model.scores({"front": frames}, ["red", "green"]).tolist() == [[1, 0]]


def test_per_step_and_deferred_rewards_are_equal() -> None:
    model = GoalClip(["front"], PaintedEncoder(x=unit(1, 0)), Prompts(("x",), alpha=0.0), CosineScale.given(0.5, 1))
    stack = RewardStack(model, [Level("progress")])
    trace = painted([10, 60, 90, 120, 200], [100, 90, 80, 90, 10])
    stepped = [e.progress[0] for e in step_through(model, [trace])][1:]
    priced = stack.price(trace)
    assert priced.reward is not None
    assert np.allclose(priced.reward, stepped, atol=1e-6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"goal": []}, "needs a goal"),
        ({"alpha": 1.5}, r"alpha=1.5 must lie in \[0, 1\]"),
        ({"alpha": 0.5}, "alpha=0.5 needs a neutral prompt"),
        ({"rule": "contrast"}, "set reward_model.negative"),
        ({"rule": "contrsat"}, "did you mean 'contrast'"),
        ({"alpha": 0.0, "low": 0.1}, "both scores or neither"),
        ({"alpha": 0.0, "low": 0.3, "high": 0.1}, "low=0.3 must be below high=0.1"),
        ({"alpha": 0.0, "stride": 0}, "stride=0"),
        ({"alpha": 0.0, "batch": 0}, "batch=0"),
        ({"alpha": 0.0, "views": []}, "needs pictures"),
    ],
)
def test_settings_that_make_no_sense(settings: dict[str, Any], message: str) -> None:
    plain: dict[str, Any] = {"views": ["front"], "architecture": TINY, "pretrained": None, "goal": ["done"]}
    with pytest.raises(UserError, match=message):
        goal_clip(**(plain | settings))


# --- the scale --------------------------------------------------------------------------------------------------------


def test_the_scale_is_fitted_on_demonstrations() -> None:
    shown = moving_square(0, 20)
    rising = np.linspace(0.2, 0.3, 21).astype(np.float32)
    scale, told = fit_scale([(shown, rising)], [np.full(10, 0.19, np.float32)])
    assert (scale.low, scale.high) == pytest.approx((0.205, 0.295), abs=1e-5)
    assert told["fit/separation"] == 1.0
    p = scale.success(rising)
    first = int(shown.success_step or 0)
    assert (p[first:] > 0.5).all()
    assert (p[: first - 1] < 0.5).all()
    assert (np.diff(p) >= 0).all()
    blind = fit_scale([(shown, rising[::-1].copy())], [])
    assert blind[1]["fit/separation"] == 0.0
    assert blind[0].success(rising) == pytest.approx(0.5, abs=0.06), "scores that order the wrong way say nothing"


def test_scores_that_never_differ_are_refused() -> None:
    with pytest.raises(UserError, match=r"scores about 0\.2000"):
        fit_scale([(moving_square(0, 8), np.full(9, 0.2, np.float32))], [])
    with pytest.raises(UserError, match="got 0"):
        fit_scale([], [])


def test_a_goal_clip_without_a_scale_says_how_to_get_one(tmp_path: Path) -> None:
    encoder = PaintedEncoder(x=unit(1, 0), y=unit(0, 1))
    model = FittedGoalClip(["front"], encoder, Prompts(("x",), alpha=0.0), None)
    with pytest.raises(UserError, match=r"reward_model\.low=.*robo-reward fit"):
        model.estimate_episode(painted([1], [1]))
    shown = replace(painted([0, 50, 90], [90, 90, 0]), success=np.array([False, False, True]))
    model.fit([shown], [], 0)
    model.save(tmp_path)
    other = FittedGoalClip(["front"], encoder, Prompts(("y",), alpha=0.0), None)
    with pytest.raises(UserError, match=r"fitted with \{'goal': \['x'\]\}"):
        other.load(tmp_path)


# --- open_clip itself -------------------------------------------------------------------------------------------------


def test_random_weights_are_loud_and_the_same_every_time() -> None:
    pytest.importorskip("open_clip")
    frames = moving_square(0, 4).frames["front"]
    drawn = torch.random.get_rng_state()
    with pytest.warns(RandomWeights, match="RANDOM weights"):
        first = ClipEncoder(TINY, None).pictures(frames)
    assert torch.equal(torch.random.get_rng_state(), drawn), "nobody else's draws move"
    encoder = ClipEncoder(TINY, None, batch=2)
    with pytest.warns(RandomWeights):
        again = encoder.pictures(frames)
    assert torch.allclose(again, first, atol=1e-6)
    assert first.norm(dim=1).tolist() == pytest.approx([1] * 5, abs=1e-5)
    middle = encoder.prompts(["a drawer", "an open drawer"])
    assert float(middle.norm()) == pytest.approx(1, abs=1e-5)
    apart = [encoder.prompts([text]) for text in ("a drawer", "an open drawer")]
    assert torch.allclose(middle, unit(*(apart[0] + apart[1]).tolist()), atol=1e-5)
    with pytest.raises(UserError, match="none of them empty"):
        encoder.prompts(["  "])


def test_missing_weights_and_names_are_a_users_error(monkeypatch: pytest.MonkeyPatch) -> None:
    open_clip = pytest.importorskip("open_clip")
    with pytest.raises(UserError, match="did you mean 'ViT-B-32'"):
        ClipEncoder("ViT-B-3", None).net  # noqa: B018
    with pytest.raises(UserError, match="no open_clip architecture file"):
        ClipEncoder("nowhere.json", None).net  # noqa: B018

    def offline(*args: object, **settings: object) -> None:
        raise FileNotFoundError("cannot find the requested files in the local cache")

    monkeypatch.setattr(open_clip, "create_model", offline)
    with pytest.raises(UserError, match=r"download laion/CLIP-ViT-B-32-laion2B-s34B-b79K .*pretrained=null"):
        ClipEncoder("ViT-B-32", "laion2b_s34b_b79k").net  # noqa: B018
    with pytest.raises(UserError, match=r"or one of .*laion2b_s34b_b79k"):
        ClipEncoder("ViT-B-32", "laion2b").net  # noqa: B018
    if not torch.cuda.is_available():
        with pytest.raises(UserError, match="device=cuda: torch sees no GPU"):
            ClipEncoder(TINY, None, device="cuda").net  # noqa: B018


def test_the_benchmark_of_pricing_encodes_at_every_repeat(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scores of a trace are remembered: pricing one again takes no time, and says nothing of what pricing costs."""
    pytest.importorskip("open_clip")
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    pricing: Any = import_module("pricing")
    encoded: list[int] = []

    def counted(encoder: ClipEncoder, frames: Frames) -> Tensor:
        encoded.append(len(frames))
        return really(encoder, frames)

    really = ClipEncoder.pictures
    monkeypatch.setattr(ClipEncoder, "pictures", counted)
    monkeypatch.setattr(pricing, "ARCHITECTURE", TINY)
    monkeypatch.setattr(pricing, "REPEATS", 3)
    monkeypatch.setattr(torch, "set_num_threads", lambda _: None)  # it would stay so for other tests
    assert len(pricing.in_process(4, 96)["goal_clip_ms"]) == 3
    assert encoded == [4] * (1 + 3), "a warm-up and three repeats"
