"""A reward model outside the repository (one file, one yaml) is used by the verbs without touching our code."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
LEARNING = ("learner=ppo", "learner.n_steps=10", "learner.batch_size=10", "learner.n_epochs=1", "steps=40")
REST = (
    "transform=level",
    "judge=none",
    "audit=none",
    "episodes=1",
    "evaluation_seeds=[1]",
    "evaluate_every_episodes=1",
)
QUICK = (*LEARNING, *REST, "report=false", "video=false")


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Their folder, somewhere else."""
    folder = tmp_path_factory.mktemp("theirs")
    for name in ("their_reward.py", "their_world.py", "check_theirs.py"):
        shutil.copy(HERE / name, folder / name)
    shutil.copytree(HERE / "settings", folder / "settings")
    return folder


def call(folder: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if k != "ROBO_REWARD_TRUST"}
    environment |= {"PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1", **more}
    return subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=240
    )


@pytest.fixture(scope="module")
def trained(theirs: Path) -> Path:
    words = ["train", "--config-dir", "settings", "reward_model=theirs", "env=line", *QUICK, "run_dir=run"]
    done = call(theirs, "-m", "robo_reward.cli", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    return theirs / "run"


def test_train_uses_it(trained: Path) -> None:
    summary: dict[str, Any] = json.loads((trained / "summary.json").read_text())
    assert summary["status"] == "done"
    assert summary["env_steps"] == 40
    assert (summary["used_env_reward"], summary["used_env_success"]) == (False, False)
    assert "their_reward.Redness" in (trained / "config.yaml").read_text()
    assert summary["notes"]["audit_of_reward"] == "none"


def test_the_shipped_contract_tests_run_on_it_and_can_fail(theirs: Path) -> None:
    done = call(theirs, "-m", "pytest", "-q", "-p", "no:cacheprovider", "check_theirs.py")
    assert done.returncode == 0, done.stdout + done.stderr
    broken = (theirs / "their_reward.py").read_text().replace("gain=now - before", "gain=now - before + 2")
    (theirs / "broken").mkdir()
    (theirs / "broken" / "their_reward.py").write_text(broken)
    shutil.copy(theirs / "check_theirs.py", theirs / "broken")
    done = call(theirs / "broken", "-m", "pytest", "-q", "-p", "no:cacheprovider", "check_theirs.py")
    assert done.returncode == 1
    assert "outside [-1, 1]" in done.stdout


def test_a_fault_in_it_is_shown_as_theirs(theirs: Path) -> None:
    (theirs / "faulty").mkdir()
    shutil.copytree(theirs / "settings", theirs / "faulty" / "settings")
    faulty = (theirs / "their_reward.py").read_text().replace("gain=now - before", "gain=now - before + {}[0]")
    (theirs / "faulty" / "their_reward.py").write_text(faulty)
    words = ["train", "--config-dir", "settings", "reward_model=theirs", "env=line", *QUICK, "run_dir=run"]
    done = call(theirs / "faulty", "-m", "robo_reward.cli", *words, PYTHONPATH=f"{theirs / 'faulty'}:{theirs}")
    assert done.returncode == 2
    assert "Traceback" in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert f"Error in {theirs / 'faulty' / 'their_reward.py'}:" in last
    assert last.endswith("which is no part of robo-reward")


def test_a_saved_one_loads_where_it_is_trusted(theirs: Path) -> None:
    trained = theirs / "saved"
    trained.mkdir()
    shutil.copy(theirs / "settings" / "reward_model" / "theirs.yaml", trained / "model.yaml")
    code = "import sys, pathlib, robo_reward.build as b; print(type(b.load_reward_model(pathlib.Path(sys.argv[1]))))"
    refused = call(theirs, "-c", code, str(trained))
    assert "ROBO_REWARD_TRUST=their_reward" in refused.stderr
    assert "their_reward.Redness" in call(theirs, "-c", code, str(trained), ROBO_REWARD_TRUST="their_reward").stdout


def test_curves_trusts_what_it_is_told_to_trust(trained: Path, tmp_path: Path) -> None:
    model = trained / "reward_model"
    model.mkdir(exist_ok=True)
    shutil.copy(trained.parent / "settings" / "reward_model" / "theirs.yaml", model / "model.yaml")
    words = ["-m", "robo_reward.cli", "curves", f"run={trained}", f"reward_model.path={model}", "format=[csv]"]
    refused = call(trained.parent, *words, f"run_dir={tmp_path / 'one'}")
    assert refused.returncode == 2
    assert "wants to run 'their_reward.Redness'" in refused.stderr
    told = call(trained.parent, *words, "+reward_model.trust=[their_reward]", f"run_dir={tmp_path / 'two'}")
    assert told.returncode == 0, told.stderr


def test_it_is_named_an_ensembles_member_on_the_command_line(theirs: Path) -> None:
    members = [f"reward_model@reward_model.models.{name}=theirs" for name in ("first", "second")]
    words = ["train", "--config-dir", "settings", "reward_model=ensemble", *members, "env=line", *QUICK, "steps=400"]
    done = call(theirs, "-m", "robo_reward.cli", *words, "run_dir=both")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (theirs / "both" / "config.yaml").read_text().count("their_reward.Redness") == 2


def test_it_can_be_an_ensembles_member_and_be_served(theirs: Path) -> None:
    code = """
from robo_reward.build import build_reward_model
from robo_reward.contract_tests import moving_square
part = {"_target_": "their_reward.Redness", "view": "front"}
remote = "robo_reward.reward_models.remote.client.connect_remote"
whole = "robo_reward.reward_models.ensemble.make_ensemble"
far = {"_target_": remote, "_recursive_": False, "spawn": part}
both = build_reward_model({"_target_": whole, "_recursive_": False, "models": {"here": part, "there": far}})
seen = both.estimate_episode(moving_square(0))
assert seen.uncertainty.max() < 1e-6, seen
print("equal")
"""
    done = call(theirs, "-c", code)
    assert done.stdout == "equal\n", done.stderr
