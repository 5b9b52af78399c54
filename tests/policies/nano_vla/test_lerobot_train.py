"""LeRobot's own trainer trains nano_vla through the plug-in, and robo-reward acts with what it wrote."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

from robo_reward.contract_tests import moving_square
from robo_reward.contracts import Observation
from robo_reward.data.datasets import write_dataset
from robo_reward.policies.vla.recipe import PolicyRecipe
from robo_reward.policies.vla.training_data import facts_of_dataset

NAME = "lerobot_policy_robo_reward"
SOURCE = Path(__file__).resolve().parents[3] / "plugins" / NAME


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


def test_lerobot_train_trains_nano_vla(installed: Path, tmp_path: Path) -> None:
    pytest.importorskip("accelerate")
    write_dataset([moving_square(k, 8, ("front", "top"), size=32) for k in range(2)], tmp_path / "data", images=True)
    words = [f"--dataset.root={tmp_path / 'data'}", "--dataset.repo_id=local/data", "--policy.type=nano_vla"]
    words += ["--policy.device=cpu", "--policy.push_to_hub=false", "--policy.chunk_size=4", "--policy.n_action_steps=2"]
    words += ["--policy.image_size=16", "--policy.channels=8", "--policy.crop={front: [0.0, 0.5, 0.0, 1.0]}"]
    words += ["--steps=2", "--batch_size=4", "--num_workers=0", "--save_freq=2", "--env_eval_freq=0"]
    program = [str(Path(sys.executable).with_name("lerobot-train")), *words, f"--output_dir={tmp_path / 'out'}"]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(installed)}
    done = subprocess.run(program, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    checkpoint = tmp_path / "out/checkpoints/000002/pretrained_model"
    policy = PolicyRecipe(path=str(checkpoint)).build(facts_of_dataset(str(tmp_path / "data"), tuple))
    assert (policy.config.type, policy.config.crop) == ("nano_vla", {"front": [0.0, 0.5, 0.0, 1.0]})
    views = {view: np.zeros((2, 32, 32, 3), np.uint8) for view in ("front", "top")}
    action = policy.act(Observation(views, np.zeros((2, 2), np.float32), ("go right", "go left")))
    assert action.shape == (2, 1, 1)
    assert np.isfinite(action).all()
