"""Which learned reward tells a VLA's successes on LIBERO from its failures, most of which look like successes.

Run: python benchmarks/libero_reward.py --policies WEAK_RUN,BETTER_RUN --data DATASET [--episodes 21] [--size 64].
Episodes of the policies as they explore (Flow-SDE), from seeded resets of the demonstrations' tasks; each reward is
fitted on the same demonstrations. AUROC of a reward for success over all episodes, and over the first policy's alone;
the simulator's verdicts are read for this table only. ``--size``: pictures are averaged to so many pixels a side.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from cells import Row, run_cells, run_folder, write_result

from robo_reward.contracts import Estimate
from robo_reward.data.trace_file import read_trace, write_trace
from robo_reward.reward_truth import auroc
from robo_reward.trace import Trace

CLAIM = "libero_reward"
STRIDE, HOLLOW, REPLAY, RANDOM = 8, 30, 21, 6
BOTH, ONE = ("image", "image2"), ("image",)
VARIANTS: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    # name: reward model, views, negatives
    "progress, one camera, stopped copies": ("progress", ONE, ("stopped",)),
    "progress, two cameras, noisy replays": ("progress", BOTH, ("stopped", "replay", "random")),
    "progress, two cameras, hollow replays": ("progress", BOTH, ("hollow",)),
    "verified, two cameras, hollow replays": ("verified_progress", BOTH, ("hollow",)),
    "verified, one camera, hollow replays": ("verified_progress", ONE, ("hollow",)),
    "verified, two cameras, noisy replays": ("verified_progress", BOTH, ("stopped", "replay", "random")),
}


def kept(name: str, make: Callable[[], list[tuple[Trace, bool]]]) -> list[tuple[Trace, bool]]:
    """Episodes with their verdicts, played once."""
    folder = run_folder(CLAIM, name)
    if not (folder / "success.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        rows = make()
        for number, (trace, _) in enumerate(rows):
            write_trace(folder / f"{number:03d}.safetensors", trace)
        (folder / "success.json").write_text(json.dumps([success for _, success in rows]))
    verdicts = json.loads((folder / "success.json").read_text())
    return [(read_trace(folder / f"{number:03d}.safetensors"), success) for number, success in enumerate(verdicts)]


def world_of(asked: argparse.Namespace, **more: Any) -> Any:
    from robo_reward.envs.libero.world import make_world

    settings: dict[str, Any] = {"starts": "reset", "joint_noise": 0.02, "meshes": "light", **more}
    return make_world(asked.suite, [int(task) for task in asked.tasks.split(",")], 1, **settings)


def verdicts_of(world: Any, traces: Sequence[Trace]) -> list[tuple[Trace, bool]]:
    world.sealed.unseal()
    outcomes = world.sealed.outcomes()
    return [(trace, bool(outcomes[int(trace.meta["outcome"])].success)) for trace in traces]


def played(policy: str, asked: argparse.Namespace) -> list[tuple[Trace, bool]]:
    """Episodes of a policy as it explores."""
    from robo_reward.policies.vla.lerobot_policy import load_lerobot_policy
    from robo_reward.policies.vla_learning.exploring import ExploringPolicy
    from robo_reward.policies.vla_learning.flow_sde import FlowNoise
    from robo_reward.policies.vla_learning.likelihood import likelihood_of
    from robo_reward.rollout import rollout

    world, acting = world_of(asked), load_lerobot_policy(Path(policy) / "policy")
    explorer = ExploringPolicy(acting, likelihood_of(acting, FlowNoise()), only=None)
    explorer.begin(5)
    traces = list(rollout(world, explorer, asked.episodes, 77, views=BOTH, stride=STRIDE))
    world.close()
    return verdicts_of(world, traces)


def failures(kind: str, demonstrations: Sequence[Trace], asked: argparse.Namespace) -> list[tuple[Trace, bool]]:
    """Stepped negatives of one kind; the target is displaced, so that what replays the motion misses it."""
    from robo_reward.fitting.episodes import step_negatives

    world = world_of(asked, target_shift=0.08, horizon=130)
    counts = {"random": RANDOM, "replay": REPLAY, "hollow": HOLLOW}
    counts = {name: count if name == kind else 0 for name, count in counts.items()}
    made = step_negatives(world, demonstrations, seed=0, views=BOTH, stride=STRIDE, **counts)
    world.close()
    return verdicts_of(world, [episode.trace for episode in made])


def stopped(demonstrations: Sequence[Trace]) -> list[Trace]:
    from robo_reward.fitting.episodes import Episode, stopped_copies

    rows = [Episode(trace, "demonstrations", number) for number, trace in enumerate(demonstrations)]
    return [episode.trace for episode in stopped_copies(rows, 8, np.random.default_rng(0))]


def small(trace: Trace, size: int) -> Trace:
    """The trace with pictures averaged to ``size`` pixels a side."""

    def shrunk(frames: Any) -> Any:
        k = frames.shape[1] // size
        return frames.reshape(len(frames), size, k, size, k, 3).mean((2, 4)).astype(np.uint8)

    return replace(trace, frames={view: shrunk(frames) for view, frames in trace.frames.items()})


def cell(name: str, asked: argparse.Namespace) -> Row:
    """One reward, fitted and measured."""
    import torch

    from robo_reward.data.datasets import read_dataset
    from robo_reward.reward_models.progress import ProgressModel
    from robo_reward.reward_models.verified_progress import VerifiedProgress

    torch.set_num_threads(1)
    kind, views, negatives = VARIANTS[name]
    demonstrations = read_dataset(asked.data, views=BOTH)
    shown = [small(trace, asked.size) for trace in demonstrations]
    fails: list[Trace] = []
    for negative in negatives:
        if negative == "stopped":
            fails += stopped(shown)
            continue
        rows = kept(negative, partial(failures, negative, demonstrations, asked))
        fails += [small(trace, asked.size) for trace, _ in rows]
    settings: dict[str, Any] = {"head": "milestones", "members": 1, "rule": "remaining_gap", "interval": 4}
    settings |= {"settle": 0, "size": None} if kind == "verified_progress" else {}
    model = (VerifiedProgress if kind == "verified_progress" else ProgressModel)(views, STRIDE, **settings)
    model.fit(shown, fails, 0)
    parts = [kept(f"policy{k}", partial(played, policy, asked)) for k, policy in enumerate(asked.policies.split(","))]
    rolled = [(model.estimate_episode(small(trace, asked.size)), good) for part in parts for trace, good in part]
    return {
        "reward": name,
        "episodes": len(rolled),
        "successes": sum(good for _, good in rolled),
        **measured("final_progress", [(float(e.progress[-1]), good) for e, good in rolled], len(parts[0])),
        **measured("most_success", [(held(e), good) for e, good in rolled], len(parts[0])),
    }


def held(estimate: Estimate) -> float:
    """The highest p(success) that two looks in a row had."""
    p = estimate.success
    return float(np.minimum(p[1:], p[:-1]).max())


def measured(name: str, rows: Sequence[tuple[float, bool]], first: int) -> Row:
    def split(part: Sequence[tuple[float, bool]]) -> Any:
        return [np.array([v for v, good in part if good is wanted], np.float64) for wanted in (True, False)]

    good, bad = split(rows)
    return {
        f"{name}_auroc": rounded(auroc(good, bad)),
        f"{name}_auroc_first_policy": rounded(auroc(*split(rows[:first]))),
        f"{name}_of_successes": rounded(float(good.mean())) if len(good) else None,
        f"{name}_of_failures": rounded(float(bad.mean())) if len(bad) else None,
    }


def rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--policies", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--suite", default="libero_object")
    parser.add_argument("--tasks", default="0,3,6")
    parser.add_argument("--episodes", type=int, default=21)
    parser.add_argument("--size", type=int, default=64)
    asked = parser.parse_args(arguments)
    cells = {name.replace(", ", "-").replace(" ", "_"): partial(cell, name, asked) for name in VARIANTS}
    rows = run_cells(CLAIM, cells, 1)
    command = "python benchmarks/libero_reward.py --policies WEAK_RUN,BETTER_RUN --data DEMONSTRATIONS"
    found = {row["reward"]: [row["final_progress_auroc"], row["most_success_auroc"]] for row in rows}
    write_result(CLAIM, command, rows, {"stand_in_visuals": True, "auroc_final_most": found}, [0])
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
