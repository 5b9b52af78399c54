"""Registers robo-reward with LeRobot: reward models ``progress`` and ``robo_reward``, robot ``guarded_robot``.

LeRobot's command lines import installed distributions by the prefix of their name, and ``lerobot_policy_`` is one that
they look for; there is no prefix for reward models. Importing is registering.
"""

from robo_reward.real_robot.config_guarded_robot import GuardedRobotConfig
from robo_reward.reward_models.lerobot_bridge.progress_plugin import ProgressConfig, ProgressRewardModel
from robo_reward.reward_models.lerobot_bridge.saved_plugin import RoboRewardConfig, RoboRewardRewardModel

__all__ = ["GuardedRobotConfig", "ProgressConfig", "ProgressRewardModel", "RoboRewardConfig", "RoboRewardRewardModel"]
