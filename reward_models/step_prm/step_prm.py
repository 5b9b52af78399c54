"""step_prm: progress from hops, seen from the moment before, from the start and from the goal (Robo-Dopamine's GRM).

Source: Robo-Dopamine (arXiv 2512.23703) section 3. The hops come from a compact network that is trained here, or from
a vision-language checkpoint (``VlmHops``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray

from robo_reward.bounds import check_numbers
from robo_reward.contracts import Estimate, Flags, Floats, Frames, Needs, Observation, Transition
from robo_reward.errors import UserError, unknown_name
from robo_reward.reward_models.frames import check_demonstrations
from robo_reward.reward_models.step_prm.anchors import GoalAnchors
from robo_reward.reward_models.step_prm.compact_hops import FEATURES, CompactHops
from robo_reward.reward_models.step_prm.fusion import Fusion, Perspective
from robo_reward.reward_models.step_prm.hop_backend import HopBackend
from robo_reward.reward_models.step_prm.hop_learning import HopLearning
from robo_reward.reward_models.step_prm.hop_training import HopFit
from robo_reward.reward_models.step_prm.keyframes import RULES, KeyframeRule
from robo_reward.reward_models.step_prm.moments import Judged, Moments, ask
from robo_reward.runs.checkpoint import load_state, save_state
from robo_reward.seeding import seed_everything
from robo_reward.trace import Trace

GOLD = 0.05
"""Without a detector an episode counts as done from progress 1 - GOLD on (the paper's delta)."""


class StepPrm:
    """Progress by three perspectives and their fusion, for several tasks told apart by their instructions.

    ``views``: camera names, the front view first. ``stride``: steps between priced frames. ``perspective``: ``fused``,
    or one of ``incremental``, ``forward``, ``backward``. ``consistency``: alpha of the consistency check, None for
    none. ``keyframes``: how sub-tasks are found. ``references``: demonstrations per task whose last frame is a goal.
    ``settle``: steps after the first success at which progress reaches 1. ``backend``: None for the compact network
    with ``layers`` and ``heads``.

    The start anchor is the episode's first frame. ``fallbacks`` counts moments priced without a goal anchor, because no
    demonstration had their instruction.
    """

    reads_instructions = True
    gives_match = False
    takes_fewer_views = True
    adaptable_settings = ("stride", "perspective", "consistency", "keyframes", "settle", "refit_steps", "fit")
    """What ``fit adapt_from`` may change of a saved one; all else is what its weights and goals were made for."""

    def __init__(
        self,
        views: Sequence[str],
        stride: int = 3,
        perspective: Perspective = "fused",
        consistency: float | None = None,
        keyframes: KeyframeRule = "none",
        references: int = 3,
        settle: int = 3,
        layers: int = 2,
        heads: int = 4,
        refit_steps: int = 60,
        backend: HopBackend | None = None,
        fit: HopFit | None = None,
    ) -> None:
        if keyframes not in RULES:
            raise unknown_name("rule for keyframes", keyframes, RULES)
        if not views:
            raise UserError("reward_model=step_prm compares pictures: name views with env.views=[...]")
        check_numbers("reward_model=step_prm", least=1, whole=True, stride=stride, refit_steps=refit_steps)
        check_numbers("reward_model=step_prm", least=0, whole=True, settle=settle)
        self.needs = Needs(views=tuple(views), stride=stride)
        self.fusion = Fusion(perspective, consistency)
        self.backend: HopBackend = backend or CompactHops(views, layers, heads)
        self.goals = GoalAnchors(references)
        self._refit_steps = refit_steps
        self._learning: HopLearning | None = None
        if isinstance(self.backend, CompactHops):
            self._learning = HopLearning(self.backend, fit or HopFit(), keyframes, settle)
        self._without_goal = 0
        self._judged: WeakKeyDictionary[Trace, Judged] = WeakKeyDictionary()
        self._start: dict[str, Frames] = {}
        self._last: dict[str, Frames] = {}
        self._progress: Floats = np.zeros(0, np.float32)

    @property
    def parse_failures(self) -> int | None:
        """Answers of a vision-language backend that could not be read; None for the compact network."""
        return getattr(self.backend, "parse_failures", None)

    @property
    def fallbacks(self) -> int:
        """Moments priced without a goal anchor, and hops for which a backend's answer could not be read."""
        return self._without_goal + int(getattr(self.backend, "fallbacks", 0))

    # --- fitting -----------------------------------------------------------------------------------------------------

    def fit(
        self, demonstrations: Sequence[Trace], negatives: Sequence[Trace], seed: int, own: Sequence[Trace] = ()
    ) -> Mapping[str, float]:
        """Keeps the goals; trains the compact network anew on all tasks at once. A released checkpoint stays as it is.

        ``own``: a policy's episodes that were judged successful and annotated: they teach progress, not goals.

        Raises:
            UserError: without usable demonstrations (none, too short, no annotated success, missing views).
        """
        self._check(demonstrations)
        self.goals.clear()
        self.goals.remember(demonstrations, self.needs.views)
        self._judged.clear()
        if self._learning is None:
            return {}
        seed_everything(seed, "fit")
        losses = self._learning.fit(demonstrations, negatives, seed, own)
        return {**losses, **self._refit(demonstrations, negatives, 3 * self._refit_steps)}

    def adapt(
        self, demonstrations: Sequence[Trace], negatives: Sequence[Trace], seed: int, rehearse: Sequence[Trace] = ()
    ) -> Mapping[str, float]:
        """One-shot adaptation: goes on training on the hops of one or few demonstrations of a new task (section 3.4).

        ``rehearse``: demonstrations of earlier tasks that join them, so that those are not forgotten.

        Raises:
            UserError: as ``fit``, without a fitted model, and where nothing is trained that could be rehearsed.
        """
        self._check(demonstrations)
        if rehearse and self._learning is None:
            raise UserError("a released checkpoint is not trained here, it keeps its goals: leave out rehearse=")
        self.goals.remember(demonstrations, self.needs.views)
        self._judged.clear()
        if self._learning is None:
            return {}
        seed_everything(seed, "adapt")
        losses = self._learning.adapt(demonstrations, negatives, seed, rehearse)
        return {**losses, **self._refit([*demonstrations, *rehearse], negatives, 3 * self._refit_steps)}

    def refit(self, episodes: Sequence[Trace], seed: int) -> Mapping[str, float]:
        """Refits the success detector against all frames of ``episodes``; hops stay as they are."""
        if not episodes or self._learning is None:
            return {}
        seed_everything(seed, "refit")
        return {
            "refit/detector": self._learning.success.fit([self._read(t).features for t in episodes], self._refit_steps)
        }

    def _refit(self, demonstrations: Sequence[Trace], negatives: Sequence[Trace], steps: int) -> Mapping[str, float]:
        assert self._learning is not None
        self._learning.show_success(demonstrations, [self._read(d).features for d in demonstrations])
        return {"refit/detector": self._learning.success.fit([self._read(t).features for t in negatives], steps)}

    def _check(self, demonstrations: Sequence[Trace]) -> None:
        check_demonstrations(demonstrations, self.needs.stride)
        front = self.needs.views[0]
        for number, demonstration in enumerate(demonstrations):
            if front not in demonstration.frames:
                raise UserError(
                    f"demonstration {number} has no view '{front}', only {sorted(demonstration.frames)}: anchors are "
                    "taken from the first of reward_model.views, so put a view first that all demonstrations have"
                )

    # --- estimates ---------------------------------------------------------------------------------------------------

    def estimate_episode(self, trace: Trace) -> Estimate:
        """Estimates (F,) at the trace's kept frames, in one batch."""
        judged = self._read(trace)
        rows: list[Floats] = [np.zeros(1, np.float32)]
        spreads: list[Floats] = []
        for k in range(len(judged.hops.step)):
            progress, spread = self.fusion(rows[-1], judged.hops.at(slice(k, k + 1)))
            rows.append(progress)
            spreads.append(spread)
        return self._estimate(judged, np.concatenate(rows[1:]), np.concatenate(spreads))

    def begin(self, first: Observation, fresh: Flags) -> Estimate:
        """Remembers the first frames of fresh episodes; estimates (N,), of which only theirs are judged, others 0."""
        now = self._see(first)
        if len(self._progress) != len(fresh) or now.keys() != self._start.keys():
            self._start, self._last = {v: f.copy() for v, f in now.items()}, {v: f.copy() for v, f in now.items()}
            self._progress = np.zeros(len(fresh), np.float32)
        for view, frames in now.items():
            self._start[view][fresh], self._last[view][fresh] = frames[fresh], frames[fresh]
        self._progress[fresh] = 0.0
        seen = self._step(now, first.task, np.asarray(fresh, bool))
        self._progress = np.where(fresh, seen.progress, self._progress)
        return seen

    def estimate(self, transition: Transition) -> Estimate:
        """Estimates (N,) of the state that was reached; gains since the last look."""
        return self.estimate_where(transition, np.ones(len(transition.terminated), bool))

    def estimate_where(self, transition: Transition, look: Flags) -> Estimate:
        """As ``LooksApart``: only worlds where ``look`` (N,) is True are judged; the others' rows are 0."""
        now = self._see(transition.after)
        seen = self._step(now, transition.after.task, look)
        for view, frames in now.items():
            self._last[view][look] = frames[look]
        self._progress = np.where(look, seen.progress, self._progress)
        return seen

    def _step(self, now: Mapping[str, Frames], task: tuple[str, ...], look: Flags) -> Estimate:
        count, at = len(task), np.flatnonzero(look)
        frames = {view: np.concatenate([now[view], self._last[view], self._start[view]]) for view in now}
        judged = self._judge(Moments(frames, at, at + count, at + 2 * count, [task[k] for k in at]))
        progress, spread = self.fusion(self._progress[at], judged.hops)
        return _spread_out(self._estimate(judged, progress, spread), at, count)

    def _read(self, trace: Trace) -> Judged:
        """The hops to every kept frame of an episode, remembered while it lives."""
        if trace not in self._judged:
            at = np.arange(len(trace.frame_steps))
            if not len(at):
                raise UserError("an episode without kept frames cannot be priced: keep at least its first and last")
            moments = Moments(
                self._pick(trace.frames), at, np.maximum(at - 1, 0), np.zeros_like(at), (trace.task,) * len(at)
            )
            self._judged[trace] = self._judge(moments)
        return self._judged[trace]

    def _judge(self, moments: Moments) -> Judged:
        question = ask(moments, self.goals)
        self._without_goal += question.without_goal
        if isinstance(self.backend, CompactHops):
            if not len(question.batch):  # nothing moved, and no goal is known
                return Judged(question.hops(np.zeros(0, np.float32)), question.features(torch.zeros(0, FEATURES)))
            answers, features = self.backend.judge(question.batch)
            return Judged(question.hops(answers.clamp(-1, 1).numpy()), question.features(features))
        hops = self.backend.hops(question.batch) if len(question.batch) else np.zeros(0, np.float32)
        return Judged(question.hops(hops), torch.zeros(len(moments.now), 0))

    def _estimate(self, judged: Judged, progress: Floats, spread: Floats) -> Estimate:
        if self._learning is not None:
            success = self._learning.success.probability(judged.features)
        else:  # a steep step at the paper's threshold
            success = (1 / (1 + np.exp(-(progress - (1 - GOLD)) / (GOLD / 4)))).astype(np.float32)
        return Estimate(progress, np.nan_to_num(judged.hops.step), success, spread)

    def _see(self, observation: Observation) -> dict[str, Frames]:
        return {view: np.array(frames) for view, frames in self._pick(observation.views).items()}

    def _pick(self, frames: Mapping[str, Frames]) -> dict[str, Frames]:
        """Those of our views that are there; at least one must be."""
        known = {view: frames[view] for view in self.needs.views if view in frames}
        if not known:
            raise UserError(
                f"the reward reads view(s) {list(self.needs.views)}, but the frames have {sorted(frames)}: "
                "set env.views"
            )
        return known

    # --- on disk -----------------------------------------------------------------------------------------------------

    @property
    def frame_size(self) -> tuple[int, int] | None:
        """(height, width) of the pictures it was fitted on; None before the fit, and where any size will do."""
        if isinstance(self.backend, CompactHops) and self.backend.height:
            return self.backend.height, self.backend.width
        return None

    def state(self) -> dict[str, Any]:
        """Everything that a resumed run or a saved model needs, as nested dicts of tensors and numbers."""
        learned = None if self._learning is None else self._learning.state()
        return {"kind": "step_prm", "goals": self.goals.state(), "learned": learned}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Takes back what ``state`` gave.

        Raises:
            UserError: if it is no step_prm, or was made for other views, another backend or another network.
        """
        if not isinstance(state, Mapping) or state.get("kind") != "step_prm":
            raise UserError("these weights are not those of a step_prm: fit it again, or give another path")
        if (state["learned"] is None) != (self._learning is None):
            raise UserError("this step_prm was saved with another kind of backend: set reward_model.backend as it was")
        if self._learning is not None:
            self._learning.load_state(state["learned"])
        self.goals.load_state(state["goals"])
        self._judged.clear()

    def save(self, folder: Path) -> None:
        """Writes weights and goals as safetensors into ``folder``."""
        save_state(folder, "reward_model", self.state())

    def load(self, folder: Path) -> None:
        """Reads what ``save`` wrote."""
        self.load_state(load_state(folder, "reward_model"))


def _spread_out(seen: Estimate, at: NDArray[np.int64], count: int) -> Estimate:
    """The rows of ``seen`` at ``at`` among ``count``, zeros elsewhere."""
    rows = np.zeros((4, count), np.float32)
    rows[:, at] = seen.progress, seen.gain, seen.success, seen.uncertainty
    return Estimate(*rows)
