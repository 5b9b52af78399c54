"""LeRobot's reward models behind our contract: the same numbers as LeRobot's own, and clear refusals."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from robo_reward import contract_tests as contract
from robo_reward.contract_tests import moving_square
from robo_reward.contracts import RewardModel
from robo_reward.errors import UserError
from robo_reward.reward_models.lerobot_bridge.lerobot_reward import LeRobotReward
from robo_reward.reward_models.lerobot_bridge.samples import keys_of_views, prefix_batch, to_pictures, window_batch

sys.path.append(str(Path(__file__).parent))
from tiny_lerobot import STATS, tiny_classifier


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return tiny_classifier(tmp_path_factory.mktemp("classifier"))


def test_the_classifier_says_what_lerobot_says(classifier: Path) -> None:
    """Normalised by the saved statistics, then LeRobot's own predict."""
    from lerobot.rewards.classifier.modeling_classifier import Classifier

    episode = moving_square(0, 8)
    seen = LeRobotReward(str(classifier), views=["front"], batch=4).estimate_episode(episode)
    key = "observation.images.front"
    pictures = (to_pictures(episode.frames["front"]) - STATS[key]["mean"]) / (STATS[key]["std"] + 1e-8)
    model = Classifier.from_pretrained(classifier).eval()
    with torch.no_grad():
        said = model.predict([pictures]).probabilities
    assert said is not None
    expected = said.numpy()
    assert np.allclose(seen.success, expected, atol=1e-6)
    assert np.allclose(seen.gain[1:], np.diff(expected), atol=1e-6)
    assert expected.std() > 0, "frames are told apart, so the comparison says something"


def test_the_classifier_keeps_the_contract(classifier: Path) -> None:
    model = LeRobotReward(str(classifier))
    assert isinstance(model, RewardModel)
    assert model.needs.views == ("front",)
    episodes = [moving_square(k, 10, source="policy") for k in range(3)]
    contract.check_estimates(model, episodes[0])
    contract.check_steps_agree(model, episodes)
    contract.check_reset_isolation(model, *episodes)


@pytest.mark.parametrize(("cnn", "classes", "size"), [(True, 2, 64), (False, 3, 48)])
def test_other_classifiers(cnn: bool, classes: int, size: int, tmp_path: Path) -> None:
    """A convolutional one; and one of several classes, whose expected class is the progress."""
    model = LeRobotReward(str(tiny_classifier(tmp_path, cnn, classes, size)), type="reward_classifier")
    assert isinstance(model, RewardModel)
    contract.check_estimates(model, moving_square(1, 6, size=size))


def broken(source: Path, folder: Path, **changes: Any) -> Path:
    shutil.copytree(source, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))
    return folder


def test_what_cannot_be_loaded(classifier: Path, tmp_path: Path) -> None:
    episode = moving_square(0, 4)
    pickled = broken(classifier, tmp_path / "pickled")
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    with pytest.raises(UserError, match=r"no model.safetensors; 'pytorch_model.bin' is pickled"):
        LeRobotReward(str(pickled)).estimate_episode(episode)
    with pytest.raises(UserError, match=r"Known: .*sarm"):
        _ = LeRobotReward(str(broken(classifier, tmp_path / "unknown", type="sram"))).needs
    with pytest.raises(UserError, match=r"reward_model.type=sarm was asked for"):
        _ = LeRobotReward(str(classifier), type="sarm").needs
    with pytest.raises(UserError, match=r"no config\.json"):
        _ = LeRobotReward(str(tmp_path)).needs
    foreign = broken(classifier, tmp_path / "foreign", model_name="somebody/encoder")
    with pytest.raises(UserError, match="trust_remote_code=true"):
        LeRobotReward(str(foreign)).estimate_episode(episode)
    with pytest.raises(UserError, match="could not load the reward_classifier"):
        LeRobotReward(str(foreign), trust_remote_code=True).estimate_episode(episode)
    bare = broken(classifier, tmp_path / "bare")
    for path in bare.glob("*normalizer*"):
        path.unlink()
    with pytest.raises(UserError, match=r"reward_model.stats=DATASET"):
        LeRobotReward(str(bare)).estimate_episode(episode)
    (bare / "meta").mkdir()
    stats = {key: {name: value.tolist() for name, value in held.items()} for key, held in STATS.items()}
    (bare / "meta" / "stats.json").write_text(json.dumps(stats))
    given = LeRobotReward(str(bare), stats=str(bare)).estimate_episode(episode)
    assert np.array_equal(given.success, LeRobotReward(str(classifier)).estimate_episode(episode).success)


def test_what_it_cannot_read(classifier: Path) -> None:
    with pytest.raises(UserError, match=r"reads 1 camera\(s\) \(observation.images.front\), views names 2"):
        _ = LeRobotReward(str(classifier), views=["front", "top"]).needs
    with pytest.raises(UserError, match=r"reads view\(s\) \['front'\], the episode has \['top'\]"):
        LeRobotReward(str(classifier)).estimate_episode(moving_square(0, 4, ("top",)))
    with pytest.raises(UserError, match=r"needs reward_model.pretrained"):
        LeRobotReward(None)


def test_a_hub_id_that_cannot_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="no reward model that LeRobot can read"):
        _ = LeRobotReward("nobody/nothing").needs


def test_cameras_by_name_or_in_order() -> None:
    config = SimpleNamespace(
        observation_delta_indices=None, type="x", input_features={f"observation.images.{v}": 0 for v in ("a", "b")}
    )
    assert keys_of_views(config, ["b", "a"]) == {"b": "observation.images.b", "a": "observation.images.a"}
    assert keys_of_views(config, ["left", "right"]) == {"left": "observation.images.a", "right": "observation.images.b"}


def test_windows_and_prefixes() -> None:
    """Windows stay inside the episode; a prefix spans from the first frame to the asked one."""
    trace = moving_square(0, 12).every(3)  # kept: 0, 3, 6, 9, 12
    config = SimpleNamespace(observation_delta_indices=[-6, 0, 6], max_frames=3)
    pictures = to_pictures(trace.frames["front"])
    window = window_batch(trace, [0, 3], {"front": "image"}, config)
    assert torch.equal(window["image"], pictures[torch.tensor([[0, 0, 2], [1, 3, 4]])])
    assert window["observation.state"].shape == (2, 3, 2)
    prefix = prefix_batch(trace, [0, 4], {"front": "image"}, config)
    assert torch.equal(prefix["image"], pictures[torch.tensor([[0, 0, 0], [0, 2, 4]])])


def test_sarm_through_its_own_transformers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SARM's real model and encoding step; only CLIP, which it downloads by a fixed name, is a small random one."""
    pytest.importorskip("faker")
    from lerobot.rewards.sarm import processor_sarm
    from lerobot.rewards.sarm.configuration_sarm import SARMConfig
    from lerobot.rewards.sarm.modeling_sarm import SARMRewardModel

    class Clip(torch.nn.Module):
        def get_image_features(self, pixels: torch.Tensor) -> torch.Tensor:
            return pixels.flatten(1)[:, :: pixels[0].numel() // 16][:, :16]

        def get_text_features(self, ids: torch.Tensor) -> torch.Tensor:
            return ids.float().expand(1, 16)

    class Pixels:
        def tokenizer(self, texts: list[str], **_: Any) -> dict[str, torch.Tensor]:
            return {"ids": torch.tensor([[float(len(texts[0]))]])}

        def __call__(self, images: list[Any], **_: Any) -> dict[str, torch.Tensor]:
            return {"pixels": torch.stack([torch.tensor(np.asarray(i)).float() / 255 for i in images])}

    for name, fake in (("CLIPModel", Clip), ("CLIPProcessor", Pixels)):
        monkeypatch.setattr(processor_sarm, name, SimpleNamespace(from_pretrained=lambda *_, made=fake, **__: made()))
    torch.manual_seed(0)
    config = SARMConfig(
        n_obs_steps=4,
        frame_gap=2,
        max_rewind_steps=1,
        device="cpu",
        image_dim=16,
        text_dim=16,
        hidden_dim=24,
        num_heads=2,
        num_layers=1,
        max_state_dim=4,
    )
    model = SARMRewardModel(config)
    model.save_pretrained(tmp_path)
    stats = {"observation.state": {"mean": torch.zeros(2), "std": torch.ones(2)}}
    (tmp_path / "meta").mkdir()
    held = {key: {name: value.tolist() for name, value in one.items()} for key, one in stats.items()}
    (tmp_path / "meta" / "stats.json").write_text(json.dumps(held))
    priced = LeRobotReward(str(tmp_path), views=["front"], stats=str(tmp_path), batch=5)
    assert isinstance(priced, RewardModel)
    assert priced.needs.episode
    contract.check_estimates(priced, moving_square(0, 12))
    assert priced.estimate_episode(moving_square(0, 12)).progress.std() > 0
    with pytest.raises(UserError, match="whole episodes"):
        contract.check_steps_agree(priced, [moving_square(0, 4)])
