"""Does the report card tell fitted rewards from planted bad ones, on several tasks and models; and what does it cost?

Run: python benchmarks/audit.py [--tasks ...] [--seeds 302,303]. Per task and seed: ``progress`` and ``transport``
fitted on 5 demonstrations, and rewards that must be refused: ``clock`` (progress is the share of an expert's time that
has passed), ``always_one``, ``hover`` (the fitted progress, full from half way on), ``waiting`` (two thirds the fitted
progress, one third time), ``travelled`` (how far the hand has moved in all), ``changed`` (how much the picture differs
from the first), ``hand`` (how far along a demonstration's hand path the hand is), ``backwards`` (the fitted progress,
full where the demonstrations' most used command is given the other way round) and ``turns`` (the same where a command
changes by more than 1.5 between two frames). All see the same held-out episodes; the budgets are far below the verb's
own. Beside each verdict that of the short audit before training. Times are processor seconds; what is rendered for all
rewards together is not in those of one.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from cells import Row, run_cells, write_result
from numpy.typing import NDArray

from robo_reward.build import build, build_world
from robo_reward.contracts import (
    Estimate,
    Flags,
    Landmarks,
    LearnedRewardModel,
    Needs,
    Observation,
    RewardModel,
    Transition,
    World,
)
from robo_reward.data.demonstrations import collect_demonstrations
from robo_reward.fitting.episodes import step_negatives
from robo_reward.reward_models.audit.attack import Attack
from robo_reward.reward_models.audit.report_card import ReportCard
from robo_reward.reward_models.audit.short_audit import ShortAudit
from robo_reward.seeding import derive_seed
from robo_reward.trace import Trace

TASKS = ("drawer-open", "reach", "push")
SEEDS = (302, 303)
"""Not those that the bounds were looked at with."""
VIEWS = ("corner2", "gripperPOV")
DEMOS, NEGATIVES, EPISODES, STRIDE, HORIZON = 5, 6, 4, 3, 200
FITTED = ("progress", "transport")
NEAR = 0.5
"""Share of the way at which ``hover`` pays everything."""
Progress = Callable[[Trace], NDArray[np.floating[Any]]]


class Planted:
    """A bad reward: ``progress`` of an episode's frames (F,), which counts as success from 0.95 on."""

    def __init__(self, progress: Progress) -> None:
        self.needs = Needs(views=VIEWS, stride=STRIDE, episode=True)
        self._progress = progress

    def estimate_episode(self, trace: Trace) -> Estimate:
        """Estimates (F,)."""
        seen = np.clip(self._progress(trace), 0, 1).astype(np.float32)
        gain = np.diff(seen, prepend=seen[:1])
        return Estimate(seen, gain, (seen >= 0.95).astype(np.float32), np.zeros_like(seen))

    def begin(self, first: Observation, fresh: Flags) -> Estimate:
        """An audit prices whole episodes."""
        raise AssertionError("an audit prices whole episodes")

    def estimate(self, transition: Transition) -> Estimate:
        """An audit prices whole episodes."""
        raise AssertionError("an audit prices whole episodes")


def rewards(
    task: str, seed: int, demonstrations: Sequence[Trace], negatives: Sequence[Trace], marks: Landmarks | None
) -> dict[str, Any]:
    """Name -> (reward model, processor seconds of its fit)."""
    assert marks is not None  # Meta-World's states tell positions
    fitted = {name: _fitted(name, seed, demonstrations, negatives) for name in FITTED}
    length = float(np.mean([d.success_step or len(d) for d in demonstrations]))
    good = fitted["progress"][0]
    planted: dict[str, Progress] = {
        "clock": lambda trace: trace.frame_steps / length,
        "always_one": lambda trace: np.ones(len(trace.frame_steps)),
        "hover": lambda trace: good.estimate_episode(trace).progress / NEAR,
        "waiting": lambda trace: (
            0.67 * good.estimate_episode(trace).progress + 0.33 * np.minimum(1, trace.frame_steps / (2 * length))
        ),
        **unfit(demonstrations, marks),
        **commanded(demonstrations, lambda trace: good.estimate_episode(trace).progress),
    }
    return {**fitted, **{name: (Planted(progress), 0.0) for name, progress in planted.items()}}


def unfit(demonstrations: Sequence[Trace], marks: Landmarks) -> dict[str, Progress]:
    """Rewards that look at the wrong thing, scaled so that demonstrations end near 1."""

    def hand(trace: Trace) -> NDArray[np.float64]:
        return marks.of(trace.state[trace.frame_steps], "hand")

    def way(trace: Trace) -> NDArray[np.float64]:
        return np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(hand(trace), axis=0), axis=1))])

    def difference(trace: Trace) -> NDArray[np.float64]:
        frames = trace.frames[VIEWS[0]].astype(np.float64)
        return np.asarray(np.abs(frames - frames[:1]).mean((1, 2, 3)))

    def place(trace: Trace) -> NDArray[np.float64]:
        apart = np.linalg.norm(hand(trace)[:, None] - path[None], axis=2)
        return apart.argmin(1) / (len(path) - 1)

    thin = [d.cut(d.success_step or len(d)).every(STRIDE) for d in demonstrations]
    farthest = float(np.mean([way(d)[-1] for d in thin]))
    most = float(np.mean([difference(d)[-1] for d in thin]))
    path = hand(thin[0])
    return {
        "travelled": lambda trace: way(trace) / farthest,
        "changed": lambda trace: difference(trace) / most,
        "hand": place,
    }


def commanded(demonstrations: Sequence[Trace], good: Progress) -> dict[str, Progress]:
    """``good``, and everything for commands as such."""

    def commands(trace: Trace) -> NDArray[np.float64]:
        return np.concatenate([np.zeros((1, trace.action.shape[1])), trace.action])[trace.frame_steps]

    def turned(trace: Trace) -> NDArray[np.bool_]:
        seen = commands(trace)
        return np.asarray((np.abs(np.diff(seen, axis=0, prepend=seen[:1])) > 1.5).any(1))

    used = np.concatenate([d.action for d in demonstrations]).mean(0)
    axis = int(np.abs(used).argmax())
    way = -np.sign(used[axis])
    return {
        "backwards": lambda trace: np.maximum(good(trace), way * commands(trace)[:, axis] > 0.9),
        "turns": lambda trace: np.maximum(good(trace), turned(trace)),
    }


def cell(task: str, seed: int) -> Row:
    """Every reward of one task and seed; ``rewards`` holds a row each."""
    import torch

    torch.set_num_threads(1)
    started = time.process_time()
    world = _world(task)
    try:
        demonstrations, _ = collect_demonstrations(world, DEMOS, derive_seed(seed, "demonstrations"), views=VIEWS)
        stepped = [e.trace for e in step_negatives(world, demonstrations, NEGATIVES, NEGATIVES, seed, VIEWS, STRIDE)]
        fitted_on, unseen = [t for k, t in enumerate(stepped) if k % 4 != 3], stepped[3::4]
        models = rewards(task, seed, demonstrations, fitted_on, world.landmarks)
        card = ReportCard(probe_episodes=3, attack=Attack(n=6, generations=1, population=4))
        episodes = card.collect(world, EPISODES, models["progress"][0], derive_seed(seed, "audit"))
        rows = []
        for name, (model, fit_seconds) in models.items():
            short, short_seconds = _timed(partial(ShortAudit().run, model, demonstrations, unseen))
            report, seconds = _timed(partial(card.run, model, episodes, seed, world))
            rows.append(
                {
                    "reward": name,
                    "fitted": name in FITTED,
                    "fit_seconds": fit_seconds,
                    "verdict": report["verdict"],
                    "reasons": report["reasons"],
                    "audit_seconds": seconds,
                    "short_verdict": short.verdict,
                    "short_missed": list(short.failed),
                    "short_values": short.values,
                    "short_seconds": short_seconds,
                    "figures": report["figures"],
                    "probes": {k: v and v["values"] for k, v in report["probes"].items()},
                }
            )
    finally:
        world.close()
    return {"task": task, "seed": seed, "rewards": rows, "cpu_seconds": round(time.process_time() - started, 1)}


def summarise(rows: Sequence[Row]) -> Row:
    """Verdicts of each reward, refused fits by task, planted rewards that came through, and the dearest audits."""
    names = dict.fromkeys(row["reward"] for row in rows)
    verdicts = {n: [row["verdict"] for row in rows if row["reward"] == n] for n in names}
    shorts = {n: [row["short_verdict"] for row in rows if row["reward"] == n] for n in names}
    tasks = dict.fromkeys(row["task"] for row in rows)
    fitted, bad = [r for r in rows if r["fitted"]], [r for r in rows if not r["fitted"]]
    return {
        "verdicts": verdicts,
        "short_verdicts": shorts,
        "fitted_rewards": len(fitted),
        "fitted_rewards_refused": {t: sum(r["verdict"] == "refuse" for r in fitted if r["task"] == t) for t in tasks},
        "planted_rewards": len(bad),
        "planted_rewards_not_refused": sum(r["verdict"] != "refuse" for r in bad),
        "short_audit_seconds_worst": max(r["short_seconds"] for r in rows),
        "audit_seconds_worst": max(r["audit_seconds"] for r in rows),
    }


def _fitted(name: str, seed: int, demonstrations: Sequence[Trace], negatives: Sequence[Trace]) -> tuple[Any, float]:
    model = _composed("train", f"reward_model={name}", f"reward_model.stride={STRIDE}").reward_model
    held: LearnedRewardModel = build({k: v for k, v in model.items() if k != "path"})
    _, seconds = _timed(lambda: held.fit(demonstrations, negatives, seed))
    assert isinstance(held, RewardModel)
    return held, seconds


def _world(task: str) -> World:
    """As ``robo-reward audit`` makes it: one copy that pays the simulator's reward, for measurement alone."""
    config = _composed("audit", "env=metaworld", f"env.task={task}")
    return build_world(config.env, num_worlds=1, oracle="reward", horizon=HORIZON)


def _composed(verb: str, *words: str) -> Any:
    from hydra import compose, initialize_config_module
    from omegaconf import OmegaConf

    with initialize_config_module("robo_reward.configs", version_base="1.3"):
        return OmegaConf.create(OmegaConf.to_container(compose(verb, overrides=list(words)), resolve=True))


def _timed[T](work: Callable[[], T]) -> tuple[T, float]:
    start = time.process_time()
    return work(), round(time.process_time() - start, 2)


def main() -> None:
    """Runs the grid."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--seeds", default=",".join(map(str, SEEDS)))
    parser.add_argument("--jobs", type=int, default=1)
    chosen = parser.parse_args()
    tasks, seeds = chosen.tasks.split(","), [int(s) for s in chosen.seeds.split(",")]
    cells = {f"{task}-{seed}": partial(cell, task, seed) for seed in seeds for task in tasks}
    held = run_cells("audit", cells, chosen.jobs)
    rows = [{"task": c["task"], "seed": c["seed"], **row} for c in held for row in c["rewards"]]
    summary = summarise(rows) | {"cpu_seconds": round(sum(c["cpu_seconds"] for c in held), 1)}
    write_result("audit", "python benchmarks/audit.py", rows, summary, seeds)


if __name__ == "__main__":
    main()
