"""A user's success test and reward: what fails in their module, and answers that are none, are told by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from robo_reward.envs.user_function import load_reward, load_success
from robo_reward.errors import UserError

CALM = SimpleNamespace(qpos=np.zeros(2), qvel=np.zeros(2))
WILD = SimpleNamespace(qpos=np.array([np.nan, 0.0]), qvel=np.zeros(2))


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], str]:
    """Writes a module and gives back its file."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(name: str, text: str) -> str:
        (tmp_path / f"{name}.py").write_text(text)
        return str(tmp_path / f"{name}.py")

    return write


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("rr_slip", "x = 1\ndef success(model, data)\n    return True\n", "SyntaxError: expected ':' \\({file}:2\\)"),
        ("rr_fault", "x = 1\n\nx / 0\n", "ZeroDivisionError: division by zero \\({file}:3\\)"),
        ("rr_import", "from math import no_such_name\n", "ImportError: cannot import name .* \\({file}:1\\)"),
    ],
)
def test_a_module_that_cannot_be_imported_is_told_with_file_and_line(
    name: str, text: str, told: str, module: Callable[[str, str], str]
) -> None:
    file = module(name, text)
    said = f"env.success={name}:success: the module '{name}' cannot be imported: " + told.format(file=file)
    with pytest.raises(UserError, match=said):
        load_success(f"{name}:success")


@pytest.mark.parametrize("answer", ["None", "float('nan')", "'yes'", "[True, False]"])
def test_an_answer_that_is_no_truth_is_refused(answer: str, module: Callable[[str, str], str]) -> None:
    name = f"rr_truth_{abs(hash(answer))}"
    module(name, f"def f(model, data):\n    return {answer}\n")
    with pytest.raises(UserError, match=f"env.success={name}:f gave back .*; it must give back True or False"):
        load_success(f"{name}:f")(None, CALM)


@pytest.mark.parametrize("answer", ["None", "float('nan')", "float('inf')", "'much'", "[1.0, 2.0]"])
def test_an_answer_that_is_no_number_is_refused(answer: str, module: Callable[[str, str], str]) -> None:
    name = f"rr_number_{abs(hash(answer))}"
    module(name, f"def f(model, data):\n    return {answer}\n")
    with pytest.raises(UserError, match=f"env.reward={name}:f gave back .*; it must give back a finite number"):
        load_reward(f"{name}:f")(None, CALM)


def test_answers_of_numpy_are_taken(module: Callable[[str, str], str]) -> None:
    module("rr_numpy", "import numpy as np\ndef f(model, data):\n    return np.array([data.qpos[0]])\n")
    assert load_success("rr_numpy:f")(None, CALM) is False
    assert load_reward("rr_numpy:f")(None, CALM) == 0.0


def test_an_unstable_simulation_is_no_fault_of_the_reward(module: Callable[[str, str], str]) -> None:
    module("rr_wild", "def f(model, data):\n    return data.qpos[0]\n")
    assert np.isnan(load_reward("rr_wild:f")(None, WILD))
