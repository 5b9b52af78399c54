"""Whether a reward says the same twice: step by step as in training, and later as at first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from robo_reward.contract_tests import step_through
from robo_reward.contracts import Estimate, Floats, RewardModel
from robo_reward.trace import Trace


def stepped_difference(model: RewardModel, traces: Sequence[Trace]) -> float | None:
    """How far pricing step by step, as training does, is from pricing whole episodes, as the audit does, in [0, 1].

    The episodes are stepped side by side, a kept frame each step, with the actions that were taken there; shorter ones
    stay at their last frame until the first of them, the longest that is needed, has ended. The mean difference along
    an episode; the worst episode and the worst of progress, gain, success probability and uncertainty count.

    None for a model that prices whole episodes only: it says so, or raises when it is asked for a step. None too where
    no episode has a priced frame after the first.
    """
    if model.needs.episode:
        return None
    thin = [_a_frame_each_step(trace, len(traces[0].frame_steps)) for trace in traces]
    try:
        steps = step_through(model, thin)
    except (AssertionError, NotImplementedError):
        return None
    together = [_stacked([step.at(slice(row, row + 1)) for step in steps]) for row in range(len(thin))]
    return _worst([(model.estimate_episode(trace), said) for trace, said in zip(thin, together, strict=True)])


def repeated_difference(model: RewardModel, before: Sequence[tuple[Trace, Estimate]]) -> float | None:
    """The same figure between what a model said of episodes ``before`` and what it says of them now."""
    # a copy: models remember the embeddings of traces that they have seen
    return _worst([(said, model.estimate_episode(replace(trace))) for trace, said in before])


def _worst(pairs: Sequence[tuple[Estimate, Estimate]]) -> float | None:
    """Of the pairs with more than one frame; the first frame has no gain."""
    parts = [p for one, other in pairs for p in zip(_parts(one), _parts(other), strict=True) if len(p[0]) > 1]
    return max((float(np.abs(a - b)[1:].mean()) for a, b in parts), default=None)


def _parts(said: Estimate) -> list[Floats]:
    return [said.progress, said.gain, said.success, said.uncertainty]


def _stacked(rows: Sequence[Estimate]) -> Estimate:
    """Estimates (1,) of one episode's frames as one estimate (F,)."""
    return Estimate(*(np.concatenate(part) for part in zip(*map(_parts, rows), strict=True)))


def _a_frame_each_step(trace: Trace, frames: int) -> Trace:
    """``frames`` kept frames one step apart, the last one repeated where there are fewer."""
    index = np.minimum(np.arange(frames), len(trace.frame_steps) - 1)
    steps = trace.frame_steps[index]
    taken = trace.action[np.minimum(steps[:-1], len(trace) - 1)]
    return replace(
        trace,
        frames={view: pictures[index] for view, pictures in trace.frames.items()},
        frame_steps=np.arange(frames),
        state=trace.state[steps],
        action=np.where((np.diff(index) > 0)[:, None], taken, np.float32(0)),
        success=None,
        env_reward=None,
        places=None,
        points=None,
        estimate=None,
        reward=None,
    )
