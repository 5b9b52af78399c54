"""robo-reward: robots learn from learned progress rewards."""

__version__ = "0.1.0"
