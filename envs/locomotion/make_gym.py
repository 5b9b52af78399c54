"""``env=gym_batched``: Gymnasium's Ant and Humanoid as one batch, from the settings of the yaml."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import gymnasium

from robo_reward.contracts import Oracle
from robo_reward.envs.locomotion.batched_sim import BatchedSim
from robo_reward.envs.locomotion.batched_world import BatchedWorld
from robo_reward.envs.locomotion.gym_model import BodySensors, sensed_model
from robo_reward.envs.locomotion.gym_task import ANT, HUMANOID, AntTask, GymTask, HumanoidTask, Walker
from robo_reward.envs.locomotion.make_quadruped import check_workers
from robo_reward.envs.locomotion.state_camera import StateCamera
from robo_reward.envs.rendering import Profile, camera_names, choose_renderer, extra_cameras
from robo_reward.errors import unknown_name

TASKS: dict[str, tuple[type[GymTask], Walker]] = {"Ant-v5": (AntTask, ANT), "Humanoid-v5": (HumanoidTask, HUMANOID)}


def make_world(
    id: str = "Ant-v5",
    num_worlds: int = 1,
    threads: int = 0,
    workers: Literal["in_process"] = "in_process",
    bodies: str | Sequence[str] = ("torso",),
    views: Sequence[str] | None = None,
    cameras: Mapping[str, Mapping[str, Any]] | None = None,
    height: int = 64,
    width: int = 64,
    profile: Profile = "fast",
    horizon: int = 1000,
    oracle: Oracle = "none",
) -> BatchedWorld:
    """N copies of a Gymnasium walker; without ``views`` the first of ``cameras``, else the model's first one."""
    check_workers(workers)
    if id not in TASKS:
        raise unknown_name("batched Gymnasium task (others: env=gym)", id, tuple(TASKS))
    choose_renderer()
    kind, walker = TASKS[id]
    core: Any = gymnasium.make(id, disable_env_checker=True).unwrapped
    whole_body = kind is HumanoidTask
    model = sensed_model(core.fullpath, whole_body)
    sim = BatchedSim([model], num_worlds, core.frame_skip, threads, fresh_sensors=True)
    task = kind(sim, id, walker, BodySensors(sim, whole_body))
    extra = extra_cameras(cameras)
    shown = tuple(views) if views is not None else (*extra, *camera_names(model))[:1]
    camera = StateCamera(model, shown, height, width, profile, extra)
    core.close()
    return BatchedWorld(task, horizon, camera, bodies, oracle)
