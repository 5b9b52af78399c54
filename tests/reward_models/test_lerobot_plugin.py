"""Ours inside LeRobot: its own command lines find the plug-in, train with it, and robo-reward reads the result."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from lerobot.datasets import LeRobotDataset

from robo_reward.build import load_reward_model
from robo_reward.contract_tests import check_estimates, moving_square
from robo_reward.data.datasets import read_dataset, write_dataset
from robo_reward.errors import UserError
from robo_reward.fitting.episodes import Episode
from robo_reward.reward_models.lerobot_bridge import remembering
from robo_reward.reward_models.lerobot_bridge.frame_labels import FrameLabels
from robo_reward.reward_models.lerobot_bridge.lerobot_reward import LeRobotReward
from robo_reward.reward_models.lerobot_bridge.progress_plugin import ProgressConfig, ProgressRewardModel
from robo_reward.reward_models.lerobot_bridge.saved_plugin import RoboRewardConfig, RoboRewardRewardModel
from robo_reward.trace import Trace
from robo_reward.verbs.audit import fitted_on

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
    found = os.pathsep.join([str(installed), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    offline = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": found}
    return subprocess.run(program, env=os.environ | offline, capture_output=True, text=True, check=False)


def failure(seed: int) -> Trace:
    """An episode that is said to succeed nowhere."""
    return replace(moving_square(seed, STEPS, VIEWS), success=np.zeros(STEPS + 1, bool))


@pytest.fixture(scope="module")
def trained(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pretrained_model folder that lerobot-train wrote after some steps on four demonstrations of five episodes."""
    pytest.importorskip("accelerate")
    folder = tmp_path_factory.mktemp("lerobot")
    write_dataset([failure(9), *(moving_square(k, STEPS, VIEWS) for k in range(4))], folder / "data", images=True)
    words = ["--dataset.episodes=[1,2,3,4]"]
    words += [f"--dataset.root={folder / 'data'}", "--dataset.repo_id=local/data", "--reward_model.type=progress"]
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
    split = json.loads((trained / "split.json").read_text())["demonstrations"]
    assert [row["number"] for row in split["fitted"]] == [1, 2, 3, 4], "what --dataset.episodes chose"


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
    """What the plug-in reads of LeRobot's dataset metadata: two episodes of 5 and 3 frames."""
    pixels = {"shape": (48, 48, 3), "names": ["height", "width", "channels"]}
    held = {
        "episodes": {"dataset_from_index": [0, 5], "dataset_to_index": [5, 8]},
        "total_episodes": 2,
        "camera_keys": ["observation.images.front"],
        "features": {"observation.images.front": pixels, "observation.state": {"shape": (2,)}},
    }
    return SimpleNamespace(**(held | changes))


def labels(*tasks: str) -> FrameLabels:
    return FrameLabels.of(meta(), tasks or ("go left", "go right"))


def test_labels_follow_from_the_place_in_time() -> None:
    batch = {"index": torch.tensor([0, 1, 4, 6]), "episode_index": torch.tensor([0, 0, 0, 1]), "task": ["go left"] * 4}
    frames, partner = labels().label(batch, torch.zeros(4, 2), 0.0)
    assert frames.progress[:4].tolist() == [0, 0.25, 1, 0.5]
    assert frames.success[:3].tolist() == [0, 0, 1]
    assert frames.success[3].isnan(), "half-way nothing is said of success"
    assert partner[3] == 3, "a frame alone in its episode is its own partner"
    assert all(partner[k] != k and partner[k] < 3 for k in range(3))
    assert frames.progress[4:].tolist() == frames.progress[partner].tolist()


def test_a_wrong_instruction_is_worth_nothing() -> None:
    batch = {"index": torch.tensor([4, 3]), "episode_index": torch.tensor([0, 0]), "task": ["go left"] * 2}
    right, _ = labels().label(batch, torch.zeros(2, 2), 0.0)
    wrong, _ = labels().label(batch, torch.zeros(2, 2), 1.0)
    assert not wrong.progress.any()
    assert not wrong.success.any()
    assert (wrong.task != right.task).any(1).all()


def test_instructions_of_a_dataset_must_differ_in_more_than_the_order_of_words() -> None:
    batch = {"index": torch.tensor([4, 3]), "episode_index": torch.tensor([0, 0]), "task": ["打开抽屉"] * 2}
    wrong, _ = labels("打开抽屉", "关上抽屉").label(batch, torch.zeros(2, 2), 1.0)
    assert not wrong.progress.any()
    with pytest.raises(UserError, match="'left of right' and 'right of left' cannot be told apart"):
        labels("left of right", "right of left")


@pytest.fixture(scope="module")
def failing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four episodes, the third of which fails."""
    folder = tmp_path_factory.mktemp("failing") / "data"
    write_dataset([failure(k) if k == 2 else moving_square(k, STEPS, VIEWS) for k in range(4)], folder, images=True)
    return folder


def built(root: Path, episodes: list[int] | None = None) -> ProgressRewardModel:
    """The model as LeRobot's trainer builds it: from the metadata of a dataset that it holds."""
    held = LeRobotDataset("local/data", root=root, episodes=episodes)
    return ProgressRewardModel(ProgressConfig(references=2, members=1, device="cpu"), dataset_meta=held.meta)


def test_a_failed_episode_is_refused_before_anything_is_trained(failing: Path) -> None:
    with pytest.raises(UserError, match=r"^episode 2 of .* annotated as a success .*--dataset\.episodes=\[0,1,3\]$"):
        built(failing)
    with pytest.raises(UserError, match=r"--dataset\.episodes=\[3\]$"):
        built(failing, [3, 2])


def test_excluded_episodes_enter_neither_the_memory_nor_the_split(
    failing: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = built(failing, [3, 0, 1])
    read: list[list[int]] = []

    def noted(root: Path, views: list[str], episodes: list[int]) -> list[Trace]:
        read.append(episodes)
        return read_dataset(root, views, episodes)

    monkeypatch.setattr(remembering, "read_dataset", noted)
    model.save_pretrained(tmp_path / "saved")
    assert read == [[0, 3]], "two references, from the first to the last"
    split = json.loads((tmp_path / "saved" / "split.json").read_text())["demonstrations"]
    assert [row["number"] for row in split["fitted"]] == [0, 1, 3]


def test_without_annotations_all_episodes_are_successes(tmp_path: Path) -> None:
    unsaid = [replace(moving_square(k, STEPS, VIEWS), success=None) for k in range(2)]
    write_dataset(unsaid, tmp_path / "data", images=True)
    assert [row["number"] for row in built(tmp_path / "data").trained] == [0, 1]


def test_an_audit_knows_the_episodes_that_it_was_trained_on(failing: Path, tmp_path: Path) -> None:
    built(failing, [0, 1]).save_pretrained(tmp_path / "saved")
    recorded = [Episode(trace, str(failing), k) for k, trace in enumerate(read_dataset(failing, VIEWS))]
    assert fitted_on(recorded, tmp_path / "saved") == 2
    assert fitted_on(recorded[2:], tmp_path / "saved") == 0


def test_what_the_plugin_refuses() -> None:
    with pytest.raises(UserError, match="no view"):
        ProgressRewardModel(ProgressConfig(views=["wrist"], device="cpu"), dataset_meta=meta())
    with pytest.raises(UserError, match="encoder=state"):
        ProgressRewardModel(ProgressConfig(device="cpu"), dataset_meta=meta(camera_keys=[]))
    two_short = r"episode 0 of .* is shorter than two strides of 3 \(7 frames; .*: no other .*\(so are 1 more: 1\)"
    with pytest.raises(UserError, match=two_short):
        ProgressRewardModel(ProgressConfig(device="cpu"), dataset_meta=meta())
    with pytest.raises(UserError, match="learns its sizes"):
        ProgressRewardModel(ProgressConfig(device="cpu"))
    model = ProgressRewardModel(ProgressConfig(views=["front"], height=48, width=48, states=2, device="cpu"))
    with pytest.raises(UserError, match=r"reads view\(s\) \['front'\], the batch has \[\]"):
        model.compute_reward({"task": "go left"})
    with pytest.raises(UserError, match="instructions that are not empty"):
        model.compute_reward({"observation.images.front": torch.zeros(1, 3, 48, 48), "task": [" "]})
    with pytest.raises(UserError, match=r"needs --reward_model\.folder"):
        RoboRewardRewardModel(RoboRewardConfig(device="cpu"))
