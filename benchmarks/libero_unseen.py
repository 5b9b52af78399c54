"""Tasks of LIBERO that nobody demonstrated: what a nano_vla does there before and after adaptation by learned success.

Run: python benchmarks/libero_unseen.py [--suite libero_object] [--tasks 0,3,6] [--demos 10] [--updates 6000]
[--scenes all,others] [--seeds 0] [--episodes 60] [--groups 48] [--adapt] [--jobs 1].
The scripted expert demonstrates all tasks but ``--tasks``; a policy that acts on places alone (``--eyes relative`` of
libero_nano) learns from it, beside rearranged still scenes, which tell where things lie, never how they are taken: of
``all`` tasks, or of the ``others`` alone, whose policy has never met the words of ``--tasks``. Both are evaluated on
``--tasks``, from shipped and from moved states. ``--adapt``: then one round on ``--tasks`` by
reward_model=verified_progress, fitted on the same demonstrations of the others; neither has seen one of the tasks.
Pictures are as the assets draw them (``stand_in_visuals``).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from cells import RESULTS, Row, run_cells, run_folder, train, write_result
from libero_nano import EYES, robo_reward

from robo_reward.envs.libero.catalogue import HORIZONS, find_tasks

CLAIM = "libero_unseen"
MEASURED = 1
"""The evaluation seed."""
STARTS = ("shipped", "moved")
WORLD = ["env.meshes=lighter", "env.joint_noise=0.02"]


def done(folder: Path, verb: str, words: Sequence[str]) -> Row:
    """The summary of a run, made where it is not there yet."""
    file = folder / "summary.json"
    found: Row = json.loads(file.read_text()) if file.exists() else {}
    if found.get("status") != "done":
        found = train(folder, [*words, *(["report=false"] if verb in ("train", "adapt") else [])], verb)
    if found["status"] != "done":
        raise SystemExit(f"{verb} in '{folder}' failed: {found.get('error')}")
    return found


def cell(scenes: str, seed: int, asked: argparse.Namespace) -> Row:
    """One policy, before and after."""
    run, own = _folder(_name(scenes, seed, asked)), [f"env.suite={asked.suite}"]
    data, others = _folder(f"demos-{_without(asked)}-seed{seed}"), _others(asked)
    demonstrated = [*own, f"env.task={others}", *WORLD, "env.target_shift=0.06", f"demos={asked.demos}", f"seed={seed}"]
    recorded = ["recording.every=4", "recording.pushes=0.08", "recording.places=true", "images=true"]
    if not data.exists():
        robo_reward("collect", ["env=libero", *demonstrated, *recorded, f"data_dir={data}"])
    words = ["experiment=libero_sft", *own, f"env.task={'all' if scenes == 'all' else others}", f"data={data}"]
    words += ["env.meshes=lighter", *EYES["relative"], f"learner.updates={asked.updates}"]
    learned = done(run, "train", [*words, f"seed={seed}", "episodes=10", "evaluation_seeds=[1]", "video=false"])
    row: Row = {
        "scenes": scenes,
        "seed": seed,
        "suite": asked.suite,
        "unseen": _tasks(asked),
        "demonstrations_of_each_other_task": asked.demos,
        "updates": learned["updates"],
        "stand_in_visuals": learned["stand_in_visuals"],
        "supervised": {starts: _rate(run, starts, asked) for starts in STARTS},
    }
    return {**row, "adapted": _adapted(run, data, seed, asked)} if asked.adapt else row


def _adapted(run: Path, data: Path, seed: int, asked: argparse.Namespace) -> Row:
    """One round on the unseen tasks, by a reward fitted on the others."""
    reward, tuned = _folder(f"reward-{_without(asked)}-seed{seed}"), _folder(f"{run.name}-adapted-{asked.groups}x4")
    own = ["env=libero", f"env.suite={asked.suite}", *WORLD]
    played = ["negatives.random=0", "negatives.replay=0", "negatives.hollow=84"]
    seen = ["reward_model=verified_progress", "reward_model.views=[image,image2]", "reward_model.feels=8"]
    fitted = [f"data={data}", f"env.task={_others(asked)}", "env.target_shift=0.08", "+env.horizon=140", "audit=none"]
    done(reward, "fit", [*own, *fitted, *seen, *played, f"seed={seed}"])
    words = [f"run={run}", f"env.task={_tasks(asked)}", f"reward_model.path={reward}/reward_model", f"seed={seed}"]
    words += ["env.target_shift=0.02", "env.horizon=240", "adaptation=self_imitation", "adaptation.stages=[1.0]"]
    words += ["transform=success", "adaptation.group.pays=max", "adaptation.stop_by=success", "bounds.rounds=1"]
    words += [f"adaptation.group.groups={asked.groups}", f"adaptation.group.most={asked.groups}"]
    words += ["adaptation.group.size=4", "adaptation.group.min_spread=0.3", "adaptation.noise.level=0"]
    words += ["adaptation.update.epochs=10", "checkpoint_every=1", "episodes=1", "evaluation_seeds=[1]"]
    told = done(tuned, "adapt", [*own, *words])
    kept = ("reward_auroc", "rewarded_episodes", "rewarded_successes")
    return {
        **{key: told["notes"].get(key) for key in kept},
        "used_env_reward": told["used_env_reward"],
        "used_env_success": told["used_env_success"],
        "minutes": round(told["wall_seconds"] / 60, 1),
        **{starts: _rate(tuned, starts, asked) for starts in STARTS},
    }


def _rate(run: Path, starts: str, asked: argparse.Namespace) -> Row:
    """A policy on the unseen tasks."""
    words = [f"run={run}", f"+env.task={_tasks(asked)}", f"env.starts={starts}", f"horizon={HORIZONS[asked.suite]}"]
    words += [f"episodes={asked.episodes}", f"evaluation_seeds=[{MEASURED}]", "video=false"]
    found = done(_folder(f"{run.name}-{starts}"), "evaluate", words)
    kept = {key: found[key] for key in ("success_rate", "success_ci95", "success_episodes")}
    return {**kept, "by_task": list(found["notes"]["success_by_task"].values())}


def _folder(name: str) -> Path:
    return run_folder(CLAIM, name)


def _without(asked: argparse.Namespace) -> str:
    return f"{asked.suite}-without-{asked.tasks.replace(',', '+')}-{asked.demos}demos"


def _name(scenes: str, seed: int, asked: argparse.Namespace) -> str:
    return f"{_without(asked)}-{asked.updates}-scenes-of-{scenes}-seed{seed}"


def _tasks(asked: argparse.Namespace) -> str:
    return f"[{asked.tasks}]"


def _others(asked: argparse.Namespace) -> str:
    """The tasks that are demonstrated, as env.task takes them."""
    unseen = {task.number for task in find_tasks(asked.suite, asked.tasks.split(","))}
    numbers = [task.number for task in find_tasks(asked.suite, "all") if task.number not in unseen]
    return str(numbers).replace(" ", "")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--suite", default="libero_object")
    parser.add_argument("--tasks", default="0,3,6")
    parser.add_argument("--demos", type=int, default=10)
    parser.add_argument("--updates", type=int, default=6000)
    parser.add_argument("--scenes", default="all,others")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--episodes", type=int, default=60)
    parser.add_argument("--groups", type=int, default=48)
    parser.add_argument("--adapt", action="store_true")
    parser.add_argument("--jobs", type=int, default=1)
    asked = parser.parse_args(arguments)
    after = f"-adapted{asked.groups}" if asked.adapt else ""
    cells = {
        f"{_name(scenes, int(seed), asked)}{after}": partial(cell, scenes, int(seed), asked)
        for scenes in asked.scenes.split(",")
        for seed in asked.seeds.split(",")
    }
    run_cells(CLAIM, cells, asked.jobs)
    known = [path.stem for path in sorted((RESULTS / "cells" / CLAIM).glob("*.json"))]
    rows = run_cells(CLAIM, dict.fromkeys(known, dict), 0)
    write_result(CLAIM, "python benchmarks/libero_unseen.py", rows, {}, sorted({row["seed"] for row in rows}))


if __name__ == "__main__":
    main()
