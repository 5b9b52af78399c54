"""What a judge could not read reaches summary.json, through train and through a resume."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hydra
import pytest

from robo_reward.answer_counts import counts_of, note_counts
from robo_reward.errors import UserError
from robo_reward.runs.folder import RunFolder
from robo_reward.runs.summary import Summary
from robo_reward.verbs.train import run

BOX = """
<mujoco><worldbody><light pos="0 0 3"/><camera name="front" pos="0 -2 0.5" xyaxes="1 0 0 0 0.2 1"/>
<body name="box"><joint name="slide" type="slide" axis="1 0 0"/><geom size=".1 .1 .1" type="box"/></body></worldbody>
<actuator><motor joint="slide" ctrlrange="-1 1"/></actuator></mujoco>
"""
SETTINGS = (
    "env=mjcf env.horizon=10 env.height=32 env.width=32 env.views=[front] env.instruction=push-the-box learner=ppo "
    "learner.n_steps=10 learner.batch_size=10 learner.n_epochs=1 steps=40 learner.checkpoint_every=10 "
    "reward_model=vlm_judge reward_model.reading.retries=1 transform=level audit=none episodes=1 evaluation_seeds=[1] "
    "evaluate_every_episodes=1 report=false video=false"
)


class Counting:
    """A reward model, as far as counting goes."""

    def __init__(self, **counts: int) -> None:
        self.__dict__.update(counts)


def test_what_nobody_counts_stays_null() -> None:
    summary = Summary("train")
    note_counts(summary, Counting(), before={"parse_failures": 3})
    assert (summary.parse_failures, summary.fallbacks) == (None, None)
    assert counts_of(Counting()) == {}


def test_models_add_up_and_a_resume_goes_on() -> None:
    summary = Summary("train")
    models = [Counting(parse_failures=2, fallbacks=0), Counting(parse_failures=1), Counting()]
    note_counts(summary, *models, before={"parse_failures": 4})
    assert (summary.parse_failures, summary.fallbacks) == (7, 0)
    assert counts_of(models[0], {"parse_failures": 4}) == {"parse_failures": 6, "fallbacks": 0}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr(sys, "path", [*sys.path, str(Path(__file__).parent)])
    import judge_server  # type: ignore[import-not-found]

    made = judge_server.JudgeServer()
    made.tools = judge_server
    yield made
    made.close()


def train(folder: Path, url: str, *more: str) -> dict[str, Any]:
    xml = folder.parent / "box.xml"
    xml.write_text(BOX)
    place = (f"env.xml={xml}", f"run_dir={folder}", f"reward_model.backend.url={url}")
    with hydra.initialize_config_module("robo_reward.configs", version_base="1.3"):
        config = hydra.compose("train", [*SETTINGS.split(), *place, *more])
    run(config)
    summary: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    return summary


def test_train_counts_across_a_resume(tmp_path: Path, server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = RunFolder.checkpoint

    @contextmanager
    def stop(self: RunFolder, step: int) -> Iterator[Path]:
        with checkpoint(self, step) as folder:
            yield folder
        raise KeyboardInterrupt

    server.script.append(server.tools.says("who knows"))
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(RunFolder, "checkpoint", stop)
        train(tmp_path / "run", server.url)
    stopped = json.loads((tmp_path / "run/summary.json").read_text())
    assert (stopped["status"], stopped["parse_failures"], stopped["fallbacks"]) == ("interrupted", 1, 0)
    server.script.append(server.tools.says("who knows"))
    summary = train(tmp_path / "run", server.url, "resume=true")
    assert (summary["parse_failures"], summary["fallbacks"]) == (2, 0)
    assert (summary["used_env_reward"], summary["used_env_success"]) == (False, False)
    assert summary["reward_model"] == "vlm_judge"


def test_a_judge_that_cannot_be_read_ends_the_run(tmp_path: Path, server: Any) -> None:
    server.script += [server.tools.says("who knows")] * 2
    with pytest.raises(UserError, match="no answer that can be read"):
        train(tmp_path / "run", server.url)


def test_a_server_that_is_not_there_ends_the_run(tmp_path: Path, server: Any) -> None:
    with pytest.raises(UserError, match="no server answers"):
        train(tmp_path / "run", "http://127.0.0.1:9/v1", "reward_model.backend.retries=0")
