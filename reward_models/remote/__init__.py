"""Reward models in a process or virtual environment of their own, priced over a local socket."""
