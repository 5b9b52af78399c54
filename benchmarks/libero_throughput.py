"""Rollouts a second on LIBERO against LeRobot's own LiberoEnv, for one consumer: two 128x128 views once per 8 steps.

Run: ROBO_REWARD_LIBERO_ASSETS=FOLDER python benchmarks/libero_throughput.py. LeRobot's class as it ships and ours
through the World contract take turns of random actions; wall and processor time. Each side has a process of its own,
since robosuite draws into whatever GL context is current: beside another renderer it would use the wrong one.
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from cells import Row, run_cells, write_result

from robo_reward.envs.libero.catalogue import SUITES, find_tasks, shipped_states
from robo_reward.envs.libero.installation import find_assets, import_libero
from robo_reward.envs.libero.pictures import Meshes
from robo_reward.envs.libero.sim import LiberoSim
from robo_reward.envs.libero.world import make_world
from robo_reward.envs.vector_world import Workers

CHUNK, SIZE = 8, 128
ROUNDS = 5
SUITE_ROUNDS = 3
OUR_CHUNKS = 6
"""Chunks of ours per round; LeRobot's turn is one chunk, which takes longer all the same."""
MESHES: tuple[Meshes, ...] = ("published", "light")
Consumer = Callable[[Any], None]


def lerobot_env(suite: str, number: int) -> Any:
    """LeRobot's environment as it ships, with both published cameras."""
    import_libero()
    from lerobot.envs.libero import LiberoEnv
    from libero.libero import benchmark  # type: ignore[import-untyped]

    tasks = benchmark.get_benchmark_dict()[suite]()
    return LiberoEnv(tasks, number, suite, obs_type="pixels_agent_pos", observation_width=SIZE, observation_height=SIZE)


def our_world(suite: str, number: int, meshes: Meshes, processes: int) -> Any:
    """Our world of the same task, its episodes too long to end here."""
    workers: Workers = "in_process" if processes == 1 else "subprocess"
    return make_world(
        suite,
        number,
        processes,
        workers,
        starts="shipped",
        meshes=meshes,
        horizon=10**6,
    )


def lerobot_consumer(suite: str, number: int, processes: int) -> tuple[Consumer, Callable[[], None]]:
    """Steps a chunk in each environment and takes the last pictures, which it renders at every step anyway."""
    make = partial(lerobot_env, suite, number)
    if processes == 1:
        env = make()
        env.reset(seed=5)
        shape: tuple[int, ...] = ()
    else:
        import gymnasium

        env = gymnasium.vector.AsyncVectorEnv([make] * processes, context="spawn")
        env.reset(seed=5)
        shape = (processes, 1)

    def consume(actions: Any) -> None:
        for action in actions:
            pixels = env.step(np.tile(action, shape) if shape else action)[0]["pixels"]
        assert pixels["image"].shape[-3:] == pixels["image2"].shape[-3:] == (SIZE, SIZE, 3)

    return consume, env.close


def our_consumer(suite: str, number: int, meshes: Meshes, processes: int) -> tuple[Consumer, Callable[[], None]]:
    """Steps a chunk in each world and reads both views once."""
    world = our_world(suite, number, meshes, processes)
    world.reset(5)

    def consume(actions: Any) -> None:
        for action in actions:
            world.step(np.tile(action, (processes, 1)))
        views = world.observe().views
        assert views["image"].shape == views["image2"].shape == (processes, SIZE, SIZE, 3)

    return consume, world.close


class Side:
    """A consumer in a process of its own, which waits for its turns."""

    def __init__(self, make: Callable[[], tuple[Consumer, Callable[[], None]]]) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs, make))
        self._process.start()
        theirs.close()

    def turn(self, chunks: int) -> tuple[float, float]:
        """Wall and processor seconds (of the process itself) per step of all its environments."""
        self._pipe.send(chunks)
        wall, cpu = self._pipe.recv()
        return wall, cpu

    def close(self) -> None:
        self._pipe.send(0)
        self._process.join()


def serve(pipe: Any, make: Callable[[], tuple[Consumer, Callable[[], None]]]) -> None:
    """Plays as many chunks as it is told and answers how long they took."""
    consume, close = make()
    rng = np.random.default_rng(0)
    while chunks := pipe.recv():
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in range(chunks):
            consume(rng.uniform(-1, 1, (CHUNK, 7)).astype(np.float32))
        steps = chunks * CHUNK
        pipe.send(((time.perf_counter() - wall) / steps, (time.process_time() - cpu) / steps))
    close()


def compare(suite: str, number: int, processes: int, rounds: int) -> Row:
    """LeRobot's environment and both of ours in turns: medians over rounds, and the ratio of each round."""
    sides = {"lerobot": Side(partial(lerobot_consumer, suite, number, processes))}
    sides |= {meshes: Side(partial(our_consumer, suite, number, meshes, processes)) for meshes in MESHES}
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    for round_number in range(rounds + 1):
        for name, side in sides.items():
            found = side.turn(1 if name == "lerobot" else OUR_CHUNKS)
            if round_number:  # the first makes contexts and compiles
                spent[name].append(found)
    for side in sides.values():
        side.close()
    row: Row = {"suite": suite, "task": number, "processes": processes, "rounds": rounds}
    for kind, name in enumerate(("wall", "cpu") if processes == 1 else ("wall",)):
        for who, seconds in spent.items():
            row[f"{who}_steps_per_{name}_second"] = processes / statistics.median(s[kind] for s in seconds)
        for meshes in MESHES:
            pairs = zip(spent["lerobot"], spent[meshes], strict=True)
            row[f"ratio_{meshes}_{name}"] = statistics.median(a[kind] / b[kind] for a, b in pairs)
    return row


def equality(suite: str, number: int, steps: int = 100) -> Row:
    """Largest difference of joint positions after the same actions from the same shipped state, and of verdicts."""
    reference = lerobot_env(suite, number)
    reference.reset(seed=5)
    sim = LiberoSim(find_tasks(suite, number)[0])
    sim.reset(5, shipped_states(sim.task)[0])
    sim.settle()
    theirs = reference._env.env.sim.data._data
    worst, verdicts, rng = 0.0, True, np.random.default_rng(0)
    for action in rng.uniform(-1, 1, (steps, 7)).astype(np.float32):
        info = reference.step(action)[4]
        sim.step(action)
        worst = max(worst, float(np.abs(theirs.qpos - sim.data.qpos).max()))
        verdicts = verdicts and bool(info["is_success"]) == sim.success()
    reference.close()
    return {"suite": suite, "task": number, "steps": steps, "max_difference_qpos": worst, "same_verdicts": verdicts}


def cells() -> Mapping[str, Callable[[], Row]]:
    """The headline in one and two processes, equality, then two tasks of every suite."""
    found: dict[str, Callable[[], Row]] = {
        "one_process": partial(compare, "libero_spatial", 0, 1, ROUNDS),
        "two_processes": partial(compare, "libero_spatial", 0, 2, ROUNDS),
    }
    for suite in SUITES:
        last = len(find_tasks(suite, "all")) - 1
        found[f"equality_{suite}"] = partial(equality, suite, 0)
        for number in (0, last):
            found[f"{suite}_{number}"] = partial(compare, suite, number, 1, SUITE_ROUNDS)
    return found


def main() -> None:
    """Runs what is missing and writes the result."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    rows = run_cells("libero_throughput", cells(), jobs=1)
    one = next(r for r in rows if r.get("processes") == 1 and r["rounds"] == ROUNDS)
    two = next(r for r in rows if r.get("processes") == 2)
    differences = [r["max_difference_qpos"] for r in rows if "max_difference_qpos" in r]
    summary: Row = {
        "ratio_vs_lerobot": one["ratio_published_wall"],
        "ratio_vs_lerobot_light": one["ratio_light_wall"],
        "ratio_vs_lerobot_two_processes": two["ratio_published_wall"],
        "ratio_vs_lerobot_two_processes_light": two["ratio_light_wall"],
        "max_difference_qpos": max(differences),
        "stand_in_visuals": bool(find_assets().stand_ins),
    }
    for suite in SUITES:
        mine = [r for r in rows if r["suite"] == suite and r.get("rounds") == SUITE_ROUNDS]
        for meshes in MESHES:
            summary[f"ratio_{suite}_{meshes}"] = statistics.median(r[f"ratio_{meshes}_wall"] for r in mine)
    command = "ROBO_REWARD_LIBERO_ASSETS=FOLDER python benchmarks/libero_throughput.py"
    write_result("libero_throughput", command, rows, summary, [0])
    print(summary)


if __name__ == "__main__":
    main()
