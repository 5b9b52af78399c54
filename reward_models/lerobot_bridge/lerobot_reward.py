"""LeRobot's reward models behind our contract, with their processors: classifier, SARM, Robometer, TOPReward."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch

from robo_reward.contracts import Estimate, Flags, Floats, Needs, Observation, Transition
from robo_reward.errors import UserError
from robo_reward.reward_models.lerobot_bridge import loading, samples
from robo_reward.trace import Trace


class LeRobotReward:
    """Prices with a model that LeRobot saved; loaded when it is first needed.

    LeRobot's models give one number a sample. It stands for progress and for success alike: the classifier's success
    probability, SARM's and Robometer's progress, TOPReward's probability of "True" (never scaled per episode, which
    would make failures look like successes); of a plug-in's model the reward itself, from ``low`` to ``high``.
    Classifiers see single frames and price per step; the others see windows or the video so far and price whole
    episodes. ``pretrained``: folder or hub id. ``type``: what it must be, None: whatever it is. ``views``: cameras in
    the order of the model's own; None: those of its own names. ``stats``: the dataset whose statistics normalise, where
    they are not saved with the model. ``batch``: samples at once. Uncertainty is 0: LeRobot's models tell none.
    """

    name = "lerobot"
    gives_match = False
    gives_hops = False
    spread_of = 1

    def __init__(
        self,
        pretrained: str | None,
        type: str | None = None,
        views: Sequence[str] | None = None,
        stride: int = 3,
        batch: int = 16,
        device: str = "cpu",
        stats: str | None = None,
        low: float = 0.0,
        high: float = 1.0,
        trust_remote_code: bool = False,
    ) -> None:
        if pretrained is None:
            raise UserError("reward_model=lerobot needs reward_model.pretrained=FOLDER or a hub id of a reward model")
        if stride < 1 or batch < 1 or low >= high:
            raise UserError(f"stride={stride} and batch={batch} must be at least 1, and low={low} below high={high}")
        self._pretrained, self._type, self._views = str(pretrained), type, views
        self._stride, self._batch, self._device, self._stats = stride, batch, device, stats
        self._low, self._high, self._trust = low, high, trust_remote_code
        self._before: Floats = np.zeros(0, np.float32)

    @cached_property
    def needs(self) -> Needs:
        """Views, stride, and whether it prices whole episodes only, as the model's ``config.json`` says."""
        config = self._config
        views = self._views
        if views is None:
            views = [key.removeprefix(samples.VIEW_PREFIX) for key in samples.image_keys(config)]
        samples.keys_of_views(config, views)
        return Needs(tuple(views), self._stride, episode=samples.shape_of(config) != "frame")

    def begin(self, first: Observation, fresh: Flags) -> Estimate:
        """Estimates (N,) of first frames. UserError from models that price whole episodes."""
        seen = self._see(first)
        if len(self._before) != len(fresh):
            self._before = seen.copy()
        self._before[fresh] = seen[fresh]
        return _estimate(seen, self._before)

    def estimate(self, transition: Transition) -> Estimate:
        """Estimates (N,) of the state that was reached. UserError as ``begin``."""
        seen = self._see(transition.after)
        estimate = _estimate(seen, self._before)
        self._before = seen.copy()
        return estimate

    def estimate_episode(self, trace: Trace) -> Estimate:
        """Estimates (F,) at the kept frames, ``batch`` samples at a time."""
        missing = [view for view in self.needs.views if view not in trace.frames]
        if missing:
            raise UserError(f"the reward reads view(s) {missing}, the episode has {sorted(trace.frames)}")
        self._check_tasks([trace.task])
        count = len(trace.frame_steps)
        parts = [self._part(trace, range(at, min(at + self._batch, count))) for at in range(0, count, self._batch)]
        seen = np.concatenate(parts)
        return _estimate(seen, np.concatenate([seen[:1], seen[:-1]]))

    def _part(self, trace: Trace, at: range) -> Floats:
        shape = samples.shape_of(self._config)
        if shape == "window":
            return self._price(samples.window_batch(trace, at, self._keys, self._config))
        if shape == "prefix":
            return self._price(samples.prefix_batch(trace, at, self._keys, self._config))
        frames = {view: trace.frames[view][list(at)] for view in self.needs.views}
        states = trace.state[trace.frame_steps[list(at)]]
        return self._price(samples.frame_batch(frames, self._keys, states, [trace.task] * len(at)))

    def _see(self, observation: Observation) -> Floats:
        if self.needs.episode:
            raise UserError(
                f"reward_model.type={self._config.type} prices whole episodes; price it deferred (learner.pricing=auto)"
            )
        self._check_tasks(observation.task)
        frames = {view: observation.views[view] for view in self.needs.views}
        return self._price(samples.frame_batch(frames, self._keys, observation.state, observation.task))

    @torch.no_grad()
    def _price(self, batch: dict[str, Any]) -> Floats:
        """Values (B,) in [0, 1]."""
        loaded = self._loaded
        batch = loaded.before(batch)
        raw = torch.as_tensor(_value(loaded, batch)).float().cpu().reshape(-1).numpy()
        if not np.isfinite(raw).all():
            raise UserError(f"the {loaded.config.type} in '{self._pretrained}' gave values that are not finite: {raw}")
        scaled: Floats = np.clip((raw - self._low) / (self._high - self._low), 0, 1).astype(np.float32)
        return scaled

    def _check_tasks(self, tasks: Sequence[str]) -> None:
        if samples.shape_of(self._config) != "frame" and not all(task.strip() for task in tasks):
            raise UserError(f"reward_model.type={self._config.type} reads the instruction, and it is empty: set a task")

    @cached_property
    def _config(self) -> Any:
        return loading.read_config(self._pretrained, self._type, self._device)

    @cached_property
    def _keys(self) -> dict[str, str]:
        return samples.keys_of_views(self._config, self.needs.views)

    @cached_property
    def _loaded(self) -> loading.LoadedModel:
        return loading.load(self._config, self._stats, self._trust)


def _value(loaded: loading.LoadedModel, batch: dict[str, Any]) -> Any:
    """What the model says of each sample, in [0, 1] for LeRobot's own types."""
    model, config = loaded.model, loaded.config
    if config.type == "reward_classifier":  # compute_reward would give the thresholded answer
        said = model.predict([batch[key] for key in samples.image_keys(config)]).probabilities
        # several classes are stages in order: the expected one, as a share
        return said if said.ndim == 1 else said @ torch.linspace(0, 1, said.shape[1], device=said.device)
    if config.type == "sarm":  # the window is centred on the frame, as in LeRobot's own compute_rabc_weights
        parts = batch["text_features"], batch["video_features"], batch["state_features"], batch["lengths"]
        return model.calculate_rewards(*parts, frame_index=config.n_obs_steps // 2)
    reward = model.compute_reward(batch)
    return reward.exp() if config.type == "topreward" and not np.isfinite(config.success_threshold) else reward


def _estimate(seen: Floats, before: Floats) -> Estimate:
    return Estimate(seen, (seen - before).astype(np.float32), seen.copy(), np.zeros_like(seen))
