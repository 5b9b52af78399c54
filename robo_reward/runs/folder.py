"""The run folder: resolved config, metrics, checkpoints and a summary, each whole on the disk or absent."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from robo_reward.errors import Interrupted, UserError
from robo_reward.runs import atomic, lock, signals
from robo_reward.runs.metrics import EventFile, MetricsLog, Mirror, Value
from robo_reward.runs.same_config import check_same, resolved
from robo_reward.runs.summary import Status, Summary, git_commit, installed_versions

OWN = ("config.yaml", "metrics.jsonl", "checkpoints", "wandb", lock.NAME)
"""What is in every run folder from its beginning."""


class RunFolder:
    """One run on the disk. Use it as a context manager: whatever ends the block ends up in ``summary.json``.

    ``path``: the folder. ``summary``: fill in what is known. ``resumed``: whether it goes on from a
    checkpoint, and ``step`` from which (0 without one). A new folder vanishes if the run ends before anything was
    logged, by a user's error or, where nobody has put anything into it, in any way: the mended command can then be
    given as it is.
    """

    def __init__(self, path: Path, summary: Summary, metrics: MetricsLog, keep: int, held: lock.FolderLock) -> None:
        self.path = path
        self._lock = held
        self.summary = summary
        self.step = 0
        self.resumed = False
        self._metrics = metrics
        self._keep = keep
        self._start = (time.monotonic(), _cpu_seconds())
        self._earlier = (0.0, 0.0)
        self._ended = self._new = False

    @classmethod
    def create(
        cls,
        verb: str,
        name: str,
        config: Mapping[str, Any] | Any,
        run_dir: str | Path | None = None,
        resume: bool | None = None,
        tensorboard: bool = True,
        keep: int = 2,
    ) -> RunFolder:
        """Makes ``runs/<verb>/<date-time>-<name>/`` or ``run_dir``; the last ``keep`` checkpoints stay.

        With ``resume`` the folder may exist: metrics are cut back to the latest checkpoint, if any.
        A folder that does not exist yet is begun, so that a scheduler can repeat one command.

        Raises:
            UserError: the folder holds something and ``resume`` is off; its run had another config, or still goes on.
        """
        plain = resolved(config)
        path = _choose(verb, name, run_dir, resume)
        mirrors = _mirrors(path, plain, tensorboard)
        path.mkdir(parents=True, exist_ok=True)
        held = lock.FolderLock(path)
        try:
            new = not (path / "config.yaml").exists()
            if new and resume:
                print(f"there is no run in '{path}' to resume: it begins there", file=sys.stderr)
            if not new and not resume:  # begun, and ended, since it was chosen
                raise _taken(path, resume)
            if not new:
                _check_open(path, plain)
            atomic.write_text(path / "config.yaml", _yaml(plain))
            seed = plain.get("seed")
            summary = Summary(verb=verb, seed=seed, versions=installed_versions(), git_commit=git_commit())
            run = cls(path, summary, MetricsLog(path / "metrics.jsonl", mirrors), keep, held)
            run._open()
        except BaseException:
            held.release()
            raise
        run._new = new
        return run

    def log(self, step: int, values: Mapping[str, Value]) -> None:
        """Appends a row to ``metrics.jsonl``; what depends on timing must be named ``timing/...``."""
        self._metrics.log(step, values)

    @contextlib.contextmanager
    def checkpoint(self, step: int) -> Iterator[Path]:
        """Yields a temporary folder that becomes ``checkpoints/<step>/`` when the block ends well."""
        with atomic.new_folder(self.path / "checkpoints" / str(int(step))) as folder:
            yield folder
            wall, cpu = self._seconds()
            state = {
                "step": int(step),
                "metrics_bytes": self._metrics.size,
                "wall_seconds": wall,
                "cpu_seconds": cpu,
            }
            atomic.write_json(folder / "run.json", state)
        atomic.write_text(self.path / "checkpoints" / "latest", f"{int(step)}\n")
        kept = sorted((int(p.name) for p in self._checkpoints()), reverse=True)[: max(self._keep, 1)]
        for path in self._checkpoints():
            if int(path.name) not in kept:
                shutil.rmtree(path, ignore_errors=True)

    def latest_checkpoint(self) -> Path | None:
        """The folder of the last whole checkpoint, None before the first."""
        return latest_checkpoint(self.path)

    def finish(self, status: Status = "done") -> None:
        """Writes ``summary.json``, the last thing that a run does; others may write there then, whatever happened."""
        try:
            self._metrics.close()
            self.summary.status = status
            self.summary.wall_seconds, self.summary.cpu_seconds = self._seconds()
            atomic.write_json(self.path / "summary.json", self.summary.as_json())
        finally:
            self._lock.release()
        self._ended = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._ended:
            return
        if error is None:
            self.finish()
            return
        if self._holds_nothing(error):
            self._metrics.close()
            self._empty()
            return
        stopped = isinstance(error, KeyboardInterrupt | Interrupted) or signals.received() is not None
        try:
            self.finish("interrupted" if stopped else "failed")
        except OSError as also:  # a full disk: what ended the run matters more than its summary
            print(f"could not write '{self.path / 'summary.json'}': {also}", file=sys.stderr)
        way = f": resume it with run_dir='{self.path}' resume=true and the same settings"
        error.add_note(f"the run folder is '{self.path}'{'' if self.latest_checkpoint() is None else way}")

    def _holds_nothing(self, error: BaseException) -> bool:
        if not self._new or self._metrics.size or self.latest_checkpoint() is not None:
            return False
        if isinstance(error, UserError) and error.exit_code == UserError.exit_code:
            return True
        others = (path.name for path in self.path.iterdir() if path.name not in OWN)
        return all(name.startswith("events.") for name in others)  # the black box of a stopped arm stays

    def _empty(self) -> None:
        """Deletes the folder: the lock after all else, and what others begin there since then stays."""
        with contextlib.suppress(OSError):
            for path in self.path.iterdir():
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path, ignore_errors=True)
                elif path.name != lock.NAME:
                    path.unlink()
        self._lock.release()
        with contextlib.suppress(OSError):
            self.path.rmdir()

    def _open(self) -> None:
        (self.path / "summary.json").unlink(missing_ok=True)
        folder = self.path / "checkpoints"
        if folder.exists():
            atomic.recover(folder)
        latest = self.latest_checkpoint()
        if latest is None:
            self._metrics.open(keep_bytes=0)
            return
        state = read_json(latest / "run.json")
        self.resumed, self.step = True, int(state["step"])
        self._earlier = (state["wall_seconds"], state["cpu_seconds"])
        self._metrics.open(keep_bytes=int(state["metrics_bytes"]))
        for path in self._checkpoints():
            if int(path.name) > self.step:  # saved, but never named as the latest: its metrics are gone
                shutil.rmtree(path)
        self._metrics.restart(self.step)

    def _checkpoints(self) -> list[Path]:
        return [p for p in (self.path / "checkpoints").iterdir() if p.is_dir() and p.name.isdigit()]

    def _seconds(self) -> tuple[float, float]:
        wall, cpu = time.monotonic() - self._start[0], _cpu_seconds() - self._start[1]
        return round(self._earlier[0] + wall, 3), round(self._earlier[1] + cpu, 3)


def _check_open(path: Path, config: Mapping[str, Any]) -> None:
    """UserError if the run had another config, or was finished before the lock was had."""
    check_same(path, config)
    if is_finished(path):
        raise UserError(f"the run in '{path}' is finished: there is nothing to resume; give another run_dir")


def _mirrors(path: Path, config: Mapping[str, Any], tensorboard: bool) -> list[Mirror]:
    """TensorBoard's event file, and Weights & Biases where the config has ``wandb=offline|online``."""
    mirrors: list[Mirror] = [EventFile(path)] if tensorboard else []
    if config.get("wandb") is not None:
        from robo_reward.runs.wandb_mirror import WandbMirror

        mirrors.append(WandbMirror(path, str(config["wandb"]), config))
    return mirrors


def is_finished(path: Path) -> bool:
    """Whether the run in ``path`` was finished: then its summary says so."""
    summary = path / "summary.json"
    return summary.exists() and read_json(summary).get("status") == "done"


def read_json(path: Path, way: str = "delete it, or give another run_dir") -> dict[str, Any]:
    """A json file of a run, such as its summary. UserError, which names the ``way`` out, if it is damaged."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise UserError(f"'{path}' is damaged ({error}): {way}") from error
    if not isinstance(found, dict):
        raise UserError(f"'{path}' is damaged (it holds a {type(found).__name__}, no object): {way}")
    return found


def read_summary(folder: Path) -> dict[str, Any]:
    """What the summary of a run that others build on says. UserError if it is damaged."""
    return read_json(folder / "summary.json", "put a copy of it there, or give another run")


def latest_checkpoint(path: Path) -> Path | None:
    """The folder of the last whole checkpoint of the run in ``path``, None without one."""
    named = path / "checkpoints" / "latest"
    if not named.exists():
        return None
    folder = path / "checkpoints" / named.read_text("utf-8").strip()
    if not (folder / "run.json").is_file():
        raise UserError(f"'{named}' names the checkpoint '{folder}', which is not there; was part of the run deleted?")
    return folder


def _choose(verb: str, name: str, run_dir: str | Path | None, resume: bool | None) -> Path:
    """``resume``: None for a verb that cannot."""
    if run_dir is None:
        if resume:
            raise UserError("resume=true needs run_dir=FOLDER, the run to go on with")
        stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
        stem = Path("runs") / verb / f"{stamp}-{re.sub(r'[^A-Za-z0-9._-]+', '-', name).strip('-') or 'run'}"
        tries = (stem if i == 1 else stem.with_name(f"{stem.name}-{i}") for i in range(1, 1000))
        return next(path for path in tries if not path.exists())
    path = Path(run_dir)
    if path.exists() and not path.is_dir():
        raise UserError(f"run_dir='{path}' is a file, not a folder; give another run_dir")
    if path.exists() and any(path.iterdir()) and not resume:
        raise _taken(path, resume)
    if path.exists() and any(path.iterdir()) and not (path / "config.yaml").exists():
        raise UserError(f"'{path}' is not a run folder (it has no config.yaml), so it cannot be resumed")
    return path


def _taken(path: Path, resume: bool | None) -> UserError:
    way = "" if resume is None else "add resume=true or "
    return UserError(f"the run folder '{path}' exists and is not empty; {way}give another run_dir")


def _yaml(config: Mapping[str, Any]) -> str:
    from omegaconf import OmegaConf

    return OmegaConf.to_yaml(OmegaConf.create(dict(config)))


def _cpu_seconds() -> float:
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system
