"""Registers robo-reward with LeRobot: policy ``nano_vla``, rewards ``progress`` and ``robo_reward``, ``guarded_robot``.

LeRobot's command lines import installed distributions by the prefix of their name, and ``lerobot_policy_`` is one that
they look for; there is no prefix for reward models. Importing is registering. Where hf-libero is installed, it is set
up as robo-reward does it, so that ``lerobot-eval --env.type=libero`` asks nothing and finds the same assets.
"""

from robo_reward.envs.libero.for_lerobot import prepare
from robo_reward.policies.nano_vla.configuration_nano_vla import NanoVlaConfig
from robo_reward.real_robot.config_guarded_robot import GuardedRobotConfig
from robo_reward.reward_models.lerobot_bridge.progress_plugin import ProgressConfig, ProgressRewardModel
from robo_reward.reward_models.lerobot_bridge.saved_plugin import RoboRewardConfig, RoboRewardRewardModel

__all__ = [
    "GuardedRobotConfig",
    "NanoVlaConfig",
    "ProgressConfig",
    "ProgressRewardModel",
    "RoboRewardConfig",
    "RoboRewardRewardModel",
]

prepare()
