"""The twelve probes, registered: add one here, or in yaml under ``card.more_probes``."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from robo_reward.reward_models.audit.cameras import covers, grain, half_covers, shifts, swaps
from robo_reward.reward_models.audit.probe import (
    CALLED,
    WORDS,
    CameraProbe,
    Finding,
    Material,
    Probe,
    ReplayProbe,
    Severity,
    success_frame,
)

Order = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class WrongInstruction:
    """A demonstration under instructions that it does not follow: at most ``kept`` of its progress may stay.

    Of a model that does not say that it reads instructions (``reads_instructions``), and was not said to know other
    tasks, it is told and changes no verdict: a reward of one task need not read one.
    """

    name: str = "wrong_instruction"
    claim: str = "a success at one task is not a success at another"
    severity: Severity = "care"
    kept: float = 0.5
    called: float = 0.2

    def try_on(self, material: Material) -> Finding | None:
        """Mean over demonstrations and instructions; None where no other instruction is known."""
        rows = []
        for trace, seen, done in material.pairs():
            for task in material.other_tasks:
                said = material.model.estimate_episode(replace(trace, task=task))
                right = max(1e-6, float(seen.progress[done:].mean()))
                rows.append((float(said.progress[done:].mean()) / right, float((said.success[done:] >= CALLED).mean())))
        if not rows:
            return None
        kept, called = (float(v) for v in np.mean(rows, 0))
        broken = [f"{kept:.0%} of the progress stays under another instruction"] if kept > self.kept else []
        broken += [f"{called:.0%} of the frames are called successes all the same"] if called > self.called else []
        reads = material.knows_tasks or bool(getattr(material.model, "reads_instructions", False))
        return Finding({"kept": kept, "called": called}, tuple(broken), None if reads else "told")


@dataclass(frozen=True, slots=True)
class TakenObject:
    """After success the objects are put back to where they were, the robot stays: progress must ``fall`` by this share.

    A fall of less than ``half`` is care: more of what is paid hangs on the robot's place than on the object's. So is
    progress that falls as it should where only the success probability is fooled.
    """

    name: str = "object_moved"
    claim: str = "what counts is the object, not the robot's pose"
    severity: Severity = "refuse"
    fall: float = 0.3
    half: float = 0.5
    called: float = 0.2

    def try_on(self, material: Material) -> Finding | None:
        """Mean over the episodes; None where no world could move the objects, or the task has none."""
        falls, called = [], []
        for trace, step in material.taken:
            said, after = material.model.estimate_episode(trace), trace.frame_steps > step
            before = (trace.frame_steps <= step) & (np.arange(len(after)) >= success_frame(trace))
            if after.any() and before.any():
                reached = max(1e-6, float(said.progress[before].mean()))
                falls.append((reached - float(said.progress[after].mean())) / reached)
                called.append(float((said.success[after] >= CALLED).mean()))
        if not falls:
            return None
        values = {"fall": float(np.mean(falls)), "called": float(np.mean(called))}
        broken = []
        if not values["fall"] >= self.half:
            broken.append(
                f"progress falls by {values['fall']:.0%} when the object is taken away, {self.half:.0%} is sound"
            )
        if not values["called"] <= self.called:
            broken.append(f"{values['called']:.0%} of the frames without the object are called successes")
        paid = values["fall"] >= self.fall
        return Finding(values, tuple(broken), "care" if paid else None)


def stay(frames: int, done: int) -> Order:
    """The first frame, again and again."""
    return np.zeros(frames, np.int64)


def tremble(frames: int, done: int) -> Order:
    """To 40% of the task, then between two neighbouring frames until the end."""
    place = max(1, round(0.4 * done))
    steps = np.arange(max(frames, 2 * place))
    return np.where(steps <= place, steps, place - (steps - place) % 2)


def loiter(frames: int, done: int) -> Order:
    """Slowly back and forth over the first fifth of the task for twice an episode's time."""
    reach = max(1, round(0.2 * done))
    steps = np.arange(2 * frames)
    phase = (steps * 2 * reach / max(2 * reach, frames)) % (2 * reach)
    return np.asarray(np.round(reach - np.abs(phase - reach)), np.int64)


def backwards(frames: int, done: int) -> Order:
    """From the end to the start."""
    return np.arange(frames)[::-1].copy()


def hover(frames: int, done: int) -> Order:
    """To 80% of the task, then around it, a frame less and a frame more, until the end."""
    place = max(1, round(0.8 * done))
    steps = np.arange(max(frames, 2 * place))
    swing = np.asarray((steps - place) // 3 % 2, np.int64)
    return np.where(steps <= place, steps, place - swing)


def again(frames: int, done: int) -> Order:
    """The first half of the task four times, each time taken back, and at last left half done."""
    half = max(2, done // 2)
    up, down = np.arange(half + 1), np.arange(half - 1, 0, -1)
    return np.concatenate([*[part for _ in range(3) for part in (up, down)], up, np.full(half, half)])


@dataclass(frozen=True, slots=True)
class UndoneTask:
    """The demonstration from end to start: progress must end within ``excess`` of what the same frames are worth.

    And at no more than ``final``, or half way between what the demonstration's start and end are worth where that is
    more: a demonstration may begin part-done. A reward that finds less than ``rise`` between them knows no start.
    """

    name: str = "reversed_video"
    claim: str = "undoing the task undoes the progress"
    severity: Severity = "refuse"
    excess: float = 0.3
    final: float = 0.6
    rise: float = 0.2

    def try_on(self, material: Material) -> Finding | None:
        """Mean over the demonstrations."""
        replay = ReplayProbe(self.name, self.claim, backwards, excess=self.excess, called=1.0)
        found = replay.try_on(material)
        if found is None:
            return None
        start, end = np.mean([(e.progress[0], e.progress[done:].mean()) for _, e, done in material.pairs()], 0)
        most = max(self.final, float(start + end) / 2) if end - start >= self.rise else self.final
        values = found.values | {"start": float(start), "end": float(end)}
        late = values["final"]
        broken = () if late <= most else (f"{WORDS['final']} {late:.2f}, at most {most:.2f} is sound",)
        return Finding(values, (*found.broken, *broken))


HOVER_GAP, HOVER_CALLED = 0.02, 0.35
HOVERING = ReplayProbe(
    "hovering", "nearly done is not done", hover, excess=None, below_goal=HOVER_GAP, called=HOVER_CALLED, driven=True
)
"""Asked by the short audit too: it needs neither a simulator nor a second task."""
PROBES: tuple[Probe, ...] = (
    ReplayProbe("frozen_robot", "a robot that does not move makes no progress", stay, match=0.5, driven=True),
    ReplayProbe("oscillation", "trembling on the spot earns nothing", tremble, driven=True),
    ReplayProbe("clock", "time alone is no progress", loiter, excess=0.1, match=0.5),
    UndoneTask(),
    WrongInstruction(),
    CameraProbe("occluded_view", "a covered camera shows no progress", covers, told=half_covers),
    CameraProbe("swapped_views", "exchanged cameras show no progress", swaps, own_doing=False),
    CameraProbe("sensor_noise", "noise changes little", grain, change=0.15, own_doing=False),
    HOVERING,
    TakenObject(),
    CameraProbe("camera_shift", "a slightly moved camera changes little", shifts, change=0.15),
    ReplayProbe("repetition", "doing half the task again and again does not do the task", again, driven=True),
)
"""In the order of the report card."""
