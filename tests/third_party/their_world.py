"""Somebody else's world: a function that takes what the verbs ask of every world."""

from robo_reward.line_world import LineWorld


def make_world(num_worlds=1, horizon=10, oracle="none", workers="in_process"):
    """A point on a line; it steps all its copies in this process."""
    return LineWorld(num_worlds, horizon, oracle=oracle)
