"""Episodes of a trained policy on an arm, for the verbs that have one: checked, played, kept with what was sent."""

from __future__ import annotations

import json
import math
import select
import shutil
import sys
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from robo_reward.errors import UserError
from robo_reward.pushes.forces import disturbs

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from robo_reward.runs.folder import RunFolder
    from robo_reward.trace import Trace

SCRIPTED = "scripted_expert"
"""What acts on an emulated arm without a run."""


def run_on_arm(verb: str, cfg: DictConfig) -> None:
    """Checks, brings the arm to the start, plays the episodes, leaves the arm as ``docs/real_arm.md`` says.

    ``cfg`` is the config of the verb deploy; ``verb`` whose run folder this is.

    Raises:
        UserError: refused before the arm had torque (exit code 2).
        SafetyStop: the arm was stopped (exit code 3); the run folder tells why.
    """
    _checked(verb, cfg)
    import torch

    from robo_reward.build import build
    from robo_reward.runs.folder import RunFolder

    torch.set_num_threads(int(cfg.threads))
    name = SCRIPTED if cfg.run is None else Path(cfg.run).name
    with RunFolder.create(verb, name, cfg, cfg.run_dir, tensorboard=False) as folder:
        deployment = _prepared(cfg, folder)
        print(f"run folder: {folder.path}", flush=True)
        try:
            kept = _play(cfg, folder, deployment)
        finally:
            build(cfg.ending)(deployment.robot)
        if kept.outcomes:
            _say(folder, kept)
            deployment.raise_if_stopped(kept.outcomes[-1])


def _checked(verb: str, cfg: DictConfig) -> None:
    """Raises UserError."""
    emulated = "plant" in cfg.robot and verb == "deploy"
    if cfg.run is None and cfg.robot.get("_target_") is not None and not emulated:
        raise UserError("an arm needs run=DIR, the folder of a finished train run (robo-reward train env=so101 ...)")
    _check_numbers(cfg)
    if cfg.robot.get("_target_") is None:
        raise UserError("this needs a robot: robot=emulated_so101, or robot=so101 robot.port=/dev/ttyACM0")
    if cfg.run is None and cfg.adaptation is not None:
        raise UserError("adaptation changes a policy: give run=DIR, the scripted expert learns nothing")
    if cfg.operator and not _somebody_answers():
        raise UserError("operator=true asks on the terminal after each episode, and there is none")
    if disturbs(cfg.hook):
        raise UserError("forces push simulated robots only: on an arm use hook=none or hook=success_stop")
    from robo_reward.runs.folder import read_summary

    if cfg.run is None:
        print("no run=DIR: the twin's scripted expert acts, which shows the chain and no learning", flush=True)
        return
    folder = Path(cfg.run)
    if not (folder / "policy" / "policy.yaml").is_file() or not (folder / "config.yaml").is_file():
        raise UserError(f"run='{folder}' is not the folder of a finished train run (no policy/policy.yaml)")
    if (folder / "summary.json").is_file():
        read_summary(folder)


def _check_numbers(cfg: DictConfig) -> None:
    from robo_reward.bounds import check_bounds

    check_bounds(cfg, {"episodes": 1, "threads": 1, "seed": 0})
    if cfg.episodes is None or cfg.threads is None:
        raise UserError(f"episodes={cfg.episodes} and threads={cfg.threads} must be 1 or more")
    said = {"seconds": cfg.seconds}
    said |= {f"{group}.{key}": value for group in ("loop", "sight", "progress") for key, value in cfg[group].items()}
    for key, value in said.items():
        if isinstance(value, str) and not key.endswith("_target_"):  # .nan is a word on the command line
            raise UserError(f"{key}={value} must be a number")
    if cfg.seconds is not None and not 0 < cfg.seconds < math.inf:
        raise UserError(f"seconds={cfg.seconds} must be above 0")


def _prepared(cfg: DictConfig, folder: RunFolder) -> Any:
    from omegaconf import OmegaConf

    from robo_reward.build import build

    robot: Any = OmegaConf.to_container(cfg.robot, resolve=True)
    world: Any = OmegaConf.to_container(cfg.world, resolve=True)
    if "plant" in robot:
        trained = None if cfg.run is None else cast(Any, OmegaConf.load(Path(cfg.run) / "config.yaml")).get("env")
        shown = world if trained is None else trained
        robot["plant"]["task"] = robot["plant"].get("task") or shown.get("task") or "reach"
        world["task"] = robot["plant"]["task"]
    return build(cfg.deployment)(
        run=cfg.run,
        robot=robot,
        black_box=folder.path / "black_box.jsonl",
        loop=build(cfg.loop),
        sight=build(cfg.sight),
        progress=build(cfg.progress),
        seconds=cfg.seconds,
        views=None if cfg.views is None else list(cfg.views),
        watch=cfg.watch,
        stopper=build(cfg.hook) if cfg.hook.get("_target_") else None,
        dry_run=cfg.dry_run,
        teleop=cfg.teleop,
        leader=dict(cfg.leader),
        live=cfg.live,
        world=world,
        adaptation=None if cfg.adaptation is None else build(cfg.adaptation),
    )


@dataclass
class Kept:
    """The episodes of this run so far, on the disk one by one, so that a crash loses none that was finished."""

    folder: Path
    deployment: Any
    outcomes: list[Any] = field(default_factory=list)
    unpriced: str | None = None

    def add(self, outcome: Any) -> None:
        """A line of ``episodes.jsonl`` and, until the dataset is written, the episode itself."""
        from robo_reward.data.trace_file import write_trace

        self.outcomes.append(outcome)
        with open(self.folder / "episodes.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(outcome.line(), default=str) + "\n")
        if outcome.trace is not None:
            write_trace(self.folder / "raw" / f"{outcome.number:06d}.safetensors", outcome.trace)

    def write(self) -> None:
        """All episodes as one LeRobotDataset v3: states seen, goals sent, rewards where there is a reward model."""
        from robo_reward.data.dataset_writer import write_dataset

        traces = [self._priced(outcome.trace) for outcome in self.outcomes if outcome.trace is not None]
        if not traces or (self.folder / "episodes").exists():
            return
        if self.unpriced is not None:
            traces = [replace(trace, reward=None, estimate=None) for trace in traces]
        robot, joints = self.deployment.robot.name, self.deployment.interface.joints
        write_dataset(traces, self.folder / "episodes", robot_type=robot, joints=joints)
        shutil.rmtree(self.folder / "raw", ignore_errors=True)

    def _priced(self, trace: Trace) -> Trace:
        try:
            priced: Trace = self.deployment.priced(trace)
        except UserError as error:  # a chain that prices only while training: said in the summary
            self.unpriced = str(error)
            return trace
        return priced


def _play(cfg: DictConfig, folder: RunFolder, deployment: Any) -> Kept:
    kept, clean = Kept(folder.path, deployment), False
    try:
        with deployment.hand or nullcontext():  # a leader arm that cannot be had is found before there is torque
            deployment.open()
            for number in range(int(cfg.episodes)):
                outcome = _episode(cfg, deployment, number)
                kept.add(outcome)
                folder.log(number, _numbers(outcome))
                if outcome.stopped:
                    break
                _adapt(folder, deployment, outcome)
        clean = not any(outcome.stopped for outcome in kept.outcomes)
    except KeyboardInterrupt:
        deployment.interrupted()
        raise
    finally:
        try:  # the arm before all else: what follows needs a disk
            print(f"the arm: {deployment.close(clean)}", flush=True)
        finally:
            if deployment.broken is not None:
                kept.add(deployment.broken)
                folder.log(deployment.broken.number, _numbers(deployment.broken))
        kept.write()
        _describe(cfg, folder, kept)
    return kept


def _episode(cfg: DictConfig, deployment: Any, number: int) -> Any:
    from robo_reward.seeding import derive_seed

    if cfg.start:
        deployment.go_to_start()
    if deployment.twin is not None:  # now that the arm is out of the way: on its way up it would sweep things off
        deployment.twin.ask("rearrange", seed=derive_seed(cfg.seed, "deployed episode", number))
        deployment.eyes.wait_for_new()  # else the first chunk answers how things lay before
    outcome = deployment.episode(number)
    if cfg.operator and not outcome.stopped:
        deployment.broken = outcome  # kept even if nobody answers
        outcome = replace(outcome, success=asked(number), success_by="operator")
        deployment.broken = None
    print(
        f"episode {number}: {outcome.reason}" + ("" if outcome.success is None else f"; success: {outcome.success}"),
        flush=True,
    )
    return outcome


def _adapt(folder: RunFolder, deployment: Any, outcome: Any) -> None:
    """After an episode; the policy as it is then lies in the run folder, which deploy takes as a run's."""
    if deployment.adaptation is None:
        return
    told = deployment.adapt(outcome)
    folder.log(outcome.number, {f"timing/adaptation_{key}": value for key, value in told.items()})
    deployment.policy.save(folder.path / "policy")
    deployment.interface.save(folder.path / "policy")


def _somebody_answers() -> bool:
    """False where standard input has ended already; whoever answers through a pipe may still do so."""
    try:
        ready, _, _ = select.select([sys.stdin], [], [], 0)
        return sys.stdin.isatty() or not ready or bool(cast(BufferedReader, sys.stdin.buffer).peek(1))
    except (OSError, ValueError, AttributeError, TypeError):  # closed, or a stand-in that cannot be looked at
        return sys.stdin is not None and not sys.stdin.closed


def asked(number: int) -> bool:
    """What a person at the terminal says of an episode. UserError where there is no terminal."""
    while True:
        try:
            said = input(f"episode {number}: did it succeed? [y/n] ").strip().lower()
        except EOFError:
            raise UserError("operator=true asks on the terminal, and there is none") from None
        if said in ("y", "yes", "n", "no"):
            return said.startswith("y")


def _numbers(outcome: Any) -> dict[str, Any]:
    timing = {f"timing/{key}": value for key, value in outcome.timing.items() if value is not None}
    counts = {f"timing/{key}": float(value) for key, value in outcome.counts.items()}
    return {"deploy/stopped": float(outcome.stopped), **counts, **timing}


def _describe(cfg: DictConfig, folder: RunFolder, kept: Kept) -> None:
    from collections import Counter

    from robo_reward.evaluation import wilson
    from robo_reward.runs.folder import read_summary

    summary, outcomes = folder.summary, kept.outcomes
    judged = [outcome.success for outcome in outcomes if outcome.success is not None]
    total: Counter[str] = Counter()
    for outcome in outcomes:
        total.update(outcome.counts)
    summary.env, summary.episodes = str(cfg.robot["_target_"]).rpartition(".")[2], len(outcomes)
    summary.env_steps = sum(len(outcome.trace) for outcome in outcomes if outcome.trace is not None)
    summary.success_episodes = len(judged) or None
    if judged:
        summary.success_rate, summary.success_ci95 = sum(judged) / len(judged), wilson(sum(judged), len(judged))
    trained = None if cfg.run is None else Path(cfg.run)
    source = {} if trained is None or not (trained / "summary.json").is_file() else read_summary(trained)
    summary.policy = SCRIPTED if cfg.run is None else source.get("policy")
    summary.learner = source.get("learner")
    summary.reward_model, summary.demos = source.get("reward_model"), source.get("demos")
    summary.used_env_reward, summary.used_env_success = source.get("used_env_reward"), source.get("used_env_success")
    summary.device = "cpu"
    summary.notes = {
        "run": cfg.run if cfg.run is None else str(cfg.run),
        "dry_run": bool(cfg.dry_run),
        "reasons": [outcome.reason for outcome in outcomes],
        "stopped": any(outcome.stopped for outcome in outcomes),
        "success_by": outcomes[-1].success_by if outcomes else None,
        "counts": dict(total),
        "timing": [outcome.timing for outcome in outcomes],
        "arm": kept.deployment.left,
        "black_box": kept.deployment.black_box,
        "unpriced": kept.unpriced,
    }


def _say(folder: RunFolder, kept: Kept) -> None:
    notes, summary = folder.summary.notes, folder.summary
    counts = ", ".join(f"{key} {value}" for key, value in notes["counts"].items() if value)
    print(f"{len(kept.outcomes)} episodes, {counts or 'nothing sent'}")
    if summary.success_rate is not None and summary.success_ci95 is not None:
        low, high = summary.success_ci95
        print(f"success {summary.success_rate:.2f} (95% {low:.2f}-{high:.2f}), said by the {notes['success_by']}")
