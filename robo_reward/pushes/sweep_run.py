"""``evaluate disturbance=sweep``: curves, figure, page and the video of the hardest push that was survived."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from robo_reward.bounds import check_numbers
from robo_reward.build import build, check_policy_fits, load_policy, load_world
from robo_reward.chosen_settings import chosen_settings, own_settings
from robo_reward.contracts import Flags, Policy, Transition, World
from robo_reward.errors import NoOracle, UserError
from robo_reward.pushes.forces import Adversary, chosen_bodies, names_of
from robo_reward.pushes.patterns import Kind, Schedule
from robo_reward.pushes.sweep import Curve, Forces, remarks, sweep
from robo_reward.pushes.sweep_settings import fields_of, inherited_bound, kinds_of, numbers_of
from robo_reward.pushes.trial import PushTrials
from robo_reward.pushes.worst_case import Practice, train_worst_case
from robo_reward.runs import atomic
from robo_reward.runs.folder import RunFolder

if TYPE_CHECKING:
    from omegaconf import DictConfig

ENDLESS = 1_000_000
"""Simulator steps: trials end by their own clock."""
TAKEN = {
    "num_worlds": "set disturbance.worlds, and disturbance.practice.worlds of the worst case",
    "horizon": "an episode lasts disturbance.schedule.seconds; horizon=STEPS is that of the worst case's practice",
    "workers": "a sweep steps its worlds in this process; leave it out",
    "oracle": "only the worst case's practice looks at the reward; leave it out",
}
"""Settings of the world that a sweep makes itself, and what to do instead."""


def run_sweep(cfg: DictConfig, trained: DictConfig, source: Mapping[str, Any]) -> None:
    """Measures the policy of ``cfg.run`` and writes a run folder of its own.

    Raises:
        UserError: an unknown kind or body, a number out of range, a world whose bodies cannot be pushed, or one
            without a reward for the worst case to practise against.
    """
    import torch

    torch.set_num_threads(int(trained.get("threads") or 1))
    settings = cfg.disturbance
    kinds = kinds_of(settings.kinds)
    schedule = Schedule(**fields_of(settings.schedule, Schedule, "disturbance.schedule"))
    practice = Practice(**fields_of(settings.practice, Practice, "disturbance.practice"))
    check_numbers("evaluate", whole=True, least=1, **_named(settings, "episodes", "worlds"))
    check_numbers("evaluate", **_named(settings, "most", "resolution"))
    forces = Forces(numbers_of(settings.forces, "disturbance.forces"), settings.most, settings.resolution)
    policy_folder = Path(cfg.run) / "policy"
    policy = load_policy(policy_folder)
    world = _world(cfg, trained, min(settings.episodes, settings.worlds), "none", ENDLESS)
    try:
        check_policy_fits(policy_folder, world)
        bodies = chosen_bodies(world, names_of(settings.bodies), "disturbance.bodies")
        schedule.check(world.fps, kinds)
        if "worst" in kinds:
            _check_practice(cfg, trained, source)
        trials = PushTrials(world, policy, bodies, schedule, cfg.seed, settings.episodes)
        with RunFolder.create(
            "evaluate", f"{Path(cfg.run).name}-pushed", cfg, cfg.run_dir, tensorboard=False
        ) as folder:
            curves: list[Curve] = []
            for kind in kinds:
                if kind == "worst":
                    trials.adversary = _practised(cfg, trained, source, policy, _at(practice, forces, curves))
                curves.append(sweep(trials, kind, forces))
                _keep(folder, cfg, source, world, curves)
            filmed = cfg.video and world.view_names
            clips = _film(trials, curves, folder.path / "hardest.mp4", (cfg.height, cfg.width)) if filmed else {}
            told = _told(cfg, world, curves)
            _show(folder, told, world.name, clips)
            for remark in told["remarks"]:
                print(remark)
            print(f"run folder: {folder.path}")
    finally:
        world.close()


def _named(settings: DictConfig, *names: str) -> dict[str, Any]:
    return {f"disturbance.{name}": settings[name] for name in names}


def _world(cfg: DictConfig, trained: DictConfig, count: int, oracle: str, horizon: int) -> World:
    chosen = chosen_settings(cfg.get("env"), trained.env, TAKEN)
    file, made = Path(cfg.run) / "config.yaml", {"horizon": horizon, "num_worlds": count, "oracle": oracle}
    different = {**own_settings(trained, file), **made, "workers": "in_process", **chosen}
    return load_world(trained.env, file, **different)


def _at(practice: Practice, forces: Forces, curves: Sequence[Curve]) -> Practice:
    """Where about half fall under the other pushes: weaker ones teach nothing, stronger ones fell everybody."""
    if practice.newtons is not None:
        return practice
    found = [curve.f50 for curve in curves if curve.f50 is not None]
    return replace(practice, newtons=max(min(found, default=forces.most / 4), forces.resolution))


def _adversary(cfg: DictConfig, trained: DictConfig, source: Mapping[str, Any], world: World) -> Adversary:
    """Bound to ``world``; where neither that nor the yaml says what the task can pay, the run's own hook may."""
    settings, more = cfg.disturbance, {}
    if settings.adversary.get("reward_bound") is None and getattr(world, "task_reward_bound", None) is None:
        more["reward_bound"] = inherited_bound(trained, source)
    adversary: Adversary = build(settings.adversary, bodies=names_of(settings.bodies), **more)
    adversary.bind(world, "reward")
    return adversary


def _check_practice(cfg: DictConfig, trained: DictConfig, source: Mapping[str, Any]) -> None:
    """Says what the worst case lacks before the other pushes are measured, with one world of those that it needs."""
    if unpushed := cfg.disturbance.adversary.get("unpushed"):
        raise UserError(f"disturbance.adversary.unpushed={unpushed}: the worst case pushes every world; leave it out")
    try:
        world = _world(cfg, trained, 1, "reward", int(cfg.horizon))
    except NoOracle as error:
        raise NoOracle(
            f"{error} (here as +env.reward=...): the worst case practises against it. Or leave that out: "
            "disturbance.kinds=[constant,sudden,periodic]"
        ) from error
    try:
        _adversary(cfg, trained, source, world)
    finally:
        world.close()


def _practised(
    cfg: DictConfig, trained: DictConfig, source: Mapping[str, Any], policy: Policy, practice: Practice
) -> Adversary:
    assert practice.newtons is not None
    # what is measured here trains nobody: the simulator's reward may tell the adversary where it hurts
    world = _world(cfg, trained, practice.worlds, "reward", int(cfg.horizon))
    try:
        adversary = _adversary(cfg, trained, source, world)
        print(f"worst case: an adversary practises at {practice.newtons:.0f} N", flush=True)
        train_worst_case(adversary, world, policy, practice.newtons, practice, cfg.seed)
    finally:
        world.close()
    return adversary


def _told(cfg: DictConfig, world: World, curves: Sequence[Curve]) -> dict[str, Any]:
    shown = {}
    for curve in curves:
        points = [{**asdict(p), "survival": p.survival} for p in curve.points]
        shown[curve.kind] = {
            "f50": curve.f50,
            "censored": curve.censored,
            "f50_ci95": curve.f50_ci95,
            "hardest_survived": curve.hardest_survived,
            "points": points,
        }
    said = remarks(curves, world.name, cfg.disturbance.resolution)
    about = {"run": str(cfg.run), "seed": cfg.seed, "episodes": cfg.disturbance.episodes}
    return {**about, "curves": shown, "remarks": said}


def _keep(folder: RunFolder, cfg: DictConfig, source: Mapping[str, Any], world: World, curves: Sequence[Curve]) -> None:
    """Writes what was measured so far: whatever fails later costs the curves that are still missing, no others."""
    last = curves[-1]
    atomic.write_json(folder.path / "disturbance.json", _told(cfg, world, curves))
    _describe(folder, cfg, source, world, curves)
    folder.log(len(curves), {"kind": last.kind, "f50": last.f50, "censored": last.censored})
    print(f"{last.kind}: F50 {'> ' if last.censored else ''}{last.f50:.0f} N", flush=True)


def _show(folder: RunFolder, told: Mapping[str, Any], name: str, clips: Mapping[str, bytes]) -> None:
    from robo_reward.report.disturbance_page import disturbance_figure, disturbance_page
    from robo_reward.report.plots import to_png

    atomic.write_bytes(folder.path / "disturbance.png", to_png(disturbance_figure(told["curves"])))
    (folder.path / "report").mkdir(exist_ok=True)
    atomic.write_text(folder.path / "report" / "index.html", disturbance_page(told, name, clips))


def _describe(
    folder: RunFolder, cfg: DictConfig, source: Mapping[str, Any], world: World, curves: Sequence[Curve]
) -> None:
    summary = folder.summary
    summary.env, summary.policy, summary.learner = world.name, source.get("policy"), source.get("learner")
    summary.used_env_reward, summary.used_env_success = source.get("used_env_reward"), source.get("used_env_success")
    summary.episodes, summary.nan_resets, summary.device = cfg.disturbance.episodes, world.nan_resets, "cpu"
    summary.notes = {"run": str(cfg.run)} | {
        f"f50_{curve.kind}": {"newtons": curve.f50, "censored": curve.censored} for curve in curves
    }


def _film(trials: PushTrials, curves: Sequence[Curve], path: Path, size: tuple[int, int]) -> dict[str, bytes]:
    """What it shows -> the film of the first survivor of the hardest push; empty where nobody survived any."""
    from robo_reward.data.video import encode_video

    picture = getattr(trials.world, "picture", None)
    hardest = max(curves, key=lambda curve: curve.hardest_survived or 0.0)
    newtons, kind = hardest.hardest_survived or 0.0, hardest.kind
    who = _survivor(trials, kind, newtons) if newtons > 0 else None
    if picture is None or who is None:
        return {}
    wave, index = who
    view, frames = trials.world.view_names[0], []

    def draw(alive: Flags, transition: Transition) -> None:
        if not transition.done[index]:
            frames.append(picture(index, view, *size))

    trials.run(kind, newtons, wave, draw)
    clip = encode_video(np.stack(frames), trials.world.fps)
    atomic.write_bytes(path, clip)
    return {f"{kind}, {newtons:.0f} N: the hardest push that was survived": clip}


def _survivor(trials: PushTrials, kind: Kind, newtons: float) -> tuple[int, int] | None:
    """(wave, world) of the first one."""
    survived = np.flatnonzero(trials.run(kind, newtons).survived)
    return divmod(int(survived[0]), trials.world.num_worlds) if len(survived) else None
