"""Brings the arm to where the policy's episodes began, through the guard, before the policy has a say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from robo_reward.real_robot.deploy.loop import Arm
from robo_reward.real_robot.deploy.metronome import Metronome
from robo_reward.real_robot.safety_state import SafetyStop

SENT_WITHIN = 0.2
"""Units between what the guard sends and the pose at which the pose counts as sent."""
SETTLE_SECONDS = 0.5


def go_to(arm: Arm, pose: Mapping[str, float], metronome: Metronome, seconds: float = 30.0) -> None:
    """Moves until the guard sends the pose {joint: value} and the arm had time to follow.

    Raises:
        SafetyStop: the pose cannot be reached in ``seconds`` and the arm is held, or the guard stopped it.
    """
    metronome.begin()
    names, target = list(pose), np.array(list(pose.values()))
    sent_for, view = 0, arm.observe()
    while metronome.wait() < seconds * metronome.fps:
        view = arm.act(dict(pose), arm.observe().read_at)
        if view.latched:
            raise SafetyStop(f"the arm is in {view.state}: {view.reason}")
        away = np.abs(np.array([view.goal[name] for name in names]) - target)
        sent_for = sent_for + 1 if away.max() < SENT_WITHIN else 0
        if sent_for > SETTLE_SECONDS * metronome.fps:
            return
    arm.hold("the start pose was not reached")
    worst = names[int(np.argmax(away))]
    why = "the workspace is in the way" if view.blocked else f"{view.state}: {view.reason}"
    raise SafetyStop(
        f"the start pose was not reached in {seconds:g} s: '{worst}' is {away.max():.1f} away ({why}). Move the arm "
        "nearer by hand, or start=false to begin where it is"
    )


def clipped(pose: Sequence[float], names: Sequence[str], limits: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """A pose within the guard's limits, as {joint: value}; ``names`` are the server's, in the order of ``limits``."""
    inside = np.clip(np.array(pose), np.array(limits["lower"]), np.array(limits["upper"]))
    return {name: float(at) for name, at in zip(names, inside, strict=True)}
