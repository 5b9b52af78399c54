"""Ours inside LeRobot: its own command lines find the plug-in, train with it, and robo-reward reads the result."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from robo_reward.build import load_reward_model
from robo_reward.contract_tests import check_estimates, moving_square
from robo_reward.data.datasets import write_dataset
from robo_reward.errors import UserError
from robo_reward.reward_models.lerobot_bridge.frame_labels import FrameLabels
from robo_reward.reward_models.lerobot_bridge.lerobot_reward import LeRobotReward
from robo_reward.reward_models.lerobot_bridge.progress_plugin import ProgressConfig, ProgressRewardModel
from robo_reward.reward_models.lerobot_bridge.saved_plugin import RoboRewardConfig, RoboRewardRewardModel

NAME = "lerobot_policy_robo_reward"
SOURCE = Path(__file__).resolve().parents[2] / "plugins" / NAME
VIEWS = ("front", "top")
STEPS = 24


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The plug-in as an installer leaves it: the module and its metadata, in a folder for PYTHONPATH."""
    folder = tmp_path_factory.mktemp("site")
    project = tomllib.loads((SOURCE / "pyproject.toml").read_text())["project"]
    shutil.copy(SOURCE / f"{NAME}.py", folder)
    info = folder / f"{NAME}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    return folder


def lerobot_train(installed: Path, words: list[str]) -> subprocess.CompletedProcess[str]:
    program = [str(Path(sys.executable).with_name("lerobot-train")), *words]
    offline = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(installed)}
    return subprocess.run(program, env=os.environ | offline, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def trained(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pretrained_model folder that lerobot-train wrote after some steps on four demonstrations."""
    pytest.importorskip("accelerate")
    folder = tmp_path_factory.mktemp("lerobot")
    write_dataset([moving_square(k, STEPS, VIEWS) for k in range(4)], folder / "data", images=True)
    words = [f"--dataset.root={folder / 'data'}", "--dataset.repo_id=local/data", "--reward_model.type=progress"]
    words += ["--reward_model.device=cpu", "--steps=60", "--batch_size=16", "--num_workers=0", "--save_freq=60"]
    done = lerobot_train(installed, [*words, f"--output_dir={folder / 'out'}"])
    assert done.returncode == 0, done.stderr[-3000:]
    return folder / "out" / "checkpoints" / "000060" / "pretrained_model"


def test_the_distribution_has_the_name_that_lerobot_looks_for() -> None:
    told = tomllib.loads((SOURCE / "pyproject.toml").read_text())
    assert told["project"]["name"] == NAME == told["tool"]["setuptools"]["py-modules"][0]
    assert (SOURCE / f"{NAME}.py").is_file()
    main = tomllib.loads((SOURCE.parents[1] / "pyproject.toml").read_text())["project"]
    assert told["project"]["dependencies"] == [f"robo-reward=={main['version']}"]


def test_lerobot_train_trains_what_robo_reward_reads(trained: Path) -> None:
    model = load_reward_model(trained)
    assert model.needs.views == VIEWS
    episode = moving_square(50, STEPS, VIEWS)
    check_estimates(model, episode)
    seen = model.estimate_episode(episode)
    assert seen.progress[-1] - seen.progress[0] > 0.3, "it has learned the direction of time"
    assert seen.success[-1] > seen.success[0] + 0.3, "its detector was fitted too"


def test_lerobots_own_files_give_the_same_network(trained: Path) -> None:
    """Through LeRobot's factory and processors, the reward is the network's absolute progress."""
    episode = moving_square(51, STEPS, VIEWS)
    wrapped = LeRobotReward(str(trained)).estimate_episode(episode)
    native: Any = load_reward_model(trained)
    with torch.no_grad():
        z = native.embed(episode)
        task = FrameLabels.tasks_of({"task": episode.task}, len(z))
        expected = native.net.progress(z, task).mean(0).numpy()
    assert np.allclose(wrapped.progress, expected, atol=1e-5)


def test_any_saved_model_is_a_lerobot_reward(trained: Path, tmp_path: Path) -> None:
    model = RoboRewardRewardModel(RoboRewardConfig(folder=str(trained), device="cpu"))
    episode = moving_square(52, STEPS, VIEWS)
    shown = {f"observation.images.{v}": torch.tensor(episode.frames[v]).movedim(-1, 1)[None] / 255 for v in VIEWS}
    batch = {**shown, "observation.state": torch.from_numpy(episode.state)[None], "task": [episode.task]}
    expected = load_reward_model(trained).estimate_episode(episode).progress
    assert model.compute_reward(batch).tolist() == pytest.approx([expected[-1]], abs=1e-5), "a clip at its end"
    single = {k: v[:, 0] for k, v in batch.items() if isinstance(v, torch.Tensor)} | {"task": [episode.task]}
    assert model.compute_reward(single).tolist() == pytest.approx([expected[0]], abs=1e-5), "a frame as a first one"
    model.save_pretrained(tmp_path / "saved")
    again = RoboRewardRewardModel.from_pretrained(tmp_path / "saved")
    assert torch.equal(again.compute_reward(batch), model.compute_reward(batch))
    assert not model.is_trainable
    with pytest.raises(UserError, match="unknown view of the batch 'top'"):
        model.compute_reward({k: v for k, v in batch.items() if not k.endswith("top")})


def meta(**changes: Any) -> Any:
    """What the plug-in reads of LeRobot's dataset metadata: two episodes of 5 and 3 frames, two tasks."""
    pixels = {"shape": (48, 48, 3), "names": ["height", "width", "channels"]}
    held = {
        "episodes": {"dataset_from_index": [0, 5], "dataset_to_index": [5, 8]},
        "tasks": SimpleNamespace(index=["go left", "go right"]),
        "camera_keys": ["observation.images.front"],
        "features": {"observation.images.front": pixels, "observation.state": {"shape": (2,)}},
    }
    return SimpleNamespace(**(held | changes))


def test_labels_follow_from_the_place_in_time() -> None:
    batch = {"index": torch.tensor([0, 1, 4, 6]), "episode_index": torch.tensor([0, 0, 0, 1]), "task": ["go left"] * 4}
    frames, partner = FrameLabels.of(meta()).label(batch, torch.zeros(4, 2), 0.0)
    assert frames.progress[:4].tolist() == [0, 0.25, 1, 0.5]
    assert frames.success[:3].tolist() == [0, 0, 1]
    assert frames.success[3].isnan(), "half-way nothing is said of success"
    assert partner[3] == 3, "a frame alone in its episode is its own partner"
    assert all(partner[k] != k and partner[k] < 3 for k in range(3))
    assert frames.progress[4:].tolist() == frames.progress[partner].tolist()


def test_a_wrong_instruction_is_worth_nothing() -> None:
    batch = {"index": torch.tensor([4, 3]), "episode_index": torch.tensor([0, 0]), "task": ["go left"] * 2}
    right, _ = FrameLabels.of(meta()).label(batch, torch.zeros(2, 2), 0.0)
    wrong, _ = FrameLabels.of(meta()).label(batch, torch.zeros(2, 2), 1.0)
    assert not wrong.progress.any()
    assert not wrong.success.any()
    assert (wrong.task != right.task).any(1).all()


def test_instructions_of_a_dataset_must_differ_in_more_than_the_order_of_words() -> None:
    batch = {"index": torch.tensor([4, 3]), "episode_index": torch.tensor([0, 0]), "task": ["打开抽屉"] * 2}
    spoken = meta(tasks=SimpleNamespace(index=["打开抽屉", "关上抽屉"]))
    wrong, _ = FrameLabels.of(spoken).label(batch, torch.zeros(2, 2), 1.0)
    assert not wrong.progress.any()
    with pytest.raises(UserError, match="'left of right' and 'right of left' cannot be told apart"):
        FrameLabels.of(meta(tasks=SimpleNamespace(index=["left of right", "right of left"])))


def test_what_the_plugin_refuses() -> None:
    with pytest.raises(UserError, match="no view"):
        ProgressRewardModel(ProgressConfig(views=["wrist"], device="cpu"), dataset_meta=meta())
    with pytest.raises(UserError, match="encoder=state"):
        ProgressRewardModel(ProgressConfig(device="cpu"), dataset_meta=meta(camera_keys=[]))
    with pytest.raises(UserError, match="episode 1 of the dataset has one frame"):
        short = {"dataset_from_index": [0, 5], "dataset_to_index": [5, 6]}
        ProgressRewardModel(ProgressConfig(device="cpu"), dataset_meta=meta(episodes=short))
    with pytest.raises(UserError, match="learns its sizes"):
        ProgressRewardModel(ProgressConfig(device="cpu"))
    model = ProgressRewardModel(ProgressConfig(device="cpu"), dataset_meta=meta())
    with pytest.raises(UserError, match=r"reads view\(s\) \['front'\], the batch has \[\]"):
        model.compute_reward({"task": "go left"})
    with pytest.raises(UserError, match="instructions that are not empty"):
        model.compute_reward({"observation.images.front": torch.zeros(1, 3, 48, 48), "task": [" "]})
    with pytest.raises(UserError, match=r"needs --reward_model\.folder"):
        RoboRewardRewardModel(RoboRewardConfig(device="cpu"))
