"""A hand that carries something and one that carries nothing move alike: only the verified reward tells them apart."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from robo_reward.errors import UserError
from robo_reward.reward_models.image_encoder import stack_views
from robo_reward.reward_models.progress_fit import FitSettings
from robo_reward.reward_models.verified_progress import VerifiedProgress
from robo_reward.reward_truth import auroc
from robo_reward.trace import Source, Trace

SIDE, STEPS = 32, 12


def carried(seed: int, holds: bool, source: Source = "demonstration") -> Trace:
    """A white hand goes from left to right; below it goes a red thing, or the thing stays where it was."""
    rng = np.random.default_rng(seed)
    frames = np.full((STEPS + 1, SIDE, SIDE, 3), 60, np.uint8)
    row = int(rng.integers(4, 8))
    for step in range(STEPS + 1):
        column = round(2 + step * (SIDE - 8) / STEPS)
        frames[step, row : row + 6, column : column + 5] = 220
        there = column if holds else 2
        frames[step, row + 7 : row + 11, there : there + 5] = (200, 30, 30)
    frames = np.clip(frames + rng.normal(0, 4, frames.shape), 0, 255).astype(np.uint8)
    return Trace(
        task="carry the red thing to the right",
        state=np.zeros((STEPS + 1, 2), np.float32),
        action=np.zeros((STEPS, 2), np.float32),
        frames={"front": frames},
        frame_steps=np.arange(STEPS + 1),
        fps=10.0,
        source=source,
        terminated=False,
        truncated=True,
        success=np.arange(STEPS + 1) >= STEPS - 1 if holds else None,
    )


@pytest.fixture(scope="module")
def model() -> VerifiedProgress:
    torch.set_num_threads(1)
    made = VerifiedProgress(["front"], stride=1, head="milestones", members=1, rule="remaining_gap", settle=0)
    made.fit([carried(k, True) for k in range(6)], [carried(50 + k, False, "replay") for k in range(6)], 0)
    return made


def test_the_motion_alone_is_worth_nothing(model: VerifiedProgress) -> None:
    good, empty = ([carried(100 + k, holds, "policy") for k in range(8)] for holds in (True, False))
    paid = [np.array([model.estimate_episode(t).success.max() for t in kind], np.float64) for kind in (good, empty)]
    assert auroc(*paid) == 1.0
    assert paid[0].min() > 0.5 > paid[1].max()


def test_large_pictures_are_read_small() -> None:
    large = [replace(t, frames={"front": t.frames["front"].repeat(2, 1).repeat(2, 2)}) for t in (carried(1, True),)]
    made = VerifiedProgress(["front"], stride=1, size=32, head="milestones", members=1, fit=FitSettings(steps=2))
    made.fit(large, [replace(large[0], source="replay", success=None)], 0)
    plain = VerifiedProgress(["front"], stride=1, size=None, head="milestones", members=1, fit=FitSettings(steps=2))
    plain.fit(large, [replace(large[0], source="replay", success=None)], 0)
    sizes = [sum(p.numel() for p in model.net.encoder.parameters()) for model in (made, plain)]
    assert sizes[0] < 0.6 * sizes[1]
    small = carried(1, True).frames["front"]
    assert isinstance(made.net.encoder, nn.Sequential)
    z = made.net.encoder[1](stack_views({"front": small}, ["front"]))
    torch.testing.assert_close(made.embed(large[0]), z, atol=1e-4, rtol=1e-3)
    with pytest.raises(UserError, match="32 or more"):
        VerifiedProgress(["front"], size=16)


def test_saved_and_loaded_it_says_the_same(model: VerifiedProgress, tmp_path: Path) -> None:
    model.save(tmp_path)
    again = VerifiedProgress(["front"], stride=1, head="milestones", members=1, rule="remaining_gap", settle=0)
    again.load(tmp_path)
    trace = carried(7, True, "policy")
    np.testing.assert_array_equal(again.estimate_episode(trace).success, model.estimate_episode(trace).success)


def test_a_refitted_detector_changes_nothing_that_it_says_of_success(model: VerifiedProgress) -> None:
    trace = carried(8, False, "policy")
    before = model.estimate_episode(trace)
    detected = model.success.detectors[0].probability(model.matched(trace))
    model.refit([carried(60 + k, False, "policy") for k in range(3)], 1)
    assert not np.allclose(model.success.detectors[0].probability(model.matched(trace)), detected)
    np.testing.assert_array_equal(model.estimate_episode(trace).success, before.success)
