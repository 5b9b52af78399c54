"""evaluate reproduces a run's numbers to the last digit and refuses what it cannot measure."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from robo_reward import cli
from robo_reward.errors import UserError
from robo_reward.viewer import Viewer


def read(folder: Path) -> Any:
    return json.loads((folder / "summary.json").read_text("utf-8"))


def test_the_success_rate_of_the_run_comes_out_again(
    tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [f"run={tiny_run}", f"run_dir={tmp_path / 'e'}", "height=48", "width=64", "video_episodes=1"]
    assert cli.run(["evaluate", *words]) == 0
    old, new = read(tiny_run), read(tmp_path / "e")
    for key in ("success_rate", "success_by_seed", "success_ci95", "env_return", "success_episodes", "env", "policy"):
        assert new[key] == old[key], key
    assert new["verb"] == "evaluate"
    assert new["notes"]["reproduced"] is True
    assert new["used_env_success"] is False
    told = capsys.readouterr().out
    assert "as in the run's summary" in told
    assert "seed 1:" in told
    from robo_reward.data.video import read_video

    frames, fps = read_video(tmp_path / "e" / "video.mp4")
    assert frames.shape == (29, 48, 64, 3), "one per decision, without the reset frame"
    assert fps == pytest.approx(40, rel=0.01)


def test_other_episodes_are_measured_without_a_claim_to_reproduce(tiny_run: Path, tmp_path: Path) -> None:
    words = [f"run={tiny_run}", "episodes=2", "evaluation_seeds=[7]", "video=false", f"run_dir={tmp_path / 'e'}"]
    assert cli.run(["evaluate", *words]) == 0
    told = read(tmp_path / "e")
    assert told["success_episodes"] == 2
    assert len(told["success_by_seed"]) == 1
    assert told["notes"]["reproduced"] is None
    assert not (tmp_path / "e" / "video.mp4").exists()


def test_a_run_that_is_not_finished_is_named_as_such(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "config.yaml").write_text("episodes: 1\n")
    (tmp_path / "summary.json").write_text('{"verb": "train", "status": "interrupted"}')
    assert cli.run(["evaluate", f"run={tmp_path}"]) == 2
    assert "not finished ('interrupted')" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["evaluate", "curves", "adapt"])
@pytest.mark.parametrize("held", ['{"verb": "tra', "[]"])
def test_a_damaged_summary_is_named(verb: str, held: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("config.yaml", "policy/policy.yaml", "episodes/meta/info.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("{}")
    (tmp_path / "summary.json").write_text(held)
    assert cli.run([verb, f"run={tmp_path}", f"run_dir={tmp_path / 'out'}"]) == 2
    told = capsys.readouterr().err
    assert f"'{tmp_path / 'summary.json'}' is damaged" in told
    assert "put a copy of it there, or give another run" in told


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "evaluate needs run=DIR"),
        (["run=nowhere"], "no config.yaml"),
        (["run=RUN", "episodes=0"], "episodes=0 must be a whole number of 1 or more"),
        (["run=RUN", "evaluation_seeds=[]"], "at least one whole number"),
        (["run=RUN", "horizon=0"], "horizon=0 must be a whole number of 1 or more"),
        (["run=RUN", "height=4"], "height=4 must be a whole number of 16 or more"),
        (["run=RUN", "episodes=abc"], "episodes=abc must be a whole number of 1 or more"),
        (["run=RUN", "horizon=abc"], "horizon=abc must be a whole number of 1 or more"),
        (["run=RUN", "height=abc"], "height=abc must be a whole number of 16 or more"),
        (["run=RUN", "video_episodes=abc"], "video_episodes=abc must be a whole number of 1 or more"),
    ],
)
def test_what_cannot_be_measured(
    words: list[str], message: str, tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [word.replace("RUN", str(tiny_run)) for word in words]
    assert cli.run(["evaluate", *given, f"run_dir={tmp_path / 'e'}"]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "e").exists()


def test_a_run_of_another_verb_and_a_run_without_horizon(
    tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    shutil.copy(tiny_run / "config.yaml", copy)
    told = read(tiny_run)
    (copy / "summary.json").write_text(json.dumps(told | {"verb": "fit"}))
    assert cli.run(["evaluate", f"run={copy}"]) == 2
    assert "is a run of 'fit'" in capsys.readouterr().err
    text = (copy / "config.yaml").read_text().replace("horizon: 60", "horizon: null")
    (copy / "config.yaml").write_text(text)
    (copy / "summary.json").write_text(json.dumps(told | {"notes": {}}))
    assert cli.run(["evaluate", f"run={copy}"]) == 2
    assert "give horizon=150" in capsys.readouterr().err


def test_view_without_a_screen(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert cli.run(["evaluate", f"run={tiny_run}", "view=true", f"run_dir={tmp_path / 'e'}"]) == 2
    assert "needs a screen" in capsys.readouterr().err


class Window:
    """Stands for MuJoCo's window; closed by the user after two frames."""

    def __init__(self) -> None:
        self.drawn, self.closed = 0, False

    def is_running(self) -> bool:
        return self.drawn < 2

    def sync(self) -> None:
        self.drawn += 1

    def close(self) -> None:
        self.closed = True


def test_a_closed_window_ends_the_watching_only() -> None:
    window: Any = Window()
    viewer = Viewer(window, seconds=0.001)
    step: Any = None
    for _ in range(5):
        viewer.show(step)
    viewer.close()
    assert window.drawn == 2
    assert window.closed


def test_a_world_that_is_not_simulated_here_cannot_be_viewed() -> None:
    world: Any = type("Far", (), {"name": "far"})()
    with pytest.raises(UserError, match="far"):
        Viewer.of(world)
