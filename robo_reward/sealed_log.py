"""The sealed log: what the simulator knows about success, unreadable until the last update is done."""

from __future__ import annotations

from dataclasses import dataclass


class SealedError(RuntimeError):
    """Somebody tried to read the simulator's success before training was over."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One finished episode: ``success`` at any step (None where the task has no test) and the summed env reward."""

    success: bool | None
    env_return: float
    length: int


class SealedLog:
    """Worlds write, nobody reads, until ``unseal``; so no update can depend on the simulator's verdicts."""

    def __init__(self) -> None:
        self._outcomes: list[Outcome] = []
        self._sealed = True

    def write(self, outcome: Outcome) -> None:
        """Appends a finished episode."""
        self._outcomes.append(outcome)

    def unseal(self) -> None:
        """Says that no update will follow."""
        self._sealed = False

    def dump(self) -> list[list[float | None]]:
        """For a checkpoint only: rows (success 1, 0 or None; env return; length)."""
        return [
            [None if o.success is None else float(o.success), o.env_return, float(o.length)] for o in self._outcomes
        ]

    def restore(self, rows: list[list[float | None]]) -> None:
        """Takes back what ``dump`` gave."""
        self._outcomes = [
            Outcome(None if r[0] is None else bool(r[0]), float(r[1] or 0.0), int(r[2] or 0)) for r in rows
        ]

    def mark(self) -> int:
        """How many episodes were written: a position, not a verdict, so it may be read at any time."""
        return len(self._outcomes)

    def outcomes(self, start: int = 0, stop: int | None = None) -> list[Outcome]:
        """The episodes written from ``start`` on.

        Raises:
            SealedError: before ``unseal``.
        """
        if self._sealed:
            raise SealedError(
                "the simulator's success was read before the last update; oracle-free training must not see it"
            )
        return self._outcomes[start:stop]
