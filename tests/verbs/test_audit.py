"""audit writes its verdict beside the weights, and train keeps to it."""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fit_episodes import demonstration
from omegaconf import OmegaConf

from robo_reward import cli
from robo_reward.audit_record import (
    check_accepted,
    read_record,
    weights_sha256,
    write_record,
    write_short_record,
)
from robo_reward.data.datasets import write_dataset
from robo_reward.errors import UserError
from robo_reward.fitting.episodes import Episode
from robo_reward.fitting.splits import Split
from robo_reward.line_world import VIEW
from robo_reward.reward_models.audit.short_audit import AuditReport
from robo_reward.verbs.audit import _other_tasks, fitted_on

MODEL = "_target_: robo_reward.line_world.LineReward\n"
ENV = "_target_: robo_reward.line_world.LineWorld\nnum_worlds: 1\nhorizon: 20\noracle: none\n"


@pytest.fixture(scope="module")
def configs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a world and a reward model of one's own."""
    folder = tmp_path_factory.mktemp("configs")
    for group, name, text in (("env", "line", ENV), ("reward_model", "line", MODEL)):
        (folder / group).mkdir()
        (folder / group / f"{name}.yaml").write_text(text)
    return folder


@pytest.fixture(scope="module")
def audited(configs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("audit") / "run"
    words = ["env=line", "reward_model=line", "episodes=3", "attack.n=8", "attack.generations=2", f"run_dir={run}"]
    assert cli.run(["audit", *words, "--config-dir", str(configs)]) == 0
    return run


def test_the_record_lies_beside_the_weights_and_is_of_them(audited: Path) -> None:
    folder = audited / "reward_model"
    report = json.loads((folder / "audit.json").read_text("utf-8"))
    assert report["weights_sha256"] == weights_sha256(folder)
    assert report["verdict"] in ("pass", "care", "refuse")
    assert any("wrong_instruction" in reason for reason in report["reasons"])
    assert report["figures"]["epic"] == pytest.approx(0, abs=0.01)  # the line's reward is its progress
    assert set(report["cost"]) >= {"ms_per_frame", "frames_per_second", "peak_memory_mb"}
    record = read_record(folder)
    assert record is not None
    assert (record.verdict, record.current) == (report["verdict"], True)
    summary = json.loads((audited / "summary.json").read_text("utf-8"))
    assert summary["reward_audit"] == report["verdict"]


def test_the_page_asks_nobody_and_says_the_verdict(audited: Path) -> None:
    page = (audited / "report" / "index.html").read_text("utf-8")
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "https://" not in page
    assert "Best of n" in page
    assert "wrong_instruction" in page
    assert page == (audited / "reward_model" / "audit.html").read_text("utf-8")


SQUARE = """
from robo_reward.line_world import LineReward
class Mine(LineReward):
    pass
"""


def test_an_audit_is_of_the_class_and_of_what_the_recipe_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    package, weights, folder = tmp_path / "far_rewards", tmp_path / "weights", tmp_path / "model"
    for place in (package, weights, folder):
        place.mkdir()
    (package / "__init__.py").write_text("from .mine import Mine\n")
    (package / "mine.py").write_text(SQUARE)
    (weights / "model.safetensors").write_bytes(b"1")
    said = {"_target_": "far_rewards.Mine", "net": {"pretrained": str(weights)}, "from": {"url": "http://far.test/v1"}}
    (folder / "model.yaml").write_text(json.dumps(said))
    write_record(folder, {"verdict": "pass", "reasons": [], "weights_sha256": weights_sha256(folder)})

    def current() -> bool:
        record = read_record(folder)
        assert record is not None
        assert "http://far.test/v1 may have changed since" in record.told()
        return record.current

    assert current()
    assert "far_rewards" not in sys.modules, "nothing is imported for it"
    (weights / "audit.json").write_text("{}")
    assert current(), "what is said about them is no part of them"
    (package / "mine.py").write_text(SQUARE + "    stride = 2\n")
    assert not current()
    (package / "mine.py").write_text(SQUARE)
    assert current()
    (weights / "model.safetensors").write_bytes(b"2")
    assert not current()


def test_the_hash_of_our_own_classes_is_what_it_was(tmp_path: Path) -> None:
    text = b"_target_: robo_reward.line_world.LineReward\n"
    (tmp_path / "model.yaml").write_bytes(text)
    assert weights_sha256(tmp_path) == hashlib.sha256(f"10:model.yaml:{len(text)}:".encode() + text).hexdigest()


def test_a_figure_that_is_no_number_is_null_and_said(tmp_path: Path) -> None:
    (tmp_path / "model.yaml").write_text("_target_: robo_reward.line_world.LineReward\n")
    values = {"audit/success_auroc": float("nan"), "audit/rewind_drop": 0.5, "audit/hovering_gap": None}
    write_short_record(tmp_path, AuditReport(values, ("audit/success_auroc",), "care"), 1)
    held = json.loads((tmp_path / "audit.json").read_text())
    assert held["figures"] == {"audit/success_auroc": None, "audit/rewind_drop": 0.5, "audit/hovering_gap": None}
    assert held["not_measured"] == ["audit/success_auroc", "audit/hovering_gap"]
    assert held["reasons"] == ["success_auroc could not be measured"]


@pytest.mark.parametrize("said", ["[]", "['']", "[1]", "''"])
def test_other_tasks_are_instructions(
    said: str, configs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["env=line", "reward_model=line", f"run_dir={tmp_path / 'run'}", "--config-dir", str(configs)]
    assert cli.run(["audit", *words, f"tasks={said}"]) == 2
    assert "must list instructions" in capsys.readouterr().err


def test_one_text_is_one_instruction() -> None:
    assert _other_tasks("fold the towel") == ["fold the towel"]
    assert _other_tasks(OmegaConf.create(["a b", "c"])) == ["a b", "c"]


def test_other_weights_are_noticed(audited: Path, tmp_path: Path) -> None:
    (tmp_path / "model.yaml").write_text((audited / "reward_model" / "model.yaml").read_text() + "stride: 2\n")
    (tmp_path / "audit.json").write_text((audited / "reward_model" / "audit.json").read_text())
    record = read_record(tmp_path)
    assert record is not None
    assert not record.current
    (tmp_path / "audit.json").write_text('{"verdict": "fine", "reasons": [], "weights_sha256": ""}')
    with pytest.raises(UserError, match="none of pass, care, refuse"):
        read_record(tmp_path)
    (tmp_path / "audit.json").write_text("{")
    with pytest.raises(UserError, match="damaged"):
        read_record(tmp_path)


def test_episodes_that_it_was_fitted_on_are_counted(tmp_path: Path) -> None:
    seen, unseen, other = (Episode(demonstration(task, seed=k), "here", k) for k, task in enumerate(("a", "b", "c")))
    split = {"demonstrations": Split([seen], [unseen]).as_json(), "negatives": Split([], []).as_json()}
    assert fitted_on([seen], tmp_path) == 0
    (tmp_path / "split.json").write_text(json.dumps(split))
    assert fitted_on([seen, unseen, other], tmp_path) == 1


def test_a_refused_reward_must_be_accepted() -> None:
    check_accepted("pass", (), False, "it")
    check_accepted("refuse", ("why",), True, "it")
    with pytest.raises(UserError, match=r"refuses it: why\..*accept_refused_reward=true"):
        check_accepted("refuse", ("why",), False, "it")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "audit needs episodes"),
        (["reward_model.path=nowhere", "env=line"], "holds no reward model"),
        (["env=line"], "is not fitted"),
        (["episodes=1"], "episodes=1 must be"),
        (["run=a", "reward_model.path=b"], "not both"),
    ],
)
def test_bad_input(words: list[str], said: str, configs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    views = ["reward_model.views=[front]"] if words == ["env=line"] else []
    assert cli.run(["audit", *words, *views, "--config-dir", str(configs)]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(("task", "state", "said"), [("", 0.0, "empty instruction"), ("go", np.nan, "not finite")])
def test_recorded_episodes_that_tell_nothing_are_refused_by_name(
    task: str, state: float, said: str, configs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = demonstration(task)
    shown = replace(shown, state=shown.state + np.float32(state), frames={VIEW: shown.frames["front"]})
    write_dataset([shown], tmp_path / "data", images=True)
    words = ["reward_model=line", f"data={tmp_path / 'data'}", f"run_dir={tmp_path / 'run'}"]
    assert cli.run(["audit", *words, "--config-dir", str(configs)]) == 2
    told = capsys.readouterr().err
    assert "episode 0 of" in told
    assert said in told
