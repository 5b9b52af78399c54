"""The success detector: what it learns from episodes that nobody labelled."""

import math

import pytest
import torch

from robo_reward.reward_models.success_detector import DetectorSettings, SuccessDetector


def frames(count: int, center: float, seed: int) -> torch.Tensor:
    return center + 0.3 * torch.randn(count, 4, generator=torch.Generator().manual_seed(seed))


def fitted(share: float) -> SuccessDetector:
    """Demonstrated ends lie at 1, failures at -1; a fifth of the other episodes' frames are successes too."""
    torch.manual_seed(0)
    detector = SuccessDetector(4, DetectorSettings(success_share=share))
    others = torch.cat([frames(80, -1.0, 1), frames(20, 1.0, 2)])
    detector.fit(frames(10, 1.0, 0), others, frames(20, -1.0, 3), 400)
    return detector


def test_successes_among_unlabelled_episodes_are_not_unlearned() -> None:
    success, failure = frames(50, 1.0, 4), frames(50, -1.0, 5)
    blind, wise = fitted(0.0), fitted(0.2)
    assert wise.probability(success).mean() > 0.85
    assert wise.probability(success).mean() > blind.probability(success).mean() + 0.05, "taken as failures, they sink"
    assert wise.probability(failure).mean() < 0.15


def test_the_loss_by_hand() -> None:
    detector = SuccessDetector(1, DetectorSettings(positive_target=1.0, negative_target=0.0))
    zero, two = torch.zeros(3), torch.full((3,), 2.0)

    def cost(logit: float, target: float) -> float:
        p = 1 / (1 + math.exp(-logit))
        return -math.log(p if target == 1 else 1 - p)

    mixed = (cost(2.0, 0) - 0.25 * cost(0.0, 0)) / 0.75
    expected = (cost(0.0, 1) + (2 * mixed + cost(0.0, 0)) / 3) / 2
    assert float(detector._loss(zero, two, zero, 0.25)) == pytest.approx(expected, rel=1e-5)
    # positives that look like failures would make the failures' risk negative: it is cut at 0
    clipped = (cost(2.0, 1) + (0 + cost(0.0, 0)) / 3) / 2
    assert float(detector._loss(two, torch.full((3,), -9.0), zero, 0.25)) == pytest.approx(clipped, rel=1e-3)
