"""LeRobot's own evaluation loop acts with our saved policies on its own LIBERO environment, and as ours does."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from robo_reward.data.datasets import write_dataset
from robo_reward.policies.vla.features import DataFacts
from robo_reward.policies.vla.lerobot_policy import load_lerobot_policy
from robo_reward.policies.vla.recipe import PolicyRecipe
from robo_reward.policies.vla.training_data import facts_of_dataset
from robo_reward.trace import Trace

NAME = "lerobot_policy_robo_reward"
SOURCE = Path(__file__).resolve().parents[3] / "plugins" / NAME / f"{NAME}.py"
Actions = NDArray[np.float32]
SIZE, STEPS, TASK = 64, 20, 6
NANO: dict[str, Any] = {
    "channels": 8, "keypoints": 8, "hidden_dim": 64, "image_size": 32, "chunk_size": 8, "n_action_steps": 5,
    "head": "regression",
}  # fmt: skip
STATE = [-0.05, 0.0, 1.1, 3.1, 0.0, 0.0, 0.02, -0.02]


@pytest.fixture(scope="module")
def assets() -> str:
    pytest.importorskip("robosuite", reason="LIBERO is not installed: pip install 'robo-reward[libero]'")
    folder = os.environ.get("ROBO_REWARD_LIBERO_ASSETS")
    if not folder:
        pytest.skip("LIBERO's assets are needed: set ROBO_REWARD_LIBERO_ASSETS")
    return folder


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained policy that says the same of the same pictures, state and words: it draws nothing."""
    torch.manual_seed(3)
    stats: dict[str, Any] = {
        "observation.state": {"mean": np.array(STATE, np.float32), "std": np.full(8, 0.05, np.float32)},
        "action": {"mean": np.zeros(7, np.float32), "std": np.full(7, 2.0, np.float32)},
    }
    facts = DataFacts("libero", {"image": (SIZE, SIZE), "image2": (SIZE, SIZE)}, 8, 7, stats)
    bound = np.ones(7, np.float32)
    folder = tmp_path_factory.mktemp("policy")
    PolicyRecipe("nano_vla", **NANO).build(facts, -bound, bound).save(folder)
    return folder


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The plug-in as an installer leaves it: the module and its metadata, in a folder for PYTHONPATH."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copy(SOURCE, folder)
    (folder / f"{NAME}-0.1.0.dist-info").mkdir()
    (folder / f"{NAME}-0.1.0.dist-info" / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {NAME}\nVersion: 0.1.0\n"
    )
    return folder


@pytest.fixture(scope="module")
def lerobots(assets: str, checkpoint: Path) -> Actions:
    """The actions of LeRobot's ``rollout`` in its own environment, (T, 7). It is closed before ours draws."""
    from robo_reward.envs.libero.for_lerobot import prepare

    prepare()
    from lerobot.configs import PreTrainedConfig
    from lerobot.envs import make_env, make_env_pre_post_processors
    from lerobot.envs.configs import LiberoEnv
    from lerobot.policies import make_policy, make_pre_post_processors
    from lerobot.scripts.lerobot_eval import rollout

    where = str(checkpoint / "pretrained_model")
    config = PreTrainedConfig.from_pretrained(where)
    config.pretrained_path = Path(where)
    about = LiberoEnv(
        task="libero_object", task_ids=[TASK], observation_height=SIZE, observation_width=SIZE, episode_length=STEPS
    )
    made = make_env(about, n_envs=1, use_async_envs=False)["libero_object"][TASK]
    policy = make_policy(cfg=config, env_cfg=about)
    policy.eval()
    ways = make_env_pre_post_processors(env_cfg=about, policy_cfg=config)
    with torch.no_grad():
        played = rollout(made, policy, *ways, *make_pre_post_processors(config, where), seeds=[1000])
    made.close()
    return np.asarray(played["action"][0].numpy(), np.float32)


def test_both_loops_act_alike(lerobots: Actions, checkpoint: Path) -> None:
    from robo_reward.envs.libero.world import make_world

    policy = load_lerobot_policy(checkpoint)
    size: dict[str, Any] = {"height": SIZE, "width": SIZE, "profile": "pretty", "horizon": STEPS + 1}
    world = make_world("libero_object", TASK, 1, starts="shipped", **size)
    shown = world.reset(1)
    ours = []
    for _ in range(STEPS):
        ours.append(policy.act(shown)[0, 0])
        world.step(ours[-1][None])
        shown = world.observe()
    world.close()
    # LeRobot does not clip: its environment does
    # a picture's last bits may differ between the loops; an untrained network with sharp questions makes .003 of it,
    # no more after twenty steps than after one
    off = np.abs(np.clip(lerobots, -1, 1) - ours)
    assert off.max() < 4e-3
    assert off.mean() < 1e-3
    assert np.ptp(lerobots, axis=0).max() > 0.2  # it says different things of different sights
    assert len(np.unique(lerobots[:, 0])) == STEPS


def test_lerobots_programs_take_our_policy(assets: str, installed: Path, checkpoint: Path, tmp_path: Path) -> None:
    """lerobot-train adapts our checkpoint (LoRA), lerobot-eval acts with the adapters; ours reads them, too.

    The home is empty, nobody is at the terminal, environments run in workers; no file stays in the home.
    """
    home = tmp_path / "home"
    home.mkdir()
    environment = {k: v for k, v in os.environ.items() if k != "LIBERO_CONFIG_PATH"} | {
        "HOME": str(home), "TMPDIR": str(tmp_path), "PYTHONPATH": str(installed), "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    ours = checkpoint / "pretrained_model"
    write_dataset([_noise(seed) for seed in range(2)], tmp_path / "data", images=True)
    words = [f"--dataset.root={tmp_path / 'data'}", "--dataset.repo_id=local/data", f"--policy.path={ours}"]
    words += ["--policy.device=cpu", "--policy.push_to_hub=false", "--peft.method_type=LORA", "--peft.r=2"]
    words += ["--steps=2", "--batch_size=4", "--num_workers=0", "--save_freq=2", "--env_eval_freq=0"]
    _run("lerobot-train", [*words, f"--output_dir={tmp_path / 'lora'}"], environment)
    adapted = tmp_path / "lora/checkpoints/last/pretrained_model"
    assert (adapted / "adapter_model.safetensors").is_file()
    words = [f"--policy.path={adapted}", "--policy.device=cpu"]
    words += ["--env.type=libero", "--env.task=libero_object", f"--env.task_ids=[{TASK}]", "--env.episode_length=3"]
    words += [f"--env.observation_height={SIZE}", f"--env.observation_width={SIZE}"]
    words += ["--eval.n_episodes=2", "--eval.batch_size=2", f"--output_dir={tmp_path / 'out'}"]
    _run("lerobot-eval", words, environment)
    told = json.loads((tmp_path / "out" / "eval_info.json").read_text())
    assert told["overall"]["n_episodes"] == 2
    assert not (home / ".libero").exists()
    assert not list(tmp_path.glob("robo-reward-libero-*")), "the configuration lives as long as the program"
    policy = PolicyRecipe(path=str(adapted)).build(facts_of_dataset(str(tmp_path / "data"), tuple))
    before = load_lerobot_policy(checkpoint).policy.state_dict()
    changed = {name for name, value in policy.policy.state_dict().items() if not torch.equal(value, before[name])}
    assert "trunk.0.weight" in changed
    assert set(before) == set(policy.policy.state_dict()), "adapters are merged"


def _run(name: str, words: list[str], environment: dict[str, str]) -> None:
    program = [str(Path(sys.executable).with_name(name)), *words]
    done = subprocess.run(
        program, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=400, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]


def _noise(seed: int, steps: int = 8) -> Trace:
    rng = np.random.default_rng(seed)
    pictures = rng.integers(0, 255, (2, steps + 1, SIZE, SIZE, 3)).astype(np.uint8)
    return Trace(
        task="pick up the butter and place it in the basket",
        state=rng.normal(size=(steps + 1, 8)).astype(np.float32),
        action=rng.uniform(-1, 1, (steps, 7)).astype(np.float32),
        frames=dict(zip(("image", "image2"), pictures, strict=True)),
        frame_steps=np.arange(steps + 1),
        fps=20.0,
        source="demonstration",
        terminated=False,
        truncated=True,
    )
