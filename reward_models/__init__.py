"""Reward models: what an observation is worth."""
