"""Tuning of a weakly trained nano_vla on LIBERO: adaptation by learned progress beside oracle GRPO and SRPO.

Run: python benchmarks/libero_adapt.py --start RUN --reward RUN [--ways verified,oracle] [--task 6] [--horizon 200]
[--step imitate] [--updates 2] [--worlds 1] [--groups 24] [--size 4] [--epochs 20] [--episodes 30]
[--starts shipped,moved] [--shift 0.0] [--spread 0.05] [--noise 0] [--focus] [--memory 0] [--offset 0]
[--seeds 0] [--jobs 1].
``--start``: the folder of a train run (learner=sft) to go on from; its world, its pictures, and its tasks unless one is
named. ``--horizon``: steps an episode that is learned from may take; evaluation has the suite's own limit.
``--reward``: a fitted reward (RUN/reward_model of a fit). The ways: ``verified``, the success that
reward_model=verified_progress sees, paid once an episode by its maximum; by the final progress of a fit of
head=milestones rule=remaining_gap (EVOLVE's ablation; episodes end by progress) ``two_frame`` (every hop is from the
first frame), ``uniform4`` and ``uniform8`` (frames spread evenly), ``interval`` (milestones) and ``evolve``
(milestones, and a horizon that grows); ``oracle`` (by the simulator's success: marked) and ``srpo`` (the same
successes, failures by how near they come to them: marked; the reward is then a fit of self_referential).
``--step``: own better episodes are imitated (``imitate``), ``shift`` (learner=vla_credit) or ``clipped`` (GRPO).
``--shift``: metres by which targets are displaced while it learns. ``--spread``: starts whose episodes earn less than
so much apart are skipped. ``--noise``: level of the random steps (0: the flow's own draws alone).
``--focus``: tasks whose groups told something are played more often; ``--memory``: decisions of earlier rounds' better
episodes that are imitated too; ``--offset``: metres by which half of a group's episodes sense the hand displaced.
Success before and after is measured on the same starts.
``reward_auroc`` is how well the rewards of the episodes that were learned from told successes apart, read from the
sealed log when all is over. Pictures are as the assets draw them (``stand_in_visuals``).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from threading import Lock

from cells import RESULTS, Row, run_cells, run_folder, write_result

from robo_reward.envs.libero.catalogue import HORIZONS

CLAIM = "libero_adapt"
WHOLE = "adaptation.stages=[1.0]"
LEARNED: dict[str, list[str]] = {
    "verified": [WHOLE, "transform=success", "adaptation.group.pays=max", "adaptation.stop_by=success"],
    "two_frame": [WHOLE, "+reward_model.changes.interval=null"],
    "uniform4": [WHOLE, "+reward_model.changes.uniform=4"],
    "uniform8": [WHOLE, "+reward_model.changes.uniform=8"],
    "interval": [WHOLE],
    "evolve": ["adaptation.stages=[0.5,0.75,1.0]"],
}
"""A way that needs no oracle -> its settings; all but the first are EVOLVE's ablation."""

STEPS = {
    "imitate": ("self_imitation", "own better episodes imitated"),
    "shift": ("vla_credit", "critic's credit, last layer shifted"),
    "clipped": ("grpo", "clipped ratios, an episode's advantage"),
}
"""``--step`` -> the learner of that name, and what it does."""
EVALUATED: dict[Path, Lock] = {}
"""The folder of an evaluation -> whoever makes it or waits for it."""


def robo_reward(verb: str, folder: Path, overrides: Sequence[str]) -> Row:
    """Runs a verb in its own process and returns its summary; a run that was cut off is gone on with."""
    more = ["resume=true"] if verb in ("train", "adapt") and (folder / "config.yaml").exists() else []
    command = [sys.executable, "-m", "robo_reward.cli", verb, f"run_dir={folder}", *overrides, *more]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    summary: Row = json.loads((folder / "summary.json").read_text())
    return summary


def tuned(way: str, seed: int, asked: argparse.Namespace) -> Row:
    """One way of going on from the start."""
    folder = run_folder(CLAIM, _name(way, seed, asked))
    summary = robo_reward(*_command(way, seed, folder, asked))
    notes = summary["notes"]
    before, after = {}, {}
    for starts in asked.starts.split(","):
        before[starts], after[starts] = _rate(Path(asked.start), starts, asked), _rate(folder, starts, asked)
    kept = ("reward_auroc", "reward_of_successes", "reward_of_failures", "rewarded_episodes", "rewarded_successes")
    return {
        "way": way,
        "seed": seed,
        "start": Path(asked.start).name,
        "reward_saw": None if way == "oracle" else _seen(Path(asked.reward)),
        "task": asked.task,
        "horizon": asked.horizon,
        "update": STEPS[asked.step][1],
        "groups": asked.groups,
        "size": asked.size,
        "epochs": asked.epochs if asked.step == "imitate" else None,
        "shift": asked.shift,
        "spread": asked.spread,
        "noise": asked.noise,
        "focus": asked.focus,
        "offset": asked.offset,
        "memory": asked.memory,
        "updates": summary["updates"],
        "rollouts": summary["rollouts"],
        "env_steps": summary["env_steps"],
        "minutes": round(summary["wall_seconds"] / 60, 1),
        "used_env_reward": summary["used_env_reward"],
        "used_env_success": summary["used_env_success"],
        "stand_in_visuals": summary["stand_in_visuals"],
        "rewards": _logged(folder, "reward"),
        "successes": _logged(folder, "success"),
        "starts_that_tell": _logged(folder, "groups"),
        **{key: notes.get(key) for key in kept},
        "before": before,
        "after": after,
    }


def _name(way: str, seed: int, asked: argparse.Namespace) -> str:
    task = "" if asked.task is None else f"-task{asked.task}"
    shift = f"-shift{asked.shift:g}" if asked.shift else ""
    size = f"{asked.updates}x{asked.groups}x{asked.size}" + (f"x{asked.epochs}" if asked.epochs != 20 else "")
    apart = f"-spread{asked.spread:g}" if asked.spread != 0.05 else ""
    apart += "" if asked.noise is None else f"-noise{asked.noise:g}"
    until = "" if asked.horizon == 280 else f"-horizon{asked.horizon}"
    apart += ("-focus" if asked.focus else "") + (f"-memory{asked.memory}" if asked.memory else "")
    apart += f"-offset{asked.offset:g}" if asked.offset else ""
    paid = "" if way == "oracle" else f"-by-{_told(Path(asked.reward))}"
    return f"{Path(asked.start).name}{task}-{way}{paid}-{asked.step}-{size}{shift}{apart}{until}-seed{seed}"


def _told(reward: Path) -> str:
    """The name of a reward: that of the fit whose RUN/reward_model it is."""
    return reward.parent.name if reward.name == "reward_model" else reward.name


def _command(way: str, seed: int, folder: Path, asked: argparse.Namespace) -> tuple[str, Path, list[str]]:
    group = [("groups", asked.groups), ("size", asked.size), ("most", asked.groups), ("min_spread", asked.spread)]
    group += [("focus", asked.focus), ("offset", asked.offset)]
    imitates = [f"update.epochs={asked.epochs}", f"update.memory={asked.memory}"] if asked.step == "imitate" else []
    # measured afterwards, on the same starts for every way
    count = [f"seed={seed}", "episodes=1", "evaluation_seeds=[1]", "report=false"]
    suite, tasks, meshes = _world_of(Path(asked.start))
    world = ["env=libero", f"env.suite={suite}", f"env.task={tasks if asked.task is None else asked.task}"]
    world += [f"env.meshes={meshes}", f"env.num_worlds={asked.worlds}", f"env.horizon={asked.horizon}"]
    world += ["env.joint_noise=0.02", f"env.target_shift={asked.shift}"]
    if way in LEARNED:
        still = [*LEARNED[way], *(["adaptation.update.way=clipped"] if asked.step == "clipped" else [])]
        words = [
            *(f"adaptation.group.{key}={value}" for key, value in group),
            *(f"adaptation.{word}" for word in imitates),
            *([] if asked.noise is None else [f"adaptation.noise.level={asked.noise}"]),
            f"bounds.rounds={asked.updates}",
            "checkpoint_every=1",
            f"adaptation={'self_imitation' if asked.step == 'imitate' else 'evolve'}",
            f"run={asked.start}",
            f"reward_model.path={asked.reward}",
        ]
        return "adapt", folder, [*world, *count, *words, *still]
    learner = STEPS[asked.step][0]
    own = ["reward_model=env_sparse", "transform=none"]
    if way == "srpo":
        own = ["reward_model=self_referential", f"reward_model.path={asked.reward}", "reward_model.oracle=success"]
        own += ["transform=level"]
    words = [
        *world,
        "policy=nano_vla",
        f"policy.path={asked.start}",
        *(f"learner.group.{key}={value}" for key, value in group),
        *(f"learner.{word}" for word in imitates),
        *([] if asked.noise is None else [f"learner.noise.level={asked.noise}"]),
        f"learner.updates={asked.updates}",
        "learner.checkpoint_every=1",
        "video=false",
    ]
    return "train", folder, [f"learner={learner}", *own, *count, *words]


def _world_of(start: Path) -> tuple[str, str, str]:
    """Suite, tasks and meshes of a run."""
    from omegaconf import OmegaConf

    env = OmegaConf.load(start / "config.yaml").env
    tasks = str(env.task if isinstance(env.task, str | int) else list(env.task)).replace(" ", "")
    return str(env.suite), tasks, str(env.meshes)


def _seen(reward: Path) -> Row:
    """What a reward was fitted on, where its folder is that of a fit."""
    from omegaconf import OmegaConf

    if not (reward.parent / "summary.json").exists():
        return {"name": reward.name}
    told = json.loads((reward.parent / "summary.json").read_text())
    asked = OmegaConf.load(reward.parent / "config.yaml")
    played = {kind: asked.negatives[kind] for kind in ("hollow", "replay", "random")}
    shift = asked.env.get("target_shift")
    return {"name": _told(reward), "demonstrations": told["demos"], **played, "shift": shift, "seed": told["seed"]}


def _rate(run: Path, starts: str, asked: argparse.Namespace) -> Row:
    """A policy on one kind of starts, measured once."""
    task = [] if asked.task is None else [f"+env.task={asked.task}"]
    there = run_folder(CLAIM, f"{run.name}{''.join(task).replace('+env.task=', '-on')}-{starts}-{asked.episodes}")
    with EVALUATED.setdefault(there, Lock()):  # several cells have the same start
        summary = _evaluated(run, there, starts, task, asked)
    kept = {key: summary[key] for key in ("success_rate", "success_ci95", "success_episodes")}
    return {**kept, "by_task": list(summary["notes"].get("success_by_task", {}).values())}


def _evaluated(run: Path, there: Path, starts: str, task: Sequence[str], asked: argparse.Namespace) -> Row:
    if (there / "summary.json").exists():
        found: Row = json.loads((there / "summary.json").read_text())
    else:
        limit = HORIZONS[_world_of(run)[0]]
        words = [f"run={run}", f"env.starts={starts}", *task, f"horizon={limit}", "video=false"]
        found = robo_reward("evaluate", there, [*words, f"episodes={asked.episodes}", "evaluation_seeds=[1]"])
    return found


def _logged(folder: Path, what: str) -> list[float]:
    """Of each update: its mean ``reward``, its ``groups``, or its rate of ``success`` where the simulator's is used."""
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    found = [next((v for k, v in row.items() if k.endswith(f"/{what}")), None) for row in rows]
    return [round(float(value), 4) for value in found if value is not None]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--start", required=True)
    parser.add_argument("--reward", required=True)
    parser.add_argument("--ways", default="verified,oracle")
    parser.add_argument("--task", type=int)
    parser.add_argument("--horizon", type=int, default=280)
    parser.add_argument("--starts", default="shipped,moved")
    parser.add_argument("--updates", type=int, default=2)
    parser.add_argument("--worlds", type=int, default=1)
    parser.add_argument("--step", default="imitate", choices=STEPS)
    parser.add_argument("--groups", type=int, default=24)
    parser.add_argument("--size", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--episodes", type=int, default=30)
    parser.add_argument("--shift", type=float, default=0.0)
    parser.add_argument("--spread", type=float, default=0.05)
    parser.add_argument("--noise", type=float)
    parser.add_argument("--focus", action="store_true")
    parser.add_argument("--offset", type=float, default=0.0)
    parser.add_argument("--memory", type=int, default=0)
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--jobs", type=int, default=1)
    asked = parser.parse_args(arguments)
    if unknown := set(asked.ways.split(",")) - {*LEARNED, "oracle", "srpo"}:
        parser.error(f"no way is called {sorted(unknown)}: {', '.join(LEARNED)}, oracle, srpo")
    cells = {
        _name(way, int(seed), asked): partial(tuned, way, int(seed), asked)
        for way in asked.ways.split(",")
        for seed in asked.seeds.split(",")
    }
    run_cells(CLAIM, cells, asked.jobs)
    known = [path.stem for path in sorted((RESULTS / "cells" / CLAIM).glob("*.json"))]
    rows = run_cells(CLAIM, dict.fromkeys(known, dict), 0)
    found: Row = {}
    for row in rows:
        gain = {s: round(row["after"][s]["success_rate"] - row["before"][s]["success_rate"], 4) for s in row["after"]}
        where = "all the start's tasks" if row["task"] is None else f"task {row['task']}"
        found.setdefault(f"{row['way']}: {row['update']}, {where}", []).append(gain)
    command = "python benchmarks/libero_adapt.py --start RUN --reward RUN"
    write_result(CLAIM, command, rows, {"gains": found}, sorted({row["seed"] for row in rows}))
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
