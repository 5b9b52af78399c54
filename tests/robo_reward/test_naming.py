"""Names in summaries are the words of the command line."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from robo_reward.naming import reward_name, snake_case
from robo_reward.reward_models.progress import ProgressModel
from robo_reward.reward_models.success_classifier import SuccessClassifier


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("MinForm", "min_form"),
        ("StepPRM", "step_prm"),
        ("GVLJudge", "gvl_judge"),
        ("Par", "par"),
        ("A2Form", "a2_form"),
    ],
)
def test_snake_case(name: str, said: str) -> None:
    assert snake_case(name) == said


def test_models_are_called_as_their_yaml_is() -> None:
    assert reward_name(ProgressModel(("front",))) == "progress"
    assert reward_name(SuccessClassifier(("front",))) == "success_classifier"
    assert reward_name(SimpleNamespace(name="mine")) == "mine"
    assert reward_name(type("Model", (), {})()) == "model"
