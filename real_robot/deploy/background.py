"""One call at a time on a thread of its own, so that a slow model never keeps the loop from its beat."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Done[T, R]:
    """An answer, what it answers, and the seconds that it took."""

    asked: T
    answer: R
    seconds: float


class Background[T, R]:
    """``ask`` hands over a question, ``answer`` fetches what came of it; an error in the call is raised there."""

    def __init__(self, call: Callable[[T], R], name: str) -> None:
        self._call = call
        self._asked: queue.SimpleQueue[T | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[Done[T, R] | BaseException] = queue.SimpleQueue()
        self.waiting = 0
        """Questions whose answers were not fetched."""
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self._thread.start()

    def ask(self, question: T) -> None:
        """Returns at once."""
        self.waiting += 1
        self._asked.put(question)

    def answer(self, seconds: float) -> Done[T, R] | None:
        """The next answer, waited for at most so long; None if there is none. Raises what the call raised."""
        if not self.waiting:
            return None
        try:
            done = self._answers.get(timeout=seconds) if seconds > 0 else self._answers.get_nowait()
        except queue.Empty:
            return None
        self.waiting -= 1
        if isinstance(done, BaseException):
            raise done
        return done

    def close(self) -> None:
        """Ends the thread once its present call is done; does not wait for a call that hangs."""
        self._asked.put(None)

    def _serve(self) -> None:
        while (question := self._asked.get()) is not None:
            began = time.monotonic()
            try:
                self._answers.put(Done(question, self._call(question), time.monotonic() - began))
            except BaseException as error:
                self._answers.put(error)
