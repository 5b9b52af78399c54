"""Names in summaries are the words of the command line."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from robo_reward.naming import reward_name, snake_case, world_name
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


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"task": "drawer-open"}, "drawer-open"),
        ({"suite": "libero_object", "task": 0}, "libero_object-0"),
        ({"id": "Ant-v5"}, "Ant-v5"),
        ({"terrain": "stairs"}, "stairs"),
        ({"xml": "models/my_arm.xml"}, "my_arm"),
        ({"views": None}, "run"),
    ],
)
def test_run_folders_are_called_after_their_world(env: dict[str, Any], said: str) -> None:
    assert world_name(env) == said


def test_models_are_called_as_their_yaml_is() -> None:
    assert reward_name(ProgressModel(("front",))) == "progress"
    assert reward_name(SuccessClassifier(("front",))) == "success_classifier"
    assert reward_name(SimpleNamespace(name="mine")) == "mine"
    assert reward_name(type("Model", (), {})()) == "model"
