"""Large frozen networks are asked once about a picture, however often it is trained on, fitted or repriced."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from robo_reward.contract_tests import moving_square
from robo_reward.reward_models.backbones import Backbone
from robo_reward.reward_models.clip.encoder import ClipEncoder
from robo_reward.reward_models.clip.goal_clip import goal_clip
from robo_reward.reward_models.image_encoder import FrozenEncoder
from robo_reward.reward_models.perceptual import PerceptualModel
from robo_reward.reward_models.progress import ProgressModel
from robo_reward.reward_models.progress_fit import SHIFTED, FitSettings, FrameSet, seen_once, varied

pytestmark = pytest.mark.filterwarnings("ignore::robo_reward.reward_models.clip.weights.RandomWeights")
TINY = Path(__file__).parent / "tiny_clip.json"


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many pictures each call of a backbone was given."""
    torch.set_num_threads(1)
    counts: list[int] = []
    forward = Backbone.forward

    def counted(self: Backbone, images: torch.Tensor) -> torch.Tensor:
        counts.append(len(images))
        return forward(self, images)

    monkeypatch.setattr(Backbone, "forward", counted)
    return counts


def test_the_backbone_sees_no_more_when_the_fit_is_longer(shown: list[int]) -> None:
    pytest.importorskip("timm")
    episodes = [moving_square(0, 12)], [moving_square(9, 12, source="random")]
    seen = []
    for steps in (3, 30):
        shown.clear()
        settings = FitSettings(steps=steps)
        model = ProgressModel(["front"], 1, members=1, encoder="timm:test_resnet/random", refit_steps=2, fit=settings)
        model.fit(*episodes, seed=0)
        seen.append(sum(shown))
    assert seen[0] == seen[1]
    assert max(shown) <= 64, "pictures of a long episode are shown some at a time"
    assert SHIFTED >= 1
    for episode in (*episodes[0], *episodes[1]):
        model.estimate_episode(episode)
    count = sum(shown)
    model.estimate_episode(episodes[0][0])
    model.refit(episodes[1], 1)
    assert sum(shown) == count


def test_a_batch_draws_one_of_the_copies_of_each_picture(shown: list[int]) -> None:
    pytest.importorskip("timm")
    torch.manual_seed(0)
    encoder, images = FrozenEncoder("timm:test_resnet/random", 1), torch.rand(5, 3, 32, 32) - 0.5
    unknown = torch.full((5,), torch.nan)
    frames = FrameSet(images, unknown, unknown, torch.zeros(5, dtype=torch.long), torch.zeros(5, 32))
    copies = seen_once(encoder, frames, FitSettings()).inputs
    assert copies.shape == (5, 1 + SHIFTED, encoder.backbone.features)
    assert torch.allclose(copies[:, 0], encoder.features(images)), "the first is the picture itself"
    assert not torch.allclose(copies[:, 1], copies[:, 0])
    drawn = {
        tuple((copies == varied(copies, FitSettings())[:, None]).all(2).long().argmax(1).tolist()) for _ in range(9)
    }
    assert len(drawn) > 1
    assert torch.equal(encoder(copies[:, 0]), encoder(images)), "the projection takes either"


def test_perceptual_sees_a_demonstration_once(shown: list[int]) -> None:
    pytest.importorskip("timm")
    model = PerceptualModel(["front"], "timm:test_resnet/random", 1, grid=1, segments=2)
    demonstration, failure = moving_square(0, 12), moving_square(9, 12, source="random")
    for _ in range(2):
        model.fit([demonstration], [failure], 0)
        model.estimate_episode(demonstration)
    assert sum(shown) == len(demonstration.frame_steps) + len(failure.frame_steps)


def test_goal_clip_scores_an_episode_once(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("open_clip")
    calls: list[int] = []
    pictures = ClipEncoder.pictures

    def counted(self: ClipEncoder, frames: Any) -> torch.Tensor:
        calls.append(len(frames))
        return pictures(self, frames)

    monkeypatch.setattr(ClipEncoder, "pictures", counted)
    model = goal_clip(["front"], str(TINY), None, ["a square on the right"], ["a square"], low=0.0, high=1.0)
    episode = moving_square(0, 12)
    first, again = model.estimate_episode(episode), model.estimate_episode(episode)
    assert (first.progress == again.progress).all()
    assert calls == [len(episode.frame_steps)]
