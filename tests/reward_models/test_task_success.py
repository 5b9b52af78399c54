"""Success of several instructions in one model: told by the instruction, learned and refitted apart."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from robo_reward.reward_models.progress import ProgressModel
from robo_reward.reward_models.progress_fit import FitSettings
from robo_reward.reward_models.task_success import TaskSuccess
from robo_reward.reward_models.transport import TransportModel
from robo_reward.trace import Source, Trace

OPEN, CLOSE = "open the drawer", "close the drawer"
STEPS = 24


def along(task: str, seed: int, source: Source = "demonstration", stop: int = STEPS) -> Trace:
    """A way along a line, backwards for ``CLOSE``, that rests from step ``stop`` on; a success from step 20 on."""
    line = np.minimum(np.arange(STEPS + 1), stop) / STEPS
    place = 1 - line if task == CLOSE else line
    state = np.stack([place, 1 - place, np.zeros(STEPS + 1)], 1)
    state += 0.01 * np.random.default_rng(seed).standard_normal(state.shape)
    success = np.arange(STEPS + 1) >= 20 if source == "demonstration" else None
    action = np.zeros((STEPS, 2), np.float32)
    return Trace(task, state.astype(np.float32), action, {}, np.arange(STEPS + 1), 10.0, source, success=success)


def make() -> ProgressModel:
    return ProgressModel([], stride=1, members=1, encoder="state", fit=FitSettings(steps=80))


DEMONSTRATIONS = [along(task, seed) for task in (OPEN, CLOSE) for seed in range(3)]


@pytest.fixture(scope="module")
def model() -> ProgressModel:
    torch.set_num_threads(1)
    fitted = make()
    stopped = [along(task, 10 + stop, "replay", stop) for task in (OPEN, CLOSE) for stop in (4, 8, 12)]
    wrong = [replace(along(OPEN, 30), task=said, source="counterfactual", success=None) for said in (CLOSE, "open it")]
    fitted.fit(DEMONSTRATIONS, [*stopped, *wrong], seed=0)
    return fitted


@pytest.mark.parametrize("task", [OPEN, CLOSE])
def test_the_start_of_one_task_is_no_success_though_another_ends_there(model: ProgressModel, task: str) -> None:
    seen = model.estimate_episode(along(task, 50)).success
    assert seen[:8].max() < 0.5
    assert seen[-1] > 0.7
    other = CLOSE if task == OPEN else OPEN
    assert model.estimate_episode(replace(along(task, 50), task=other)).success[-1] < 0.5


def test_stepped_worlds_of_several_tasks_are_told_what_episodes_are(model: ProgressModel) -> None:
    z = torch.cat([model.matched(along(task, 51))[-1:] for task in (OPEN, CLOSE)])
    vectors = torch.stack([model._tasks(_seen(task))[0] for task in (OPEN, CLOSE)])
    both = model.success.probability(z, vectors)
    alone = [model.estimate_episode(along(task, 51)).success[-1] for task in (OPEN, CLOSE)]
    assert both == pytest.approx(alone, abs=1e-5)


def test_own_episodes_refit_the_detector_of_their_instruction(model: ProgressModel, tmp_path: Path) -> None:
    model.save(tmp_path)
    again = make()
    again.load(tmp_path)
    seen = [along(OPEN, 60), along(CLOSE, 61)]
    before = [model.estimate_episode(t).success for t in seen]
    for kept, trace in zip(before, seen, strict=True):
        assert np.array_equal(again.estimate_episode(trace).success, kept)
    again.refit([along("open a drawer", 62, "policy")], seed=1, steps=5)  # the nearest known is OPEN
    after = [again.estimate_episode(t).success for t in seen]
    assert not np.array_equal(before[0], after[0])
    assert np.array_equal(before[1], after[1])


def test_what_each_detector_is_fitted_against() -> None:
    class Heard(TaskSuccess):
        def _fit(self, others, memory, seed, steps):  # type: ignore[no-untyped-def]
            heard.append([[float(frames[0, 0]) for frames in own] for own in others])
            return {}

    class Memory:
        def of(self, instruction: int) -> Memory:
            self.early = torch.full((1, 1), -1.0 - instruction)
            return self

    names: list[Trace] = []

    def number(trace: Trace) -> torch.Tensor:
        return torch.full((1, 1), float(next(k for k, t in enumerate(names) if t is trace)))

    heard: list[list[list[float]]] = []
    several, single = Heard(1), Heard(1)
    several.tell_apart([OPEN, CLOSE])
    names += [along(OPEN, 0, "replay"), along("open it", 1, "replay")]
    names += [replace(along(OPEN, 2), task=said, source="counterfactual") for said in (CLOSE, "shut the drawer")]
    several.fit(names, number, Memory(), 0, 1)  # type: ignore[arg-type]
    several.fit(names[:1], number, Memory(), 0, 1)  # type: ignore[arg-type]
    names.append(along(OPEN, 3, "random"))
    several.fit([names[0], names[4]], number, Memory(), 0, 1)  # type: ignore[arg-type]
    single.fit(names, number, Memory(), 0, 1)  # type: ignore[arg-type]
    assert heard == [[[0, 1], [2]], [[0], [-2]], [[0, 4], [4]], [[0, 1, 4]]]
    assert single.fit([], number, Memory(), 0, 1) == {}  # type: ignore[arg-type]


@pytest.mark.parametrize("first", [OPEN, CLOSE])
def test_episodes_are_matched_with_demonstrations_of_their_instruction(first: str, tmp_path: Path) -> None:
    def transport() -> TransportModel:
        return TransportModel([], stride=1, members=1, encoder="state", references=2, fit=FitSettings(steps=40))

    shown = DEMONSTRATIONS if first == OPEN else DEMONSTRATIONS[::-1]
    rests = [along(task, 70 + k, "random", k) for k, task in enumerate((OPEN, CLOSE, OPEN, CLOSE))]
    model, again = transport(), transport()
    model.fit(shown, rests, seed=0)
    model.save(tmp_path)
    again.load(tmp_path)
    for task in (OPEN, CLOSE, "open a drawer", "close a drawer"):
        played = along(OPEN if "open" in task else CLOSE, 80)
        own = model.estimate_episode(replace(played, task=task)).match
        resting = along(played.task, 81, stop=2)
        assert own is not None
        assert own.mean() > 0.5
        assert model.estimate_episode(replace(resting, task=task)).match.mean() < 0.3  # type: ignore[union-attr]
        assert np.array_equal(again.estimate_episode(replace(played, task=task)).match, own)  # type: ignore[arg-type]
    assert [len(match.references) for match in model._matches] == [2, 2]


def _seen(task: str):  # type: ignore[no-untyped-def]
    from robo_reward.contracts import Observation

    return Observation({}, np.zeros((1, 3), np.float32), (task,))
