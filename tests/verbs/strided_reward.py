"""The paper world's reward model with a stride of its own."""

from typing import Any

from paper_world import PaperReward  # type: ignore[import-not-found]

from robo_reward.contracts import Needs


class StridedReward(PaperReward):  # type: ignore[misc]
    """Looks at every ``stride``-th step."""

    def __init__(self, views: list[str], stride: int, oracle: Any = "none") -> None:
        super().__init__(views, oracle)
        self.needs = Needs(views=tuple(views), stride=stride, oracle=oracle)
