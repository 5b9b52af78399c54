"""Reward transforms: from estimates to the reward that the learner sees."""
