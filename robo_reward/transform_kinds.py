"""What kinds of transforms there are beyond the plain one, and what a transform tells of itself so that a chain can be
checked.

Most transforms are a ``RewardTransform``: one world, one step, nothing but the past. Two further kinds are told apart
by a method of their own: an ``EstimateFilter`` changes what the pieces after it see, an ``EpisodeTransform`` must know
how an episode went on, or how the others of its group went.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

from robo_reward.contracts import Estimate, Floats, RewardTransform
from robo_reward.trace import Trace

Role = Literal["objective", "potential", "reshape", "filter", "unknown"]
Scope = Literal["step", "running", "episode", "group"]
Pays = Literal["level", "change", "event"]
AtEnd = Literal["cut", "lasts", "completes"]


@dataclass(frozen=True, slots=True)
class Nature:
    """What a chain must know of a transform.

    ``role``: an ``objective`` adds to the reward; a ``potential`` adds shaping that leaves the optimum alone; a
    ``reshape`` is a function of the reward so far; a ``filter`` changes the estimate that the pieces after it see.
    ``scope``: ``step`` needs the world's own past; ``running`` statistics of all worlds so far, so that it can only
    price as the worlds go; ``episode`` an episode that is over; ``group`` several of them, compared with each other.
    ``pays``: what an objective pays for: a ``level`` at every step, a ``change``, or an ``event``.
    ``source``: the estimate that it reads, or that a filter changes. ``gamma``: what it takes for the learner's
    discount of a step, where it must be that; ``steps`` of them are one transition. ``low``, ``high``: the range that
    a reshape confines the reward to. ``scales``: it only rescales what came before, by a factor that a group shares.
    ``lifts``: a reshape that pays even for nothing, so at every step, as a level does. ``at_end``: where an episode
    terminates in success its pay is ``cut`` short, as a level's is, or ``lasts`` (the end is paid as if for ever), or
    it ``completes`` the levels before it, so that they last. ``spread_of``: it takes the uncertainty for the deviation
    of so many opinions, 0 of any number.
    """

    role: Role
    scope: Scope = "step"
    pays: Pays | None = None
    source: str | None = None
    gamma: float | None = None
    low: float | None = None
    high: float | None = None
    scales: bool = False
    lifts: bool = False
    at_end: AtEnd | None = None
    spread_of: int | None = None
    steps: int = 1

    @property
    def discount(self) -> float | None:
        """What it takes for the learner's discount of a transition."""
        return None if self.gamma is None else self.gamma**self.steps


@runtime_checkable
class EstimateFilter(Protocol):
    """Changes what the pieces after it see; pays nothing itself. Must treat every row by itself."""

    base_reward: str | None

    def filter(self, estimate: Estimate) -> Estimate:
        """The estimate (N,) that the rest of the chain is shown."""
        ...


@runtime_checkable
class EpisodeTransform(Protocol):
    """Prices episodes that are over: their rewards so far, and what was estimated after each of their steps."""

    base_reward: str | None
    group: bool
    """Whether the episodes are compared with each other, so that a group must be given together."""

    def price(self, rewards: Sequence[Floats], episodes: Sequence[tuple[Trace, Estimate]]) -> list[Floats]:
        """New rewards (T_i,) for every episode i; its estimates are (T_i + 1,), the first at its start."""
        ...


@runtime_checkable
class Remembering(Protocol):
    """A transform whose statistics outlive an episode, so that a resumed run needs them."""

    def state(self) -> dict[str, Any]: ...

    def load_state(self, state: Mapping[str, Any]) -> None: ...


Transform = RewardTransform | EstimateFilter | EpisodeTransform


def nature_of(transform: Transform) -> Nature:
    """What the transform tells of itself; one that tells nothing is taken as it is and not checked."""
    told = getattr(transform, "nature", None)
    if isinstance(told, Nature):
        return told
    if isinstance(transform, EpisodeTransform):
        return Nature("unknown", scope="group" if transform.group else "episode")
    return Nature("unknown")


def name_of(transform: Transform) -> str:
    """The transform's name in messages."""
    return type(transform).__name__
