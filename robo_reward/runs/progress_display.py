"""Shows how far a run is: a bar on a terminal, a line every now and then in a log."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from robo_reward.contracts import Step, Verdict
from robo_reward.trace import Trace


class ProgressDisplay:
    """A hook that counts rollouts; ``total`` None shows no end. A terminal sees tqdm, a log about 15 lines."""

    def __init__(self, total: int | None, done: int = 0) -> None:
        self._total, self._count = total, done
        self._every = max(1, (total or 1500) // 15)
        self._bar: Any = None
        self._latest: dict[str, float] = {}

    def on_step(self, step: Step) -> Verdict:
        """Never stops anything."""
        return Verdict()

    def on_episode(self, trace: Trace) -> None:
        """Counts an episode."""
        self._count += 1
        if sys.stderr.isatty():
            self._draw(trace)
        elif self._count % self._every == 0 or self._count == self._total:
            end = "" if self._total is None else f"/{self._total}"
            print(f"rollout {self._count}{end} ({trace.source}){self._words()}", flush=True)

    def on_update(self, metrics: Mapping[str, float]) -> None:
        """Remembers what to show beside the count."""
        self._latest |= {k: v for k, v in metrics.items() if k in ("rollout/reward", "rollout/judged")}

    def close(self) -> None:
        """Leaves the terminal as it was."""
        if self._bar is not None:
            self._bar.close()

    def _draw(self, trace: Trace) -> None:
        if self._bar is None:
            from tqdm import tqdm

            self._bar = tqdm(total=self._total, initial=self._count - 1, unit="rollout", leave=False)
        self._bar.set_description(trace.source)
        self._bar.set_postfix_str(self._words().strip())
        self._bar.update(1)

    def _words(self) -> str:
        names = {"rollout/reward": "reward", "rollout/judged": "judged success"}
        return "".join(f"  {names[k]} {v:.2f}" for k, v in self._latest.items())
