"""Ends an episode when a success classifier has been sure for some looks in a row: no simulator is asked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from robo_reward.build import load_reward_model
from robo_reward.contracts import Flags, Needs, Observation, RewardModel, Transition
from robo_reward.errors import UserError
from robo_reward.separate_looks import SeparateLooks
from robo_reward.traits import traits_of


class SuccessStop:
    """For ``hook=success_stop``, ``rollout(stopper=...)`` and ``RewardedEnv(stopper=...)``.

    An episode stops at the ``consecutive``-th look in a row with p(success) >= ``threshold``; looks are the model's own
    stride apart. One frame that fools the classifier stops nothing.
    """

    def __init__(self, model: RewardModel, threshold: float, consecutive: int = 2) -> None:
        """UserError for a threshold outside (0, 1], fewer than 1 look, or a model that prices whole episodes only."""
        if not 0 < threshold <= 1 or consecutive < 1:
            raise UserError(
                f"threshold={threshold} must be above 0 and at most 1, consecutive={consecutive} at least 1: a success "
                "is a probability reached in that many looks"
            )
        if model.needs.episode:
            raise UserError("a reward model that prices whole episodes cannot stop one: use success_classifier")
        self._model, self.threshold, self._consecutive = model, threshold, consecutive
        self._looks = SeparateLooks(model)
        self.needs: Needs = model.needs
        self._sure: NDArray[np.int64] = np.zeros(0, np.int64)
        self._age: NDArray[np.int64] = np.zeros(0, np.int64)

    @property
    def frame_size(self) -> tuple[int, int] | None:
        """(height, width) of the pictures that the classifier was fitted on; None where it does not say."""
        return getattr(self._model, "frame_size", None)

    def begin(self, first: Observation, fresh: Flags) -> None:
        """Episodes where ``fresh`` (N,) is True start anew; the first frame is not a look."""
        self._looks.begin(first, fresh)
        self._forget(fresh)

    def stops(self, transition: Transition) -> Flags:
        """(N,) the episodes that this look ends."""
        self._age = self._age + 1
        look: Flags = self._age % self.needs.stride == 0
        if not look.any():
            return look
        return self._judged(look, np.asarray(self._looks.estimate_where(transition, look).success))

    # --- inside ------------------------------------------------------------------------------------------------------

    def _judged(self, look: Flags, probability: NDArray[np.float32]) -> Flags:
        sure = np.where(probability >= self.threshold, self._sure + 1, 0)
        self._sure = np.where(look, sure, self._sure)
        return look & (self._sure >= self._consecutive)

    def _forget(self, fresh: Flags) -> None:
        same = len(self._sure) == len(fresh)
        self._sure = np.where(fresh, 0, self._sure if same else 0)
        self._age = np.where(fresh, 0, self._age if same else 0)


def load_success_stop(path: str | None, threshold: float | None = None, consecutive: int = 2) -> SuccessStop:
    """The stop of a yaml: the fitted reward model in ``path``, and its own threshold unless one is given.

    Raises:
        UserError: without a path, or if the model has no threshold and none is given.
    """
    if path is None:
        raise UserError(
            "success_stop needs a fitted classifier: robo-reward fit reward_model=success_classifier, path=..."
        )
    model = load_reward_model(Path(path))
    if threshold is None:
        threshold = traits_of(model).threshold
        if threshold is None:
            raise UserError(f"the {type(model).__name__} in '{path}' has no threshold of its own: give threshold=0.5")
    return SuccessStop(model, threshold, consecutive)
