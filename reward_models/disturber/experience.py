"""What a disturber saw, did and earned since its last update, and the advantages of that."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from robo_reward.contracts import Flags, Floats

Array = NDArray[np.float64]


@dataclass(slots=True)
class Experience:
    """T steps of N worlds, one list entry a step; all entries (N, ...)."""

    before: list[Floats] = field(default_factory=list)
    raw: list[Floats] = field(default_factory=list)
    """Forces before they were squashed."""
    log_prob: list[Floats] = field(default_factory=list)
    after: list[Floats] = field(default_factory=list)
    paid: list[Array] = field(default_factory=list)
    """What the policy was paid, as shares of the cost's bound."""
    cost: list[Array] = field(default_factory=list)
    force: list[Array] = field(default_factory=list)
    """Magnitudes as shares of the limit."""
    terminated: list[Flags] = field(default_factory=list)
    done: list[Flags] = field(default_factory=list)

    def of(self, worlds: Flags) -> Experience:
        """What was seen in the worlds where ``worlds`` (N,) is True."""
        return Experience(**{name: [row[worlds] for row in getattr(self, name)] for name in self.__slots__})

    def clear(self) -> None:
        """Forgets everything."""
        for name in self.__slots__:
            getattr(self, name).clear()

    def __len__(self) -> int:
        return len(self.done)


def advantages(
    paid: Array, now: Array, then: Array, terminated: Flags, done: Flags, gamma: float, decay: float
) -> Array:
    """Generalised advantages (T, N) of ``paid`` (T, N) (Schulman et al. 2016).

    ``now``, ``then`` (T, N): values of the states before and after each step; a terminated episode is worth nothing
    afterwards, a truncated one its ``then``.
    """
    delta = paid + gamma * then * ~terminated - now
    found = np.zeros_like(delta)
    running = np.zeros(delta.shape[1])
    for t in range(len(delta) - 1, -1, -1):
        running = delta[t] + gamma * decay * ~done[t] * running
        found[t] = running
    return found
