"""Saved reward models with one wrong number or shape, and data of another shape: refused by name, never a traceback."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from robo_reward.contract_tests import moving_square, observe_frames
from robo_reward.errors import UserError
from robo_reward.reward_models.progress import ProgressModel
from robo_reward.reward_models.progress_fit import FitSettings
from robo_reward.reward_models.step_prm.hop_training import HopFit
from robo_reward.reward_models.step_prm.step_prm import StepPrm
from robo_reward.reward_models.success_calibration import Calibration
from robo_reward.reward_models.success_classifier import SuccessClassifier
from robo_reward.runs.checkpoint import load_state, save_state

Model = ProgressModel | SuccessClassifier | StepPrm
MODELS: dict[str, tuple[str, Callable[[], Model]]] = {
    "progress": (
        "reward_model",
        lambda: ProgressModel([], encoder="state", refit_steps=1, fit=FitSettings(steps=1)),
    ),
    "success_classifier": (
        "success_classifier",
        lambda: SuccessClassifier([], encoder="state", refit_steps=1, fit=FitSettings(steps=1)),
    ),
    "step_prm": (
        "reward_model",
        lambda: StepPrm(["front"], refit_steps=1, fit=HopFit(steps=1, samples=20)),
    ),
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    place = tmp_path_factory.mktemp("saved")
    for name, (_, make) in MODELS.items():
        model = make()
        model.fit([moving_square(0)], [moving_square(1, source="random")], 0)
        model.save(place / name)
    return place


@pytest.mark.parametrize("of", ["progress", "success_classifier"])
def test_states_of_another_size(saved: Path, of: str) -> None:
    model = MODELS[of][1]()
    model.load(saved / of)
    trace = moving_square(2)
    wide = replace(trace, state=np.concatenate([trace.state, trace.state], 1))
    with pytest.raises(UserError, match="fitted on states of 2 numbers, got 4"):
        model.estimate_episode(wide)
    with pytest.raises(UserError, match="fitted on states of 2 numbers, got 4"):
        model.begin(observe_frames([(wide, 0)]), np.ones(1, bool))


def cut(value: torch.Tensor) -> torch.Tensor:
    return value[:-1]


def flat(value: torch.Tensor) -> torch.Tensor:
    return value.flatten()


@pytest.mark.parametrize(
    ("of", "place", "damage", "words"),
    [
        ("progress", "memory.mean", cut, "'mean' has the shape 63 in place of 64"),
        ("progress", "memory.std", cut, "'std' has the shape 63"),
        ("progress", "memory.goal", cut, "'goal' has the shape 63"),
        ("progress", "memory.final", flat, r"'final' has the shape \d+ in place of anyx64"),
        ("progress", "memory.std", torch.zeros_like, "'std' holds values that are not finite and above 0"),
        ("progress", "memory.goal", lambda goal: goal / 0, "'goal' holds values that are not finite"),
        ("progress", "memory.mean", lambda _: None, "has no tensor 'mean'"),
        ("progress", "detector.temperature", lambda t: -t, r"temperature=-1.* must be above 0"),
        ("progress", "detector.temperature", lambda _: 0, r"temperature=0.* must be above 0"),
        ("progress", "detector.offset", lambda _: float("nan"), "offset=nan must be a finite number"),
        ("progress", "detector.threshold", lambda _: 2.0, "threshold=2.0 must be a finite number of 0 or more and"),
        ("success_classifier", "model.memory.mean", cut, "'mean' has the shape 63"),
        ("success_classifier", "model.memory.std", cut, "'std' has the shape 63"),
        ("success_classifier", "model.detector.temperature", lambda t: -t, "must be above 0"),
        ("success_classifier", "examples.negative", flat, "'negative' has the shape"),
        ("step_prm", "learned.success.shown.mean", cut, "'mean' has the shape 127 in place of 128"),
        ("step_prm", "learned.success.shown.std", cut, "'std' has the shape 127"),
        (
            "step_prm",
            "learned.success.detector.temperature",
            lambda t: float("inf"),
            "temperature=inf must be a finite",
        ),
    ],
)
def test_one_damaged_part(
    saved: Path, of: str, place: str, damage: Callable[[Any], Any], words: str, tmp_path: Path
) -> None:
    name, make = MODELS[of]
    state = load_state(saved / of, name)
    *way, last = place.split(".")
    part = state
    for key in way:
        part = part[key]
    part[last] = damage(part[last])
    save_state(tmp_path, name, state)
    with pytest.raises(UserError, match=words):
        make().load(tmp_path)


def test_instructions_of_remembered_frames_are_as_many_as_these() -> None:
    model = ProgressModel([], encoder="state", members=1, refit_steps=1, fit=FitSettings(steps=1))
    shown = [moving_square(0), replace(moving_square(3), task="something else")]
    model.fit(shown, [moving_square(1, source="random")], 0)
    state = model.state()
    model.load_state(state)
    state["memory"]["early_task"] = state["memory"]["early_task"][1:]
    with pytest.raises(UserError, match="'early_task' has the shape"):
        model.load_state(state)


def test_a_calibration_turns_no_failure_into_a_success() -> None:
    for temperature in (0.0, -1.0):
        with pytest.raises(UserError, match="must be above 0"):
            Calibration(temperature)
