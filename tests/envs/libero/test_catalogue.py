"""Tasks are found by number, instruction or all of a suite; wrong names suggest the nearest."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from robo_reward.envs.libero.catalogue import HORIZONS, SUITES, find_tasks, shipped_states, tasks_of
from robo_reward.envs.libero.stored_array import read_array
from robo_reward.errors import UserError


def test_there_are_130_tasks_with_their_files() -> None:
    tasks = [task for suite in SUITES for task in tasks_of(suite)]
    assert len(tasks) == 130
    assert all(task.bddl_file.is_file() and task.states_file.is_file() for task in tasks)


def test_step_limits_are_lerobots() -> None:
    text = (Path(str(torch.__file__)).parent.parent / "lerobot" / "envs" / "libero.py").read_text()
    for suite, horizon in HORIZONS.items():
        assert f'"{suite}": {horizon},' in text


@pytest.mark.parametrize(
    ("suite", "number", "instruction"),
    [
        ("libero_goal", 3, "open the top drawer and put the bowl inside"),
        ("libero_10", 3, "put the black bowl in the bottom drawer of the cabinet and close it"),
        # scene numbers of two digits are cut off as well
        ("libero_90", 3, "put the butter at the back in the top drawer of the cabinet and close it"),
    ],
)
def test_instructions(suite: str, number: int, instruction: str) -> None:
    assert find_tasks(suite, number)[0].instruction == instruction


def test_ways_to_name_a_task() -> None:
    by_number = find_tasks("libero_goal", 0)
    assert by_number == find_tasks("libero_goal", "0") == find_tasks("libero_goal", by_number[0].stem)
    assert by_number == find_tasks("libero_goal", "Open the middle drawer of the  cabinet")
    assert [t.number for t in find_tasks("libero_goal", [2, "0"])] == [2, 0]
    assert len(find_tasks("libero_90", "all")) == 90


@pytest.mark.parametrize(
    ("suite", "task", "message"),
    [
        ("libero_spacial", 0, "did you mean 'libero_spatial'"),
        ("libero_goal", "open the midle drawer", "did you mean 'open the middle drawer of the cabinet'"),
        ("libero_goal", 10, "tasks 0 to 9, got env.task=10"),
        ("libero_goal", -1, "tasks 0 to 9, got env.task=-1"),
        ("libero_goal", [], "names no task"),
        ("libero_90", "put the black bowl on the plate", "give the number"),
    ],
)
def test_wrong_names(suite: str, task: int | str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        find_tasks(suite, task)


def test_shipped_states_are_read_without_running_anything(tmp_path: Path) -> None:
    states = shipped_states(find_tasks("libero_object", 0)[0])
    assert states.shape == (50, 110)  # time, 7 free objects of 13 numbers each, arm and fingers of 18
    assert states.dtype == np.float64
    assert np.isfinite(states).all()
    quaternions = states[:, 1 + 9 + 3 : 1 + 9 + 7]
    np.testing.assert_allclose(np.linalg.norm(quaternions, axis=1), 1, atol=1e-3)
    bad = tmp_path / "bad.pruned_init"
    bad.write_bytes(b"no archive")
    with pytest.raises(UserError, match="cannot be read"):
        read_array(bad)
    with zipfile.ZipFile(bad, "w") as archive:
        archive.writestr("archive/data.pkl", b"N.")
    with pytest.raises(UserError, match="no table"):
        read_array(bad)
