"""Several processes that train one policy: the same weights as one process, and clear refusals."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import hydra
import numpy as np
import pytest
from safetensors.numpy import load_file

from robo_reward.data.datasets import write_dataset
from robo_reward.errors import UserError
from robo_reward.ranks import Ranks, ranks_of
from robo_reward.runs.folder import RunFolder
from robo_reward.trace import Trace
from robo_reward.training import Job

LAUNCHED = {"RANK": "1", "WORLD_SIZE": "4", "MASTER_ADDR": "localhost"}
UNFELT = ("first.bias", "maps.bias")
"""Biases whose gradient a normalisation or a softmax all but removes: Adam makes steps of the rounding that is left."""


@pytest.mark.parametrize(
    ("environment", "found"),
    [
        ({}, Ranks()),
        ({"RANK": "1", "WORLD_SIZE": "4"}, Ranks()),  # a scheduler's own numbers, without a launcher's address
        (LAUNCHED, Ranks(1, 4, 1)),
        (LAUNCHED | {"LOCAL_RANK": "0"}, Ranks(1, 4, 0)),
    ],
)
def test_what_a_launcher_says(environment: dict[str, str], found: Ranks) -> None:
    assert ranks_of(environment) == found


def test_numbers_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UserError, match="RANK=4 must be below WORLD_SIZE=4"):
        ranks_of(LAUNCHED | {"RANK": "4"})


def test_the_shares_are_the_whole() -> None:
    shares = [list(Ranks(rank, 3).share(range(12))) for rank in range(3)]
    assert sorted(item for share in shares for item in share) == list(range(12))
    assert {len(share) for share in shares} == {4}


@pytest.mark.parametrize(
    ("ranks", "asked", "device"),
    [(Ranks(), "cuda", "cuda"), (Ranks(5, 8, 1), "cuda", "cuda:1"), (Ranks(1, 2, 1), "cpu", "cpu")],
)
def test_each_process_has_a_gpu_of_its_own(ranks: Ranks, asked: str, device: str) -> None:
    assert ranks.device(asked) == device


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two episodes of noise."""
    folder, rng = tmp_path_factory.mktemp("ranks") / "data", np.random.default_rng(0)
    episodes = [
        Trace(
            task="swing",
            state=rng.normal(size=(13, 4)).astype(np.float32),
            action=rng.uniform(-1, 1, (12, 1)).astype(np.float32),
            frames={"free": rng.integers(0, 255, (13, 16, 16, 3)).astype(np.uint8)},
            frame_steps=np.arange(13),
            fps=20.0,
            source="demonstration",
            places=rng.uniform(-0.3, 0.3, (13, 3)).astype(np.float32),
        )
        for _ in range(2)
    ]
    write_dataset(episodes, folder, images=True)
    return folder


def train(folder: Path, dataset: Path, processes: int, *more: str) -> subprocess.CompletedProcess[str]:
    launcher = ["-m", "torch.distributed.run", f"--nproc-per-node={processes}", "--standalone"] if processes > 1 else []
    words = ["env=gym", "env.id=InvertedPendulum-v5", "env.height=16", "env.width=16", "env.horizon=5", "learner=sft"]
    words += ["policy=nano_vla", "+policy.channels=8", "+policy.hidden_dim=32", "policy.image_size=16"]
    words += ["policy.chunk_size=1", "policy.n_action_steps=1", "policy.head=regression", "learner.batch=8"]
    words += ["+policy.brightness=0", "+policy.colour=0"]  # nothing is drawn at random
    words += ["policy.bottleneck=true", "policy.places_weight=3", "+policy.places_size=3", "learner.acting_updates=5"]
    words += ["learner.updates=6", "learner.checkpoint_every=4", "learner.log_every=2", "episodes=1", f"data={dataset}"]
    words += ["evaluation_seeds=[1]", "video=false", "report=false", f"run_dir={folder}", *more]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, *launcher, "-m", "robo_reward", "train", *words]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=280, check=False)


def test_two_processes_learn_what_one_does(dataset: Path, tmp_path: Path) -> None:
    weights, losses = [], []
    for processes in (1, 2):
        folder = tmp_path / str(processes)
        done = train(folder, dataset, processes, "policy.dtype=float32")
        assert done.returncode == 0, done.stderr[-3000:]
        weights.append(load_file(folder / "policy" / "pretrained_model" / "model.safetensors"))
        rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        losses.append([row[key] for row in rows for key in ("sft/loss", "sft/acting_loss") if key in row])
        assert f"loss {losses[-1][-1]:.4f}" in done.stdout.split("by true places")[1], "of all processes, not of one"
    assert len(losses[0]) == 4
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-4)
    for name, weight in weights[0].items():
        if not name.endswith(UNFELT):
            np.testing.assert_allclose(weights[1][name], weight, atol=1e-4, err_msg=name)


AVERAGED = """
import json, sys
from pathlib import Path
import torch
from robo_reward.ranks import ranks_of
ranks = ranks_of()
with ranks.joined("cpu"):
    weights = [torch.nn.Parameter(torch.full((2,), 5.0)) for _ in range(3)]
    weights += [torch.nn.Parameter(torch.full((1,), 5.0, dtype=torch.bfloat16))]
    weights[3].grad = torch.full((1,), 8.0, dtype=torch.bfloat16)
    weights[0].grad = torch.tensor([1.0, 2.0]) * (1 + 2 * ranks.rank)
    weights[1].grad = torch.tensor([4.0, 6.0]) if ranks.first else None
    ranks.average(weights)
    found = [None if weight.grad is None else weight.grad.tolist() for weight in weights]
    Path(sys.argv[1], f"{ranks.rank}.json").write_text(json.dumps(found))  # one output of two processes would mix
"""


def test_a_gradient_is_the_mean_and_what_nobody_has_stays_none(tmp_path: Path) -> None:
    script = tmp_path / "averaged.py"
    script.write_text(AVERAGED)
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc-per-node=2",
        "--standalone",
        str(script),
        str(tmp_path),
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=200, check=False
    )
    assert done.returncode == 0, done.stderr
    for rank in (0, 1):
        assert json.loads((tmp_path / f"{rank}.json").read_text()) == [[2.0, 4.0], [2.0, 3.0], None, [8.0]]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "2 processes were started, but only learner=sft trains in several"),
        (("learner=sft", "policy=nano_vla", "demos=1"), r"give it with data=DATASET"),
        (("learner=sft", "policy=nano_vla", "data=x", "learner.batch=7"), r"learner.batch=7 must be a multiple of 2"),
    ],
)
def test_what_several_processes_cannot_do(words: tuple[str, ...], told: str, tmp_path: Path) -> None:
    """It is refused before anything is collected."""
    with hydra.initialize_config_module("robo_reward.configs", version_base="1.3"):
        config = hydra.compose("train", ["env.task=reach", *words])
    with pytest.raises(UserError, match=told), RunFolder.create("train", "x", config, tmp_path / "run") as folder:
        Job(config, folder, Ranks(0, 2))
