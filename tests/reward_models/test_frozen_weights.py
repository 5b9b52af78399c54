"""Pretrained encoders are named and hashed in a saved reward, not copied; others than those of the fit are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from robo_reward.contract_tests import moving_square
from robo_reward.errors import UserError
from robo_reward.reward_models.clip.goal_clip import FittedGoalClip, goal_clip
from robo_reward.reward_models.fingerprint import fingerprint
from robo_reward.reward_models.perceptual import PerceptualModel
from robo_reward.reward_models.progress import ProgressModel
from robo_reward.reward_models.progress_fit import FitSettings
from robo_reward.reward_models.success_classifier import SuccessClassifier
from robo_reward.runs.checkpoint import load_state, load_tensors, save_state

TINY = Path(__file__).parent / "tiny_clip.json"
SHOWN = [moving_square(0, 12)]
FAILED = [moving_square(10 + k, 12, source="random") for k in range(3)]
QUICK: dict[str, Any] = {"refit_steps": 3, "fit": FitSettings(steps=5)}

pytestmark = pytest.mark.filterwarnings("ignore::robo_reward.reward_models.clip.weights.RandomWeights")


def write_checkpoint(path: Path, seed: int) -> str:
    """A CLIP checkpoint in a file, as a user has one; its name for ``encoder``."""
    open_clip = pytest.importorskip("open_clip")
    from safetensors.torch import save_file

    open_clip.add_model_config(TINY)
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    net = open_clip.create_model("tiny_clip", pretrained=None, pretrained_text=False)
    save_file({key: value.contiguous().clone() for key, value in net.state_dict().items()}, path)
    return f"open_clip:tiny_clip/{path}"


@pytest.fixture
def encoder(tmp_path: Path) -> str:
    return write_checkpoint(tmp_path / "clip.safetensors", 1)


def progress(encoder: str, stored: Path | None = None) -> ProgressModel:
    model = ProgressModel(["front"], 1, members=1, encoder=encoder, **QUICK)
    if stored is None:
        model.fit(SHOWN, FAILED, 0)
    else:
        model.load(stored)
    return model


def saved_bytes(folder: Path) -> int:
    return sum(len(v.untyped_storage()) for f in folder.glob("*.safetensors") for v in load_tensors(f).values())


def test_only_what_was_trained_is_saved_and_it_prices_as_before(encoder: str, tmp_path: Path) -> None:
    model = progress(encoder)
    model.save(tmp_path / "saved")
    kept = load_state(tmp_path / "saved", "reward_model")
    assert not [name for name in kept["net"] if "backbone" in name]
    assert [name for name in kept["net"] if name.startswith("encoder.head")], "the projection was trained"
    told = kept["frozen"]["encoder.backbone"]
    assert told["name"] == encoder
    assert len(told["sha256"]) == 64
    again = progress(encoder, tmp_path / "saved")
    assert np.array_equal(again.estimate_episode(SHOWN[0]).progress, model.estimate_episode(SHOWN[0]).progress)
    model_bytes = sum(v.untyped_storage().nbytes() for v in model.net.encoder.backbone.state_dict().values())  # type: ignore[union-attr]
    assert saved_bytes(tmp_path / "saved") < model_bytes


def test_other_weights_under_the_same_name_are_refused(encoder: str, tmp_path: Path) -> None:
    progress(encoder).save(tmp_path / "saved")
    write_checkpoint(tmp_path / "clip.safetensors", 2)
    with pytest.raises(UserError, match="are not those that this reward model was fitted with"):
        progress(encoder, tmp_path / "saved")


def test_another_encoder_is_refused_by_name(encoder: str, tmp_path: Path) -> None:
    progress(encoder).save(tmp_path / "saved")
    other = write_checkpoint(tmp_path / "other.safetensors", 1)
    with pytest.raises(UserError, match=r"was fitted with encoder=open_clip:tiny_clip/.*clip\.safetensors"):
        progress(other, tmp_path / "saved")


def test_weights_that_are_gone_are_said(encoder: str, tmp_path: Path) -> None:
    progress(encoder).save(tmp_path / "saved")
    (tmp_path / "clip.safetensors").unlink()
    with pytest.raises(UserError, match="could not be loaded"):
        progress(encoder, tmp_path / "saved")


def test_a_classifier_on_it_saves_no_backbone_either(encoder: str, tmp_path: Path) -> None:
    model = SuccessClassifier(["front"], 1, encoder, **QUICK)
    model.fit(SHOWN, FAILED, 0)
    model.save(tmp_path / "saved")
    kept = load_state(tmp_path / "saved", "success_classifier")["model"]
    assert not [name for name in kept["net"] if "backbone" in name]
    again = SuccessClassifier(["front"], 1, encoder, **QUICK)
    again.load(tmp_path / "saved")
    assert np.array_equal(again.estimate_episode(SHOWN[0]).success, model.estimate_episode(SHOWN[0]).success)


def test_random_weights_are_stored(tmp_path: Path) -> None:
    pytest.importorskip("timm")
    model = progress("timm:test_resnet/random")
    model.save(tmp_path / "saved")
    kept = load_state(tmp_path / "saved", "reward_model")
    assert kept["frozen"] == {}
    assert [name for name in kept["net"] if "backbone" in name]


def older_folder(model: ProgressModel, folder: Path) -> None:
    """As this was saved before: all weights, no hash."""
    state = {key: value for key, value in model.state().items() if key != "frozen"}
    save_state(folder, "reward_model", state | {"net": model.net.state_dict()})


def test_an_older_folder_loads_and_is_saved_anew_without_the_backbone(encoder: str, tmp_path: Path) -> None:
    model = progress(encoder)
    older_folder(model, tmp_path / "older")
    loaded = progress(encoder, tmp_path / "older")
    assert np.array_equal(loaded.estimate_episode(SHOWN[0]).progress, model.estimate_episode(SHOWN[0]).progress)
    loaded.save(tmp_path / "anew")
    assert load_state(tmp_path / "anew", "reward_model")["frozen"]


def test_an_older_folder_keeps_weights_that_its_name_no_longer_gives(encoder: str, tmp_path: Path) -> None:
    model = progress(encoder)
    older_folder(model, tmp_path / "older")
    write_checkpoint(tmp_path / "clip.safetensors", 2)
    loaded = progress(encoder, tmp_path / "older")
    loaded.save(tmp_path / "anew")
    assert load_state(tmp_path / "anew", "reward_model")["frozen"] == {}
    again = progress(encoder, tmp_path / "anew")
    assert np.array_equal(again.estimate_episode(SHOWN[0]).progress, model.estimate_episode(SHOWN[0]).progress)


def test_perceptual_refuses_other_weights_and_takes_older_folders(encoder: str, tmp_path: Path) -> None:
    def made() -> PerceptualModel:
        return PerceptualModel(["front"], encoder, 1, grid=1, segments=2)

    model = made()
    model.fit(SHOWN, FAILED, 0)
    model.save(tmp_path / "saved")
    made().load(tmp_path / "saved")
    state = load_state(tmp_path / "saved", "perceptual")
    write_checkpoint(tmp_path / "clip.safetensors", 2)
    with pytest.raises(UserError, match="are not those that this reward model was fitted with"):
        made().load(tmp_path / "saved")
    del state["belongs"]["sha256"]
    save_state(tmp_path / "older", "perceptual", state)
    made().load(tmp_path / "older")


def test_goal_clip_refuses_other_weights(encoder: str, tmp_path: Path) -> None:
    def made() -> FittedGoalClip:
        model = goal_clip(["front"], str(TINY), encoder.partition("/")[2], ["a square on the right"], ["a square"])
        assert isinstance(model, FittedGoalClip)
        return model

    model = made()
    model.fit(SHOWN, FAILED, 0)
    model.save(tmp_path / "saved")
    made().load(tmp_path / "saved")
    write_checkpoint(tmp_path / "clip.safetensors", 2)
    with pytest.raises(UserError, match="are not those that this reward model was fitted with"):
        made().load(tmp_path / "saved")


def test_a_fingerprint_tells_values_names_and_types_apart() -> None:
    net = torch.nn.Linear(3, 2)
    first = fingerprint(net)
    assert first == fingerprint(net)
    assert first != fingerprint(torch.nn.Linear(3, 2))
    assert first != fingerprint(torch.nn.Sequential(net))
    assert first != fingerprint(net.double())


@pytest.mark.parametrize("damage", ["a weight", "the record"])
def test_damaged_folders_are_refused(encoder: str, tmp_path: Path, damage: str) -> None:
    model = progress(encoder)
    state = model.state()
    if damage == "a weight":
        state["net"]["encoder.head.0.bias"][0] = np.nan
    else:
        state["frozen"] = {"encoder.backbone": {"name": encoder}}
    save_state(tmp_path / "saved", "reward_model", state)
    with pytest.raises(UserError, match="not finite" if damage == "a weight" else "it is damaged"):
        progress(encoder, tmp_path / "saved")
