"""Our verbs in the line world: the yamls that name it, fixtures for them, and how a verb is called."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import hydra
import pytest
from line_env import make_policy  # type: ignore[import-not-found]

YAMLS = {
    "env/line.yaml": "# line\n_target_: line_env.make_world\nnum_worlds: 4\nhorizon: 10\nviews: [front]\n",
    "reward_model/line.yaml": "# line\n_target_: line_env.make_reward\n",
    "reward_model/counted.yaml": "# counted\n_target_: line_env.make_counted_reward\n",
    "adaptation/mine.yaml": "# mine\n_target_: one_file_hook.Nudge\n",
}
HOOK = '''
from robo_reward.sealed_log import SealedError


class Nudge:
    """Adds a little to the last layer's bias, whatever happens."""

    def bind(self, policy, rounds, seed):
        self.policy, self.rounds = policy, 0

    def adapt(self, ground):
        for traces in ground.waves(self.policy, ground.start(self.rounds), 2):
            assert traces[0].env_reward is None
            try:
                ground.session.world.annotated_success()
            except SealedError:
                continue
            raise AssertionError("success could be read")
        self.rounds += 1
        self.policy.policy.head.out.bias.data += 0.1
        return {"reward": 0.0}

    def drift(self):
        return float(self.rounds)

    def state(self):
        return {"bias": self.policy.policy.head.out.bias.data.clone()}

    def load(self, state):
        self.policy.policy.head.out.bias.data.copy_(state["bias"])

    go_back = load
'''
QUICK = ("episodes=1", "evaluation_seeds=[1]", "report=false", "env=line", "reward_model=line")
SMALL = (
    "learner.group.groups=1", "learner.group.most=2", "learner.group.size=4", "learner.group.min_spread=0.001",
    "learner.updates=2",
)  # fmt: skip


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("settings")
    for name, text in YAMLS.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    (folder / "one_file_hook.py").write_text(HOOK)
    return folder


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("start") / "policy"
    make_policy().save(folder)
    return folder


@pytest.fixture(autouse=True)
def _trusted(monkeypatch: pytest.MonkeyPatch, settings: Path) -> None:
    monkeypatch.setenv("ROBO_REWARD_TRUST", "paper_world,line_env")
    monkeypatch.setattr(sys, "path", [*sys.path, str(settings)])


def called(verb: str, settings: Path, folder: Path, *overrides: str) -> dict[str, Any]:
    from importlib import import_module

    with hydra.initialize_config_module("robo_reward.configs", version_base="1.3"):
        words = [*QUICK, *overrides, f"run_dir={folder}", f"hydra.searchpath=[file://{settings}]"]
        config = hydra.compose(verb, words)
    import_module(f"robo_reward.verbs.{verb}").run(config)
    summary: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    return summary


def rows_of(folder: Path) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if not k.startswith("timing/") and k != "time"} for row in rows]
