"""Raw cosines vary by a few hundredths only: a scale brings them to progress in [0, 1] and to a success probability."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robo_reward.contracts import Floats
from robo_reward.errors import UserError
from robo_reward.reward_models.audit.metrics import auroc
from robo_reward.reward_models.success_calibration import Calibration, calibrate
from robo_reward.trace import Trace

EDGE = 0.05
"""The share of a demonstration's frames that may lie beyond either bound."""


@dataclass(frozen=True, slots=True)
class CosineScale:
    """``low`` and ``high``: the scores of progress 0 and 1. ``calibration``: from score to p(success)."""

    low: float
    high: float
    calibration: Calibration

    @classmethod
    def given(cls, low: float, high: float) -> CosineScale:
        """From two known scores; reaching ``high`` is success (the cosine threshold of VLM-SR), nothing less is.

        Raises:
            UserError: unless low < high.
        """
        if not low < high:
            raise UserError(f"low={low} must be below high={high}: the scores of progress 0 and of progress 1")
        # a step: half-way to the next smaller score that could matter
        steep = 1e-6 * (high - low)
        return cls(low, high, Calibration(temperature=steep, offset=high - 30 * steep))

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> CosineScale:
        """From what ``state`` gave."""
        return cls(float(state["low"]), float(state["high"]), Calibration(**state["calibration"]))

    @property
    def width(self) -> float:
        """Score per unit of progress."""
        return self.high - self.low

    def progress(self, score: Floats) -> Floats:
        """Progress in [0, 1], of the scores' shape."""
        return np.clip((score - self.low) / self.width, 0, 1).astype(np.float32)

    def success(self, score: Floats) -> Floats:
        """p(success) in [0, 1], of the scores' shape."""
        return self.calibration.probability(score)

    def state(self) -> dict[str, Any]:
        """For saving."""
        return {"low": self.low, "high": self.high, "calibration": self.calibration.state()}


def fit_scale(
    demonstrations: Sequence[tuple[Trace, Floats]], negatives: Sequence[Floats]
) -> tuple[CosineScale, dict[str, float]]:
    """The scale from demonstrations with their scores (F,) and other episodes' scores; also what it found.

    The bounds are the 5% and 95% quantiles of the demonstrations' scores; success is calibrated on frames after the
    annotated success against frames before it and of other episodes. ``separation`` is the chance that a success
    scores higher than a failure: near 0.5 the model is blind to the task, and the audit will refuse it.

    Raises:
        UserError: without demonstrations, without an annotated success, or if all frames score alike.
    """
    if not demonstrations:
        raise UserError("goal_clip is scaled on demonstrations, got 0: set demos=1, data=DATASET, or low and high")
    everything = np.concatenate([scores for _, scores in demonstrations])
    low, high = (float(v) for v in np.quantile(everything, [EDGE, 1 - EDGE]))
    if high - low < 1e-6:
        raise UserError(
            f"every demonstrated frame scores about {low:.4f}: this CLIP model sees no difference; check that the "
            "views show the task, or choose other prompts or a larger model"
        )
    done = [scores[_succeeded(trace)] for trace, scores in demonstrations]
    undone = [scores[~_succeeded(trace)] for trace, scores in demonstrations]
    success, failure = np.concatenate(done), np.concatenate([*undone, *negatives])
    calibration = calibrate(success, failure, shift=True)
    told = {"fit/low": low, "fit/high": high, "fit/separation": auroc(success, failure)}
    return CosineScale(low, high, calibration), told


def _succeeded(trace: Trace) -> NDArray[np.bool_]:
    first = trace.success_step
    if first is None:
        raise UserError(f"a demonstration of {trace.task!r} is nowhere annotated as a success (next.success)")
    return trace.frame_steps >= first
