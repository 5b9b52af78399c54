"""The episodes that judge multi-task image rewards on MT10: five demonstrations a task, negatives, held-out classes.

Run: python benchmarks/mt10_episodes.py [--tasks ...] [--seed 100] [--held-out 50]. Episodes are made once and kept
below runs/benchmarks/mt10_episodes/, which git ignores; every cell of a benchmark reads them there. The simulator's
verdicts are used for measurement only. Negatives are stepped as ``robo-reward fit`` steps them.

Held-out classes, frames every 5th decision: successes of the expert; random actions; a frozen robot; an expert that
works on a phantom object 10 to 15 cm beside the real one (``wrong_object``). Near misses: the expert stopped at 50 to
95% of its way; a goal taken 5 to 15 cm off (``goal_off``).
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from cells import run_folder
from reward_quality import Expert, collect, success_steps

from robo_reward.build import build_world
from robo_reward.contracts import Flags, Floats, Observation, World
from robo_reward.data.demonstrations import collect_demonstrations
from robo_reward.data.trace_file import read_trace, write_trace
from robo_reward.explorers import RandomPolicy
from robo_reward.fitting.episodes import episode_horizon, step_negatives
from robo_reward.reward_models.audit.probes import frozen
from robo_reward.runs import atomic
from robo_reward.seeding import derive_seed
from robo_reward.trace import Trace

TASKS = (
    "reach", "push", "pick-place", "door-open", "drawer-open", "drawer-close", "button-press-topdown",
    "peg-insert-side", "window-open", "window-close",
)  # fmt: skip
VIEWS = ("corner2", "gripperPOV")
DEMOS, RANDOM, REPLAY, HOLD = 5, 16, 16, 8
EXPERT_HORIZON = 500
FIRST_SEED = 50_000


class DeceivedExpert:
    """The scripted expert, shown things displaced by a random horizontal offset that is new in every episode.

    ``places``: first indices of the positions in Meta-World's raw observation (4 object, 11 second object, 36 goal).
    """

    def __init__(self, world: World, places: Sequence[int], low: float, high: float, seed: int) -> None:
        self._env: Any = world._vec.envs[0].unwrapped  # type: ignore[attr-defined]
        self._places, self._low, self._high = places, low, high
        self._rng, self._offset = np.random.default_rng(seed), np.zeros(3)

    def act(self, observation: Observation) -> Floats:
        """(1, 1, A)."""
        true = self._env._raw
        seen = true.copy()
        for first in self._places:
            seen[first : first + 3] += self._offset
        self._env._raw = seen
        action: Floats = self._env.expert_action()
        self._env._raw = true
        return action[None, None]

    def reset(self, fresh: Flags) -> None:
        """A new offset of ``low`` to ``high`` metres."""
        if fresh.any():
            angle = self._rng.uniform(0, 2 * np.pi)
            self._offset = self._rng.uniform(self._low, self._high) * np.array([np.cos(angle), np.sin(angle), 0.0])

    def save(self, folder: Path) -> None:
        """Nothing to save."""


def _world(task: str, horizon: int) -> World:
    from omegaconf import OmegaConf

    config = OmegaConf.load(Path(__file__).parents[1] / "configs" / "env" / "metaworld.yaml")
    world = build_world(config, task=task, horizon=horizon, views=list(VIEWS))
    world.sealed.unseal()
    return world


def make(task: str, seed: int, held_out: int) -> dict[str, Any]:
    """Demonstrations and negatives of one seed, and the held-out classes.

    The latter depend on the seed through the horizon alone, which the demonstrations' length sets in steps of 50: those
    that another seed was judged on serve again where it had the same horizon.
    """
    world = _world(task, EXPERT_HORIZON)
    demos, _ = collect_demonstrations(world, DEMOS, derive_seed(seed, "demonstrations"), HOLD, VIEWS)
    world.close()
    horizon = _horizon(demos)
    world = _world(task, horizon)
    negatives = [e.trace for e in step_negatives(world, demos, RANDOM, REPLAY, seed, VIEWS, 3)]
    world.close()
    found = _made_before(task, horizon, held_out) or _hold_out(task, horizon, held_out)
    return {"demos": demos, "negatives": negatives, **found}


def _horizon(demos: Sequence[Trace]) -> int:
    from omegaconf import OmegaConf

    return episode_horizon(OmegaConf.create({"horizon": None, "action_repeat": 2}), demos) or 150


def _made_before(task: str, horizon: int, held_out: int) -> dict[str, Any] | None:
    """The held-out classes of another seed's episodes that have this horizon."""
    here = run_folder("mt10_episodes", f"{task}-0-{held_out}").parent
    for folder in sorted(here.glob(f"{task}-*-{held_out}")):
        if not re.fullmatch(rf"{task}-\d+-{held_out}", folder.name) or not (folder / "index.json").exists():
            continue
        if _horizon([read_trace(folder / f"demos-{k:03d}") for k in range(DEMOS)]) == horizon:
            sets = _read(folder)["sets"]
            classes = {name: (traces, sets["succeeded"][name]) for name, traces in sets["traces"].items()}
            return {"classes": classes, "firsts": sets["firsts"], "shares": sets["shares"]}
    return None


def _hold_out(task: str, horizon: int, held_out: int) -> dict[str, Any]:
    world = _world(task, EXPERT_HORIZON)
    experts, firsts = success_steps(world, held_out, FIRST_SEED)
    world.close()
    world = _world(task, horizon)
    classes, shares = _classes(world, held_out, float(np.median(firsts)))
    world.close()
    classes["expert"] = (experts, [True] * len(experts))
    classes["frozen"] = ([frozen(t) for t in experts], [False] * len(experts))
    return {"classes": classes, "firsts": firsts, "shares": shares}


def _classes(world: World, count: int, typical: float) -> tuple[dict[str, tuple[list[Trace], list[bool]]], list[float]]:
    rng = np.random.default_rng(FIRST_SEED)
    shares: list[float] = []

    def stop() -> int:
        shares.append(float(rng.uniform(0.5, 0.95)))
        return int(shares[-1] * typical)

    actors: dict[str, Any] = {
        "random": RandomPolicy(world.action_space, rng),
        "wrong_object": DeceivedExpert(world, (4, 11, 36), 0.10, 0.15, FIRST_SEED + 1),
        "stopped": Expert(world, stop),
        "goal_off": DeceivedExpert(world, (36,), 0.05, 0.15, FIRST_SEED + 2),
    }
    made = {}
    for number, (name, actor) in enumerate(actors.items()):
        made[name] = collect(world, actor, count, FIRST_SEED + 10 + number)
    return made, shares[::2]  # a place to stop is drawn at the beginning and at the end of every episode


def episodes(task: str, seed: int, held_out: int) -> dict[str, Any]:
    """What ``make`` gives, read from the cache or made and kept there."""
    folder = run_folder("mt10_episodes", f"{task}-{seed}-{held_out}")
    if not (folder / "index.json").exists():
        _write(folder, make(task, seed, held_out))
    return _read(folder)


def _write(folder: Path, made: dict[str, Any]) -> None:
    groups = {"demos": made["demos"], "negatives": made["negatives"]}
    groups |= {f"class-{name}": traces for name, (traces, _) in made["classes"].items()}
    for name, traces in groups.items():
        for number, trace in enumerate(traces):
            write_trace(folder / f"{name}-{number:03d}", trace)
    index = {
        "counts": {name: len(traces) for name, traces in groups.items()},
        "succeeded": {name: verdicts for name, (_, verdicts) in made["classes"].items()},
        "firsts": made["firsts"],
        "shares": made["shares"],
    }
    atomic.write_json(folder / "index.json", index)  # last: it says that the rest is there


def _read(folder: Path) -> dict[str, Any]:
    index = json.loads((folder / "index.json").read_text())
    groups = {
        name: [read_trace(folder / f"{name}-{k:03d}") for k in range(count)] for name, count in index["counts"].items()
    }
    classes = [name.removeprefix("class-") for name in groups if name.startswith("class-")]
    sets = {
        "traces": {name: groups[f"class-{name}"] for name in classes},
        "succeeded": index["succeeded"],
        "firsts": index["firsts"],
        "shares": index["shares"],
    }
    return {"demos": groups["demos"], "negatives": groups["negatives"], "sets": sets}


def main() -> None:
    """Makes what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--seed", type=int, default=100)
    parser.add_argument("--held-out", type=int, default=50)
    chosen = parser.parse_args()
    for task in chosen.tasks.split(","):
        start = time.monotonic()
        found = episodes(task, chosen.seed, chosen.held_out)
        sets = found["sets"]
        verdicts = {name: sum(v) for name, v in sets["succeeded"].items()}
        lengths = [len(t) for t in found["demos"]]
        print(f"{task}: {time.monotonic() - start:.0f} s, lengths {lengths}, successes {verdicts}", flush=True)


if __name__ == "__main__":
    main()
