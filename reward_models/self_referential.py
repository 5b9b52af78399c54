"""The self-referential reward: episodes are priced by how near they come to the policy's own successes (SRPO)."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from robo_reward.contracts import Estimate, Flags, Floats, Needs, Observation, Oracle, Transition
from robo_reward.errors import UserError, unknown_name
from robo_reward.reward_models.milestones import held_above
from robo_reward.reward_models.progress import ProgressModel
from robo_reward.reward_models.self_reference import (
    Array,
    Form,
    Space,
    check_space,
    failure_share,
    group_rewards,
    nearest,
    success_centres,
    unit,
)
from robo_reward.trace import Trace

_WHOLE = "reward_model=self_referential prices whole episodes; price it deferred (learner.pricing=auto)"
VERDICTS: tuple[Oracle, ...] = ("none", "success")
_SURE, _IN_A_ROW = 0.5, 2  # what the detector must say, and in how many frames in a row, to call an episode a success


class SelfReferentialModel(ProgressModel):
    """Successes earn 1, failures a share that falls with their distance to the nearest centre of successes.

    An episode is embedded as the mean of its frames' embeddings at ``samples`` evenly spaced moments (longer episodes
    are thinned, shorter ones repeat). ``estimate_group`` prices a group by its own successes of the same task, as
    SRPO does (arXiv 2511.15605); a group without any refers to the memory, if ``borrow``. ``estimate_episode`` refers
    to the memory alone: demonstrations and the episodes that the detector called successes at ``refit``, the latest
    ``memory`` of them, with the failures that it saw as the scale; progress at a frame is the reward of the episode up
    to there. Who succeeded is asked of the detector, never of the simulator, unless a caller says it.
    """

    knows_progress = False
    gives_hops = False

    def __init__(
        self,
        *args: Any,
        form: Form = "min_max",
        alpha: float | None = None,
        space: Space = "cosine",
        eps: float | None = None,
        min_samples: int = 2,
        components: int = 8,
        samples: int = 64,
        memory: int = 64,
        borrow: bool = True,
        oracle: Oracle = "none",
        **kwargs: Any,
    ) -> None:
        """``form``, ``alpha``: ``failure_share``'s; ``space``, ``eps``, ``min_samples``, ``components``: those of
        ``success_centres``; ``oracle``: none or success; the rest as for the progress model."""
        super().__init__(*args, **kwargs)
        check_space(space, eps, min_samples, components)
        if samples < 1 or memory < 1 or (alpha is not None and not 0 < alpha < 1):
            raise UserError(
                f"samples={samples} and memory={memory} must be at least 1, alpha={alpha} between 0 and 1: a failure "
                "earns less than a success"
            )
        failure_share(np.zeros(1), form)  # refuses an unknown form
        if oracle not in VERDICTS:
            raise unknown_name("oracle of reward_model=self_referential", str(oracle), VERDICTS)
        self.needs = Needs(self.needs.views, self.needs.stride, episode=True, oracle=oracle)
        self.form: Form = form
        self.space: Space = space
        self._alpha, self._eps, self._min_samples, self._components = alpha, eps, min_samples, components
        self._samples, self._limit, self._borrow = samples, memory, borrow
        self._known: dict[str, Array] = {}
        self._failures: dict[str, Array] = {}

    # --- fitting -----------------------------------------------------------------------------------------------------

    def fit(
        self,
        demonstrations: Sequence[Trace],
        negatives: Sequence[Trace],
        seed: int,
        own: Sequence[Trace] = (),
    ) -> Mapping[str, float]:
        """As the progress model's; then the demonstrations are the first known successes and ``negatives`` failures.

        One failure of a task gives the distances of others no scale: a warning says so.
        """
        self._known, self._failures = {}, {}
        losses = dict(super().fit(demonstrations, negatives, seed, own))
        self._remember(self._known, [d.cut(self._settled(d)) for d in (*demonstrations, *own)])
        self._remember(self._failures, negatives)
        self._warn_without_scale()
        return losses

    def _warn_without_scale(self) -> None:
        for task in self._known:
            if len(self._failures.get(task, ())) == 1:
                warnings.warn(
                    f"reward_model=self_referential knows 1 failure of {task!r}, which gives distances no scale: until "
                    "refits bring more, all failures earn the same (min_max) or all or nothing (z_score); fit it on 2 "
                    "or more (negatives.random=2)",
                    stacklevel=3,
                )

    def refit(self, episodes: Sequence[Trace], seed: int, steps: int | None = None) -> Mapping[str, float]:
        """Sorts ``episodes`` into known successes and failures by the detector as it is, then refits it."""
        if self._known:  # within fit the detector has learned nothing yet that it could sort by
            called = [self._succeeded(trace) for trace in episodes]
            self._remember(self._known, [t for t, yes in zip(episodes, called, strict=True) if yes])
            self._remember(self._failures, [t for t, yes in zip(episodes, called, strict=True) if not yes])
        return super().refit(episodes, seed, steps)

    # --- estimates ---------------------------------------------------------------------------------------------------

    def called_success(self, trace: Trace) -> bool:
        """Whether the detector is sure of a success in two priced frames in a row."""
        return bool(held_above(super().estimate_episode(trace).success, _SURE, _IN_A_ROW)[-1:].any())

    def estimate_group(self, traces: Sequence[Trace], success: Flags | None = None) -> Floats:
        """Rewards (G,) float32 in [0, 1]; ``success`` (G,), or what the detector says (the simulator with an oracle).

        Raises:
            UserError: for a group without episodes, with another number of verdicts, or without the oracle's.
        """
        if not traces or (success is not None and len(success) != len(traces)):
            raise UserError(f"a group of {len(traces)} episodes has {0 if success is None else len(success)} verdicts")
        called = np.asarray([self._succeeded(t) for t in traces] if success is None else success, bool)
        embedded = np.stack([self.episode_embedding(trace) for trace in traces])
        tasks = np.asarray([trace.task for trace in traces])
        rewards = np.zeros(len(traces))
        for task in dict.fromkeys(tasks.tolist()):
            mine = tasks == task
            own = embedded[mine & called]
            references = own if len(own) or not self._borrow else self._known.get(task, own)
            rewards[mine] = group_rewards(
                embedded[mine], called[mine], self._centres(references), self.form, self._alpha
            )
        return rewards.astype(np.float32)

    @property
    def spread_of(self) -> int | None:
        """Not known: its progress is a distance, no mean of what the network's members say."""
        return None

    def estimate_episode(self, trace: Trace) -> Estimate:
        """Estimates (F,): the reward of the episode up to each frame, by the memory of its task (else of all tasks)."""
        seen = super().estimate_episode(trace)
        known, failures = self._memory_of(self._known, trace.task), self._memory_of(self._failures, trace.task)
        centres = self._centres(known)
        frames = self._frames(trace)
        prefixes = self._scaled(np.stack([_pooled(frames[: k + 1], self._samples) for k in range(len(frames))]))
        scale = nearest(failures, centres) if len(failures) else nearest(known, centres) + 1
        share = failure_share(nearest(prefixes, centres), self.form, self._alpha, scale)
        done = held_above(seen.success, _SURE, _IN_A_ROW)
        progress = np.where(done > 0, 1.0, share).astype(np.float32)
        gain = np.diff(progress, prepend=progress[:1]).astype(np.float32)
        return Estimate(progress, gain, seen.success, seen.uncertainty)

    def begin(self, first: Observation, fresh: Flags) -> Estimate:
        """Refused: an episode is embedded as a whole."""
        raise UserError(_WHOLE)

    def estimate(self, transition: Transition) -> Estimate:
        """Refused, as ``begin``."""
        raise UserError(_WHOLE)

    def episode_embedding(self, trace: Trace) -> Array:
        """The episode as (Z,); of length 1 in the cosine space."""
        return np.asarray(self._scaled(_pooled(self._frames(trace), self._samples)))

    # --- inside ------------------------------------------------------------------------------------------------------

    def _succeeded(self, trace: Trace) -> bool:
        if self.needs.oracle == "none":
            return self.called_success(trace)
        if trace.env_reward is None:
            raise UserError(
                "reward_model.oracle=success asks the simulator who succeeded, which this episode does not hold: "
                "leave it out (the detector tells), or play episodes in a world that tells"
            )
        return bool((trace.env_reward > 0).any())

    def _frames(self, trace: Trace) -> Array:
        if len(trace.frame_steps) == 0:
            raise UserError("an episode without kept frames cannot be priced: keep at least its first and last frame")
        return np.asarray(self.matched(trace).numpy().astype(np.float64))

    def _scaled(self, embedding: Array) -> Array:
        return unit(embedding) if self.space == "cosine" else embedding

    def _centres(self, successes: Array) -> Array:
        return success_centres(successes, self.space, self._eps, self._min_samples, self._components)

    def _settled(self, demonstration: Trace) -> int:
        """What the expert does after success says nothing about succeeding; a few steps of it show the end."""
        return min(len(demonstration), (demonstration.success_step or len(demonstration)) + self._settle)

    def _remember(self, memory: dict[str, Array], episodes: Sequence[Trace]) -> None:
        for trace in episodes:
            held = memory.get(trace.task)
            row = self.episode_embedding(trace)[None]
            memory[trace.task] = row if held is None else np.concatenate([held, row])[-self._limit :]

    def _memory_of(self, memory: dict[str, Array], task: str) -> Array:
        if not self._known:
            raise UserError("this reward is not fitted: give reward_model.path=FOLDER, or fit it on demonstrations")
        if task in memory:
            return memory[task]
        return np.concatenate([np.zeros((0, self._width())), *memory.values()])

    def _width(self) -> int:
        return int(next(iter(self._known.values())).shape[1])

    def state(self) -> dict[str, Any]:
        """The progress model's, with what is known of successes and failures."""
        return super().state() | {"successes": dict(self._known), "failures": dict(self._failures)}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Takes back what ``state`` gave."""
        super().load_state(state)
        self._known, self._failures = dict(state["successes"]), dict(state["failures"])


def _pooled(frames: Array, samples: int) -> Array:
    """The mean (Z,) of frames (F, Z) at ``samples`` evenly spaced moments."""
    index = np.linspace(0, len(frames) - 1, samples).round().astype(np.int64)
    return np.asarray(frames[index].mean(0))
