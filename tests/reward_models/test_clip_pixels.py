"""A batch of frames becomes what open_clip's own transform makes of each picture."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from robo_reward.errors import UserError
from robo_reward.reward_models.clip.pixels import TOLERANCE_LEVELS, PixelPipeline, PixelSettings, two_passes


@pytest.mark.parametrize("mode", ["shortest", "longest", "squash"])
@pytest.mark.parametrize("size", [(64, 64), (48, 80), (81, 47), (224, 224), (300, 401), (500, 250)])
@pytest.mark.parametrize(("target", "interpolation"), [(224, "bicubic"), ((64, 96), "bicubic"), (64, "bilinear")])
def test_pixels_are_those_of_open_clip(mode: Any, size: tuple[int, int], target: Any, interpolation: str) -> None:
    open_clip = pytest.importorskip("open_clip")
    from PIL import Image

    if mode == "shortest" and not isinstance(target, int):
        interpolation = "bicubic"  # open_clip has no other for this
    rng = np.random.default_rng(0)
    smooth = np.add.outer(np.linspace(0, 200, size[0]), np.linspace(0, 50, size[1]))[None, ..., None]
    frames = np.clip(smooth + rng.normal(0, 40, (2, *size, 3)), 0, 255).astype(np.uint8)
    mean, std = open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD
    config = {"size": target, "mean": mean, "std": std, "resize_mode": mode, "interpolation": interpolation}
    theirs = open_clip.transform.image_transform(
        target, is_train=False, mean=mean, std=std, resize_mode=mode, interpolation=interpolation
    )
    expected = torch.stack([theirs(Image.fromarray(frame)) for frame in frames])
    ours = PixelPipeline(PixelSettings.of(config))(frames)
    assert ours.shape == expected.shape
    assert ours.dtype == torch.float32
    apart = (ours - expected).abs() * 255 * torch.tensor(std).view(1, 3, 1, 1)  # in 8-bit levels
    assert float(apart.max()) <= TOLERANCE_LEVELS + 1e-3
    assert float(apart.mean()) < 0.05


def test_the_way_without_a_kernel_for_bytes_is_the_same() -> None:
    frames = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 3, 90, 70), dtype=np.uint8))
    by_bytes = torch.nn.functional.interpolate(frames, (64, 96), mode="bicubic", antialias=True).float()
    apart = (two_passes(frames.float(), 64, 96, "bicubic") - by_bytes).abs()
    assert float(apart.max()) <= TOLERANCE_LEVELS
    assert float(apart.mean()) < 0.05


def test_frames_that_are_frozen_flipped_or_no_frames() -> None:
    pipeline = PixelPipeline(PixelSettings((8, 8), (0.5,) * 3, (0.5,) * 3))
    frames = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    plain = pipeline(frames)
    assert torch.allclose(plain, torch.from_numpy(frames).permute(0, 3, 1, 2) / 127.5 - 1, atol=1e-6)
    frozen = frames.copy()
    frozen.setflags(write=False)
    assert torch.equal(pipeline(frozen), plain)
    assert torch.equal(pipeline(frames[:, ::-1]), plain.flip(2))
    wrongs: list[Any] = [frames.astype(np.float32), frames[0], frames[..., :2]]
    for wrong in wrongs:
        with pytest.raises(UserError, match=r"\(B, H, W, 3\) uint8"):
            pipeline(wrong)
