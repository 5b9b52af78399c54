"""How fast batched worlds step, against MuJoCo's own batched physics and Stable-Baselines3's subprocess environments.

Run: python benchmarks/locomotion_throughput.py [THREADS] [headline]; ``headline`` repeats only the size of the headline
against raw physics, a few seconds each, into a file of its own. In each step our world and raw ``mujoco.rollout``
advance the same states under the same controls, in turns, with equally many threads; raw does physics alone (its
Gymnasium model for the Ant, without our sensors). Ours adds observation, reward, termination, reset and sealing. SB3's
``SubprocVecEnv`` steps Gymnasium's Ant-v5 in turns with ours, at several worker counts, random actions for both.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import gymnasium
import numpy as np
from cells import Row, write_result
from stable_baselines3.common.vec_env import SubprocVecEnv

from robo_reward.envs.locomotion.batched_world import BatchedWorld
from robo_reward.envs.locomotion.make_gym import make_world as make_gym
from robo_reward.envs.locomotion.make_quadruped import make_world as make_quadruped

SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
HEADLINE = 256
"""The number of worlds whose ratio is the headline: within the range that PPO is trained with here."""
WORKERS = (1, 2, 4, 8, 16)
REPEATS = 5
SECONDS = 2.0
"""Of our stepping, in each repeat and size."""
WORLDS: dict[str, Callable[..., BatchedWorld]] = {
    "quadruped": make_quadruped,
    "Ant-v5": lambda **more: make_gym("Ant-v5", **more),
    "Humanoid-v5": lambda **more: make_gym("Humanoid-v5", **more),
}


class RawPhysics:
    """``mujoco.rollout`` with preallocated arrays, as fast as it goes, on another world's states and controls."""

    def __init__(self, world: BatchedWorld, name: str, threads: int) -> None:
        import mujoco
        from mujoco.rollout import Rollout

        sim = world.sim
        model: Any = sim.model if name == "quadruped" else gymnasium.make(name).unwrapped.model  # type: ignore[attr-defined]
        count, size, skip = sim.num_worlds, sim.state.shape[1], sim.frame_skip
        self._threads = min(threads, count)
        self._rollout = Rollout(nthread=0 if self._threads == 1 else self._threads)
        self._models, self._data = [model] * count, [mujoco.MjData(model) for _ in range(self._threads)]
        self._states = np.zeros((count, skip, size))
        self._sensed = np.zeros((count, skip, model.nsensordata))
        self._spec = int(mujoco.mjtState.mjSTATE_CTRL)

    def step(self, state: np.ndarray, control: np.ndarray) -> None:
        """Advances states (N, S) under controls (N, frame_skip, nu)."""
        self._rollout.rollout(
            self._models,
            self._data,
            state,
            control,
            control_spec=self._spec,
            skip_checks=True,
            nstep=control.shape[1],
            state=self._states,
            sensordata=self._sensed,
        )

    def close(self) -> None:
        """Ends the threads."""
        self._rollout.close()


class Contest:
    """Ours against raw physics for one task and number of worlds."""

    def __init__(self, name: str, worlds: int, threads: int) -> None:
        self.world = WORLDS[name](num_worlds=worlds, threads=threads, oracle="reward")
        self.raw = RawPhysics(self.world, name, threads)
        self.rng = np.random.default_rng(0)
        self.world.reset(0)
        self.run(0.3)

    def run(self, seconds: float) -> tuple[float, float, float]:
        """Steps per second of ours and of raw physics, timed step by step in turns; and raw's CPU time over ours.

        Wall time counts; the ratio of CPU times of all threads tells how far a busy machine may have disturbed it.
        """
        world, sim = self.world, self.world.sim
        shape = (sim.num_worlds, *world.action_space.shape)
        ours = raw = cpu_ours = cpu_raw = 0.0
        count = 0
        while ours < seconds:
            action = self.rng.uniform(-1.0, 1.0, shape).astype(np.float32)
            state = sim.state.copy()
            spent, start = time.process_time(), time.perf_counter()
            world.step(action)
            ours += time.perf_counter() - start
            cpu_ours += time.process_time() - spent
            control = sim._control.copy()
            spent, start = time.process_time(), time.perf_counter()
            self.raw.step(state, control)
            raw += time.perf_counter() - start
            cpu_raw += time.process_time() - spent
            count += sim.num_worlds
        return count / ours, count / raw, cpu_raw / cpu_ours

    def close(self) -> None:
        """Ends the threads."""
        self.raw.close()
        self.world.close()


def against_raw(threads: int, sizes: Sequence[int] = SIZES) -> list[Row]:
    """One row for each task, size and repeat."""
    rows: list[Row] = []
    for name in WORLDS:
        for worlds in sizes:
            contest = Contest(name, worlds, threads)
            for repeat in range(REPEATS):
                ours, raw, cpu = contest.run(SECONDS / REPEATS)
                row = {"kind": "raw", "task": name, "worlds": worlds, "repeat": repeat, "threads": threads}
                rows.append(
                    row | {"ours": ours, "raw": raw, "ratio": ours / raw, "cpu_ratio": cpu, "load": os.getloadavg()[0]}
                )
            contest.close()
            last = [r for r in rows if r["task"] == name and r["worlds"] == worlds]
            print(
                name,
                worlds,
                {k: round(statistics.median(r[k] for r in last), 3) for k in ("ours", "raw", "ratio", "cpu_ratio")},
            )
    return rows


def subprocess_speed(env: SubprocVecEnv, rng: np.random.Generator, seconds: float) -> float:
    """Environment steps per second under random actions."""
    assert isinstance(env.action_space, gymnasium.spaces.Box)
    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        env.step(rng.uniform(-1.0, 1.0, (env.num_envs, *env.action_space.shape)).astype(np.float32))
        count += env.num_envs
    return count / (time.perf_counter() - start)


def against_sb3(threads: int) -> list[Row]:
    """Ours at the headline size and SB3 at every worker count, in turns."""
    rng = np.random.default_rng(1)
    contest = Contest("Ant-v5", HEADLINE, threads)
    rows: list[Row] = []
    for workers in WORKERS:
        env = SubprocVecEnv([lambda: gymnasium.make("Ant-v5")] * workers)
        env.reset()
        subprocess_speed(env, rng, 0.5)
        for repeat in range(REPEATS):
            sb3 = subprocess_speed(env, rng, 2.0)
            ours = contest.run(1.0)[0]
            row = {"kind": "sb3", "task": "Ant-v5", "workers": workers, "repeat": repeat, "threads": threads}
            rows.append(row | {"ours": ours, "sb3": sb3, "ratio": ours / sb3, "load": os.getloadavg()[0]})
        env.close()
        last = [r for r in rows if r["workers"] == workers]
        print(
            "SB3 workers",
            workers,
            {k: round(statistics.median(r[k] for r in last), 2) for k in ("ours", "sb3", "ratio")},
        )
    contest.close()
    return rows


def middle(rows: list[Row], key: str, **where: Any) -> float:
    """The median of a key over the rows that match."""
    return statistics.median(row[key] for row in rows if all(row.get(k) == v for k, v in where.items()))


def headline(threads: int) -> None:
    """The headline's size alone, in three rounds over the tasks, so that a disturbance shows."""
    raw = [{**row, "round": turn} for turn in range(3) for row in against_raw(threads, (HEADLINE,))]
    keys = ("ratio", "cpu_ratio", "ours", "raw")
    summary = {"worlds": HEADLINE, "load": middle(raw, "load")}
    summary |= {name: {key: round(middle(raw, key, task=name), 3) for key in keys} for name in WORLDS}
    write_result(
        "locomotion_headline", f"python benchmarks/locomotion_throughput.py {threads} headline", raw, summary, [0]
    )
    print(summary)


def main() -> None:
    """Both contests; the headline is the worst task's ratio, and SB3's best worker count."""
    threads = int(sys.argv[1]) if len(sys.argv) > 1 else len(os.sched_getaffinity(0))
    if "headline" in sys.argv[2:]:
        headline(threads)
        return
    raw, sb3 = against_raw(threads), against_sb3(threads)
    by_task = {name: middle(raw, "ratio", task=name, worlds=HEADLINE) for name in WORLDS}
    best = max(WORKERS, key=lambda workers: middle(sb3, "sb3", workers=workers))
    summary = {
        "ratio_vs_rollout": min(by_task.values()),
        "ratio_vs_rollout_by_task": by_task,
        "cpu_ratio_by_task": {name: middle(raw, "cpu_ratio", task=name, worlds=HEADLINE) for name in WORLDS},
        "load": middle([*raw, *sb3], "load"),
        "worlds": HEADLINE,
        "ratio_vs_sb3": middle(sb3, "ratio", workers=best),
        "sb3_best_workers": best,
        "steps_per_second": {name: middle(raw, "ours", task=name, worlds=HEADLINE) for name in WORLDS},
        "curve": {name: {str(n): round(middle(raw, "ours", task=name, worlds=n)) for n in SIZES} for name in WORLDS},
        "ratio_curve": {
            name: {str(n): round(middle(raw, "ratio", task=name, worlds=n), 3) for n in SIZES} for name in WORLDS
        },
    }
    write_result(
        "locomotion_throughput", f"python benchmarks/locomotion_throughput.py {threads}", [*raw, *sb3], summary, [0]
    )
    print(summary)


if __name__ == "__main__":
    main()
