"""Checkpoints that build on a model that nobody has, and packages that are missing, are told."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from huggingface_hub.errors import LocalEntryNotFoundError
from lerobot.configs import PreTrainedConfig
from safetensors.torch import save_file

from robo_reward.errors import MissingExtra, UserError
from robo_reward.policies.vla import recipe as recipes_of
from robo_reward.policies.vla.checkpoint import load_processors, load_weights, read_config, register_policies
from robo_reward.policies.vla.features import DataFacts
from robo_reward.policies.vla.language_model import models_found
from robo_reward.policies.vla.recipe import PolicyRecipe


@pytest.fixture
def checkpoint(tmp_path: Path, facts: DataFacts) -> Path:
    """A smolvla whose language model nobody has."""
    from lerobot.configs import FeatureType, PolicyFeature

    register_policies()
    inputs = {f"observation.images.{v}": PolicyFeature(FeatureType.VISUAL, (3, *s)) for v, s in facts.views.items()}
    inputs["observation.state"] = PolicyFeature(FeatureType.STATE, (facts.states,))
    outputs = {"action": PolicyFeature(FeatureType.ACTION, (facts.actions,))}
    kind: Any = PreTrainedConfig.get_choice_class("smolvla")
    config = kind(device="cpu", input_features=inputs, output_features=outputs, vlm_model_name="nobody/has-this")
    config._save_pretrained(tmp_path)
    save_file({"a": torch.zeros(1)}, str(tmp_path / "model.safetensors"))
    return tmp_path


def test_a_language_model_that_nobody_has_is_named(checkpoint: Path, facts: DataFacts) -> None:
    told = r"smolvla policy in '.*' builds on 'nobody/has-this', which neither the cache nor the hub has \("
    with pytest.raises(UserError, match=told):
        PolicyRecipe("smolvla", path=str(checkpoint)).build(facts)
    config = read_config(checkpoint, device="cpu")
    with pytest.raises(UserError, match=told):
        load_weights(config, checkpoint)
    with pytest.raises(UserError, match=told):
        load_processors(config, checkpoint)


def test_a_file_of_the_checkpoint_itself_is_another_matter(tmp_path: Path, facts: DataFacts) -> None:
    small: dict[str, Any] = {"channels": 8, "hidden_dim": 32, "image_size": 16}
    PolicyRecipe("nano_vla", **small).build(facts).save(tmp_path)
    (tmp_path / "pretrained_model" / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"do not fit its config .* damaged"):
        PolicyRecipe(path=str(tmp_path)).build(facts)
    config = SimpleNamespace(type="x")
    with pytest.raises(FileNotFoundError), models_found(config, tmp_path):
        raise FileNotFoundError("no such file")
    with pytest.raises(UserError, match="builds on a model"), models_found(config, tmp_path):
        raise LocalEntryNotFoundError("not there")


def test_what_is_installed_is_not_called_missing() -> None:
    told = r"policy=wall_x lacks what it builds on: 'torchdiffeq' is required but not installed"
    with pytest.raises(UserError, match=told), recipes_of._packages("wall_x"):
        raise ImportError("'torchdiffeq' is required but not installed. Install it with: pip install 'lerobot[wallx]'")
    with pytest.raises(UserError, match="cannot import name 'x'"), recipes_of._packages("pi0"):
        raise ImportError("cannot import name 'x' from 'transformers'", name="transformers.models")
    with (
        pytest.raises(MissingExtra, match=r"'nobodys', .* pip install 'robo-reward\[vla\]'"),
        recipes_of._packages("x"),
    ):
        raise ModuleNotFoundError("No module named 'nobodys.part'", name="nobodys.part")
