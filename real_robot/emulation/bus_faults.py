"""What can go wrong on the line itself: answers that are lost, spoiled, late or missing."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass(slots=True)
class BusFaults:
    """Knobs that the bus obeys; all may be turned while it runs.

    ``dead``: ids that never answer and never obey. ``drop_next``, ``corrupt_next``: so many answers are lost or get a
    wrong checksum. ``delay_next``: seconds by which the next answer is late; ``delay``: by which all are. ``loss``:
    share of packets lost, in either direction. ``noise``: bytes in front of every answer. ``silent``: nobody answers.
    """

    dead: set[int] = field(default_factory=set)
    drop_next: int = 0
    corrupt_next: int = 0
    delay_next: float = 0.0
    delay: float = 0.0
    loss: float = 0.0
    noise: bytes = b""
    silent: bool = False

    def hears(self, rng: np.random.Generator) -> bool:
        """Whether a packet of the host arrives at all."""
        return not self.loss or rng.random() >= self.loss

    def spoil(self, answer: bytes, rng: np.random.Generator) -> bytes:
        """What of an answer reaches the host."""
        if self.silent or (self.loss and rng.random() < self.loss):
            return b""
        if self.drop_next > 0:
            self.drop_next -= 1
            return b""
        if self.corrupt_next > 0:
            self.corrupt_next -= 1
            answer = answer[:-1] + bytes((answer[-1] ^ 0x55,))
        return self.noise + answer

    def wait(self) -> float:
        """Seconds by which the answers to one packet are late."""
        late, self.delay_next = self.delay + self.delay_next, 0.0
        return late
