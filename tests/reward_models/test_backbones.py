"""Any encoder under any reward: transport matches demonstrations on open_clip's and timm's features alike."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from robo_reward.contract_tests import moving_square
from robo_reward.errors import UserError
from robo_reward.reward_models.backbones import Backbone
from robo_reward.reward_models.progress_fit import FitSettings
from robo_reward.reward_models.transport import TransportModel

TINY = Path(__file__).parent / "tiny_clip.json"
RANDOM = ("timm:test_resnet/random", "open_clip:tiny_clip/random")

pytestmark = pytest.mark.filterwarnings("ignore::robo_reward.reward_models.clip.weights.RandomWeights")


@pytest.fixture(autouse=True)
def _tiny() -> None:
    pytest.importorskip("open_clip").add_model_config(TINY)
    torch.set_num_threads(1)


@pytest.mark.parametrize("encoder", RANDOM)
def test_transport_matches_on_any_encoder(encoder: str) -> None:
    model = TransportModel(["front"], stride=1, members=1, encoder=encoder, refit_steps=5, fit=FitSettings(steps=30))
    shown, random = [moving_square(0, 12)], [moving_square(10 + k, 12, source="random") for k in range(3)]
    model.fit(shown, random, 0)
    like, unlike = moving_square(3, 12), moving_square(20, 12, source="random")
    matches = [model.estimate_episode(trace).match for trace in (like, unlike)]
    assert matches[0] is not None
    assert matches[1] is not None
    assert matches[0].mean() > matches[1].mean() + 0.1


@pytest.mark.parametrize("encoder", RANDOM)
def test_views_keep_their_order_and_weights_their_values(encoder: str) -> None:
    images = torch.rand(3, 6, 40, 40) - 0.5
    backbone = Backbone(encoder)
    features = backbone(images)
    assert features.shape == (3, 2 * backbone.features)
    swapped = backbone(torch.cat([images[:, 3:], images[:, :3]], 1))
    assert torch.allclose(
        torch.cat([swapped[:, backbone.features :], swapped[:, : backbone.features]], 1), features, atol=1e-5
    )
    assert torch.equal(Backbone(encoder)(images), features)
    assert not any(p.requires_grad for p in backbone.parameters())


def test_an_open_clip_encoder_names_its_checkpoint() -> None:
    with pytest.raises(UserError, match="names no checkpoint"):
        Backbone("open_clip:tiny_clip")
