"""What of a step_prm is learned here: the compact network's training, its adaptation, and the success detector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from robo_reward.errors import UserError
from robo_reward.reward_models.frames import settled_step
from robo_reward.reward_models.image_encoder import stack_views
from robo_reward.reward_models.step_prm.compact_hops import FEATURES, CompactHops
from robo_reward.reward_models.step_prm.hop_episodes import HopEpisode, demonstration_episodes, negative_episodes
from robo_reward.reward_models.step_prm.hop_success import HopSuccess
from robo_reward.reward_models.step_prm.hop_training import HopFit
from robo_reward.reward_models.step_prm.keyframes import KeyframeRule
from robo_reward.seeding import derive_rng
from robo_reward.trace import Trace


class HopLearning:
    """Trains ``backend`` by ``settings``; ``rule`` and ``settle`` say what demonstrations are labelled with."""

    def __init__(self, backend: CompactHops, settings: HopFit, rule: KeyframeRule, settle: int) -> None:
        self.backend, self.settings = backend, settings
        self._rule: KeyframeRule = rule
        self._settle = settle
        self.success = HopSuccess(2 * FEATURES)

    def fit(
        self, demonstrations: Sequence[Trace], negatives: Sequence[Trace], seed: int, own: Sequence[Trace] = ()
    ) -> Mapping[str, float]:
        """Trains a new network. ``own``: a policy's successes; where keyframes are annotated, those that have some."""
        first = demonstrations[0].frames
        front = first[self.backend.views[0]]
        stack_views({view: frames[:1] for view, frames in first.items()}, [v for v in self.backend.views if v in first])
        self.backend.start(front.shape[1], front.shape[2])
        self.success = HopSuccess(2 * FEATURES)
        labelled = [*demonstrations, *(trace for trace in own if self._rule != "annotated" or trace.keyframes)]
        return {"fit/hop": self.backend.train(self._episodes(labelled, negatives, seed), self.settings)}

    def adapt(
        self, demonstrations: Sequence[Trace], negatives: Sequence[Trace], seed: int, rehearse: Sequence[Trace]
    ) -> Mapping[str, float]:
        """Goes on training the network that is there, for fewer and smaller steps.

        The new demonstrations are drawn about as often as those that are rehearsed, however few they are.
        """
        s = self.settings
        gentle = replace(s, steps=max(1, round(s.adapt_share * s.steps)), learning_rate=s.learning_rate / 2)
        new = self._episodes(demonstrations, negatives, seed)
        again = [e for e in new if e.kind == "demonstration"] * max(0, len(rehearse) // len(demonstrations) - 1)
        episodes = [*new, *again, *(self._episodes(rehearse, [], seed) if rehearse else [])]
        return {"adapt/hop": self.backend.train(episodes, gentle)}

    def show_success(self, demonstrations: Sequence[Trace], features: Sequence[Tensor]) -> None:
        """Tells the detector what the demonstrations' ends look like."""
        steps = [torch.from_numpy(d.frame_steps) for d in demonstrations]
        settled = [s >= settled_step(d, self._settle) for d, s in zip(demonstrations, steps, strict=True)]
        before = [s < max(d.success_step or 0, 1) for d, s in zip(demonstrations, steps, strict=True)]
        self.success.show(features, settled, before)

    def _episodes(self, demonstrations: Sequence[Trace], negatives: Sequence[Trace], seed: int) -> list[HopEpisode]:
        s, views = self.settings, self.backend.views
        rng = derive_rng(seed, "hop pairs")
        made = demonstration_episodes(demonstrations, views, self._settle, self._rule, s.chunk, s.samples, rng)
        first = min(d.success_step or len(d) for d in demonstrations)
        return made + negative_episodes(negatives, views, first)

    def state(self) -> dict[str, Any]:
        """For saving."""
        return {"backend": self.backend.state(), "success": self.success.state()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Takes back what ``state`` gave."""
        if not isinstance(state, Mapping) or not {"backend", "success"} <= set(state):
            raise UserError("this step_prm was saved by another version of robo-reward: fit it again")
        self.backend.load_state(state["backend"])
        self.success = HopSuccess(2 * FEATURES)
        self.success.load_state(state["success"])
