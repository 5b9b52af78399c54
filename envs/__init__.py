"""Worlds: what shows observations and takes actions."""
