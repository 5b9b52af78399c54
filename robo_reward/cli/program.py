"""The console script ``robo-reward VERB [overrides]``: each verb a hydra app, every end an exit code."""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from robo_reward.cli import help_pages
from robo_reward.cli.joined_chains import joined
from robo_reward.cli.plain_warnings import plain_warnings
from robo_reward.cli.quoting import readable
from robo_reward.cli.users_code import place_in_users_code
from robo_reward.errors import Interrupted, UserError, unknown_name
from robo_reward.runs import signals

if TYPE_CHECKING:
    from omegaconf import DictConfig

CONFIGS = "pkg://robo_reward.configs"
INTERRUPTED, PREEMPTED = 130, 75


class _JobEnded(BaseException):
    """Carries a job's exception past hydra, which would print a line of its own and run the next job."""

    def __init__(self, cause: BaseException) -> None:
        super().__init__(cause)
        self.cause = cause


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command line and exits the process with design.md's exit codes."""
    sys.exit(run(sys.argv[1:] if argv is None else list(argv)))


def run(argv: list[str]) -> int:
    """Runs one command line and returns its exit code: 0, 1, 2, 75 or 130, or a verb's own."""
    try:
        with signals.stop_signals(), plain_warnings():
            return _dispatch(argv)
    except _JobEnded as ended:
        return _report(ended.cause, argv)
    except SystemExit as ended:
        return _exit_code(ended)
    except BaseException as error:
        return _report(error, argv)


def _dispatch(argv: list[str]) -> int:
    if argv[:1] == ["help"] and argv[1:]:
        argv = [argv[1], "--help"]
    if not argv or argv[0] in ("-h", "--help", "help"):
        return _show(help_pages.program_help())
    if argv[0] == "--version":
        from importlib.metadata import version

        print(f"robo-reward {version('robo-reward')}")
        return 0
    verb, *rest = argv
    if verb == "completion":
        from robo_reward.cli import completion

        return completion.run(rest)
    if verb not in help_pages.verbs():
        raise unknown_name("verb", verb, [*help_pages.verbs(), "completion"])
    if any(word in ("-h", "--help") for word in rest):
        return _show(help_pages.verb_help(verb))
    _run_hydra(verb, rest)
    return 0


def _show(page: str) -> int:
    """Prints ``page``; a reader who has seen enough (``robo-reward --help | head``) is no error."""
    try:
        print(page, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # else the flush at exit raises it again
    return 0


def _run_hydra(verb: str, rest: list[str]) -> None:
    import hydra

    # Hydra's own handler would print tracebacks and exit with 1 for everything; ours knows a user's error.
    full_error, os.environ["HYDRA_FULL_ERROR"] = os.environ.get("HYDRA_FULL_ERROR"), "1"
    words, sys.argv = sys.argv, [f"robo-reward {verb}", *_hydra_words(verb, rest)]
    try:
        hydra.main(version_base="1.3", config_path=CONFIGS, config_name=verb)(_job)()
    finally:
        sys.argv = words
        if full_error is None:
            del os.environ["HYDRA_FULL_ERROR"]
        else:
            os.environ["HYDRA_FULL_ERROR"] = full_error


def _hydra_words(verb: str, rest: list[str]) -> list[str]:
    """The words for hydra's parser, which wants flags before overrides; ours may come in any order."""
    from hydra._internal.utils import get_args_parser

    def refuse(message: str) -> NoReturn:
        raise UserError(f"{message}. Settings have no dashes (seed=1); robo-reward {verb} --help lists them")

    parser = get_args_parser()
    parser.error = refuse
    rest = [readable(word) for word in rest]
    read = parser.parse_intermixed_args(rest)
    overrides: list[str] = read.overrides
    if read.multirun:
        _check_sweep(overrides)
    flags = list(rest)
    for word in overrides:
        flags.remove(word)
    return [*flags, *_settings(verb, overrides), *joined(verb, overrides, read.config_dir)]


def _check_sweep(overrides: Sequence[str]) -> None:
    """UserError for a sweep into the folder of a run: the jobs' folders would lie inside it."""
    for word in overrides:
        key, _, value = word.partition("=")
        folder = value.strip("'\"")
        if key == "run_dir" and folder not in ("null", "") and (Path(folder) / "config.yaml").exists():
            raise UserError(
                f"run_dir='{folder}' is the folder of a run: a sweep (-m) needs one of its own, in which each job gets "
                "a subfolder; give another run_dir"
            )


def _settings(verb: str, overrides: Sequence[str]) -> list[str]:
    """Hydra keeps its hands off: no folder, no log files, no change of directory; the run folder is ours."""
    given = [word.split("=", 1)[1] for word in overrides if word.startswith("run_dir=")]
    stamp = time.strftime("%Y%m%d-%H%M%S")
    sweep = given[-1] if given and given[-1] not in ("null", "") else f"runs/{verb}/{stamp}-sweep"
    settings = {
        "hydra.job.name": verb,
        "hydra.run.dir": ".",
        "hydra.output_subdir": "null",
        "hydra.job.chdir": "false",
        "hydra.sweep.dir": sweep if sweep[0] in "'\"" else f"'{sweep}'",
        "hydra.sweep.subdir": "${hydra.job.num}",
        "hydra/job_logging": "none",
        "hydra/hydra_logging": "none",
    }
    mine = {word.split("=", 1)[0].lstrip("+~") for word in overrides}
    return [f"{key}={value}" for key, value in settings.items() if key not in mine]


def _job(cfg: DictConfig) -> None:
    """What hydra runs, here or in a launcher's process: the verb named by ``hydra.job.name``."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode
    from omegaconf import OmegaConf, open_dict

    hydra_cfg = HydraConfig.get()
    sweep = hydra_cfg.mode == RunMode.MULTIRUN
    if sweep and "run_dir" in cfg:
        with open_dict(cfg):
            cfg.run_dir = hydra_cfg.runtime.output_dir
    OmegaConf.set_struct(cfg, True)
    try:
        _load(hydra_cfg.job.name)(cfg)
    except Exception as error:
        if sweep and signals.received() is None and not isinstance(error, Interrupted):
            raise  # the other jobs of the sweep still run; the first failure gives the exit code
        raise _JobEnded(error) from error


def _load(verb: str) -> Callable[[DictConfig], Any]:
    from importlib import import_module

    run_verb: Callable[[DictConfig], Any] = import_module(f"robo_reward.verbs.{verb}").run
    return run_verb


def _exit_code(ended: SystemExit) -> int:
    if ended.code is None:
        return 0
    if isinstance(ended.code, int):
        return ended.code
    print(ended.code, file=sys.stderr)
    return 1


def _report(error: BaseException, argv: list[str]) -> int:
    """Prints what the user needs to know about ``error`` on stderr and returns the exit code."""
    from robo_reward.cli import error_messages

    if os.environ.get("ROBO_REWARD_TRACEBACK") == "1":
        traceback.print_exception(error)
    told = error_messages.explain(error, argv[0] if argv else "", argv[1:])
    if told is None:
        if os.environ.get("ROBO_REWARD_TRACEBACK") != "1":
            traceback.print_exception(error)
        place = place_in_users_code(error)
        if place is None:
            return 1
        print(f"robo-reward: {type(error).__name__} in {place}, which is no part of robo-reward", file=sys.stderr)
        return 2
    print(f"robo-reward: {told.message}", *getattr(error, "__notes__", ()), sep="\n", file=sys.stderr)
    return told.exit_code


if __name__ == "__main__":
    main()
