"""The perceptual reward: steps found in demonstrations, each told by a few features of a frozen encoder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from robo_reward.contracts import Estimate, Flags, Floats, Needs, Observation, Transition
from robo_reward.errors import UserError
from robo_reward.reward_models.backbones import Backbone
from robo_reward.reward_models.fingerprint import check_fingerprint, fingerprint
from robo_reward.reward_models.frame_gains import FrameGains
from robo_reward.reward_models.frames import check_demonstrations
from robo_reward.reward_models.image_encoder import stack_views
from robo_reward.reward_models.perceptual_steps import (
    Array,
    Classifier,
    Step,
    checked,
    combine,
    find_steps,
    step_weights,
)
from robo_reward.reward_models.success_calibration import Calibration, calibrate
from robo_reward.runs.checkpoint import load_state, save_state
from robo_reward.trace import Trace

BATCH = 64


class PerceptualModel:
    """Unsupervised Perceptual Rewards (arXiv 1612.06699): see ``perceptual_steps`` for the formulas.

    ``progress`` is the combined reward of all steps, which later steps dominate; ``success`` the calibrated last
    step; ``uncertainty`` the standard error over the chosen features, at most 1. Looks at single frames: where
    neighbouring steps resemble each other progress can be higher between them than at the end.
    """

    gives_match = False
    gives_hops = False

    def __init__(
        self,
        views: Sequence[str],
        encoder: str,
        stride: int = 3,
        segments: int = 4,
        shortest: int = 2,
        features: int = 32,
        alpha: float = 5.0,
        classifier: str = "gaussian",
        grid: int = 4,
    ) -> None:
        """``encoder``, ``grid``: as ``Backbone`` takes them. ``segments``: steps, each of ``shortest`` frames at least.

        Raises:
            UserError: without views, for an unknown classifier and for numbers out of bounds.
        """
        if not views:
            raise UserError("the perceptual reward needs pictures: name views with env.views=[...]")
        if segments < 2 or min(stride, shortest, features) < 1:
            raise UserError(
                f"segments={segments} must be at least 2, stride={stride}, shortest={shortest} and "
                f"features={features} at least 1"
            )
        self.needs = Needs(views=tuple(views), stride=stride)
        self._encoder, self._grid, self._segments, self._shortest = encoder, grid, segments, shortest
        self._features, self._alpha = features, alpha
        self._classifier: Classifier = checked(classifier)
        self._backbone: Backbone | None = None
        self._mean: Array = np.zeros(0)
        self._std: Array = np.ones(0)
        self._steps: list[Step] = []
        self._calibration = Calibration()
        self._gains = FrameGains()
        self._cache: WeakKeyDictionary[Trace, Array] = WeakKeyDictionary()

    # --- fitting -----------------------------------------------------------------------------------------------------

    def fit(
        self, demonstrations: Sequence[Trace], negatives: Sequence[Trace], seed: int, own: Sequence[Trace] = ()
    ) -> Mapping[str, float]:
        """Finds the steps in demonstrations (and a policy's judged successes ``own``), and calibrates the last one.

        Nothing is drawn: ``seed`` changes nothing. Success is calibrated on the frames after the annotated success
        against those before it and the negatives'.

        Raises:
            UserError: without usable demonstrations, for too short ones, and if the encoder sees no frame change.
        """
        shown = [*demonstrations, *own]
        check_demonstrations(shown, self.needs.stride)
        raw = [
            self._seen(trace)[np.isin(trace.frame_steps, trace.every(self.needs.stride).frame_steps)] for trace in shown
        ]
        pooled = np.concatenate(raw)
        self._mean, spread = pooled.mean(0), pooled.std(0)
        if not (spread > 1e-6).any():
            raise UserError(f"encoder={self._encoder} sees no difference between the frames of these demonstrations")
        # features that never change are standardised to 0: they can tell no step
        self._std = np.where(spread > 1e-6, spread, np.inf)
        standard = [(x - self._mean) / self._std for x in raw]
        self._steps = find_steps(standard, self._segments, self._shortest, self._features, self._alpha)
        done, undone = self._success_scores(shown, negatives)
        self._calibration = calibrate(done, undone, shift=True)
        return {"fit/success_score": float(done.mean()), "fit/failure_score": float(undone.mean())}

    def refit(self, episodes: Sequence[Trace], seed: int) -> Mapping[str, float]:
        """Nothing: the steps are those of the demonstrations."""
        return {}

    def _success_scores(self, shown: Sequence[Trace], negatives: Sequence[Trace]) -> tuple[Array, Array]:
        done, undone = [], [self._last(trace) for trace in negatives]
        for trace in shown:
            after = trace.frame_steps >= (trace.success_step or 0)
            score = self._last(trace)
            done.append(score[after])
            undone.append(score[~after])
        return np.concatenate(done), np.concatenate(undone)

    def _last(self, trace: Trace) -> Array:
        return self._steps[-1].score(self._standard(trace))

    # --- estimates ---------------------------------------------------------------------------------------------------

    def estimate_episode(self, trace: Trace) -> Estimate:
        """Estimates (F,) at the trace's kept frames, in batches."""
        return self._estimate(self._standard(trace), FrameGains.along)

    def begin(self, first: Observation, fresh: Flags) -> Estimate:
        """Estimates (N,) of the first frames."""
        return self._estimate(self._look(first), lambda progress: self._gains.begin(progress, fresh))

    def estimate(self, transition: Transition) -> Estimate:
        """Estimates (N,) of the state that was reached; gains since the last look."""
        return self._estimate(self._look(transition.after), self._gains.step)

    def _estimate(self, features: Array, gains: Callable[[Floats], Floats]) -> Estimate:
        told = [step.reward(features, self._classifier) for step in self._steps]
        progress = np.clip(combine([value for value, _ in told]), 0, 1).astype(np.float32)
        weighted = step_weights(len(told))[:, None] * np.stack([error for _, error in told])
        uncertainty = np.minimum(np.sqrt((weighted**2).sum(0)), 1).astype(np.float32)
        success = self._calibration.probability(self._steps[-1].score(features))
        return Estimate(progress, gains(progress), success, uncertainty)

    # --- features ----------------------------------------------------------------------------------------------------

    @property
    def backbone(self) -> Backbone:
        """The frozen encoder, loaded when it is first used."""
        if self._backbone is None:
            self._backbone = Backbone(self._encoder, self._grid)
        return self._backbone

    def _standard(self, trace: Trace) -> Array:
        """Standardised features (F, D) of a trace."""
        self._check_fitted()
        return np.asarray((self._seen(trace) - self._mean) / self._std)

    def _look(self, observation: Observation) -> Array:
        self._check_fitted()
        frames = {view: observation.views[view] for view in self.needs.views}
        return np.asarray((self._encode(stack_views(frames, self.needs.views)) - self._mean) / self._std)

    def _seen(self, trace: Trace) -> Array:
        """Features (F, D) of a trace, remembered while it lives: the encoder never changes."""
        if trace not in self._cache:
            self._cache[trace] = self._encode(stack_views(trace.frames, self.needs.views))
        return self._cache[trace]

    def _encode(self, images: Tensor) -> Array:
        parts = [self.backbone(batch) for batch in images.split(BATCH)]
        return np.asarray(torch.cat(parts).numpy(), np.float64)

    def _check_fitted(self) -> None:
        if not self._steps:
            raise UserError(
                "this perceptual reward is not fitted: run robo-reward fit, or give reward_model.path=FOLDER"
            )

    # --- on disk -----------------------------------------------------------------------------------------------------

    def save(self, folder: Path) -> None:
        """Writes the steps; the encoder is named, with the hash of its weights, not copied."""
        self._check_fitted()
        belongs: dict[str, Any] = {"encoder": self._encoder, "grid": self._grid, "views": list(self.needs.views)}
        steps = [asdict(step) for step in self._steps]
        belongs["sha256"] = fingerprint(self.backbone)
        state = {"belongs": belongs, "mean": self._mean, "std": self._std, "steps": steps}
        save_state(folder, "perceptual", state | {"calibration": self._calibration.state()})

    def load(self, folder: Path) -> None:
        """Reads what ``save`` wrote.

        Raises:
            UserError: if it was fitted with another encoder, other weights of it, or other views.
        """
        state: dict[str, Any] = load_state(folder, "perceptual")
        if set(state) != {"belongs", "mean", "std", "steps", "calibration"}:
            raise UserError(f"'{folder}' holds no perceptual reward of this version of robo-reward: fit it again")
        now = {"encoder": self._encoder, "grid": self._grid, "views": list(self.needs.views)}
        stored = state["belongs"].pop("sha256", None)  # older folders hold none
        if state["belongs"] != now:
            raise UserError(f"this perceptual reward was fitted with {state['belongs']}, the configuration says {now}")
        if stored is not None:
            check_fingerprint(fingerprint(self.backbone), stored, f"encoder={self._encoder}")
        self._mean, self._std = state["mean"], state["std"]
        self._steps = [Step(**step) for step in state["steps"]]
        self._calibration = Calibration(**state["calibration"])
