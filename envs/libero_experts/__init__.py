"""Scripted experts for LIBERO's tasks: they see the simulator's poses and answer with OSC_POSE deltas."""

from robo_reward.envs.libero_experts.expert import ScriptedExpert, make_expert

__all__ = ["ScriptedExpert", "make_expert"]
