"""What the shaping study says of many runs: means over tasks, intervals over seeds, nothing where runs lack."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def results(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))
    return import_module("shaping_results")


def row(task: str, variant: str, seed: int, rate: float) -> dict[str, Any]:
    known = {"learned_success_rate": rate, "cloned_success_rate": 0.0, "status": "done", "alarm": False}
    rest = {"evaluations": [[30, rate]], "rollouts_to_90": None, "false_success_share": 0.0, "base_reward": "progress"}
    return {"task": task, "variant": variant, "seed": seed, "learned_return_vs_success": None, **known, **rest}


def test_tasks_weigh_alike_and_runs_are_compared_with_their_own_twin(results: Any) -> None:
    rates = {"easy": [0.8, 0.9, 1.0], "hard": [0.0, 0.1, 0.2, 0.3, 0.4]}
    rows = [row(task, "potential", seed, rate) for task, seen in rates.items() for seed, rate in enumerate(seen)]
    rows += [row(r["task"], "better", r["seed"], r["learned_success_rate"] + 0.1) for r in rows]
    told = results.summarise(rows)
    assert told["potential"]["mean"] == pytest.approx((0.9 + 0.2) / 2)
    assert told["better"]["against_potential"] == pytest.approx(0.1)
    assert told["better"]["against_potential_95"] == pytest.approx([0.1, 0.1]), "by as much with every seed"
    low, high = told["better"]["mean_95"]
    assert told["better"]["mean"] == pytest.approx(0.65)
    assert 0.5 < low < 0.65 < high < 0.8
    assert told["potential easy"]["mean"] == pytest.approx(0.9)


def test_intervals_of_a_few_seeds_are_none_of_two(results: Any) -> None:
    assert results.interval({"a": [0.5] * 3}) == [0.5, 0.5]
    assert results.interval({"a": [0.5] * 3, "b": [0.1, 0.9]}) is None
    low, high = results.interval({"a": [0.0, 0.0, 1.0]})
    assert (low, high) == (0.0, 1.0), "all of one kind are drawn in 8 and 1 of 27 cases"


def test_what_lacks_a_task_has_no_mean_over_them(results: Any) -> None:
    rows = [row(task, "potential", seed, rate) for task, rate in (("easy", 0.8), ("hard", 0.2)) for seed in range(3)]
    rows += [row("easy", "half", seed, 0.8) for seed in range(3)]
    told = results.summarise(rows)["half"]
    assert [told[key] for key in ("mean", "mean_95", "against_potential", "against_potential_95")] == [None] * 4
    assert (told["median"], told["runs"]) == (0.8, 3)
