"""What the arm's loop and the learner's process say to each other: one line of JSON at a time."""

from __future__ import annotations

import json
import os
import select
from collections.abc import Mapping
from typing import Any


class JsonLines:
    """JSON lines in both directions; ``ask`` never waits longer than it is told."""

    def __init__(self, incoming: int, outgoing: int) -> None:
        self._in, self._out, self._rest = incoming, outgoing, b""
        self.closed = False

    def read(self, seconds: float) -> list[dict[str, Any]]:
        """What has come, waited for at most so long; ``closed`` once the other side is gone."""
        if b"\n" not in self._rest and not self.closed and select.select([self._in], [], [], seconds)[0]:
            more = os.read(self._in, 1 << 16)
            self.closed = not more
            self._rest += more
        *lines, self._rest = self._rest.split(b"\n")
        return [json.loads(line) for line in lines if line.startswith(b"{")]

    def write(self, said: Mapping[str, Any]) -> None:
        """One line; nothing happens where the other side is gone, which ``read`` then says."""
        try:
            os.write(self._out, json.dumps(said).encode() + b"\n")
        except BrokenPipeError:
            self.closed = True
