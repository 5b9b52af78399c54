"""What a learner is given: a world, a reward, demonstrations, a budget, and where to write."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from robo_reward.alarm import HackingAlarm
from robo_reward.answer_counts import counts_of
from robo_reward.contracts import Budget, Hook, Needs, Policy, Tally, World
from robo_reward.data.trace_file import read_trace, write_trace
from robo_reward.pushes.forces import Disturber
from robo_reward.ranks import Ranks
from robo_reward.reward_stack import RewardStack
from robo_reward.rollout import STOPPED, Stopper, rollout
from robo_reward.runs.checkpoint import load_state, save_state
from robo_reward.runs.folder import RunFolder
from robo_reward.runs.metrics import Value
from robo_reward.trace import Source, Trace


@runtime_checkable
class Saveable(Protocol):
    """Something with weights."""

    def save(self, folder: Path) -> None: ...

    def load(self, folder: Path) -> None: ...


class Judge(Protocol):
    """Judges finished episodes apart from the reward: ``judge`` >= 0.5 means success."""

    needs: Needs

    def judge(self, trace: Trace) -> float: ...

    def moment(self, trace: Trace) -> int | None: ...


@dataclass(slots=True)
class Session:
    """One training run from the learner's side.

    ``experience``: episodes that were stepped before the learner started (random actions, replays), already
    counted. ``evaluate``: runs the policy for the report at a number of rollouts; its verdicts go to a sealed log.
    ``outcomes``: for each rollout the position of its verdict in the training world's sealed log; ``stopped``:
    those of the rollouts that ``stopper``, our own detector, ended. ``disturber`` pushes the world in training.
    ``during``: (rollouts, positions in the test world's sealed log) of the evaluations while training.
    ``picture_size``: (height, width) of the world's pictures, None where its settings do not say it.
    ``restored``: what the learner saved in the checkpoint that the run goes on from. ``ranks``: the processes that
    train together. The learner leaves ``played``, its own episodes with kind, the judge's verdict and the mean
    reward, ``notes`` for the summary, and ``earned``, if it pays whole episodes: of each the position of its sealed
    verdict and its reward.
    """

    world: World
    stack: RewardStack
    demonstrations: Sequence[Trace]
    budget: Budget
    run: RunFolder
    seed: int
    judge: Judge | None = None
    stopper: Stopper | None = None
    disturber: Disturber | None = None
    picture_size: tuple[int, int] | None = None
    experience: list[Trace] = field(default_factory=list)
    hooks: Sequence[Hook] = ()
    evaluate: Callable[[Policy, int], None] | None = None
    ranks: Ranks = field(default_factory=Ranks)
    tally: Tally = field(default_factory=Tally)
    outcomes: list[int] = field(default_factory=list)
    stopped: list[int] = field(default_factory=list)
    test_world: World | None = None
    during: list[tuple[int, list[int]]] = field(default_factory=list)
    audit: dict[str, float | None] = field(default_factory=dict)
    verdict: str | None = None
    restored: dict[str, Any] | None = None
    alarm: HackingAlarm = field(default_factory=HackingAlarm)
    notes: dict[str, Any] = field(default_factory=dict)
    played: list[tuple[Trace, str, float, float]] = field(default_factory=list)
    earned: list[tuple[int, float]] = field(default_factory=list)
    _own: list[Trace] = field(default_factory=list)
    _rendered: tuple[int, float] = (0, 0.0)
    _blown_up: int = 0

    counts_updates: bool = False
    """Metrics and checkpoints are numbered by updates in place of rollouts, for learners that step no episodes."""

    @property
    def clock(self) -> int:
        """What metrics and checkpoints are numbered by."""
        return self.tally.updates if self.counts_updates else self.tally.rollouts

    @property
    def frames_rendered(self) -> int:
        """Pictures made for learning, those before a resume included."""
        return self._rendered[0] + self.world.frames_rendered

    @property
    def render_seconds(self) -> float:
        """Processor seconds spent on them."""
        return self._rendered[1] + self.world.render_seconds

    @property
    def nan_resets(self) -> int:
        """Simulations of the world that became unstable, those before a resume included."""
        return self._blown_up + self.world.nan_resets

    _stored: int = 0

    @property
    def views(self) -> tuple[str, ...]:
        """The views that reward and judge read."""
        judged = self.judge.needs.views if self.judge else ()
        return tuple(dict.fromkeys((*self.stack.model.needs.views, *judged)))

    def episodes(self, policy: Policy, count: int, seed: int, source: Source = "policy") -> Iterator[Trace]:
        """Steps ``count`` episodes for learning; each counts in ``tally.rollouts``."""
        stride = self.stack.model.needs.stride
        # what rewards are fitted on, random actions and replays, runs to its time limit
        stopper = self.stopper if source == "policy" else None
        for trace in rollout(
            self.world,
            policy,
            count,
            seed,
            views=self.views,
            stride=stride,
            source=source,
            stopper=stopper,
            first=self.tally.rollouts,
        ):
            self.tally.rollouts += 1
            self.tally.env_steps += len(trace)
            self.note_outcome(int(trace.meta["outcome"]), STOPPED in trace.meta)
            self._store(trace)
            for hook in self.hooks:
                hook.on_episode(trace)
            yield trace

    def note_outcome(self, position: int, stopped: bool) -> None:
        """Notes where a rollout's verdict is sealed, and whether ``stopper`` ended it."""
        self.outcomes.append(position)
        if stopped:
            self.stopped.append(position)

    def log(self, values: Mapping[str, Value]) -> None:
        """Writes metrics at the present time of ``clock``."""
        self.run.log(self.clock, values)
        for hook in self.hooks:
            hook.on_update({k: v for k, v in values.items() if isinstance(v, float)})

    def checkpoint(self, learner: dict[str, Any]) -> None:
        """Saves learner, reward model, judge, tally and sealed logs; episodes are on the disk already."""
        model = self.stack.model
        with self.run.checkpoint(self.clock) as folder:
            save_state(folder, "learner", learner)
            save_state(folder, "session", self._state())
            for part in (model, self.judge):
                if isinstance(part, Saveable):
                    part.save(folder)

    def restore(self, folder: Path) -> None:
        """Takes back what ``checkpoint`` saved, except the learner's own part, which waits in ``restored``."""
        state = load_state(folder, "session")
        tally = state["tally"]
        self.tally.rollouts, self.tally.env_steps = tally["rollouts"], tally["env_steps"]
        self.tally.updates, self.tally.pricing_seconds = tally["updates"], tally["pricing_seconds"]
        self.tally.counts = dict(state.get("counts", {}))
        self.outcomes, self.stopped = list(state["outcomes"]), list(state.get("stopped", []))
        self.stack.load_state(state["transforms"])
        self.world.sealed.restore(state["sealed"])
        if self.test_world is not None:
            self.test_world.sealed.restore(state["tests"])
        self.during = [(rollouts, positions) for rollouts, positions in state["during"]]
        self.audit, self.verdict = state["audit"], state["verdict"]
        self.alarm.restore(state["alarm"])
        self._rendered = (int(state["rendered"][0]), float(state["rendered"][1]))
        self._blown_up = int(state.get("nan_resets", 0))
        for part in (self.stack.model, self.judge):
            if isinstance(part, Saveable):
                part.load(folder)
        count = state["experience"]
        kept = [read_trace(self._episode_path(k)) for k in range(state["stored"])]
        self._stored = len(kept)
        self.experience, self._own = kept[:count], kept[count:]
        self.restored = load_state(folder, "learner")

    def stored_episodes(self) -> list[Trace]:
        """The learner's own episodes of a restored run, in order."""
        return self._own

    def forget_episodes(self) -> None:
        """Deletes the raw episodes that only a resume needs."""
        shutil.rmtree(self.run.path / "rollouts", ignore_errors=True)

    def _state(self) -> dict[str, Any]:
        tally = self.tally
        return {
            "tally": {
                "rollouts": tally.rollouts,
                "env_steps": tally.env_steps,
                "updates": tally.updates,
                "pricing_seconds": tally.pricing_seconds,
            },
            "counts": counts_of(self.stack.model, self.tally.counts),
            "outcomes": list(self.outcomes),
            "stopped": list(self.stopped),
            "experience": len(self.experience),
            "stored": self._stored,  # learners that count steps instead of episodes keep none of their own
            "sealed": self.world.sealed.dump(),
            "tests": [] if self.test_world is None else self.test_world.sealed.dump(),
            "during": [[rollouts, positions] for rollouts, positions in self.during],
            "audit": self.audit,
            "verdict": self.verdict,
            "alarm": self.alarm.dump(),
            "transforms": self.stack.state(),
            "rendered": [self.frames_rendered, self.render_seconds],
            "nan_resets": self.nan_resets,
        }

    def _store(self, trace: Trace) -> None:
        write_trace(self._episode_path(self._stored), trace)
        self._stored += 1

    def _episode_path(self, number: int) -> Path:
        return self.run.path / "rollouts" / f"{number:06d}.safetensors"

    @contextmanager
    def pricing(self) -> Iterator[None]:
        """Counts the processor seconds of the block as pricing."""
        start = time.process_time()
        yield
        self.tally.pricing_seconds += time.process_time() - start

    @property
    def spent(self) -> list[tuple[int, int]]:
        """(so far, at most) of every bound that the budget has."""
        bounds = ((self.tally.rollouts, self.budget.rollouts), (self.tally.env_steps, self.budget.steps))
        return [(done, most) for done, most in bounds if most is not None]

    def left(self) -> bool:
        """Whether the budget allows another rollout."""
        return not self.budget.spent(self.tally.rollouts, self.tally.env_steps)
