"""What every program of the arm's benchmarks imports, loaded once before they are forked."""

import os

os.environ["OMP_NUM_THREADS"] = "1"

from importlib import import_module

for module in (
    "lerobot.cameras.zmq",
    "lerobot.policies.act.modeling_act",
    "lerobot.robots.so_follower",
    "lerobot.scripts.lerobot_rollout",
    "robo_reward.arm.policy_run",
    "robo_reward.cli",
    "robo_reward.policies.sb3_policy",
    "robo_reward.real_robot.deploy.command",
    "robo_reward.real_robot.guarded_robot",
    "scservo_sdk",
):
    import_module(module)
