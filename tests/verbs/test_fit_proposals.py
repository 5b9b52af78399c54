"""fit with counterfactual instructions from a language model: the very command that docs/data.md shows."""

import json
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fit_episodes import fit

ROOT = Path(__file__).resolve().parents[2]
ANSWER = "1. close the drawer\n2. lift the red block\n3. press the button\n4. go left"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr(sys, "path", [*sys.path, str(ROOT / "tests" / "reward_models")])
    import judge_server  # type: ignore[import-not-found]

    made = judge_server.JudgeServer()
    made.script += [judge_server.says(ANSWER)] * 2  # one question for each task
    yield made
    made.close()


def shown(data: str, url: str) -> list[str]:
    """The words after ``robo-reward fit``, with the reader's own data and server."""
    text = (ROOT / "docs" / "data.md").read_text("utf-8").replace("\\\n", " ")
    found = re.search(r"^robo-reward fit (.*instruction_proposals.*)$", text, re.M)
    assert found is not None
    words = shlex.split(found[1])
    assert words[0] == "data=[A,B]"
    return [f"data={data}", *(w.replace("http://localhost:8000/v1", url).replace("NAME", "tiny") for w in words[1:])]


def test_the_shown_command_fits_on_what_the_model_proposes(
    right: Path, left: Path, tmp_path: Path, server: Any
) -> None:
    words = shown(f"[{right},{left}]", server.url)
    assert fit([*words, "negatives.counterfactual=6"], tmp_path / "run") == 0
    assert len(server.bodies) == 2
    assert {body["model"] for body in server.bodies} == {"tiny"}
    split = json.loads((tmp_path / "run" / "reward_model" / "split.json").read_text())["negatives"]
    asked = {row["task"] for side in split.values() for row in side if row["source"] == "counterfactual"}
    assert asked
    assert asked <= {"close the drawer", "lift the red block", "press the button", "go left"}


def test_a_server_that_is_gone_is_said(
    right: Path, left: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = shown(f"[{right},{left}]", "http://127.0.0.1:9/v1")
    words[-1] = words[-1].replace("tiny", "tiny, retries: 0")
    assert fit(words, tmp_path / "run") == 2
    assert "no server answers at http://127.0.0.1:9/v1" in capsys.readouterr().err
