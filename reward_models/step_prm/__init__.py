"""Robo-Dopamine's step-wise process reward model: hops between moments, fused from three perspectives."""
