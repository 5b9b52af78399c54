"""What all learners share that go on from a policy which the ``policy`` group names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class GivenPolicy:
    """Holds the policy's recipe until the learner builds it (``grpo.built_policy``)."""

    _recipe: Any = None

    def take_policy(self, recipe: Any) -> None:
        """The policy to go on from."""
        self._recipe = recipe

    def policy_views(self, available: Sequence[str]) -> Sequence[str]:
        """Which of the available views the policy looks at."""
        views: Sequence[str] = self._recipe.views_of(available)
        return views
