"""How good the learned image rewards are on held-out episodes: order, separation, false progress, near misses.

Run: python benchmarks/reward_quality.py [--tasks ...] [--seeds 103,104] [--episodes 50]. Judges the rewards of the main
job's runs (made if missing), as first fitted and as saved at the end. The simulator's verdicts are used for measurement
only. Frames: every 5th decision. Failures: random actions; a frozen robot; a robot that works on a phantom object 10 to
15 cm beside the real one. Near misses: the expert stopped at 50 to 95% of its way; a goal taken 5 to 15 cm off.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from cells import Row, run_cells, run_folder, train, write_result
from main_job import TASKS
from numpy.typing import NDArray

from robo_reward.build import build_world, load_policy, load_reward_model
from robo_reward.contracts import Flags, Floats, Observation, RewardModel, World
from robo_reward.explorers import RandomPolicy
from robo_reward.reward_models.audit.metrics import auroc, value_order_correlation
from robo_reward.reward_models.audit.probes import frozen, turned
from robo_reward.rollout import rollout
from robo_reward.trace import Trace

STRIDE = 5
FIRST_SEED = 50_000


class Expert:
    """The scripted expert, which may stop after some decisions and stand still."""

    def __init__(self, world: World, stop: Callable[[], int | None] = lambda: None) -> None:
        self._world, self._stop, self._step, self._until = world, stop, 0, None

    def act(self, observation: Observation) -> Floats:
        """(N, 1, A)."""
        action = self._world.expert_action()
        if self._until is not None and self._step >= self._until:
            action = np.zeros_like(action)
        self._step += 1
        return action[:, None]

    def reset(self, fresh: Flags) -> None:
        """A new place to stop."""
        if fresh.any():
            self._step, self._until = 0, self._stop()

    def save(self, folder: Path) -> None:
        """Nothing to save."""


class Deceived:
    """A policy that sees object, goal or both displaced by a random horizontal offset, new in every episode."""

    def __init__(self, inner: Any, world: World, what: Sequence[str], low: float, high: float, seed: int) -> None:
        assert world.landmarks is not None
        self._inner, self._marks, self._what = inner, world.landmarks, tuple(what)
        self._low, self._high, self._rng = low, high, np.random.default_rng(seed)
        self._offset = np.zeros(3)

    def act(self, observation: Observation) -> Floats:
        """(N, 1, A)."""
        state = observation.state.copy()
        for name in self._what:
            first = getattr(self._marks, name)
            state[:, first : first + 3] += (self._offset * self._marks.scale).astype(np.float32)
        chunk: Floats = self._inner.act(replace(observation, state=state))
        return chunk

    def reset(self, fresh: Flags) -> None:
        """A new offset of ``low`` to ``high`` metres."""
        if fresh.any():
            angle = self._rng.uniform(0, 2 * np.pi)
            self._offset = self._rng.uniform(self._low, self._high) * np.array([np.cos(angle), np.sin(angle), 0.0])
        self._inner.reset(fresh)

    def save(self, folder: Path) -> None:
        """Nothing to save."""


def collect(world: World, policy: Any, episodes: int, seed: int) -> tuple[list[Trace], list[bool]]:
    """Episodes with frames at every 5th decision, and the simulator's verdicts."""
    traces = list(rollout(world, policy, episodes, seed, views=world.view_names, stride=STRIDE))
    outcomes = world.sealed.outcomes()
    return traces, [bool(outcomes[int(t.meta["outcome"])].success) for t in traces]


def success_steps(world: World, episodes: int, seed: int) -> tuple[list[Trace], list[int]]:
    """Expert episodes cut 8 decisions after success, with the decision at which they succeeded."""
    from robo_reward.data.demonstrations import collect_demonstrations

    traces, _ = collect_demonstrations(world, episodes, seed, hold=8, views=world.view_names)
    return [t.every(STRIDE) for t in traces], [int(t.success_step or len(t)) for t in traces]


def final(values: NDArray[np.float32]) -> float:
    """The last two frames' mean."""
    return float(values[-2:].mean())


def measure(model: RewardModel, sets: dict[str, Any]) -> Row:
    """All numbers of the protocol for one model."""
    seen = {name: [model.estimate_episode(t) for t in traces] for name, traces in sets["traces"].items()}
    experts, firsts = sets["traces"]["expert"], sets["firsts"]
    upto = [t.frame_steps <= first + STRIDE for t, first in zip(experts, firsts, strict=True)]
    forward = [value_order_correlation(e.progress[m]) for e, m in zip(seen["expert"], upto, strict=True)]
    backward = [-value_order_correlation(model.estimate_episode(turned(t)).progress) for t in experts]
    good = [final(e.progress) for e in seen["expert"]]
    idle = {name: [final(e.progress) for e in seen[name]] for name in ("random", "frozen", "wrong_object")}
    failed = {
        k: [v for v, ok in zip(values, sets["succeeded"][k], strict=True) if not ok] for k, values in idle.items()
    }
    bad = [v for values in failed.values() for v in values]
    near, stops = _near(seen, sets)
    likely = [float(e.success.max()) for e in seen["expert"]]
    unlikely = [
        float(e.success.max())
        for name in failed
        for e, ok in zip(seen[name], sets["succeeded"][name], strict=True)
        if not ok
    ]
    return {
        "voc": float(np.mean(forward)),
        "voc_minus": float(np.mean(backward)),
        "voc_constant": int(sum(v == 0 for v in forward)),
        "auroc": auroc(good, bad),
        "auroc_success_probability": auroc(likely, unlikely),
        "failure_progress": {name: float(np.mean(v)) if v else None for name, v in failed.items()},
        "success_progress": float(np.mean(good)),
        "near_miss_auroc": auroc(good, [v for v, _ in near]),
        "near_miss_progress": float(np.mean([v for v, _ in near])) if near else None,
        "stopped_mae": float(np.mean([abs(v - share) for v, share in stops])) if stops else None,
        "episodes": {name: len(v) for name, v in sets["traces"].items()} | {"failures": len(bad), "near": len(near)},
    }


def _near(seen: dict[str, Any], sets: dict[str, Any]) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    near, stops = [], []
    for name in ("stopped", "goal_off"):
        for k, (e, ok) in enumerate(zip(seen[name], sets["succeeded"][name], strict=True)):
            if not ok:
                near.append((final(e.progress), 0.0))
                if name == "stopped":
                    stops.append((final(e.progress), sets["shares"][k]))
    return near, stops


def cell(task: str, seed: int, episodes: int) -> Row:
    """All episodes of one task, judged by the first and the saved reward of its run."""
    folder = run_folder("main_job", f"{task}-{seed}")
    overrides = [f"env.task={task}", f"seed={seed}", "demos=1", "rollouts=150", "video=false", "resume=true"]
    if not (folder / "summary.json").exists():
        train(folder, overrides)
    from omegaconf import OmegaConf

    config = OmegaConf.load(folder / "config.yaml")
    world = build_world(config.env, num_worlds=1)
    world.sealed.unseal()
    sets = episodes_of(world, folder, episodes)
    rows = {name: measure(load_reward_model(folder / name), sets) for name in ("reward_model_first", "reward_model")}
    world.close()
    first, saved = rows["reward_model_first"], rows["reward_model"]
    return {"task": task, "seed": seed, "model": "transport", "first": first, "saved": saved}


def episodes_of(world: World, folder: Path, episodes: int) -> dict[str, Any]:
    """Every class of held-out episodes."""
    experts, firsts = success_steps(world, episodes, FIRST_SEED)
    rng = np.random.default_rng(FIRST_SEED)
    typical = float(np.median(firsts))
    shares: list[float] = []

    def stop() -> int:
        shares.append(float(rng.uniform(0.5, 0.95)))
        return int(shares[-1] * typical)

    actor = load_policy(folder / "policy")
    actors = {
        "random": RandomPolicy(world.action_space, rng),
        "wrong_object": Deceived(actor, world, ("object", "goal"), 0.10, 0.15, FIRST_SEED + 1),
        "stopped": Expert(world, stop),
        "goal_off": Deceived(actor, world, ("goal",), 0.05, 0.15, FIRST_SEED + 2),
    }
    traces: dict[str, list[Trace]] = {"expert": experts}
    succeeded: dict[str, list[bool]] = {"expert": [True] * len(experts)}
    for number, (name, policy) in enumerate(actors.items()):
        traces[name], succeeded[name] = collect(world, policy, episodes, FIRST_SEED + 10 + number)
    traces["frozen"] = [frozen(t) for t in experts]
    succeeded["frozen"] = [False] * len(experts)
    drawn = shares[::2]  # a place to stop is drawn at the beginning and at the end of every episode
    return {"traces": traces, "succeeded": succeeded, "firsts": firsts, "shares": drawn}


def _flat(row: Row, kind: str) -> Row:
    """One model of one task; ``failure_progress`` is the mean over the classes of failures."""
    classes = row[kind]["failure_progress"]
    known = [value for value in classes.values() if value is not None]
    named = {"task": row["task"], "seed": row["seed"], "model": f"{row['model']} ({kind})"}
    return named | row[kind] | {"failure_progress": float(np.mean(known)), "failure_progress_by_class": classes}


def main() -> None:
    """Runs the grid."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--seeds", default="103,104")
    parser.add_argument("--episodes", type=int, default=50)
    parser.add_argument("--jobs", type=int, default=1)
    chosen = parser.parse_args()
    seeds = [int(s) for s in chosen.seeds.split(",")]
    cells = {
        f"{task}-{seed}": partial(cell, task, seed, chosen.episodes)
        for seed in seeds
        for task in chosen.tasks.split(",")
    }
    rows = run_cells("reward_quality", cells, chosen.jobs)
    flat = [_flat(row, kind) for row in rows for kind in ("first", "saved")]
    met = sum(
        r["voc"] >= 0.95 and r["auroc"] >= 0.97 and r["failure_progress"] <= 0.3
        for r in flat
        if r["model"].endswith("(saved)")
    )
    summary = {"rewards_that_meet_all_three_bounds_when_saved": met, "rewards": len(rows)}
    write_result("reward_quality", "python benchmarks/reward_quality.py", flat, summary, seeds)


if __name__ == "__main__":
    main()
