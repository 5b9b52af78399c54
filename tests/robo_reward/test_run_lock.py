"""Two processes never write one run folder: the second is told, and a process that was killed holds nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from robo_reward.errors import UserError
from robo_reward.runs import lock
from robo_reward.runs.folder import RunFolder

CONFIG = {"seed": 0}
HOLDS = """
import sys, time
from robo_reward.runs.folder import RunFolder
run = RunFolder.create("train", "x", {"seed": 0}, sys.argv[1], resume=True)
run.log(1, {"loss": 1.0})
print("begun", flush=True)
time.sleep(100)
"""


TRIES = "import sys, pathlib; from robo_reward.runs.lock import FolderLock; FolderLock(pathlib.Path(sys.argv[1]))"


def begun(folder: Path) -> subprocess.Popen[str]:
    """Another process, in the middle of a run."""
    other = subprocess.Popen([sys.executable, "-c", HOLDS, str(folder)], stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None
    while other.stdout.readline() != "begun\n":  # before it stands what resume says of a new folder
        assert other.poll() is None
    return other


def test_a_run_that_goes_on_elsewhere_is_left_alone(tmp_path: Path) -> None:
    other = begun(tmp_path / "run")
    try:
        rows = (tmp_path / "run" / "metrics.jsonl").read_bytes()
        with pytest.raises(UserError, match=r"another process is writing to '.*run': wait until it ends or stop it"):
            RunFolder.create("train", "x", CONFIG, tmp_path / "run", resume=True)
        assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == rows
    finally:
        other.send_signal(signal.SIGKILL)
        other.communicate()
    with RunFolder.create("train", "x", CONFIG, tmp_path / "run", resume=True):
        pass  # the killed one holds nothing


def test_a_child_process_does_not_keep_the_folder(tmp_path: Path) -> None:
    """Worlds in processes of their own may outlive a killed run by a moment."""
    program = HOLDS.replace("print(", "import os\nif os.fork() == 0: time.sleep(100)\nprint(")
    other = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "run")],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert other.stdout is not None
        while other.stdout.readline() != "begun\n":
            assert other.poll() is None
        other.send_signal(signal.SIGKILL)
        other.wait()
        with RunFolder.create("train", "x", CONFIG, tmp_path / "run", resume=True):
            pass
    finally:
        os.killpg(other.pid, signal.SIGKILL)
        other.communicate()


def test_a_run_of_the_same_process_is_left_alone_too(tmp_path: Path) -> None:
    with RunFolder.create("train", "x", CONFIG, tmp_path / "run") as run:
        run.log(1, {"loss": 1.0})
        with pytest.raises(UserError, match="another run of this process is writing to"):
            RunFolder.create("train", "x", CONFIG, tmp_path / "elsewhere" / ".." / "run", resume=True)
        assert (run.path / lock.NAME).exists()
    with RunFolder.create("train", "x", CONFIG, tmp_path / "other"):
        pass


def test_a_lock_that_its_owner_took_away_meanwhile_is_taken_anew(tmp_path: Path, monkeypatch: Any) -> None:
    """Between opening the file and locking it the owner ends: the locked file is one that nobody finds any more."""
    locked, gone = lock._locked, []

    def late(file: Any) -> bool:
        if not gone:
            gone.append((tmp_path / lock.NAME).unlink())
        return locked(file)

    monkeypatch.setattr(lock, "_locked", late)
    held = lock.FolderLock(tmp_path)
    assert gone
    assert (tmp_path / lock.NAME).exists(), "what others find is what is locked"
    other = subprocess.run([sys.executable, "-c", TRIES, str(tmp_path)], capture_output=True, text=True)
    assert "another process is writing" in other.stderr
    held.release()


def test_the_lock_of_who_came_after_is_left_to_them(tmp_path: Path) -> None:
    """A run that held nothing deletes its folder, and another one begins there before it is quite gone."""
    first = lock.FolderLock(tmp_path)
    (tmp_path / lock.NAME).unlink()
    (tmp_path / lock.NAME).touch()
    first.release()
    assert (tmp_path / lock.NAME).exists()


def test_what_could_not_be_opened_is_not_held(tmp_path: Path) -> None:
    run = RunFolder.create("train", "x", CONFIG, tmp_path / "run")
    with run.checkpoint(1):
        pass
    run.finish("interrupted")
    state = run.path / "checkpoints" / "1" / "run.json"
    whole = state.read_text()
    state.write_text("{")
    with pytest.raises(UserError, match="is damaged") as kept:
        RunFolder.create("train", "x", CONFIG, run.path, resume=True)
    state.write_text(whole)
    assert RunFolder.create("train", "x", CONFIG, run.path, resume=True).resumed, kept  # the error is still at hand


def test_a_run_that_was_finished_while_one_waited_for_it_stays_as_it_is(tmp_path: Path) -> None:
    with RunFolder.create("train", "x", CONFIG, tmp_path / "run") as run:
        run.log(1, {"loss": 1.0})
    whole = {path.name: path.read_bytes() for path in run.path.iterdir() if path.is_file()}
    with pytest.raises(UserError, match="is finished: there is nothing to resume"):
        RunFolder.create("train", "x", CONFIG, run.path, resume=True)
    assert {path.name: path.read_bytes() for path in run.path.iterdir() if path.is_file()} == whole


def test_nothing_of_it_stays(tmp_path: Path) -> None:
    with RunFolder.create("train", "x", CONFIG, tmp_path / "run") as run:
        assert (run.path / lock.NAME).exists()
    assert sorted(path.name for path in run.path.iterdir()) == ["config.yaml", "metrics.jsonl", "summary.json"]


def test_a_file_system_without_locks_is_taken_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr("fcntl.lockf", refused)
    with RunFolder.create("train", "x", CONFIG, tmp_path / "run") as run:
        run.log(1, {"loss": 1.0})
    assert not (run.path / lock.NAME).exists()


def test_an_empty_folder_is_deleted_before_others_may_begin_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left, release = [], lock.FolderLock.release

    def noted(self: lock.FolderLock) -> None:
        left.append(sorted(path.name for path in tmp_path.glob("run/*")))
        release(self)

    monkeypatch.setattr(lock.FolderLock, "release", noted)
    with pytest.raises(UserError, match="no"), RunFolder.create("train", "x", CONFIG, tmp_path / "run"):
        raise UserError("no")
    assert left == [[lock.NAME]]
    assert not (tmp_path / "run").exists()


def test_a_run_whose_summary_could_not_be_written_can_be_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunFolder.create("train", "x", CONFIG, tmp_path / "run")
    with monkeypatch.context() as patched, pytest.raises(OSError, match="full"):
        patched.setattr("robo_reward.runs.atomic.write_json", lambda *given: (_ for _ in ()).throw(OSError("full")))
        run.finish()
    with RunFolder.create("train", "x", CONFIG, tmp_path / "run", resume=True):
        pass


def test_what_began_and_ended_since_the_folder_was_chosen_is_not_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def late(folder: Path) -> Any:
        with monkeypatch.context() as patched:
            patched.setattr(lock, "FolderLock", taken)
            RunFolder.create("train", "x", CONFIG, folder).finish("interrupted")
        return taken(folder)

    taken = lock.FolderLock
    monkeypatch.setattr(lock, "FolderLock", late)
    with pytest.raises(UserError, match=r"exists and is not empty; add resume=true"):
        RunFolder.create("train", "x", CONFIG, tmp_path / "run", resume=False)


def test_settings_that_there_were_not_yet_are_told_with_the_way_to_leave_them_out(tmp_path: Path) -> None:
    RunFolder.create("train", "x", CONFIG, tmp_path / "run").finish("interrupted")
    later: dict[str, Any] = {**CONFIG, "learner": {"workers": 2, "lr": None}}
    with pytest.raises(
        UserError, match=r"made with learner\.workers=absent \(now 2\); .* old value \(~learner\.workers\)"
    ):
        RunFolder.create("train", "x", later, tmp_path / "run", resume=True)
    other = {**later, "learner": {"_target_": "another", **later["learner"]}}
    with pytest.raises(UserError, match=r"with the old values or give another run_dir"):  # another class has others
        RunFolder.create("train", "x", other, tmp_path / "run", resume=True)
