"""Every kind of LeRobot policy that a yaml names, tiny, through our verbs: one update of imitation, then evaluate."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import hydra
import pytest
import torch
from safetensors.torch import load_file, save_file

from robo_reward.errors import UserError
from robo_reward.policies.vla.lerobot_policy import load_lerobot_policy
from robo_reward.verbs.evaluate import run as evaluate
from robo_reward.verbs.train import run as train

KINDS = ("nano_vla", "act", "diffusion", "smolvla", "pi0", "pi05", "multi_task_dit")
LINE = "# line\n_target_: line_env.make_world\nnum_worlds: 1\nhorizon: 6\nviews: [front]\n"


@pytest.fixture(autouse=True)
def _trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROBO_REWARD_TRUST", "line_env")


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("settings")
    (folder / "env").mkdir()
    (folder / "env" / "line.yaml").write_text(LINE)
    return folder


def composed(verb: str, settings: Path, *words: str) -> Any:
    with hydra.initialize_config_module("robo_reward.configs", version_base="1.3"):
        return hydra.compose(verb, [*words, "video=false", f"hydra.searchpath=[file://{settings}]"])


def trained(kind: str, settings: Path, own: dict[str, Any], folder: Path, *more: str) -> dict[str, Any]:
    named = composed("train", settings, "env=line", f"policy={kind}").policy
    words = [f"{'' if key in named else '+'}policy.{key}={json.dumps(value)}" for key, value in own.items()]
    learn = ("learner=sft", "learner.updates=1", "learner.batch=4", "demos=1", "episodes=1", "evaluation_seeds=[1]")
    scratch = () if any(word.startswith("policy.path") for word in more) else ("policy.path=null",)
    config = composed(
        "train", settings, "env=line", f"policy={kind}", *words, *learn, *scratch, *more, "report=false",
        f"run_dir={folder}",
    )  # fmt: skip
    train(config)
    summary: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    return summary


@pytest.mark.parametrize("kind", KINDS)
def test_one_update_and_an_evaluation(
    kind: str, settings: Path, settings_of: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    summary = trained(kind, settings, settings_of[kind], tmp_path / "run")
    assert (summary["policy"], summary["updates"], summary["success_episodes"]) == (kind, 1, 1)
    evaluate(composed("evaluate", settings, f"run={tmp_path / 'run'}", f"run_dir={tmp_path / 'again'}"))
    again = json.loads((tmp_path / "again" / "summary.json").read_text())
    assert again["notes"]["reproduced"] is True


def test_a_process_that_just_began_knows_every_kind(recipes: dict[str, Any], facts: Any, tmp_path: Path) -> None:
    recipes["smolvla"].build(facts).save(tmp_path)
    code = (
        "import sys; from robo_reward.policies.vla.checkpoint import read_config; print(read_config(sys.argv[1]).type)"
    )
    program = [sys.executable, "-c", code, str(tmp_path / "pretrained_model")]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["smolvla"], done.stderr[-500:]


@pytest.mark.parametrize("kind", ["pi0", "pi05"])
def test_weights_that_were_not_read_are_no_policy(
    kind: str, recipes: dict[str, Any], facts: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    policy = recipes[kind].build(facts)
    policy.save(tmp_path)
    again = load_lerobot_policy(tmp_path)
    held = policy.policy.state_dict()
    assert all(torch.equal(value, held[name]) for name, value in again.policy.state_dict().items())
    file = tmp_path / "pretrained_model" / "model.safetensors"
    weights = load_file(file)
    save_file({name: value[..., :-1].contiguous() for name, value in weights.items()}, file)
    with pytest.raises(UserError, match="do not fit its config"):
        load_lerobot_policy(tmp_path)
