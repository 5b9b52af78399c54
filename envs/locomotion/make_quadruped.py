"""``env=quadruped``: the walking robot as a world, from the settings of the yaml."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from robo_reward.contracts import Oracle
from robo_reward.envs.locomotion.actuation import DelayedTargets
from robo_reward.envs.locomotion.batched_sim import BatchedSim
from robo_reward.envs.locomotion.batched_world import BatchedWorld
from robo_reward.envs.locomotion.quadruped_model import Randomisation, build_variants
from robo_reward.envs.locomotion.quadruped_reward import Gait, RewardWeights
from robo_reward.envs.locomotion.quadruped_starts import Commands
from robo_reward.envs.locomotion.quadruped_task import QuadrupedTask
from robo_reward.envs.locomotion.state_camera import StateCamera
from robo_reward.envs.locomotion.terrain import Ground, Kind, Terrain
from robo_reward.envs.rendering import Profile
from robo_reward.errors import UserError, unknown_name

FRAME_SKIP = 2
"""Physics steps of 10 ms in a decision: 50 decisions a second."""
Pair = float | Sequence[float]
"""A lower and an upper bound, or one number that is both."""


def make_world(
    num_worlds: int = 1,
    threads: int = 0,
    workers: Literal["in_process"] = "in_process",
    terrain: Kind = "flat",
    difficulty: float = 0.5,
    forward: Pair = (0.3, 0.8),
    sideways: Pair = (0.0, 0.0),
    turn: Pair = (0.0, 0.0),
    latency: Pair = (0.0, 0.0),
    history: int = 1,
    randomise: Mapping[str, Any] | None = None,
    gait: Mapping[str, float] | None = None,
    reward: Mapping[str, float] | None = None,
    bodies: str | Sequence[str] = ("trunk",),
    views: Sequence[str] = ("side",),
    height: int = 64,
    width: int = 64,
    profile: Profile = "fast",
    horizon: int = 1000,
    oracle: Oracle = "none",
) -> BatchedWorld:
    """N quadrupeds. ``randomise``, ``gait`` and ``reward`` take the fields of the classes of these names."""
    check_workers(workers)
    ground = Terrain(terrain, difficulty)
    settings = _known(randomise, Randomisation, "randomise")
    ranges = {k: _pair(v, f"randomise.{k}") for k, v in settings.items() if k != "variants"}
    variants = build_variants(ground, Randomisation(int(settings.get("variants", 1)), **ranges))
    sim = BatchedSim(variants, num_worlds, FRAME_SKIP, threads)
    targets = DelayedTargets(_pair(latency, "latency"), float(sim.model.opt.timestep), FRAME_SKIP)
    commands = Commands(_pair(forward, "forward"), _pair(sideways, "sideways"), _pair(turn, "turn"))
    steps, weights = Gait(**_known(gait, Gait, "gait")), RewardWeights(**_known(reward, RewardWeights, "reward"))
    task = QuadrupedTask(sim, terrain, Ground(ground), commands, targets, steps, weights, history)
    camera = StateCamera(sim.model, tuple(views), height, width, profile)
    return BatchedWorld(task, horizon, camera, bodies, oracle)


def check_workers(workers: str) -> None:
    """UserError for anything but in_process: these worlds use threads."""
    if workers != "in_process":
        raise UserError(
            f"env.workers={workers}: batched worlds step in threads of this process; use env.workers=in_process and "
            "env.threads=NUMBER"
        )


def _pair(values: Pair, name: str) -> tuple[float, float]:
    both = (values, values) if isinstance(values, int | float) else values
    if not isinstance(both, Sequence) or len(both) != 2 or not all(isinstance(bound, int | float) for bound in both):
        raise UserError(f"env.{name}={values} must be a lower and an upper bound, [0.3,0.8], or one number for both")
    return float(both[0]), float(both[1])


def _known(settings: Mapping[str, Any] | None, kind: type, group: str) -> dict[str, Any]:
    """The settings, if the class has fields of these names."""
    fields = tuple(getattr(kind, "__dataclass_fields__", ()))
    for name in settings or {}:
        if name not in fields:
            raise unknown_name(f"setting of env.{group}", name, fields)
    return dict(settings or {})
