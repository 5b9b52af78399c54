"""The command line: what exits with which code, and what the user reads then."""

import errno
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from robo_reward import cli
from robo_reward.cli import completion, help_pages
from robo_reward.errors import Interrupted, UserError

PROGRAM = [sys.executable, "-m", "robo_reward.cli"]


@pytest.fixture
def verb(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Any], None]], None]:
    """Puts a function in the place of the verb doctor."""

    def put(run: Callable[[Any], None]) -> None:
        monkeypatch.setattr(cli.program, "_load", lambda name: run)

    return put


def raises(error: BaseException) -> Callable[[Any], None]:
    def run(cfg: Any) -> None:
        raise error

    return run


@pytest.mark.parametrize("words", [["--help"], *([verb, "--help"] for verb in help_pages.verbs())], ids=" ".join)
def test_help_is_printed(words: list[str]) -> None:
    done = subprocess.run([*PROGRAM, *words], capture_output=True, text=True, check=True)
    assert "Usage: robo-reward" in done.stdout
    assert done.stderr == ""


def test_a_constructor_that_fails_is_a_fault_of_ours(
    verb: Callable[[Callable[[Any], None]], None], capsys: pytest.CaptureFixture[str]
) -> None:
    def run(cfg: Any) -> None:
        from robo_reward.build import build

        build({"_target_": "fractions.Fraction", "numerator": 1, "denominator": 0})

    verb(run)
    assert cli.run(["doctor"]) == 1
    assert "ZeroDivisionError" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--help"], *([verb, "--help"] for verb in help_pages.verbs())], ids=" ".join)
def test_help_imports_nothing_heavy(words: list[str]) -> None:
    code = (
        f"import sys; from robo_reward import cli; cli.run({words});"
        "print(sorted({'hydra', 'omegaconf', 'torch', 'numpy', 'mujoco'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_verb_help_names_keys_defaults_and_comments() -> None:
    text = help_pages.verb_help("doctor")
    assert "json=false" in text
    assert "prints the findings as JSON" in text
    assert "--config-dir" in text


def test_help_of_a_verb_is_asked_for_either_way(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["help", "doctor"]) == 0
    assert capsys.readouterr().out.strip() == help_pages.verb_help("doctor").strip()
    assert cli.run(["help", "doctr"]) == 2
    assert "did you mean 'doctor'" in capsys.readouterr().err


def test_every_verb_of_the_help_has_a_summary() -> None:
    assert "doctor" in help_pages.verbs()
    assert all(help_pages.summary(verb) for verb in help_pages.verbs())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["doctr"], "unknown verb 'doctr'; did you mean 'doctor'"),
        (["doctor", "jsn=true"], "unknown key 'jsn'; did you mean 'json'"),
        (["doctor", "json=[a,b"], "cannot read the override 'json=[a,b'"),
        (["doctor", "width=1,2"], "Ambiguous value"),
        (["doctor", "json.deep=1"], "'json' holds no keys"),
        (["collect", "env=mjcf", "env.cameras.side.pos=[1,0,1]"], "add one with +env.cameras.side.pos=VALUE"),
        (["doctor", "--config-dir", "/nowhere"], "'/nowhere' not found"),
        (["doctor", "--cfg", "jb"], "invalid choice: 'jb'"),
        (["doctor", "width=3"], "width=3 is not between 8 and 4096"),
        (["completion", "bsh"], "did you mean 'bash'"),
    ],
)
def test_a_users_mistake_exits_with_2_and_one_message(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(words) == 2
    told = capsys.readouterr()
    assert said in told.err
    assert "Traceback" not in told.err
    assert told.out == ""


def test_an_unknown_choice_names_the_nearest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "env").mkdir()
    (tmp_path / "env" / "metaworld.yaml").write_text("task: reach\n")
    (tmp_path / "mine.yaml").write_text("defaults:\n  - env: metaworld\n  - _self_\nseed: 0\n")
    words = ["doctor", "--config-dir", str(tmp_path), "--config-name", "mine"]
    assert cli.run([*words, "env=metawrold"]) == 2
    assert "unknown env in 'env=metawrold': 'metawrold'; did you mean 'metaworld'" in capsys.readouterr().err
    assert cli.run([*words, "env.tsk=push"]) == 2
    assert "unknown key 'env.tsk'; did you mean 'env.task'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (UserError("no camera 'top'"), 2, "no camera 'top'"),
        (Interrupted("saved", preempted=True), 75, "saved"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (
            OSError(errno.ENOSPC, "No space left on device", "w.bin"),
            1,
            "the disk is full while writing 'w.bin'",
        ),
        (
            OSError(errno.EFBIG, "File too large", "w.bin"),
            1,
            "a file became larger than it may be here while writing 'w.bin' (ulimit -f)",
        ),
        (SystemExit(3), 3, ""),
    ],
)
def test_each_end_of_a_verb_has_its_exit_code(
    verb: Any, capsys: pytest.CaptureFixture[str], error: BaseException, code: int, said: str
) -> None:
    verb(raises(error))
    assert cli.run(["doctor"]) == code
    told = capsys.readouterr().err
    assert said in told
    assert "Traceback" not in told


def test_a_fault_of_ours_shows_its_traceback(verb: Any, capsys: pytest.CaptureFixture[str]) -> None:
    verb(lambda cfg: cli.program._exit_code(cfg))
    assert cli.run(["doctor"]) == 1
    assert re.search(r"Traceback(?!.*no part of robo-reward)", capsys.readouterr().err, re.DOTALL)


def test_a_fault_in_the_users_code_is_shown_as_theirs(verb: Any, capsys: pytest.CaptureFixture[str]) -> None:
    verb(raises(ZeroDivisionError("theirs")))
    assert cli.run(["doctor"]) == 2
    assert f"ZeroDivisionError: theirs\nrobo-reward: ZeroDivisionError in {__file__}:" in capsys.readouterr().err


def test_a_users_mistake_inside_a_built_component_is_still_theirs(
    verb: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    from hydra.utils import instantiate

    verb(lambda cfg: instantiate({"_target_": "robo_reward.errors.MissingExtra", "packge": 1}))
    assert cli.run(["doctor"]) == 2
    assert "unexpected keyword argument 'packge'" in capsys.readouterr().err


def test_a_plug_in_that_cannot_be_imported_says_why(
    verb: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken_plug_in.py").write_text("import a_package_that_nobody_has\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    from hydra.utils import instantiate

    verb(lambda cfg: instantiate({"_target_": "broken_plug_in.Reward"}))
    assert cli.run(["doctor"]) == 2
    said = capsys.readouterr().err
    assert "broken_plug_in.Reward" in said
    assert "No module named 'a_package_that_nobody_has'" in said


def test_a_missing_mandatory_value_names_its_key(verb: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.yaml").write_text("env:\n  id: ???\n")
    verb(lambda cfg: print(cfg.env.id))
    assert cli.run(["doctor", "--config-dir", str(tmp_path), "--config-name", "mine"]) == 2
    assert "the key 'env.id' has no value: give env.id=VALUE" in capsys.readouterr().err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 75)])
@pytest.mark.parametrize("swallowed", [False, True])
def test_signals_stop_a_verb_even_through_foreign_code(verb: Any, number: int, code: int, swallowed: bool) -> None:
    def run(cfg: Any) -> None:
        try:
            os.kill(os.getpid(), number)
            time.sleep(5)
        except BaseException as error:
            if swallowed:
                raise RuntimeError("foreign code was interrupted") from None
            raise error

    verb(run)
    before = signal.getsignal(number)
    assert cli.run(["doctor"]) == code
    assert signal.getsignal(number) == before


def test_a_sweep_gives_each_job_its_own_folder_and_ends_with_the_first_failure(
    verb: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.yaml").write_text("seed: 0\nrun_dir: null\n")
    seen: list[tuple[int, str]] = []

    def run(cfg: Any) -> None:
        seen.append((cfg.seed, cfg.run_dir))
        if cfg.seed == 1:
            raise UserError("seed 1 is unlucky")

    verb(run)
    words = ["doctor", "seed=1,2", "-m", "--config-dir", str(tmp_path), "--config-name", "mine"]
    assert cli.run([*words, f"run_dir={tmp_path}/sweep"]) == 2
    assert seen == [(1, f"{tmp_path}/sweep/0"), (2, f"{tmp_path}/sweep/1")]
    assert "seed 1 is unlucky" in capsys.readouterr().err


def test_a_sweep_into_the_folder_of_a_run_is_refused(
    verb: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_text("seed: 0\n")
    verb(lambda cfg: pytest.fail("no job may begin"))
    assert cli.run(["train", "-m", "seed=0,1", f"run_dir={tmp_path / 'run'}"]) == 2
    assert "is the folder of a run: a sweep (-m) needs one of its own" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["config.yaml"]


def test_a_broken_yaml_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.yaml").write_text("env: {id: ???}\n")
    assert cli.run(["doctor", "--config-dir", str(tmp_path), "--config-name", "mine"]) == 2
    assert f'"{tmp_path}/mine.yaml", line 1' in capsys.readouterr().err


def test_an_interrupted_sweep_starts_no_further_job(verb: Any, tmp_path: Path) -> None:
    seen: list[int] = []

    def run(cfg: Any) -> None:
        seen.append(cfg.width)
        raise Interrupted("saved")

    verb(run)
    assert cli.run(["doctor", "-m", "width=8,9", f"hydra.sweep.dir={tmp_path}"]) == 130
    assert seen == [8]


def test_hydra_leaves_nothing_behind(verb: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    verb(lambda cfg: None)
    assert cli.run(["doctor"]) == 0
    assert list(tmp_path.iterdir()) == []


def test_cfg_shows_the_composed_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["doctor", "--cfg", "job", "width=64"]) == 0
    assert "width: 64" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("robo-reward doc", ["doctor"]),
        ("robo-reward doctor js", ["json="]),
        ("robo-reward nothing js", []),
    ],
)
def test_completion_knows_verbs_and_their_keys(line: str, words: list[str]) -> None:
    assert completion.complete(line) == words


@pytest.mark.parametrize("program", ["robo_reward", "robo_reward.cli"])
def test_a_reader_of_the_help_may_stop_reading(program: str) -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([sys.executable, "-m", program, "--help"], stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_bash_script_completes() -> None:
    script = completion.SCRIPTS["bash"].replace("robo-reward completion", " ".join(PROGRAM) + " completion")
    line = "robo-reward doctor js"
    ask = f'{script}\nCOMP_LINE="{line}"; COMP_POINT={len(line)}; _robo_reward; echo "${{COMPREPLY[@]}}"'
    done = subprocess.run(["bash", "-c", ask], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["json="]
