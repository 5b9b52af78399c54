"""Where episodes start: the shipped states, these with target and arm moved, or the benchmark's own seeded resets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from robo_reward.envs.libero.sim import LiberoSim

Array = NDArray[np.float64]
Starts = Literal["shipped", "moved", "reset"]
STARTS: tuple[Starts, ...] = ("shipped", "moved", "reset")
SHIFT = 0.06
"""Metres: a moved target lies at most this far off in x and in y."""
JOINT_NOISE = 0.02
"""Radians: standard deviation of a moved arm's joints."""
TRIES = 20
DEPTH = 0.002
"""Metres by which a moved target may sink deeper into its surroundings than the shipped one."""
DRIFT = 0.02
"""Metres that a moved target may settle away from where the shipped one does, shift aside."""


@dataclass(frozen=True, slots=True)
class Spread:
    """How far starts vary. ``joints``: radians, standard deviation of the arm's; ``target``: metres in x and in y."""

    joints: float = 0.0
    target: float = 0.0


EXACT = Spread()
MOVED = Spread(JOINT_NOISE, SHIFT)


def start(sim: LiberoSim, starts: Starts, seed: int, shipped: Array, number: int, spread: Spread = EXACT) -> Array:
    """Begins an episode, settled, and returns the target's shift in x and y (2,), zero where it was not moved.

    ``shipped`` (n, 1 + nq + nv): the task's shipped states, of which number ``number`` modulo n is taken. Fixtures
    stand where ``seed`` puts them, for shipped states say nothing about them. ``spread``: of starts="reset".
    """
    if starts == "moved":
        return _moved(sim, seed, shipped[number % len(shipped)], MOVED)
    if starts == "reset" and spread != EXACT:
        sim.reset(seed)
        return _moved(sim, seed, sim.state(), spread)
    sim.reset(seed, shipped[number % len(shipped)] if starts == "shipped" else None)
    sim.settle()
    return np.zeros(2)


def _moved(sim: LiberoSim, seed: int, shipped: Array, spread: Spread) -> Array:
    """The first drawn shift that fits; without one (a bowl in its drawer) the target stays and the arm alone moves."""
    rng = np.random.default_rng(seed)
    state = shipped.copy()
    arm = 1 + np.array(sim.robosuite.robots[0]._ref_joint_pos_indexes)
    state[arm] += rng.normal(0.0, spread.joints, len(arm))
    sim.reset(seed, state)
    if sim.facts.target is not None and spread.target > 0:
        # Shipped states float or sink by up to 9 cm, so that only settled places can be compared.
        depth = _depth(sim)
        sim.settle()
        place = _target_place(sim)
        for shift in rng.uniform(-spread.target, spread.target, (TRIES, 2)):
            if _fits(sim, seed, state, shift, depth, place):
                return np.array(shift)
        sim.reset(seed, state)
    sim.settle()
    return np.zeros(2)


def _fits(sim: LiberoSim, seed: int, state: Array, shift: Array, depth: float, place: Array) -> bool:
    """Starts with the target shifted: True where it sinks into nothing and settles at the same height."""
    moved = state.copy()
    first = 1 + target_address(sim)
    moved[first : first + 2] += shift
    sim.reset(seed, moved)
    if _depth(sim) > depth + DEPTH:
        return False
    sim.settle()
    off = _target_place(sim) - place - np.array([*shift, 0.0])
    return bool((np.abs(off) < DRIFT).all()) and not sim.success()


def target_address(sim: LiberoSim) -> int:
    """Where in qpos the target's position begins."""
    joint = sim.robosuite.objects_dict[sim.facts.target].joints[-1]
    return int(sim.model.joint(joint).qposadr[0])


def _target_place(sim: LiberoSim) -> Array:
    first = target_address(sim)
    return np.array(sim.data.qpos[first : first + 3])


def _depth(sim: LiberoSim) -> float:
    """How deep the target sinks into anything, in metres."""
    model, data = sim.model, sim.data
    body = sim.robosuite.obj_body_id[sim.facts.target]
    mine = (model.body_rootid[model.geom_bodyid[data.contact.geom]] == model.body_rootid[body]).any(1)
    return float(max(0.0, -data.contact.dist[mine].min(initial=0.0)))
