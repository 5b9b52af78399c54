"""Robustness of policies to pushes: forces, their patterns, trials of a frozen policy, the sweep over magnitudes."""
