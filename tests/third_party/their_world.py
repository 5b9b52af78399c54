"""Somebody else's world: a function that takes what the verbs ask of every world."""

from robo_reward.contracts import Oracle
from robo_reward.line_world import LineWorld


def make_world(
    num_worlds: int = 1, horizon: int = 10, oracle: Oracle = "none", workers: str = "in_process"
) -> LineWorld:
    """A point on a line; it steps all its copies in this process."""
    return LineWorld(num_worlds, horizon, oracle=oracle)
