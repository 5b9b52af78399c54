"""The command line: ``robo-reward VERB [overrides]``, its help, its errors and its completion."""

from robo_reward.cli.program import main, run

__all__ = ["main", "run"]
