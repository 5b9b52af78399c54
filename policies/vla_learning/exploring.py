"""A VLA that explores: it draws its chunks at random and keeps what it decided, for learners to learn from."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from robo_reward.contracts import Flags, Floats, Observation
from robo_reward.policies.vla.features import ACTION, PICTURE
from robo_reward.policies.vla.lerobot_policy import LeRobotPolicy, Raw
from robo_reward.policies.vla_learning.likelihood import Draw, Likelihood
from robo_reward.policies.vla_learning.sensed_offset import Displaced


@dataclass(frozen=True, slots=True)
class Decision:
    """A chunk that was decided: what was seen (a raw batch of 1), what was drawn, and how much of it was executed.

    ``displaced``: what was sensed was not what ``seen`` tells, so the draw's log-probabilities are not of ``seen``.
    """

    seen: Raw
    draw: Draw
    executed: int
    displaced: bool = False


class ExploringPolicy:
    """Acts as ``policy`` with the randomness of ``likelihood``; ``finished[i]`` are world i's episodes, in order.

    After a world's first ``only`` episodes nothing is decided there any more: its actions are zero within the bounds
    (learners use the first episode of each world and nobody looks at the others). None: it goes on.
    """

    def __init__(self, policy: LeRobotPolicy, likelihood: Likelihood, only: int | None = 1) -> None:
        self.policy, self.likelihood, self._only = policy, likelihood, only
        config = policy.config
        self._execute = policy.execute or int(getattr(config, "n_action_steps", config.chunk_size))
        self.begin(0)

    def begin(self, seed: int, displaced: Displaced | None = None) -> None:
        """Forgets all episodes; what is drawn from now on follows from ``seed``, what worlds sense from ``displaced``.

        Its episodes are those of the worlds, in order.
        """
        self._displaced = displaced
        self._generator = torch.Generator().manual_seed(seed)
        self.finished: list[list[list[Decision]]] = []
        self._open: list[list[Decision]] = []
        self._queues: list[deque[Floats]] = []

    def reset(self, fresh: Flags) -> None:
        """Closes the episodes of the worlds where ``fresh`` (N,) is True."""
        if len(fresh) != len(self._queues):
            self._queues = [deque() for _ in fresh]
            self._open, self.finished = [[] for _ in fresh], [[] for _ in fresh]
        for world in np.flatnonzero(fresh):
            self._queues[world].clear()
            if self._open[world]:
                self.finished[world].append(self._open[world])
                self._open[world] = []

    def act(self, observation: Observation) -> Floats:
        """The next action of every world, (N, 1, A)."""
        count = len(observation.state)
        if len(self._queues) != count:
            self.reset(np.ones(count, bool))
        due = [w for w in range(count) if not self._queues[w] and not self._over(w)]
        if due:
            self._decide(observation, due)
        idle = np.clip(np.zeros_like(self.policy.low), self.policy.low, self.policy.high)
        actions = []
        for world in range(count):
            if self._over(world):
                actions.append(idle)
                continue
            actions.append(self._queues[world].popleft())
            last = self._open[world][-1]
            self._open[world][-1] = replace(last, executed=last.executed + 1)
        return np.stack(actions)[:, None].astype(np.float32)

    def take(self, world: int) -> list[list[Decision]]:
        """World ``world``'s finished episodes, which are forgotten here."""
        taken, self.finished[world] = self.finished[world], []
        return taken

    def waiting(self, world: int) -> bool:
        """Whether actions of the world's present chunk are still to be executed."""
        return bool(self._queues[world])

    def last(self, world: int) -> Decision | None:
        """The world's present decision, with what of it was executed so far; its older ones are forgotten here."""
        opened = self._open[world]
        if not opened:
            return None
        del opened[:-1]
        self.finished[world].clear()
        return opened[-1]

    def save(self, folder: Path) -> None:
        """Writes the policy without its randomness."""
        self.policy.save(folder)

    def _over(self, world: int) -> bool:
        return self._only is not None and len(self.finished[world]) >= self._only

    def _decide(self, observation: Observation, due: Sequence[int]) -> None:
        policy = self.policy
        rows = np.asarray(due)
        views = {view: observation.views[view][rows] for view in self._views(observation)}
        raw = small(policy, policy.raw_batch(views, observation.state[rows], [observation.task[w] for w in due]))
        policy.policy.eval()
        drawn = self.likelihood.draw(prepared(policy, self._sensed(raw, due)), self._generator)
        chunk = torch.as_tensor(policy.after(drawn.chunk[:, : self._execute].float())).float().cpu().numpy()
        bounded = np.asarray(np.clip(chunk, policy.low, policy.high), np.float32)
        kept = drawn.to("cpu")
        for place, world in enumerate(due):
            self._queues[world].extend(bounded[place])
            off = self._displaced is not None and self._displaced.off(world)
            self._open[world].append(Decision(_row(raw, place), kept.row(place), 0, off))

    def _sensed(self, raw: Raw, worlds: Sequence[int]) -> Raw:
        """What the policy is told of what there is."""
        if self._displaced is None:
            return raw
        key = self.policy.names.theirs("state")
        return {**raw, key: self._displaced.sensed(raw[key], worlds)}

    def _views(self, observation: Observation) -> NDArray[Any] | list[str]:
        return list(self.policy.names.views_of(self.policy.config, list(observation.views)))


def prepared(policy: LeRobotPolicy, raw: Raw) -> Raw:
    """A raw batch as the network takes it."""
    # pipelines add an action that is None
    return {key: value for key, value in policy.before(dict(raw)).items() if key != ACTION}


def small(policy: LeRobotPolicy, raw: Raw) -> Raw:
    """A raw batch with pictures at the size that the network reads, where the policy says it; they are kept so."""
    shrink = getattr(policy.policy, "shrink_picture", None)
    if shrink is None:
        return raw
    return {key: shrink(key, value) if key.startswith(PICTURE) else value for key, value in raw.items()}


def gathered(decisions: Sequence[Decision]) -> Raw:
    """The raw batch of several decisions."""
    first = decisions[0].seen
    joined: Raw = {}
    for key, value in first.items():
        parts = [d.seen[key] for d in decisions]
        joined[key] = torch.cat(parts) if torch.is_tensor(value) else [text for part in parts for text in part]
    return joined


def packed(decision: Decision) -> dict[str, Any]:
    """A decision as ``save_state`` takes it."""
    draw = decision.draw
    parts = {"chunk": draw.chunk, "trail": draw.trail, "random": draw.random, "log_prob": draw.log_prob}
    kept = {"executed": decision.executed, "displaced": decision.displaced}
    return {"seen": dict(decision.seen), "draw": parts, **kept}


def unpacked(state: Mapping[str, Any]) -> Decision:
    """Takes back what ``packed`` gave."""
    drawn, displaced = Draw(**state["draw"]), bool(state.get("displaced", False))
    return Decision(dict(state["seen"]), drawn, int(state["executed"]), displaced)


def _row(raw: Raw, index: int) -> Raw:
    # cloned: a view would keep the whole batch's pictures alive
    return {k: v[index : index + 1].clone() if torch.is_tensor(v) else [v[index]] for k, v in raw.items()}
