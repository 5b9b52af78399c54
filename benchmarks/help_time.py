"""How long ``--help`` of the program and of each verb takes, beside the interpreter's own start.

Run: python benchmarks/help_time.py. Processor seconds of the child process, since the machine may be busy.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys

from cells import Row, write_result

from robo_reward.cli import help_pages

ROUNDS = 7


def cpu_seconds(command: list[str]) -> float:
    """Processor seconds of one run of ``command``."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Times the interpreter and every help page in turns."""
    program = [sys.executable, "-m", "robo_reward.cli"]
    pages = {"program": [], **{verb: [verb] for verb in help_pages.verbs()}}
    spent: dict[str, list[float]] = {name: [] for name in ("python", *pages)}
    for _ in range(ROUNDS):
        spent["python"].append(cpu_seconds([sys.executable, "-c", "pass"]))
        for name, words in pages.items():
            spent[name].append(cpu_seconds([*program, *words, "--help"]))
    start = statistics.median(spent["python"])
    rows: list[Row] = [
        {
            "page": name,
            "median_cpu_seconds": statistics.median(times),
            "worst_cpu_seconds": max(times),
            "ratio_to_interpreter_start": statistics.median(times) / start,
        }
        for name, times in spent.items()
    ]
    summary = {"worst_cpu_seconds": max(max(times) for times in spent.values())}
    write_result("help_time", "python benchmarks/help_time.py", rows, summary, [])
    print(summary)


if __name__ == "__main__":
    main()
