"""Runs a policy on an arm behind the guard: its own rate, its senses watched, every episode kept."""
