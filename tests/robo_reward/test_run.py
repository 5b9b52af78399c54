"""The run folder: nothing half-written, resume cuts back exactly, the summary has all its keys."""

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from robo_reward.errors import UserError
from robo_reward.real_robot.safety_state import SafetyStop
from robo_reward.runs import atomic
from robo_reward.runs.folder import RunFolder, is_finished, latest_checkpoint

CONFIG = OmegaConf.create({"seed": 3, "half": "${seed}", "env": {"task": "reach"}, "rollouts": 5, "resume": False})


def make(path: Path, **change: Any) -> RunFolder:
    settings: dict[str, Any] = {"run_dir": path, "resume": False, "tensorboard": False} | change
    return RunFolder.create("train", "reach ppo", CONFIG, **settings)


def rows(path: Path) -> list[Any]:
    return [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]


def summary(path: Path) -> Any:
    return json.loads((path / "summary.json").read_text())


def test_a_run_leaves_config_metrics_and_a_summary_with_every_key(tmp_path: Path) -> None:
    with make(tmp_path / "r") as run:
        run.log(1, {"loss": float("nan"), "a": 0.1, "timing/wall_seconds": 3.0})
        run.summary.success_rate = 0.5
    assert OmegaConf.load(tmp_path / "r" / "config.yaml") == OmegaConf.create(
        OmegaConf.to_container(CONFIG, resolve=True)
    )
    assert (tmp_path / "r" / "metrics.jsonl").read_text() == (
        '{"step": 1, "a": 0.1, "loss": null, "timing/wall_seconds": 3.0}\n'
    )
    told = summary(tmp_path / "r")
    assert (told["status"], told["verb"], told["seed"], told["success_rate"]) == ("done", "train", 3, 0.5)
    assert {"used_env_reward", "git_commit", "success_ci95", "nan_resets", "pricing_seconds"} <= told.keys()
    assert told["env_return"] is None
    assert told["wall_seconds"] >= 0
    assert set(told["versions"]) == {
        "python", "torch", "mujoco", "gymnasium", "stable_baselines3", "lerobot", "metaworld", "robo_reward",
    }  # fmt: skip


def test_the_default_folder_is_named_after_verb_time_and_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    first = RunFolder.create("train", "reach ppo", CONFIG, tensorboard=False)
    second = RunFolder.create("train", "reach ppo", CONFIG, tensorboard=False)
    assert first.path.parent == Path("runs/train")
    assert "-reach-ppo" in first.path.name
    assert first.path != second.path


@pytest.mark.parametrize(
    ("error", "status"), [(KeyboardInterrupt, "interrupted"), (ValueError, "failed"), (UserError, "failed")]
)
def test_what_ends_a_run_is_its_status(tmp_path: Path, error: type[BaseException], status: str) -> None:
    with pytest.raises(error), make(tmp_path / "r") as run:
        run.log(0, {"x": 1})
        raise error("x")
    assert summary(tmp_path / "r")["status"] == status


def test_a_users_error_before_anything_was_logged_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError), make(tmp_path / "r"):
        raise UserError("unknown task")
    assert not (tmp_path / "r").exists(), "the mended command can be given as it is"
    with pytest.raises(KeyboardInterrupt), make(tmp_path / "r") as run:
        run.log(0, {"x": 1})
        raise KeyboardInterrupt
    with pytest.raises(UserError), make(tmp_path / "r", resume=True):
        raise UserError("x")
    assert (tmp_path / "r" / "config.yaml").exists(), "a run that was there before stays"


@pytest.mark.parametrize("error", [AttributeError, KeyboardInterrupt, OSError, SafetyStop])
def test_whatever_ends_a_run_before_anything_was_kept_leaves_no_folder(
    tmp_path: Path, error: type[BaseException]
) -> None:
    with pytest.raises(error), make(tmp_path / "r", tensorboard=True):
        raise error("x")
    assert not (tmp_path / "r").exists()
    with pytest.raises(error), make(tmp_path / "r") as run:
        (run.path / "black_box.jsonl").write_text("{}")
        raise error("x")
    assert (tmp_path / "r" / "black_box.jsonl").exists()
    assert (tmp_path / "r" / "summary.json").exists()


def test_a_hint_to_resume_asks_for_the_same_settings(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt) as stopped, make(tmp_path / "r") as run:
        with run.checkpoint(1):
            pass
        raise KeyboardInterrupt
    assert stopped.value.__notes__ == [
        f"the run folder is '{tmp_path / 'r'}': resume it with run_dir='{tmp_path / 'r'}' resume=true and the same "
        "settings"
    ]


def test_a_full_folder_is_refused_without_resume(tmp_path: Path) -> None:
    with make(tmp_path / "r"):
        pass
    with pytest.raises(UserError, match="resume=true or give another run_dir"):
        make(tmp_path / "r")
    with pytest.raises(UserError, match="needs run_dir"):
        make(tmp_path / "r", run_dir=None, resume=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").touch()
    with pytest.raises(UserError, match="not a run folder"):
        make(tmp_path / "other", resume=True)


def test_resume_cuts_back_to_the_checkpoint_and_goes_on(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), make(tmp_path / "r") as run:
        for step in range(6):
            run.log(step, {"x": step})
            if step == 3:
                with run.checkpoint(step) as folder:
                    (folder / "weights").write_text("w3")
        raise KeyboardInterrupt
    with make(tmp_path / "r", resume=True) as run:
        assert (run.resumed, run.step) == (True, 3)
        assert not (tmp_path / "r" / "summary.json").exists()
        found = run.latest_checkpoint()
        assert found is not None
        assert (found / "weights").read_text() == "w3"
        for step in range(run.step + 1, 6):
            run.log(step, {"x": step})
    with make(tmp_path / "unbroken") as run:
        for step in range(6):
            run.log(step, {"x": step})
    assert (tmp_path / "r" / "metrics.jsonl").read_bytes() == (tmp_path / "unbroken" / "metrics.jsonl").read_bytes()
    assert summary(tmp_path / "r")["status"] == "done"


def test_resume_without_a_checkpoint_begins_anew_and_another_config_is_refused(tmp_path: Path) -> None:
    run = make(tmp_path / "r", resume=True)
    run.log(1, {"x": 1})
    run.finish("interrupted")
    run = make(tmp_path / "r", resume=True)
    assert not run.resumed
    run.finish("interrupted")
    assert rows(tmp_path / "r") == []
    more = OmegaConf.merge(CONFIG, {"rollouts": 9, "resume": True})
    RunFolder.create("train", "n", more, tmp_path / "r", resume=True, tensorboard=False).finish("interrupted")
    other = OmegaConf.merge(CONFIG, {"env": {"task": "push"}, "seed": 4})
    said = r"made with env\.task=reach \(now push\), half=3 \(now 4\), seed=3 \(now 4\); .* the old values"
    with pytest.raises(UserError, match=said):
        RunFolder.create("train", "n", other, tmp_path / "r", resume=True, tensorboard=False)


def test_the_last_checkpoints_stay_and_a_step_may_be_saved_twice(tmp_path: Path) -> None:
    with make(tmp_path / "r", keep=2) as run:
        for step in (10, 9, 100, 100):
            with run.checkpoint(step) as folder:
                (folder / "w").touch()
    names = sorted(os.listdir(tmp_path / "r" / "checkpoints"))
    assert names == ["10", "100", "latest"]
    assert latest_checkpoint(tmp_path / "r") == tmp_path / "r" / "checkpoints" / "100"


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_checkpoint_that_fails_leaves_the_one_before(tmp_path: Path, error: BaseException) -> None:
    run = make(tmp_path / "r")
    with run.checkpoint(1) as folder:
        (folder / "w").write_text("one")
    with pytest.raises(type(error)), run.checkpoint(2) as folder:
        (folder / "w").write_text("tw")
        raise error
    assert sorted(os.listdir(tmp_path / "r" / "checkpoints")) == ["1", "latest"]
    assert latest_checkpoint(tmp_path / "r") == tmp_path / "r" / "checkpoints" / "1"


@pytest.mark.parametrize("stop_at", range(4))
def test_wherever_a_checkpoint_stops_a_whole_one_remains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_at: int
) -> None:
    run = make(tmp_path / "r")
    with run.checkpoint(1) as folder:
        (folder / "w").write_text("old")
    calls = 0
    replace: Callable[..., None] = os.replace

    def dies(*args: Any) -> None:
        nonlocal calls
        calls += 1
        if calls > stop_at:
            raise SystemExit  # the process is gone: nothing afterwards works either
        replace(*args)

    monkeypatch.setattr(atomic.os, "replace", dies)
    with pytest.raises(SystemExit), run.checkpoint(1) as folder:
        (folder / "w").write_text("new")
    monkeypatch.undo()
    run._lock.release()  # as its process's end does
    again = make(tmp_path / "r", resume=True)
    found = again.latest_checkpoint()
    assert found is not None
    assert (found / "w").read_text() in ("old", "new")


def test_metrics_refuse_what_would_differ_between_runs(tmp_path: Path) -> None:
    run = make(tmp_path / "r")
    with pytest.raises(ValueError, match="'timing/fps'"):
        run.log(1, {"fps": 3.0})
    with pytest.raises(ValueError, match="step already"):
        run.log(1, {"step": 3})
    assert rows(tmp_path / "r") == []


def test_a_row_that_does_not_fit_on_the_disk_is_not_begun(tmp_path: Path) -> None:
    run = make(tmp_path / "r")
    run.log(1, {"x": 1})
    file = run._metrics._file
    assert file is not None

    class Full:
        def fileno(self) -> int:
            return file.fileno()

        def write(self, line: bytes) -> int:
            file.write(line[:5])
            raise OSError(errno.ENOSPC, "No space left on device")

    run._metrics._file = Full()  # type: ignore[assignment]
    with pytest.raises(OSError, match="No space"):
        run.log(2, {"x": 2})
    assert rows(tmp_path / "r") == [{"step": 1, "x": 1}]


def test_tensorboard_reads_the_mirror(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with make(tmp_path / "r", tensorboard=True) as run:
        run.log(1, {"loss": 0.5, "note": "text"})
        run.log(2, {"loss": 0.25})
    read = EventAccumulator(str(tmp_path / "r"))
    read.Reload()
    assert [(e.step, e.value) for e in read.Scalars("loss")] == [(1, 0.5), (2, 0.25)]


def test_a_damaged_run_folder_is_told(tmp_path: Path) -> None:
    with RunFolder.create("train", "x", {"seed": 0}, tmp_path / "run") as folder, folder.checkpoint(1):
        pass
    (tmp_path / "run" / "summary.json").write_text("{")
    with pytest.raises(UserError, match=r"summary\.json' is damaged"):
        is_finished(tmp_path / "run")
    (tmp_path / "run" / "summary.json").unlink()
    (tmp_path / "run" / "checkpoints" / "1" / "run.json").write_text("{")
    with pytest.raises(UserError, match=r"run\.json' is damaged"):
        RunFolder.create("train", "x", {"seed": 0}, tmp_path / "run", resume=True)
    (tmp_path / "run" / "checkpoints" / "latest").write_text("")
    with pytest.raises(UserError, match="which is not there"):
        latest_checkpoint(tmp_path / "run")


def test_a_resumed_run_is_described_by_what_it_went_on_with(tmp_path: Path) -> None:
    make(tmp_path / "r").finish("interrupted")
    more = OmegaConf.merge(CONFIG, {"rollouts": 9})
    RunFolder.create("train", "n", more, tmp_path / "r", resume=True, tensorboard=False)
    assert OmegaConf.load(tmp_path / "r" / "config.yaml").rollouts == 9


HALF_MADE = """
import os, signal, sys
from robo_reward.runs import signals

class Renderer:
    def __init__(self):
        if "stop" in sys.argv: os.kill(os.getpid(), signal.SIGINT)
        raise ValueError("made up")
    def __del__(self):
        self.context.free()

try:
    with signals.stop_signals():
        Renderer()
except (KeyboardInterrupt, ValueError) as error:
    print(type(error).__name__)
"""


@pytest.mark.parametrize(("word", "told"), [("go", "ValueError"), ("stop", "KeyboardInterrupt")])
def test_what_was_half_made_when_ctrl_c_came_does_not_complain(word: str, told: str) -> None:
    done = subprocess.run([sys.executable, "-c", HALF_MADE, word], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == told
    assert ("AttributeError" in done.stderr) is (word == "go")
