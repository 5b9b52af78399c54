"""Views become one embedding: stacked in order, augmented per camera, and refused where they do not fit."""

import numpy as np
import pytest
import torch

from robo_reward.errors import UserError
from robo_reward.reward_models.image_encoder import ConvEncoder, FrozenEncoder, augment, stack_views


def frames(value: int, count: int = 2, height: int = 32, width: int = 40) -> np.ndarray:
    return np.full((count, height, width, 3), value, np.uint8)


def test_views_are_stacked_in_the_order_asked_for() -> None:
    shown = {"top": frames(255), "front": frames(0)}
    stacked = stack_views(shown, ["front", "top"])
    assert stacked.shape == (2, 6, 32, 40)
    assert stacked[:, :3].unique().tolist() == [-0.5]
    assert stacked[:, 3:].unique().tolist() == [0.5]
    assert torch.equal(stack_views(shown, ["top", "front"])[:, :3], stacked[:, 3:])


def test_what_cannot_be_stacked() -> None:
    with pytest.raises(UserError, match=r"\['side'\].*\['front'\]"):
        stack_views({"front": frames(0)}, ["front", "side"])
    with pytest.raises(UserError, match="one size"):
        stack_views({"front": frames(0), "top": frames(0, height=64)}, ["front", "top"])


def test_shifts_move_every_camera_by_itself_and_keep_its_picture() -> None:
    torch.manual_seed(0)
    images = torch.zeros(12, 6, 32, 32)
    images[:, :, 16, 16] = 1.0
    moved = augment(images, 4, 0.0)
    places = [tuple(torch.nonzero(moved[k, channel])[0].tolist()) for k in range(12) for channel in range(6)]
    assert all(abs(y - 16) <= 4 and abs(x - 16) <= 4 for y, x in places)
    assert len(set(places)) > 4
    by_camera = np.asarray(places).reshape(12, 2, 3, 2)
    assert (by_camera == by_camera[:, :, :1]).all(), "the colours of one camera stay together"
    assert (by_camera[:, 0] != by_camera[:, 1]).any(), "cameras move independently"
    assert torch.equal(images[:, :, 16, 16], torch.ones(12, 6)), "the originals are untouched"


def test_no_augmentation_changes_nothing() -> None:
    images = torch.rand(5, 3, 32, 32)
    assert torch.equal(augment(images, 0, 0.0), images)


@pytest.mark.parametrize("shift", [0, 4])
def test_brightened_copies_leave_the_originals_alone(shift: int) -> None:
    torch.manual_seed(0)
    images = torch.full((8, 3, 32, 32), 0.25)
    brightened = augment(images, shift, 0.1)
    assert (images == 0.25).all()
    assert brightened.std((2, 3)).max() < 1e-6, "each picture as a whole"
    assert brightened.mean((1, 2, 3)).std() > 0.01


def test_the_encoder_keeps_where_things_are() -> None:
    torch.manual_seed(0)
    encoder = ConvEncoder(views=2, height=32, width=48)
    images = torch.zeros(2, 6, 32, 48)
    images[0, :, 4:8, 4:8] = 1.0
    images[1, :, 24:28, 40:44] = 1.0
    z = encoder(images)
    assert z.shape == (2, encoder.size)
    assert (z[0] - z[1]).abs().max() > 0.05


def test_small_pictures_and_unknown_encoders_are_refused() -> None:
    with pytest.raises(UserError, match="16x64 are too small"):
        ConvEncoder(1, 16, 64)
    with pytest.raises(UserError, match=r"use conv, timm:<model>"):
        FrozenEncoder("resnet18", 1)


def test_a_pretrained_encoder_stays_frozen() -> None:
    pytest.importorskip("timm")
    torch.manual_seed(0)
    encoder = FrozenEncoder("timm:resnet10t/random", 2)
    encoder.train()
    encoder(torch.rand(2, 6, 32, 32) - 0.5).sum().backward()
    assert all(p.grad is None for p in encoder.backbone.parameters())
    assert any(p.grad is not None for p in encoder.head.parameters())
    assert not encoder.backbone.training
    with pytest.raises(UserError, match="no model 'resnet-none'"):
        FrozenEncoder("timm:resnet-none/random", 1)


def test_weights_that_cannot_be_fetched_are_a_users_error(monkeypatch: pytest.MonkeyPatch) -> None:
    timm = pytest.importorskip("timm")

    def offline(*args: object, **settings: object) -> None:
        raise FileNotFoundError("cannot find the requested files in the local cache")

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(UserError, match=r"encoder=timm:resnet10t could not be loaded: cannot find .* encoder=conv"):
        FrozenEncoder("timm:resnet10t", 1)
