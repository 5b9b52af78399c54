"""Records demonstrations and writes them as a LeRobotDataset v3."""

from __future__ import annotations

import re
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robo_reward.bounds import check_bounds
from robo_reward.errors import UserError
from robo_reward.runs.atomic import check_writable

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from robo_reward.contracts import World
    from robo_reward.data.demonstrations import Demonstrator
    from robo_reward.trace import Trace

LEAST = {"seed": 0, "demos": 1, "hold": 0, "scenes": 0, "recording.every": 1}
"""The least that a number may be."""


def run(cfg: DictConfig) -> None:
    """Collects ``demos`` successful episodes and writes all of their steps; of a person who stops early, those made.

    Raises:
        UserError: a number out of range, ``data_dir`` exists, no expert, no screen or gamepad, too few successes.
    """
    from omegaconf import OmegaConf

    check_bounds(cfg, LEAST)
    if cfg.data_dir is not None and Path(cfg.data_dir).exists():
        raise UserError(f"data_dir='{cfg.data_dir}' exists already; give another folder or delete it first")
    if OmegaConf.select(cfg, "robot._target_") is not None:
        _on_arm(cfg)
        return
    from robo_reward.build import build_world
    from robo_reward.data.demonstrations import collect_demonstrations
    from robo_reward.data.recording import Recording
    from robo_reward.data.scenes import check_rearranges

    world = build_world(cfg.env, num_worlds=1)
    with ExitStack() as stack:
        stack.callback(world.close)
        if cfg.scenes:
            check_rearranges(world, int(cfg.scenes))
        folder = _folder(cfg, world)
        kept: list[Trace] = []

        def heard(trace: Trace | None) -> None:
            _tell(trace)
            kept.extend([] if trace is None else [trace])

        try:
            _, dropped = collect_demonstrations(
                world,
                int(cfg.demos),
                int(cfg.seed),
                int(cfg.hold),
                demonstrator=_demonstrator(cfg, world, stack),
                noise=float(cfg.noise),
                recording=Recording(**cfg.recording),
                on_episode=heard,
            )
        except BaseException:
            if cfg.teleop is not None and kept:  # nobody should have to demonstrate again what was done by hand
                _write(cfg, kept, folder)
            raise
        _write(cfg, kept, folder, dropped)
        if cfg.scenes:
            _scenes(cfg, world, folder)


def _write(cfg: DictConfig, traces: list[Trace], folder: Path, dropped: int = 0) -> None:
    """The dataset, and a line that says what is in it."""
    from robo_reward.data.datasets import write_dataset

    write_dataset(traces, folder, images=bool(cfg.images), hold=bool(traces[0].frames) and cfg.recording.every > 1)
    views = ", ".join(traces[0].frames) or "no views"
    lost = f", {dropped} failed attempt{'' if dropped == 1 else 's'} dropped" if dropped else ""
    tasks = list(dict.fromkeys(trace.task for trace in traces))
    of = f"'{tasks[0]}'" if len(tasks) == 1 else f"{len(tasks)} tasks"
    count = f"{len(traces)} demonstration{'' if len(traces) == 1 else 's'}"
    print(f"{folder}: {count} of {of}, {sum(map(len, traces))} steps, {views}{lost}")


def _scenes(cfg: DictConfig, world: World, beside: Path) -> None:
    """Rearranged scenes, as a dataset of their own."""
    from robo_reward.data.datasets import write_dataset
    from robo_reward.data.scenes import collect_scenes, recordable

    folder = beside.with_name(f"{beside.name}-scenes")
    scenes = collect_scenes(world, int(cfg.scenes), int(cfg.seed))
    write_dataset([recordable(trace) for trace in scenes], folder, images=True)
    print(f"{folder}: {cfg.scenes} rearranged scenes of each task")


def _on_arm(cfg: DictConfig) -> None:
    """A person moves the arm and says what succeeded; what was kept is written even if the arm is stopped."""
    from omegaconf import OmegaConf

    from robo_reward.build import build
    from robo_reward.data.datasets import write_dataset

    if cfg.teleop is None or cfg.task is None:
        raise UserError("on an arm, collect needs teleop=so101_leader (or keyboard) and task='what is to be done'")
    folder = Path(cfg.data_dir or f"data/{cfg.robot.get('id') or 'arm'}-{cfg.demos}")
    if folder.exists():
        raise UserError(f"'{folder}' exists already; give data_dir=FOLDER or delete it first")
    check_writable(folder)
    robot: Any = OmegaConf.to_container(cfg.robot, resolve=True)
    if "plant" in robot:
        robot["plant"]["task"] = robot["plant"].get("task") or "reach"
    kept: list[Trace] = []
    joints: list[str] = []
    asked = {key: cfg[key] for key in ("demos", "teleop", "task", "fps", "seconds")}
    try:
        build(cfg.arm_demonstrations)(
            robot=robot, leader=dict(cfg.leader), keep=kept.append, joints=joints.extend, **asked
        )
    finally:
        if kept:
            write_dataset(kept, folder, images=bool(cfg.images), joints=joints)
            print(f"{folder}: {len(kept)} demonstrations of '{cfg.task}', {sum(map(len, kept))} steps")


def _folder(cfg: DictConfig, world: World) -> Path:
    """Where the dataset goes; found taken before anybody demonstrates anything."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", world.name)
    folder = Path(cfg.data_dir or f"data/{stem}-{cfg.demos}-seed{cfg.seed}")
    for taken in (folder, folder.with_name(f"{folder.name}-scenes")):
        if taken.exists():
            raise UserError(f"'{taken}' exists already; give data_dir=FOLDER or delete it first")
    check_writable(folder)
    return folder


def _demonstrator(cfg: DictConfig, world: World, stack: ExitStack) -> Demonstrator | None:
    if cfg.teleop is None:
        return None
    import numpy as np

    from robo_reward.data.teleop import Teleop

    if not world.view_names:
        raise UserError("teleop needs a view to show; name one with env.views=[...]")
    seconds = world.horizon / world.fps
    if seconds < 10:
        print(f"an episode lasts {seconds:.1f} s in real time; env.horizon=N makes it longer", file=sys.stderr)
    low, high = (np.asarray(bound, np.float32) for bound in (world.action_space.low, world.action_space.high))
    teleop = Teleop(cfg.teleop, world.view_names[0], world.fps, low, high, bool(cfg.latch))
    return stack.enter_context(teleop)


def _tell(trace: Trace | None) -> None:
    print("failed, dropped" if trace is None else f"demonstration of {len(trace)} steps", file=sys.stderr)
