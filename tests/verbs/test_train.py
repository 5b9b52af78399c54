"""train from end to end, small: what it leaves behind, that nothing of the simulator leaks, and that it resumes."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from robo_reward import cli
from robo_reward.errors import UserError
from robo_reward.runs.folder import RunFolder
from robo_reward.runs.summary import Summary
from robo_reward.session import Session

KEYS = set(Summary(verb="train").as_json())


def rows(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "metrics.jsonl").read_text("utf-8").splitlines()
    return [{k: v for k, v in json.loads(line).items() if not k.startswith("timing/")} for line in lines]


def summary(folder: Path) -> Any:
    return json.loads((folder / "summary.json").read_text("utf-8"))


def test_the_summary_says_everything_and_no_oracle_was_used(tiny_run: Path) -> None:
    told = summary(tiny_run)
    assert set(told) == KEYS
    assert (told["verb"], told["status"], told["seed"], told["demos"]) == ("train", "done", 3, 1)
    assert told["used_env_reward"] is False
    assert told["used_env_success"] is False
    assert told["rollouts"] == 16, "negatives, audition and trial all count"
    assert told["env_steps"] == 16 * 30
    assert told["env"] == "metaworld/drawer-open"
    assert told["success_episodes"] == 2
    assert 0 <= told["success_rate"] <= 1
    assert told["success_ci95"][0] <= told["success_rate"] <= told["success_ci95"][1]
    assert told["base_reward"] == "0.4*match + 0.6*success"
    assert told["reward_audit"] in ("pass", "care", "refuse")
    assert told["notes"]["horizon"] == 30
    assert told["frames_rendered"] > 0


def test_the_run_folder_is_whole(tiny_run: Path) -> None:
    config = OmegaConf.load(tiny_run / "config.yaml")
    assert config.env.task == "drawer-open"
    assert config.reward_model.views == config.env.views, "the stored config is resolved"
    page = (tiny_run / "report" / "index.html").read_text("utf-8")
    assert "drawer-open" in page
    assert not re.search(r"(src|href)=.?(https?:)?//", page), "the page loads nothing from anywhere"
    for name in ("policy/policy.yaml", "reward_model/model.yaml", "judge/model.yaml", "checkpoints/latest"):
        assert (tiny_run / name).is_file(), name
    assert not (tiny_run / "rollouts").exists(), "raw episodes are for a resume only"


def test_metrics_tell_the_stages_and_never_the_simulators_verdict(tiny_run: Path) -> None:
    told = rows(tiny_run)
    kinds = [row["rollout/kind"] for row in told if "rollout/kind" in row]
    assert len(kinds) == 10
    assert kinds[:2] == ["prior:warp", "prior:clone"]
    assert kinds[-2:] == ["trial", "trial"]
    assert any("audit/verdict" in row for row in told)
    assert not any("success_rate" in key for row in told for key in row)


def test_the_saved_reward_prices_the_kept_demonstration(tiny_run: Path) -> None:
    from robo_reward.build import load_reward_model
    from robo_reward.data.datasets import read_dataset

    model = load_reward_model(tiny_run)
    trace = read_dataset(tiny_run / "demonstrations", views=model.needs.views)[0]
    seen = model.estimate_episode(trace.every(model.needs.stride))
    assert seen.match is not None
    assert ((seen.progress >= 0) & (seen.progress <= 1)).all()


def test_an_interrupted_run_resumes_to_the_same_metrics(
    tiny_run: Path, tiny_words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["train", *tiny_words, f"run_dir={tmp_path / 'run'}"]
    log = RunFolder.log

    def stop(self: RunFolder, step: int, values: Mapping[str, Any]) -> None:
        log(self, step, values)
        if step == 12 and "rollout/kind" in values:
            raise KeyboardInterrupt

    monkeypatch.setattr(RunFolder, "log", stop)
    assert cli.run(words) == 130
    assert summary(tmp_path / "run")["status"] == "interrupted"
    assert (tmp_path / "run" / "checkpoints" / "latest").read_text("utf-8").strip() == "10"
    monkeypatch.setattr(RunFolder, "log", log)
    assert cli.run([*words, "resume=true"]) == 0
    assert rows(tmp_path / "run") == rows(tiny_run)
    assert summary(tmp_path / "run")["success_by_seed"] == summary(tiny_run)["success_by_seed"]


def test_a_full_run_folder_is_refused(tiny_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["train", f"run_dir={tiny_run}"]) == 2
    assert "resume=true" in capsys.readouterr().err


def test_a_task_that_does_not_exist_names_the_nearest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["train", "env.task=drawer-opne", f"run_dir={tmp_path / 'run'}"]) == 2
    told = capsys.readouterr()
    assert "did you mean 'drawer-open'?" in told.err
    assert "run folder" not in told.out, "the one that it would name is gone"
    assert not (tmp_path / "run").exists(), "the mended command may use the same folder"


@pytest.mark.parametrize("word", ["rollouts=0", "learner.refit_every=0", "evaluation_seeds=3", "negatives.random=-1"])
def test_numbers_out_of_range_are_refused_at_once(
    word: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["train", word, f"run_dir={tmp_path / 'run'}"]) == 2
    assert f"robo-reward: {word} must" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_finished_run_is_not_resumed_with_another_config(tiny_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["train", f"run_dir={tiny_run}", "resume=true", "seed=99"]) == 2
    assert "was made with" in capsys.readouterr().err


def test_a_refused_reward_is_accepted_by_the_words_that_the_refusal_names(
    tmp_path: Path, tiny_words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from robo_reward.training import Job

    def refuse(self: Job, session: Session, held_out: object) -> tuple[str, tuple[str, ...]]:
        session.verdict = "refuse"
        return "refuse", ("voc 0.10",)

    def learn(self: Job, session: Session) -> None:
        raise UserError("got as far as learning")

    monkeypatch.setattr(Job, "_audit", refuse)
    monkeypatch.setattr(Job, "learn", learn)
    words = ["train", *(word for word in tiny_words if not word.startswith("accept")), f"run_dir={tmp_path / 'run'}"]
    assert cli.run(words) == 2
    way = re.search(r"all the same with the same settings and (run_dir='.*' resume=true \S+)", capsys.readouterr().err)
    assert way
    assert cli.run([*words, *way[1].split()]) == 2
    assert "got as far as learning" in capsys.readouterr().err


def test_a_stride_beyond_the_demonstration_is_refused_before_anything_is_explored(
    tmp_path: Path, tiny_words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    assert cli.run(["train", *tiny_words, "reward_model.stride=5000", f"run_dir={folder}"]) == 2
    told = capsys.readouterr()
    assert "fewer than two strides of 5000" in told.err
    assert "rollout" not in told.out
    assert not folder.exists()


def test_a_finished_run_says_what_was_asked_in_vain(
    tiny_run: Path, tiny_words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = (tiny_run / "config.yaml").read_text("utf-8")
    assert cli.run(["train", *tiny_words, f"run_dir={tiny_run}", "resume=true", "rollouts=20"]) == 0
    assert "is finished (it was made with rollouts=16, not 20)" in capsys.readouterr().out
    assert (tiny_run / "config.yaml").read_text("utf-8") == before


@pytest.mark.parametrize("reward", ["env_sparse", "env_dense"])
def test_demonstrations_that_the_simulator_never_paid_are_refused_before_anything_is_stepped(
    reward: str, tmp_path: Path, tiny_words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    words = [word for word in tiny_words if not word.startswith(("reward_model.", "judge."))]
    more = [f"reward_model={reward}", "transform=none", "judge=none", "audit=none", f"data={tmp_path / 'anything'}"]
    assert cli.run(["train", *words, *more, f"run_dir={tmp_path / 'run'}"]) == 2
    told = capsys.readouterr()
    assert f"reward_model={reward} pays what the simulator says" in told.err
    assert "leave data out" in told.err
    assert not (tmp_path / "run").exists()
