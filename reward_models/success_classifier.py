"""The success classifier as a reward: calibrated on held-out episodes, growing from the policy's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from robo_reward.contracts import Estimate, Flags, Floats, Needs, Observation, Transition
from robo_reward.errors import UserError
from robo_reward.reward_models.calibration_split import split_recordings
from robo_reward.reward_models.demonstration_memory import DemonstrationMemory
from robo_reward.reward_models.frame_gains import FrameGains
from robo_reward.reward_models.frames import settled_step
from robo_reward.reward_models.progress import ProgressModel
from robo_reward.reward_models.progress_fit import FitSettings
from robo_reward.reward_models.success_calibration import calibrate
from robo_reward.reward_models.success_examples import SuccessExamples
from robo_reward.runs.checkpoint import load_state, save_state
from robo_reward.seeding import seed_everything
from robo_reward.trace import Trace

SETTINGS = FitSettings(steps=150, hop_weight=0.0, order_weight=0.0)


class _OneForAll(ProgressModel):
    """Whose success does not read the instruction, as the classifier's does not."""

    reads_instructions = False


class SuccessClassifier:
    """p(success) of single frames, from an image encoder trained once and a detector on it that can be refitted.

    ``success`` is calibrated by temperature scaling on held-out episodes; ``threshold`` is the probability that at most
    a share ``false_positive_rate`` of held-out failure frames reach: what stops episodes. A classifier knows no other
    progress than this probability, nor another uncertainty than its standard deviation sqrt(p (1 - p)).
    """

    gives_match = False
    knows_progress = False
    gives_hops = False

    def __init__(
        self,
        views: Sequence[str],
        stride: int = 3,
        encoder: str = "conv",
        false_positive_rate: float = 0.01,
        held_out: float = 0.25,
        settle: int = 3,
        refit_steps: int = 60,
        fit: FitSettings | None = None,
    ) -> None:
        """``held_out``: share of the episodes that only calibrate. ``settle``: steps after the first success from which
        frames count as one.

        Raises:
            UserError: for shares out of bounds, and as the progress model's.
        """
        if not 0 < held_out <= 0.5:
            raise UserError(f"held_out={held_out} must be above 0 and at most 0.5: a share of the episodes")
        if not 0 <= false_positive_rate < 1:
            raise UserError(f"false_positive_rate={false_positive_rate} must be at least 0 and below 1")
        self._model = _OneForAll(
            views, stride, members=1, encoder=encoder, settle=settle, refit_steps=refit_steps, fit=fit or SETTINGS
        )
        self.needs: Needs = self._model.needs
        self._rate, self._every, self._settle = false_positive_rate, round(1 / held_out), settle
        self._refit_steps = refit_steps
        self._examples = SuccessExamples()
        self._gains = FrameGains()

    @property
    def threshold(self) -> float:
        """The probability from which on a frame counts as a success, in [0, 1]."""
        return self._model.success.detectors[0].calibration.threshold

    @property
    def frame_size(self) -> tuple[int, int] | None:
        """(height, width) of the pictures it was fitted on; None before the fit and without pictures."""
        return self._model.frame_size

    # --- fitting -----------------------------------------------------------------------------------------------------

    def fit(
        self, demonstrations: Sequence[Trace], negatives: Sequence[Trace], seed: int, own: Sequence[Trace] = ()
    ) -> Mapping[str, float]:
        """Trains encoder and detector, then calibrates on every ``1 / held_out``-th demonstration and negative.

        Recordings are held out whole: a copy of a demonstration (stopped, clipped, rewound, reversed) lies where that
        one does. With too few demonstrations to hold any out, shifted copies of the fitted successes stand in for
        held-out ones (``fit/held_out_demonstrations`` is then 0, and the probabilities are too sure), and where no
        failure is held out either, the fitted ones. ``own``: a policy's judged successes; they are examples for the
        detector, and teach the encoder, except for every ``1 / held_out``-th.

        Raises:
            UserError: without usable demonstrations, and where there is no failure frame to calibrate on.
        """
        split = split_recordings(demonstrations, negatives, self.needs.views, self._every)
        (shown, shown_held), (failed, failed_held) = split
        calibrating = self._calibrating(own)
        losses = dict(self._model.fit(shown, failed, seed, [trace for trace in own if trace not in calibrating]))
        memory = self._memory()
        self._examples = SuccessExamples()
        seen = [self._model.matched(t) for t in failed]
        self._examples.add(memory.final[:0], self._joined(seen, memory))
        successes = [self._settled(t) for t in shown_held] or [memory.final]
        failures = [self._model.matched(t) for t in failed_held] + [self._early(t) for t in shown_held]
        self._examples.hold(torch.cat(successes), self._joined(failures or [memory.early, *seen], memory))
        if own or not failed:  # the progress model's own fit of the detector has seen neither
            losses |= self.refit(own, seed, 3 * self._refit_steps)
        told = {
            "fit/held_out_demonstrations": float(len(shown_held)),
            "fit/held_out_negatives": float(len(failed_held)),
        }
        return losses | told | self._calibrate()

    def refit(self, episodes: Sequence[Trace], seed: int, steps: int | None = None) -> Mapping[str, float]:
        """Adds the policy's own episodes to the examples, trains the detector on all of them and calibrates again.

        Annotated episodes give successes and failures; every ``1 / held_out``-th of them only calibrates. Of an episode
        that nobody annotated every frame counts as a failure, against demonstrated and annotated successes in equal
        number (VICE, Fu et al. 2018): a frame that fools the detector is corrected, a true success ends near 0.5 unless
        it is annotated. Such episodes never calibrate.
        """
        memory = self._memory()
        calibrating = self._calibrating(episodes)
        for trace in episodes:
            if trace.success is not None:
                positive, negative = self._labelled(trace)
                (self._examples.hold if trace in calibrating else self._examples.add)(positive, negative)
        for trace in episodes:
            if trace.success is None:
                self._examples.add(memory.final[:0], self._model.matched(trace))
        seed_everything(seed, "refit")
        positive = torch.cat([memory.final, self._examples.positive])
        negative = self._examples.negative if len(self._examples.negative) else memory.early
        loss = self._model.success.detectors[0].fit(
            positive, negative, memory.early, steps or self._refit_steps, success_share=0.0
        )
        return {"refit/detector": loss} | self._calibrate()

    def _calibrate(self) -> dict[str, float]:
        detector, examples = self._model.success.detectors[0], self._examples
        success, failure = detector.logit(examples.held_positive), detector.logit(examples.held_negative)
        detector.calibration = found = calibrate(success, failure, self._rate)
        recall = float((found.probability(success) >= found.threshold).mean())
        return {"fit/temperature": found.temperature, "fit/threshold": found.threshold, "fit/recall": recall}

    def _calibrating(self, episodes: Sequence[Trace]) -> list[Trace]:
        return [trace for trace in episodes if trace.success is not None][self._every - 1 :: self._every]

    def _memory(self) -> DemonstrationMemory:
        return DemonstrationMemory(**self._model.state()["memory"])

    def _settled(self, trace: Trace) -> Tensor:
        return self._model.matched(trace)[torch.from_numpy(trace.frame_steps >= settled_step(trace, self._settle))]

    def _early(self, trace: Trace) -> Tensor:
        return self._model.matched(trace)[torch.from_numpy(trace.frame_steps < (trace.success_step or 0))]

    def _labelled(self, trace: Trace) -> tuple[Tensor, Tensor]:
        assert trace.success is not None  # refit asks for annotated ones only
        done = torch.from_numpy(trace.success[trace.frame_steps])
        seen = self._model.matched(trace)
        return seen[done], seen[~done]

    @staticmethod
    def _joined(parts: Sequence[Tensor], memory: DemonstrationMemory) -> Tensor:
        return torch.cat([memory.final[:0], *parts])

    # --- estimates ---------------------------------------------------------------------------------------------------

    def estimate_episode(self, trace: Trace) -> Estimate:
        """Estimates (F,) at the trace's kept frames."""
        p = self._model.estimate_episode(trace).success
        return _estimate(p, FrameGains.along(p))

    def begin(self, first: Observation, fresh: Flags) -> Estimate:
        """Estimates (N,) of the first frames."""
        p = self._model.begin(first, fresh).success
        return _estimate(p, self._gains.begin(p, fresh))

    def estimate(self, transition: Transition) -> Estimate:
        """Estimates (N,) of the state that was reached; gains since the last look."""
        p = self._model.estimate(transition).success
        return _estimate(p, self._gains.step(p))

    # --- on disk -----------------------------------------------------------------------------------------------------

    def save(self, folder: Path) -> None:
        """Writes weights, calibration and examples into ``folder``."""
        save_state(folder, "success_classifier", {"model": self._model.state(), "examples": self._examples.state()})

    def load(self, folder: Path) -> None:
        """Reads what ``save`` wrote.

        Raises:
            UserError: if it was fitted for other views, or is damaged.
        """
        state: dict[str, Any] = load_state(folder, "success_classifier")
        if set(state) != {"model", "examples"}:
            raise UserError(f"'{folder}' holds no success classifier of this version of robo-reward: fit it again")
        self._model.load_state(state["model"])
        self._examples = SuccessExamples.of(state["examples"])


def _estimate(p: Floats, gain: Floats) -> Estimate:
    return Estimate(progress=p, gain=gain, success=p, uncertainty=np.sqrt(p * (1 - p)).astype(np.float32))
