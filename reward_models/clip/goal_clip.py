"""The goal_clip reward: how near a picture is to a goal told in words, by a CLIP model that was never trained here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from robo_reward.contracts import Estimate, Flags, Floats, Frames, Needs, Observation, Transition
from robo_reward.errors import UserError
from robo_reward.reward_models.clip.encoder import ClipEncoder
from robo_reward.reward_models.clip.goals import Prompts, goal_score
from robo_reward.reward_models.clip.scale import CosineScale, fit_scale
from robo_reward.reward_models.fingerprint import check_fingerprint
from robo_reward.reward_models.frame_gains import FrameGains
from robo_reward.runs.checkpoint import load_state, save_state
from robo_reward.trace import Trace


class GoalClip:
    """Scores of single frames, averaged over the views, brought to [0, 1] by a scale; it remembers no history.

    ``uncertainty`` is the spread between the views (0 with one). Whole episodes are encoded in batches; per step the N
    worlds are one batch.
    """

    name = "goal_clip"
    gives_match = False
    gives_hops = False

    def __init__(
        self, views: Sequence[str], encoder: ClipEncoder, prompts: Prompts, scale: CosineScale | None, stride: int = 1
    ) -> None:
        if not views:
            raise UserError("goal_clip needs pictures: name views with env.views=[...] or reward_model.views=[...]")
        if stride < 1:
            raise UserError(f"stride={stride} must be at least 1: decisions between priced frames")
        self.needs = Needs(views=tuple(views), stride=stride)
        self.encoder, self.prompts = encoder, prompts
        self._scale = scale
        self._goals: dict[str, tuple[Tensor, Tensor | None]] = {}
        self._gains = FrameGains()
        self._scored: WeakKeyDictionary[Trace, Floats] = WeakKeyDictionary()

    @property
    def scale(self) -> CosineScale:
        """What brings scores to [0, 1].

        Raises:
            UserError: if neither bounds were given nor demonstrations fitted on.
        """
        if self._scale is None:
            raise UserError(
                "goal_clip does not know which scores mean start and goal: give reward_model.low=... and "
                "reward_model.high=..., fit it on a few demonstrations (robo-reward fit reward_model=goal_clip), "
                "or name a fitted one with reward_model.path=FOLDER"
            )
        return self._scale

    @property
    def spread_of(self) -> int:
        """Views, each of which has its say."""
        return len(self.needs.views)

    def estimate_episode(self, trace: Trace) -> Estimate:
        """Estimates (F,) at the trace's kept frames."""
        return self._estimate(self.scores_of(trace), FrameGains.along)

    def begin(self, first: Observation, fresh: Flags) -> Estimate:
        """Estimates (N,) of the first frames."""
        return self._estimate(self.scores(first.views, first.task), lambda progress: self._gains.begin(progress, fresh))

    def estimate(self, transition: Transition) -> Estimate:
        """Estimates (N,) of the state that was reached; gains since the last look."""
        return self._estimate(self.scores(transition.after.views, transition.after.task), self._gains.step)

    def scores_of(self, trace: Trace) -> Floats:
        """Scores before scaling (V, F) of a trace's kept frames, remembered while it lives: nothing here is trained."""
        if trace not in self._scored:
            self._scored[trace] = self.scores(trace.frames, [trace.task] * len(trace.frame_steps))
        return self._scored[trace]

    def scores(self, frames: Mapping[str, Frames], tasks: Sequence[str]) -> Floats:
        """Scores before scaling (V, F): of every view's F frames for the F instructions.

        Raises:
            UserError: if a view is missing.
        """
        missing = [view for view in self.needs.views if view not in frames]
        if missing:
            raise UserError(f"goal_clip reads view(s) {missing}, the frames have {sorted(frames)}: set env.views")
        seen = self.encoder.pictures(np.concatenate([frames[view] for view in self.needs.views]))
        return self._score(seen.view(len(self.needs.views), len(tasks), -1), tasks)

    def _score(self, seen: Tensor, tasks: Sequence[str]) -> Floats:
        found = torch.zeros(seen.shape[:2])
        for task in dict.fromkeys(tasks):
            where = torch.tensor([name == task for name in tasks])
            goal, reference = self._goal(task)
            flat = seen[:, where].flatten(0, 1)
            score = goal_score(flat, goal, reference, self.prompts.rule, self.prompts.alpha)
            found[:, where] = score.view(len(seen), -1)
        return np.asarray(found.numpy(), np.float32)

    def _goal(self, task: str) -> tuple[Tensor, Tensor | None]:
        if task not in self._goals:
            asked = self.prompts
            goal = self.encoder.prompts(asked.filled(asked.goal, task))
            other = self.encoder.prompts(asked.filled(asked.reference, task)) if asked.reference else None
            self._goals[task] = goal, other
        return self._goals[task]

    def _estimate(self, seen: Floats, gains: Callable[[Floats], Floats]) -> Estimate:
        mean = seen.mean(0)
        progress = self.scale.progress(mean)
        spread = (seen.std(0) / self.scale.width).astype(np.float32)
        return Estimate(progress, gains(progress), self.scale.success(mean), spread)


class FittedGoalClip(GoalClip):
    """The same with a scale from a few demonstrations: the network and the prompts stay as they are."""

    def fit(
        self, demonstrations: Sequence[Trace], negatives: Sequence[Trace], seed: int, own: Sequence[Trace] = ()
    ) -> Mapping[str, float]:
        """Sets the scale; ``separation`` says whether this CLIP model sees the task at all (0.5: it does not).

        Raises:
            UserError: without demonstrations, or where the scores do not differ between frames.
        """
        shown = [(trace, self._whole(trace)) for trace in (*demonstrations, *own)]
        self._scale, told = fit_scale(shown, [self._whole(trace) for trace in negatives])
        return told | {"fit/random_weights": float(self.encoder.pretrained is None)}

    def refit(self, episodes: Sequence[Trace], seed: int) -> Mapping[str, float]:
        """Nothing: a scale that followed the policy's episodes would call each policy's best a success."""
        return {}

    def save(self, folder: Path) -> None:
        """Writes the scale and what it belongs to; the CLIP weights are named, with their hash, not copied."""
        belongs = self._belongs() | {"sha256": self.encoder.fingerprint()}
        save_state(folder, "goal_clip", {"scale": self.scale.state(), "belongs": belongs})

    def load(self, folder: Path) -> None:
        """Reads what ``save`` wrote.

        Raises:
            UserError: if it was fitted with other weights, views or prompts.
        """
        state: dict[str, Any] = load_state(folder, "goal_clip")
        if set(state) != {"scale", "belongs"}:
            raise UserError(f"'{folder}' holds no goal_clip of this version of robo-reward: fit it again")
        now, stored = self._belongs(), state["belongs"].pop("sha256", None)  # older folders hold none
        other = {key: value for key, value in state["belongs"].items() if now.get(key) != value}
        if other:
            raise UserError(f"this goal_clip was fitted with {other}, the configuration says otherwise: fit it again")
        if stored is not None:
            check_fingerprint(self.encoder.fingerprint(), stored, f"architecture={self.encoder.architecture}")
        self._scale = CosineScale.of(state["scale"])

    def _belongs(self) -> dict[str, Any]:
        asked, encoder = self.prompts, self.encoder
        return {
            "architecture": encoder.architecture,
            "pretrained": encoder.pretrained,
            "views": list(self.needs.views),
            "rule": asked.rule,
            "alpha": asked.alpha,
            "goal": list(asked.goal),
            "reference": list(asked.reference),
        }

    def _whole(self, trace: Trace) -> Floats:
        return np.asarray(self.scores_of(trace).mean(0), np.float32)


def goal_clip(
    views: Sequence[str],
    architecture: str,
    pretrained: str | None,
    goal: Sequence[str],
    baseline: Sequence[str] = (),
    negative: Sequence[str] = (),
    rule: Any = "baseline",
    alpha: float = 0.5,
    low: float | None = None,
    high: float | None = None,
    stride: int = 1,
    batch: int = 64,
    device: str = "cpu",
) -> GoalClip:
    """The reward model of the yaml: with ``low`` and ``high`` it needs no demonstrations, without them it is fitted.

    Raises:
        UserError: if only one bound is given, or they are in the wrong order.
    """
    encoder = ClipEncoder(architecture, pretrained, batch, device)
    prompts = Prompts(tuple(goal), tuple(baseline), tuple(negative), rule, alpha)
    if (low is None) != (high is None):
        raise UserError(f"low={low} and high={high}: give both scores or neither (they are then fitted)")
    if low is None or high is None:
        return FittedGoalClip(views, encoder, prompts, None, stride)
    return GoalClip(views, encoder, prompts, CosineScale.given(low, high), stride)
