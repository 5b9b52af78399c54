"""The reward that is kept: fitted elsewhere to the same numbers as here, and nothing left behind where it fails."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from fit_episodes import STEPS, demonstration

from robo_reward.build import build_reward_model
from robo_reward.contracts import LearnedRewardModel
from robo_reward.errors import UserError
from robo_reward.growing import GROWN, annotated, begin
from robo_reward.seeding import derive_seed
from robo_reward.trace import Source, Trace

RECIPE: dict[str, Any] = {
    "_target_": "robo_reward.reward_models.transport.TransportModel",
    "views": ["front"],
    "members": 2,
    "refit_steps": 5,
    "fit": {"_target_": "robo_reward.reward_models.progress_fit.FitSettings", "steps": 10},
}


class Judge:
    """Says success at step 20 of every episode but random ones."""

    def judge(self, trace: Trace) -> float:
        return float(self.moment(trace) is not None)

    def moment(self, trace: Trace) -> int | None:
        return None if trace.source == "random" else 20


def episode(source: Source, seed: int) -> Trace:
    return replace(demonstration(seed=seed, mirrored=source == "random"), source=source, success=None)


def session(folder: Path, successes: int = 3) -> Any:
    model: Any = build_reward_model(dict(RECIPE))
    demonstrations = [demonstration(seed=0)]
    experience = [episode("random", seed) for seed in (1, 2)]
    model.fit(demonstrations, experience, 0)
    played = [episode("policy", seed) for seed in range(3, 3 + successes)] + [episode("random", 90)]
    return SimpleNamespace(
        stack=SimpleNamespace(model=model),
        demonstrations=demonstrations,
        experience=experience,
        played=[(trace, "sample", 1.0, 0.5) for trace in played],
        run=SimpleNamespace(path=folder),
        seed=7,
    )


def grow(run: Any) -> dict[str, float]:
    growth = begin(run, Judge(), RECIPE, hold=2, threads=1)  # type: ignore[arg-type]
    assert growth is not None
    with contextlib.closing(growth):
        return growth.finish(run.stack.model)


def test_it_is_fitted_to_the_same_numbers_as_in_this_process(tmp_path: Path) -> None:
    run = session(tmp_path)
    seen = grow(run)
    here = session(tmp_path / "here")
    model: LearnedRewardModel = here.stack.model
    chosen = [annotated(row[0], 20, 2) for row in here.played[:-1]]
    losses = model.fit(here.demonstrations, here.experience, derive_seed(7, "grown"), chosen)
    model.refit([*here.experience, here.played[-1][0]], derive_seed(7, "grown"))
    assert seen == {f"grown/{name}": value for name, value in losses.items()} | {"grown/episodes": 3.0}
    for trace in (demonstration(seed=50), episode("random", 51)):
        one, other = run.stack.model.estimate_episode(trace), model.estimate_episode(trace)
        for part in ("progress", "success", "match"):
            np.testing.assert_array_equal(getattr(one, part), getattr(other, part))
    assert list(tmp_path.glob("growing*")) == []


def test_at_most_so_many_successes_teach_it_and_without_any_nothing_is_fitted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[int] = []
    monkeypatch.setattr("robo_reward.growing.Growth", lambda folder, episodes: begun.append(episodes))
    begin(session(tmp_path, successes=GROWN + 5), Judge(), RECIPE, hold=2, threads=1)  # type: ignore[arg-type]
    assert begun == [GROWN]
    assert begin(session(tmp_path, successes=0), Judge(), RECIPE, hold=2, threads=1) is None  # type: ignore[arg-type]
    assert begun == [GROWN]


def test_a_fit_that_fails_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    run = session(tmp_path)
    run.demonstrations = [replace(run.demonstrations[0], success=None)]
    with pytest.raises(UserError, match=r"ended with code 1 [\s\S]*resume=true[\s\S]*success"):
        grow(run)
    assert list(tmp_path.glob("growing*")) == []


def test_a_run_that_is_stopped_meanwhile_ends_it(tmp_path: Path) -> None:
    growth = begin(session(tmp_path), Judge(), RECIPE, hold=2, threads=1)  # type: ignore[arg-type]
    assert growth is not None
    growth.close()
    assert growth._process.returncode == -9
    assert list(tmp_path.glob("growing*")) == []


def test_an_annotated_success_ends_soon_after_it() -> None:
    cut = annotated(demonstration(), 10, 4)
    assert len(cut) == 14
    assert cut.success is not None
    assert cut.success.tolist() == [False] * 10 + [True] * 5
    assert len(annotated(demonstration(), 22, 40)) == STEPS
