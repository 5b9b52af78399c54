"""A benchmark as a grid of cells: each cell is one command and one JSON file, finished cells are skipped."""

from __future__ import annotations

import datetime
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from robo_reward.runs import atomic
from robo_reward.runs.summary import installed_versions

RESULTS = Path(__file__).parent / "results"
Row = dict[str, Any]


def run_folder(claim: str, name: str) -> Path:
    """Where a cell's run lives: below runs/, which git ignores; other benchmarks may look into it."""
    return Path("runs") / "benchmarks" / claim / name


def train(run_dir: Path, overrides: Sequence[str], verb: str = "train") -> Row:
    """Runs ``robo-reward train``, or another verb that fills a run folder, and returns its summary."""
    command = [sys.executable, "-m", "robo_reward.cli", verb, f"run_dir={run_dir}", *overrides]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    summary_file = run_dir / "summary.json"
    summary: Row = json.loads(summary_file.read_text()) if summary_file.exists() else {"status": "failed"}
    if done.returncode != 0:
        summary |= {"status": "failed", "error": done.stderr.strip().splitlines()[-1:]}
    return summary


def run_cells(claim: str, cells: Mapping[str, Callable[[], Row]], jobs: int) -> list[Row]:
    """Runs every cell that has no file yet, ``jobs`` at a time, and returns all rows in the order of the cells.

    With ``jobs`` 0 nothing is run: the rows are those of the cells that are there.
    """
    folder = RESULTS / "cells" / claim
    if jobs == 0:
        cells = {name: cell for name, cell in cells.items() if (folder / f"{name}.json").exists()}
    folder.mkdir(parents=True, exist_ok=True)

    def one(name: str) -> Row:
        path = folder / f"{name}.json"
        if not path.exists():
            row = cells[name]()
            atomic.write_json(path, row)
            print(f"{claim} {name}: {row}", flush=True)
        loaded: Row = json.loads(path.read_text())
        return loaded

    with ThreadPoolExecutor(max(jobs, 1)) as pool:
        return list(pool.map(one, cells))


def write_result(claim: str, command: str, rows: Sequence[Row], summary: Row, seeds: Sequence[int]) -> None:
    """Writes ``results/<claim>.json`` with what is needed to run it again."""
    atomic.write_json(
        RESULTS / f"{claim}.json",
        {
            "claim": claim,
            "command": command,
            "date": datetime.date.today().isoformat(),
            "cpu": _cpu(),
            "cores": os.cpu_count(),
            "versions": installed_versions(),
            "seeds": list(seeds),
            "rows": list(rows),
            "summary": summary,
        },
    )


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()
