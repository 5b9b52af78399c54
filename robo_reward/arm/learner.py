"""The protocol of what learns beside an arm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from robo_reward.arm.episode import ArmEpisode
from robo_reward.contracts import Policy
from robo_reward.reward_stack import RewardStack


class ArmLearner(Protocol):
    """Takes episodes of an arm, works a little whenever it is asked to, and gives a policy at any time."""

    def begin(self, demonstrations: Sequence[ArmEpisode], stack: RewardStack, seed: int) -> None: ...

    def prepare(self) -> Mapping[str, float]: ...

    def hear(self, episode: ArmEpisode) -> None: ...

    def work(self) -> Mapping[str, float] | None: ...

    @property
    def corrects(self) -> bool: ...

    def mode(self, number: int) -> str: ...

    def acting(self, mode: Any) -> Policy: ...

    def state(self) -> dict[str, Any]: ...

    def load(self, state: Mapping[str, Any], episodes: Sequence[ArmEpisode]) -> None: ...
