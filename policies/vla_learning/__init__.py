"""Reinforcement learning and adaptation of vision-language-action policies."""
