"""Importing this sets hf-libero up in the server that the workers of LeRobot's vector environments are forked from."""

from robo_reward.envs.libero.for_lerobot import prepare

prepare()
