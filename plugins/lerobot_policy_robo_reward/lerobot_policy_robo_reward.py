"""Registers robo-reward's reward models with LeRobot: ``--reward_model.type=progress`` and ``=robo_reward``.

LeRobot's command lines import installed distributions by the prefix of their name, and ``lerobot_policy_`` is one that
they look for; there is no prefix for reward models. Importing is registering.
"""

from robo_reward.reward_models.lerobot_bridge.progress_plugin import ProgressConfig, ProgressRewardModel
from robo_reward.reward_models.lerobot_bridge.saved_plugin import RoboRewardConfig, RoboRewardRewardModel

__all__ = ["ProgressConfig", "ProgressRewardModel", "RoboRewardConfig", "RoboRewardRewardModel"]
