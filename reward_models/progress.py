"""The progress reward: learned from 1 to 20 demonstrations, it says how far a task is and whether it is done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from robo_reward.checkpoint import load_state, save_state
from robo_reward.contracts import Estimate, Flags, Floats, Needs, Observation, Transition
from robo_reward.errors import UserError, unknown_name
from robo_reward.reward_models.frames import (
    artificial_set,
    check_demonstrations,
    inputs_of,
    negative_set,
    positive_set,
    task_vector,
)
from robo_reward.reward_models.hops import RULES, Rule
from robo_reward.reward_models.image_encoder import augment, stack_views
from robo_reward.reward_models.milestones import milestone_progress
from robo_reward.reward_models.progress_fit import FitSettings, FrameSet, fit_progress, join
from robo_reward.reward_models.progress_net import EMBEDDING, ProgressNet, StateEncoder, make_encoder
from robo_reward.reward_models.success_detector import SuccessDetector
from robo_reward.seeding import derive_rng, seed_everything
from robo_reward.trace import Trace

Head = Literal["absolute", "hop", "both", "milestones"]
HEADS: tuple[Head, ...] = ("absolute", "hop", "both", "milestones")


class ProgressModel:
    """Progress from pictures (or states), with hop, success and ensemble uncertainty.

    ``head``: ``absolute`` progress; ``hop``: hops from the episode's first frame and back from the demonstrated goal,
    fused; ``both``: their mean; ``milestones``: EVOLVE's accumulation of hops from milestones every ``interval`` priced
    frames by ``rule``. ``views``: camera names; none: the state vector. ``stride``: steps between priced frames.
    """

    def __init__(
        self,
        views: Sequence[str],
        stride: int = 3,
        head: Head = "absolute",
        members: int = 3,
        encoder: str = "conv",
        rule: Rule = "grm",
        interval: int = 4,
        margin: int = 4,
        refit_steps: int = 60,
        fit: FitSettings | None = None,
    ) -> None:
        if head not in HEADS:
            raise unknown_name("progress head", head, HEADS)
        if rule not in RULES:
            raise unknown_name("recursion rule", rule, RULES)
        if stride < 1:
            raise UserError(f"reward_model.stride={stride} must be at least 1")
        if not views and encoder != "state":
            raise UserError(f"encoder={encoder} needs views; use encoder=state for a reward without pictures")
        self.needs = Needs(views=tuple(views) if encoder != "state" else (), stride=stride)
        self.head, self.rule, self.interval = head, rule, interval
        self._members, self._encoder_name, self._margin = members, encoder, margin
        self._refit_steps = refit_steps
        self._settings = fit or FitSettings()
        self._net: ProgressNet | None = None
        self._shape: dict[str, int] = {}
        self.detector = SuccessDetector(EMBEDDING)
        self._mean, self._std = torch.zeros(EMBEDDING), torch.ones(EMBEDDING)
        self._final, self._early = torch.zeros(0, EMBEDDING), torch.zeros(0, EMBEDDING)
        self._goal = torch.zeros(EMBEDDING)
        self._cache: WeakKeyDictionary[Trace, Tensor] = WeakKeyDictionary()
        self._first = self._before = torch.zeros(0, EMBEDDING)
        self._history: list[list[Tensor]] = []

    # --- fitting -----------------------------------------------------------------------------------------------------

    def fit(self, demonstrations: Sequence[Trace], negatives: Sequence[Trace], seed: int) -> Mapping[str, float]:
        """Trains everything anew: the network on demonstrations and negatives, then the success detector.

        Raises:
            UserError: without usable demonstrations (none, too short, no annotated success, missing views).
        """
        check_demonstrations(demonstrations, self.needs.stride)
        seed_everything(seed, "fit")
        self._build(demonstrations[0])
        net, views = self.net, self.needs.views
        positive = positive_set(demonstrations, views, self._margin)
        if isinstance(net.encoder, StateEncoder):
            net.encoder.normalise_by(positive.inputs)
        artificial = artificial_set(demonstrations, views, derive_rng(seed, "artificial"))
        hard_after = min(step for t in demonstrations if (step := t.success_step) is not None) // 2
        negative = negative_set(negatives, views, hard_after)
        tasks = torch.stack([task_vector(t) for t in sorted({d.task for d in demonstrations})])
        losses = fit_progress(net, _with(positive, artificial), negative or _nothing(positive), self._settings, tasks)
        self._cache.clear()
        self._remember(demonstrations)
        losses |= self.refit(negatives, seed, steps=3 * self._refit_steps)
        return losses

    def refit(self, episodes: Sequence[Trace], seed: int, steps: int | None = None) -> Mapping[str, float]:
        """Refits the success detector: demonstrated final frames against all frames of ``episodes``.

        The network stays as it is: refitted against the policy's frames it stopped being hacked and started to starve
        the policy in trials. With the detector refitted, a picture that fools it pays only until the next refit.
        """
        if not episodes:
            return {}
        seed_everything(seed, "refit")
        others = torch.cat([self.embed(trace) for trace in episodes])
        loss = self.detector.fit(self._final, others, self._early, steps or self._refit_steps)
        return {"refit/detector": loss}

    # --- estimates ---------------------------------------------------------------------------------------------------

    @property
    def net(self) -> ProgressNet:
        """The network.

        Raises:
            UserError: before ``fit`` or ``load``.
        """
        if self._net is None:
            raise UserError("this reward model is not fitted: run robo-reward fit, or give reward_model.path=FOLDER")
        return self._net

    @torch.no_grad()
    def embed(self, trace: Trace) -> Tensor:
        """Normalised embeddings (F, 64) of the trace's kept frames, remembered while the trace lives."""
        if trace not in self._cache:
            self._cache[trace] = self._normalise(self.net.encoder(inputs_of(trace, self.needs.views)))
        return self._cache[trace]

    @torch.no_grad()
    def estimate_episode(self, trace: Trace) -> Estimate:
        """Estimates (F,) at the trace's kept frames, in one batch."""
        z = self.embed(trace)
        task = task_vector(trace.task).expand(len(z), -1)
        before = torch.cat([z[:1], z[:-1]])
        return self._estimate(z[:1].expand_as(z), before, z, task, [list(z)])

    @torch.no_grad()
    def begin(self, first: Observation, fresh: Flags) -> Estimate:
        """Remembers the first frame of fresh episodes; estimates (N,)."""
        z = self._see(first)
        if len(self._history) != len(fresh):
            self._first, self._before, self._history = z.clone(), z.clone(), [[row] for row in z]
        where = torch.from_numpy(fresh)
        self._first[where], self._before[where] = z[where], z[where]
        for i in np.flatnonzero(fresh):
            self._history[i] = [z[i]]
        return self._estimate(self._first, self._before, z, self._tasks(first), self._history, last=True)

    @torch.no_grad()
    def estimate(self, transition: Transition) -> Estimate:
        """Estimates (N,) of the state that was reached; gains since the last look."""
        z = self._see(transition.after)
        for history, row in zip(self._history, z, strict=True):
            history.append(row)
        tasks = self._tasks(transition.after)
        seen = self._estimate(self._first, self._before, z, tasks, self._history, last=True)
        self._before = z.clone()
        return seen

    @torch.no_grad()
    def success_by_head(self, trace: Trace) -> Floats:
        """p(success) (F,) by the network's own success head, which only ``fit`` trains."""
        images = inputs_of(trace, self.needs.views)
        task = task_vector(trace.task).expand(len(images), -1)
        logit = self.net.success_logit(self.net.encoder(images), task).mean(0)
        out: Floats = torch.sigmoid(logit).numpy()
        return out

    def _estimate(
        self,
        first: Tensor,
        before: Tensor,
        z: Tensor,
        task: Tensor,
        history: list[list[Tensor]],
        last: bool = False,
    ) -> Estimate:
        absolute = self.net.progress(z, task)
        members = absolute
        if self.head != "absolute":
            goal = self._goal.expand_as(z)
            forward, backward = self.net.hop(first, z, task), self.net.hop(goal, z, task)
            hop = ((forward + 1 + backward) / 2).clamp(0, 1)
            members = hop if self.head != "both" else (hop + absolute) / 2
        progress = members.mean(0).numpy()
        if self.head == "milestones":
            progress = self._milestones(history, task[0], last)
        spread = members.std(0, correction=0).numpy()
        gain = self.net.hop(before, z, task).mean(0)
        gain = torch.where((before == z).all(1), torch.zeros_like(gain), gain).numpy()
        return Estimate(progress, gain, self.detector.probability(z), spread)

    def _milestones(self, history: list[list[Tensor]], task: Tensor, last: bool) -> Floats:
        def walk(frames: list[Tensor]) -> Floats:
            def critic(i: int, j: int) -> float:
                return float(self.net.hop(frames[i][None], frames[j][None], task[None]).mean())

            return milestone_progress(critic, len(frames), interval=self.interval, rule=self.rule)

        walked = [walk(frames) for frames in history]
        return np.asarray([w[-1] for w in walked], np.float32) if last else walked[0]

    # --- inside ------------------------------------------------------------------------------------------------------

    def _build(self, trace: Trace) -> None:
        height = width = 0
        if self.needs.views:
            stack_views({v: f[:1] for v, f in trace.frames.items()}, self.needs.views)
            height, width = trace.frames[self.needs.views[0]].shape[1:3]
        self._shape = {"height": height, "width": width, "states": trace.state.shape[1]}
        self._make_net()

    def _make_net(self) -> None:
        encoder = make_encoder(self._encoder_name, len(self.needs.views), **self._shape)
        self._net = ProgressNet(encoder, self._members).eval()
        self.detector = SuccessDetector(EMBEDDING)

    @torch.no_grad()
    def _remember(self, demonstrations: Sequence[Trace]) -> None:
        """Keeps what later refits need of the demonstrations: final and early frames, augmented, and the goal."""
        raw = torch.cat([self.net.encoder(inputs_of(d, self.needs.views)) for d in demonstrations])
        self._mean, self._std = raw.mean(0), raw.std(0).clamp(min=0.05)
        final, early, goals = [], [], []
        for demonstration in demonstrations:
            first = demonstration.success_step or 0
            steps = torch.from_numpy(demonstration.frame_steps)
            for z in self._copies(demonstration):
                final.append(z[steps >= first])
                early.append(z[steps < max(first - self._margin, 1)])
            goals.append(self.embed(demonstration)[-1])
        self._final, self._early, self._goal = torch.cat(final), torch.cat(early), torch.stack(goals).mean(0)

    def _copies(self, trace: Trace, count: int = 8) -> list[Tensor]:
        inputs = inputs_of(trace, self.needs.views)
        copies = [inputs]
        if inputs.dim() == 4:
            copies += [augment(inputs, self._settings.shift, 0.0) for _ in range(count)]
        return [self._normalise(self.net.encoder(c)) for c in copies]

    def _normalise(self, z: Tensor) -> Tensor:
        return ((z - self._mean) / self._std).clamp(-5, 5)

    def _see(self, observation: Observation) -> Tensor:
        if not self.needs.views:
            return self._normalise(self.net.encoder(torch.from_numpy(observation.state)))
        frames = {view: observation.views[view] for view in self.needs.views}
        return self._normalise(self.net.encoder(stack_views(frames, self.needs.views)))

    def _tasks(self, observation: Observation) -> Tensor:
        return torch.stack([task_vector(text) for text in observation.task])

    # --- on disk -----------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Everything that a resumed run or a saved model needs, as nested dicts of tensors and numbers."""
        return {
            "shape": self._shape,
            "views": list(self.needs.views),
            "net": self.net.state_dict(),
            "detector": self.detector.state(),
            "mean": self._mean,
            "std": self._std,
            "final": self._final,
            "early": self._early,
            "goal": self._goal,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Takes back what ``state`` gave.

        Raises:
            UserError: if it was fitted for other views.
        """
        if tuple(state["views"]) != self.needs.views:
            raise UserError(
                f"this reward model was fitted on views {list(state['views'])}, the configuration asks for "
                f"{list(self.needs.views)}: set reward_model.views"
            )
        self._shape = dict(state["shape"])
        self._make_net()
        self.net.load_state_dict(state["net"])
        self.detector.load(state["detector"])
        self._mean, self._std, self._goal = state["mean"], state["std"], state["goal"]
        self._final, self._early = state["final"], state["early"]
        self._cache.clear()

    def save(self, folder: Path) -> None:
        """Writes weights as safetensors into ``folder``."""
        save_state(folder, "reward_model", self.state())

    def load(self, folder: Path) -> None:
        """Reads what ``save`` wrote."""
        self.load_state(load_state(folder, "reward_model"))


def _with(positive: FrameSet, artificial: FrameSet | None) -> FrameSet:
    return positive if artificial is None else join([positive, artificial])


def _nothing(like: FrameSet) -> FrameSet:
    return FrameSet(like.inputs[:0], like.progress[:0], like.success[:0], like.episode[:0], like.task[:0])
