"""The progress reward: learned from 1 to 20 demonstrations, it says how far a task is and whether it is done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from robo_reward.bounds import check_numbers
from robo_reward.contracts import Estimate, Flags, Floats, Needs, Observation, Transition
from robo_reward.errors import UserError
from robo_reward.reward_models.demonstration_memory import blank_memory, recall, remember
from robo_reward.reward_models.frames import check_demonstrations, inputs_of, task_vector
from robo_reward.reward_models.frozen_weights import load_trained, trained_weights
from robo_reward.reward_models.hops import Rule, fuse
from robo_reward.reward_models.image_encoder import stack_views
from robo_reward.reward_models.instruction import different_instructions
from robo_reward.reward_models.looks import Looks, embed_episode, seen_in
from robo_reward.reward_models.milestones import MilestoneTracker, check_threshold, held_above
from robo_reward.reward_models.progress_fit import FitSettings, fit_progress
from robo_reward.reward_models.progress_net import EMBEDDING, ProgressNet, StateEncoder, make_encoder
from robo_reward.reward_models.progress_settings import READ_LEVELS, Head, check_settings
from robo_reward.reward_models.task_success import TaskSuccess
from robo_reward.reward_models.training_frames import training_frames
from robo_reward.reward_models.uniform_frames import UniformTracker, progress_along
from robo_reward.runs.checkpoint import load_state, save_state
from robo_reward.seeding import seed_everything
from robo_reward.trace import Trace


class ProgressModel:
    """Progress from pictures (or states), with hop, success and ensemble uncertainty.

    ``head``: ``absolute`` progress; ``hop``: hops from the episode's first frame and back from the demonstrated goal,
    fused (Robo-Dopamine Eq. 5-6); ``both``: their mean; ``milestones``: EVOLVE's accumulation by ``rule`` of hops from
    milestones every ``interval`` priced frames (None: from the first alone) or over ``uniform`` frames; with
    ``threshold`` success is then progress above it ``consecutive`` times in a row, not the detector's. ``views``:
    camera names; none: the state vector. ``stride``: steps between priced frames. ``settle``: steps after the first
    success from which frames count as success.
    """

    reads_instructions = True
    gives_match = False
    least_refit_steps = 1
    """0 where no detector tells success, as with a ``threshold``."""

    def __init__(
        self,
        views: Sequence[str],
        stride: int = 3,
        head: Head = "absolute",
        members: int = 3,
        encoder: str = "conv",
        rule: Rule = "grm",
        interval: int | None = 4,
        settle: int = 3,
        refit_steps: int = 60,
        fit: FitSettings | None = None,
        threshold: float | None = None,
        consecutive: int = 3,
        uniform: int | None = None,
    ) -> None:
        check_settings(head, rule, stride, interval, members, uniform)
        least = self.least_refit_steps if threshold is None else 0
        check_numbers("reward_model", least=least, whole=True, refit_steps=refit_steps)
        check_numbers("reward_model", least=0, whole=True, settle=settle)
        check_threshold(threshold, consecutive, head)
        if not views and encoder != "state":
            raise UserError(
                f"encoder={encoder} needs pictures: name views with env.views=[...], or set encoder=state for none"
            )
        self.needs = Needs(views=tuple(views) if encoder != "state" else (), stride=stride)
        self.head: Head = head
        self.rule: Rule = rule
        self.interval, self.uniform = interval, uniform
        self._members, self._encoder_name, self._settle = members, encoder, settle
        self._refit_steps = refit_steps
        self._settings = fit or FitSettings()
        self._net: ProgressNet | None = None
        self._shape: dict[str, int] = {}
        self._memory = blank_memory()
        self.success = TaskSuccess(EMBEDDING)
        self._cache: WeakKeyDictionary[Trace, Tensor] = WeakKeyDictionary()
        self._looks = Looks(EMBEDDING)
        self._threshold, self._consecutive = threshold, consecutive
        self._tracker = MilestoneTracker(interval, rule) if uniform is None else UniformTracker(uniform, rule)

    @property
    def spread_of(self) -> int | None:
        """Members of its network, whose deviation the uncertainty is; of milestones it is that of their hops."""
        return None if self.head == "milestones" and self._members > 1 else self._members

    # --- fitting -----------------------------------------------------------------------------------------------------

    def fit(
        self,
        demonstrations: Sequence[Trace],
        negatives: Sequence[Trace],
        seed: int,
        own: Sequence[Trace] = (),
    ) -> Mapping[str, float]:
        """Trains everything anew: the network on demonstrations and negatives, then the success detectors.

        ``own``: episodes of a policy that were judged successful, annotated where. They teach progress in scenes that
        the demonstrations do not show; what success looks like is learned from the demonstrations alone, since a
        detector that learns from its own verdicts drifts.

        Raises:
            UserError: without usable demonstrations (none, too short, no annotated success, missing views).
        """
        check_demonstrations(demonstrations, self.needs.stride)
        seed_everything(seed, "fit")
        self._build(demonstrations[0])
        net, views = self.net, self.needs.views
        positive, negative, tasks = training_frames(demonstrations, negatives, own, views, self._settle, seed)
        if isinstance(net.encoder, StateEncoder):
            net.encoder.normalise_by(positive.inputs)
        # more scenes take longer to learn
        settings = replace(self._settings, steps=2 * self._settings.steps) if own else self._settings
        losses = fit_progress(net, positive, negative, settings, tasks, self.head in READ_LEVELS)
        self._cache.clear()
        self._remember_demonstrations(demonstrations, self._settings.shift)
        return losses | self._fit_success(negatives, seed)

    def refit(self, episodes: Sequence[Trace], seed: int, steps: int | None = None) -> Mapping[str, float]:
        """Refits success: settled frames of an instruction's demonstrations against all frames of its ``episodes``.

        An unknown instruction counts as the nearest known one. The network stays as it is: refitted against the
        policy's frames it stopped being hacked and started to starve the policy in trials. With success refitted, a
        picture that fools it pays only until the next refit.
        """
        return self.success.refit(episodes, self.matched, self._memory, seed, steps or self._refit_steps)

    def _remember_demonstrations(self, demonstrations: Sequence[Trace], shift: int) -> None:
        if self.reads_instructions:
            self.success.tell_apart(different_instructions(d.task for d in demonstrations))
        told = (self.needs.views, self._settle, shift, self.success.known)
        self._memory = remember(self.net.encoder, demonstrations, *told)

    def _fit_success(self, negatives: Sequence[Trace], seed: int) -> dict[str, float]:
        return self.success.fit(negatives, self.matched, self._memory, seed, 3 * self._refit_steps)

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

    @property
    def frame_size(self) -> tuple[int, int] | None:
        """(height, width) of the pictures it was fitted on; None before the fit and without pictures."""
        return (self._shape["height"], self._shape["width"]) if self._shape.get("height") else None

    @torch.no_grad()
    def embed(self, trace: Trace) -> Tensor:
        """Embeddings (F, 64) of the trace's kept frames, remembered while the trace lives."""
        if trace not in self._cache:
            self._cache[trace] = embed_episode(self.net.encoder, trace, self.needs.views)
        return self._cache[trace]

    def matched(self, trace: Trace) -> Tensor:
        """The same in units of the demonstrations' spread: what the detector reads and what transport compares."""
        return self._memory.normalise(self.embed(trace))

    @torch.no_grad()
    def estimate_episode(self, trace: Trace) -> Estimate:
        """Estimates (F,) at the trace's kept frames, in one batch."""
        z = self.embed(trace)
        task = task_vector(trace.task).expand(len(z), -1)
        before = torch.cat([z[:1], z[:-1]])
        if self.head != "milestones":
            return self._estimate(z[:1].expand_as(z), before, z, task)
        walked = self._walk(list(z), task[0])  # an episode has one task
        held = None if self._threshold is None else held_above(walked, self._threshold, self._consecutive)
        return self._estimate(z[:1].expand_as(z), before, z, task, walked, held)

    @torch.no_grad()
    def begin(self, first: Observation, fresh: Flags) -> Estimate:
        """Remembers the first frame of fresh episodes; estimates (N,)."""
        z = self._looks.begin(self.net.encoder, seen_in(first, self.needs.views), fresh)
        self._tracker.begin(z, fresh)
        return self._now(z, self._tasks(first))

    def estimate(self, transition: Transition) -> Estimate:
        """Estimates (N,) of the state that was reached; gains since the last look."""
        return self.estimate_where(transition, np.ones(len(transition.terminated), bool))

    @torch.no_grad()
    def estimate_where(self, transition: Transition, look: Flags) -> Estimate:
        """As ``LooksApart``: worlds where ``look`` (N,) is False were not looked at and remember nothing of it."""
        seen, task = seen_in(transition.after, self.needs.views), self._tasks(transition.after)
        z = self._looks.at(self.net.encoder, seen, look)
        if self.head == "milestones":
            self._tracker.advance(lambda a, b, rows: self.net.hop(a, b, task[rows]).mean(0).numpy(), z, look)
        told = self._now(z, task)
        self._looks.remember(seen, z, look)
        return told

    @torch.no_grad()
    def success_by_head(self, trace: Trace) -> Floats:
        """p(success) (F,) by the network's own success head, which only ``fit`` trains."""
        inputs = inputs_of(trace, self.needs.views)
        task = task_vector(trace.task).expand(len(inputs), -1)
        out: Floats = torch.sigmoid(self.net.success_logit(self.net.encoder(inputs), task).mean(0)).numpy()
        return out

    def _now(self, z: Tensor, task: Tensor) -> Estimate:
        if self.head != "milestones":
            return self._estimate(self._looks.first, self._looks.before, z, task)
        held = None if self._threshold is None else self._tracker.held(self._threshold, self._consecutive)
        return self._estimate(self._looks.first, self._looks.before, z, task, self._tracker.progress(), held)

    def _estimate(
        self,
        first: Tensor,
        before: Tensor,
        z: Tensor,
        task: Tensor,
        walked: Floats | None = None,
        held: Floats | None = None,
    ) -> Estimate:
        members = absolute = self.net.progress(z, task)
        if self.head != "absolute":
            forward, backward = self.net.hop(first, z, task), self.net.hop(self._memory.goal.expand_as(z), z, task)
            hop = fuse(forward, backward)
            members = hop if self.head != "both" else (hop + absolute) / 2
        progress = members.mean(0).numpy() if walked is None else walked
        moved = (before != z).any(1).float()
        gain = (self.net.hop(before, z, task).mean(0) * moved).numpy()
        success = self.success.probability(self._memory.normalise(z), task) if held is None else held
        return Estimate(progress, gain, success, members.std(0, correction=0).numpy())

    def _walk(self, frames: list[Tensor], task: Tensor) -> Floats:
        def critic(i: int, j: int) -> float:
            return float(self.net.hop(frames[i][None], frames[j][None], task[None]).mean())

        return progress_along(critic, len(frames), self.interval, self.uniform, self.rule)

    def _build(self, trace: Trace) -> None:
        height = width = 0
        if self.needs.views:
            stack_views({v: f[:1] for v, f in trace.frames.items()}, self.needs.views)
            height, width = trace.frames[self.needs.views[0]].shape[1:3]
        self._shape = {"height": height, "width": width, "states": trace.state.shape[1]}
        self._make_net()

    def _make_net(self) -> None:
        self._looks.forget()
        encoder = make_encoder(self._encoder_name, len(self.needs.views), **self._shape)
        self._net = ProgressNet(encoder, self._members).eval()
        self.success = TaskSuccess(EMBEDDING)

    def _tasks(self, observation: Observation) -> Tensor:
        return torch.stack([task_vector(text) for text in observation.task])

    def state(self) -> dict[str, Any]:
        """Everything that a resumed run or a saved model needs, as nested dicts of tensors and numbers."""
        known = {"detector": self.success.state(), "memory": self._memory.state()}
        return {"shape": self._shape, "views": list(self.needs.views), **trained_weights(self.net), **known}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Takes back what ``state`` gave.

        Raises:
            UserError: if it was fitted for other views, or with other weights of a pretrained encoder, or is damaged.
        """
        if not {"shape", "views", "net", "detector", "memory"} <= set(state):
            raise UserError("this reward model was saved by another version of robo-reward: fit it again")
        if tuple(state["views"]) != self.needs.views:
            raise UserError(
                f"this reward model was fitted on views {list(state['views'])}, the configuration asks for "
                f"{list(self.needs.views)}: set reward_model.views"
            )
        self._shape = dict(state["shape"])
        self._make_net()
        load_trained(self.net, state["net"], state.get("frozen", {}))
        self.success.load_state(state["detector"])
        self._memory = recall(state["memory"])
        self._cache.clear()

    def save(self, folder: Path) -> None:
        """Writes weights as safetensors into ``folder``."""
        save_state(folder, "reward_model", self.state())

    def load(self, folder: Path) -> None:
        """Reads what ``save`` wrote."""
        self.load_state(load_state(folder, "reward_model"))
