"""Keeps a session's books while Stable-Baselines3 steps the world: budget, metrics, episodes."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import KVWriter

from robo_reward.contracts import Step, Verdict
from robo_reward.rollout import OUTCOME, STOPPED
from robo_reward.session import Session
from robo_reward.trace import Trace


class EpisodeBook:
    """A hook that remembers the last ``remember`` priced episodes, and what was paid since it was last asked."""

    def __init__(self, remember: int) -> None:
        self.last: deque[Trace] = deque(maxlen=max(remember, 1))
        self._paid: list[tuple[float, int]] = []

    def on_step(self, step: Step) -> Verdict:
        """Never stops."""
        return Verdict()

    def on_episode(self, trace: Trace) -> None:
        """Notes an episode."""
        assert trace.reward is not None
        self.last.append(trace)
        self._paid.append((float(trace.reward.sum()), len(trace)))

    def on_update(self, metrics: Mapping[str, float]) -> None:
        """Nothing to note."""

    def means(self) -> dict[str, float]:
        """Mean return and length of the episodes since the last call; empty without one."""
        paid, self._paid = self._paid, []
        if not paid:
            return {}
        returns, lengths = np.asarray(paid).T
        return {
            "rollout/return": float(returns.mean()),
            "rollout/length": float(lengths.mean()),
            "rollout/reward": float(returns.sum() / lengths.sum()),
        }


class SessionWriter(KVWriter):
    """Where SB3's logger writes to: the run's metrics, with everything that depends on time under ``timing/``."""

    def __init__(self, session: Session, book: EpisodeBook, updates_before: int) -> None:
        self._session, self._book, self._before = session, book, updates_before
        self._since = (time.monotonic(), session.tally.env_steps)

    def write(self, key_values: dict[str, Any], key_excluded: dict[str, tuple[str, ...]], step: int = 0) -> None:
        """A row of SB3's own training metrics, the episodes' means and the speed."""
        tally = self._session.tally
        trained = {k: float(v) for k, v in key_values.items() if k.startswith(("train/", "disturber/"))}
        if "train/n_updates" in trained:
            tally.updates = self._before + int(trained.pop("train/n_updates"))
        counts = {"rollout/env_steps": float(tally.env_steps), "rollout/updates": float(tally.updates)}
        self._session.log({**trained, **self._book.means(), **counts, **self._speed()})

    def close(self) -> None:
        """The run folder closes its own files."""

    def _speed(self) -> dict[str, float]:
        """Environment steps per second since the last row that had any."""
        (then, before), now = self._since, (time.monotonic(), self._session.tally.env_steps)
        if now[1] == before:
            return {}
        self._since = now
        return {"timing/steps_per_second": (now[1] - before) / max(now[0] - then, 1e-9)}


class Watch(BaseCallback):
    """Counts steps and episodes, logs every ``log_every`` steps or once per PPO iteration, and ends at the budget.

    ``saved``: the rollouts at the last checkpoint. Whoever shows progress is a hook of the session.
    """

    def __init__(self, session: Session, log_every: int | None) -> None:
        super().__init__()
        self.saved = session.tally.rollouts
        self._session, self._log_every = session, log_every
        self._logged = session.tally.env_steps

    def _on_step(self) -> bool:
        session, tally = self._session, self._session.tally
        tally.env_steps += len(self.locals["dones"])
        for index in np.flatnonzero(self.locals["dones"]):
            tally.rollouts += 1
            info = self.locals["infos"][index]
            session.note_outcome(int(info[OUTCOME]), STOPPED in info)
        if self._log_every is not None and tally.env_steps - self._logged >= self._log_every:
            self.flush()
        return session.left() or self._completes_rollout()

    def _completes_rollout(self) -> bool:
        """Whether PPO has now collected what it learns from: SB3 would drop all of it on a False."""
        return isinstance(self.model, PPO) and self.model.rollout_buffer.pos == self.model.n_steps - 1

    def _on_rollout_end(self) -> None:
        if self._log_every is None:
            self.flush()

    def flush(self) -> None:
        """Writes what was recorded since the last time."""
        self._logged = self._session.tally.env_steps
        self.logger.dump(self.num_timesteps)
