"""The doctor finds what is wrong and says how to mend it."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from robo_reward import cli, machine_checks
from robo_reward.machine_checks import Finding
from robo_reward.verbs import doctor


def found(state: Any) -> list[Finding]:
    return [Finding("renderer", state, "no EGL", "apt-get install libegl1"), Finding("disk", "ok", "9 GB")]


def test_a_failed_check_exits_with_2_and_says_how_to_mend(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "check_all", lambda size: found("fail"))
    assert cli.run(["doctor"]) == 2
    told = capsys.readouterr()
    assert "1 of 2 checks failed: renderer" in told.err
    assert "to mend: apt-get install libegl1" in told.out


def test_warnings_do_not_fail_and_json_is_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "check_all", lambda size: found("warn"))
    assert cli.run(["doctor", "json=true"]) == 0
    read = json.loads(capsys.readouterr().out)
    assert read[0] == {
        "name": "renderer",
        "state": "warn",
        "text": "no EGL",
        "mend": "apt-get install libegl1",
    }


def test_a_wrong_renderer_is_found_in_its_own_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUJOCO_GL", "nothing")
    finding = machine_checks.check_renderer(32)
    assert finding.state == "fail"
    assert "unset MUJOCO_GL" in finding.mend


def test_missing_gl_libraries_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    dead = subprocess.CompletedProcess([], 1, stdout="", stderr="Traceback\nImportError: cannot load libEGL.so\n")
    monkeypatch.setattr(machine_checks.subprocess, "run", lambda *args, **kwargs: dead)
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    finding = machine_checks.check_renderer(32)
    assert "cannot load libEGL.so" in finding.text
    assert "apt-get install libegl1" in finding.mend


@pytest.mark.parametrize("check", ["python", "processors", "memory", "disk", "mujoco", "video", "opencv", "display"])
def test_this_machine_passes_the_quick_checks(check: str) -> None:
    finding = getattr(machine_checks, f"check_{check}")()
    assert finding.name == check
    assert finding.state in ("ok", "info", "warn"), finding


def test_the_renderer_draws_here() -> None:
    finding = machine_checks.check_renderer(32)
    assert finding.state == "ok", finding


def test_a_check_that_dies_is_a_finding() -> None:
    def check_disk() -> Finding:
        raise OSError("no such device")

    finding = machine_checks._safely(check_disk)
    assert (finding.name, finding.state, finding.text) == ("disk", "fail", "OSError: no such device")


def test_a_folder_that_holds_no_assets_of_libero_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROBO_REWARD_LIBERO_ASSETS", str(tmp_path))
    found = machine_checks.check_libero()
    assert (found.state, str(tmp_path) in found.text) == ("warn", True)
    (tmp_path / "scenes").mkdir()
    assert machine_checks.check_libero().state == "ok"
