"""Settings of learned rewards that make no sense are refused before anything is trained, by name, value and bound."""

from __future__ import annotations

from typing import Any

import pytest

from robo_reward.errors import UserError
from robo_reward.reward_models.progress import ProgressModel
from robo_reward.reward_models.progress_fit import FitSettings
from robo_reward.reward_models.self_referential import SelfReferentialModel
from robo_reward.reward_models.step_prm.hop_training import HopFit
from robo_reward.reward_models.step_prm.step_prm import StepPrm
from robo_reward.reward_models.success_classifier import SuccessClassifier
from robo_reward.reward_models.success_guard import SuccessGuard
from robo_reward.reward_models.transport import TransportModel
from robo_reward.reward_models.verified_progress import VerifiedProgress


@pytest.mark.parametrize(
    ("setting", "value", "bound"),
    [
        *(
            (name, value, "a whole number of 1 or more")
            for name in ("steps", "slots", "pairs")
            for value in (-5, 0, 2.5)
        ),
        *((name, 0, "a whole number of 1 or more") for name in ("samples", "chunk")),
        ("shift", -1, "a whole number of 0 or more"),
        ("weight_decay", -0.1, "a finite number of 0 or more"),
        ("adapt_share", -1, "a finite number of 0 or more"),
        ("learning_rate", -1, "above 0"),
        ("learning_rate", 0, "above 0"),
        ("learning_rate", float("nan"), "a finite number"),
        *((name, 1.5, "of 0 or more and of 1 or less") for name in ("negatives", "mismatch", "swap", "ceiling")),
        *((name, -0.5, "of 0 or more and of 1 or less") for name in ("drop_view", "drop_anchor")),
        ("negatives", 1, "leave a demonstration one"),
    ],
)
def test_how_hops_are_trained(setting: str, value: float, bound: str) -> None:
    changed: dict[str, Any] = {setting: value}
    with pytest.raises(UserError, match=rf"reward_model\.fit: {setting}={value} .*{bound}"):
        HopFit(**changed)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"heads": 3}, "heads=3 must divide 64"),
        ({"heads": 0}, "heads=0 must be a whole number of 1 or more"),
        ({"layers": -1}, "layers=-1 must be a whole number of 1 or more"),
        ({"references": 1.5}, "references=1.5 must be a whole number of 1 or more"),
        ({"settle": -1}, "settle=-1 must be a whole number of 0 or more"),
        ({"stride": 0}, "stride=0 must be a whole number of 1 or more"),
    ],
)
def test_step_prm_itself(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        StepPrm(["front"], **settings)


@pytest.mark.parametrize("kind", [ProgressModel, TransportModel, SelfReferentialModel, SuccessClassifier, StepPrm])
@pytest.mark.parametrize("steps", [-3, 0, 1.5])
def test_a_detector_that_would_stay_untrained(kind: Any, steps: float) -> None:
    with pytest.raises(UserError, match=rf"refit_steps={steps} must be a whole number of 1 or more"):
        kind(["front"], refit_steps=steps)


def test_where_the_head_tells_success_no_detector_is_needed() -> None:
    SuccessGuard(["front"])
    VerifiedProgress(["front"], refit_steps=0)
    ProgressModel([], encoder="state", head="milestones", threshold=0.9, refit_steps=0)
    with pytest.raises(UserError, match="refit_steps=-3 must be a whole number of 0 or more"):
        VerifiedProgress(["front"], refit_steps=-3)


def test_progress_is_checked_alike() -> None:
    with pytest.raises(UserError, match=r"reward_model\.fit: learning_rate=0 must be above 0"):
        FitSettings(learning_rate=0)
    with pytest.raises(UserError, match="settle=-1 must be a whole number of 0 or more"):
        ProgressModel(["front"], settle=-1)
