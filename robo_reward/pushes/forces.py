"""Where worlds with bodies and those who push them meet: external forces, random or by an adversary that learns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from robo_reward.contracts import Flags, Observation, Oracle, Step, Transition, World
from robo_reward.errors import UserError, unknown_name
from robo_reward.pushes.collected import Collected

MANY = 8
"""Worlds with more bodies than this do not mean all of them when nobody chooses."""


@runtime_checkable
class Pushable(Protocol):
    """A world with bodies that can be pushed."""

    bodies: tuple[str, ...]
    """What forces may act on, in the order that ``apply_force`` expects."""

    def apply_force(self, force: NDArray[Any]) -> None:
        """Forces (N, B, 6) for the next ``step`` only: N and N m, world axes, at the bodies' centres of mass."""
        ...


@runtime_checkable
class Fragile(Protocol):
    """A world that names those whose simulation blew up in the last step, whatever they were paid."""

    broken: Flags
    """(N,)"""


class BlowUps:
    """Names those of a world whose simulation blew up, step by step from now on."""

    def __init__(self, world: World) -> None:
        self._world, self._counted = world, world.nan_resets

    def of(self, transition: Transition) -> Flags:
        """(N,) in the last step, by name; of a world that only counts them, all that a step which counted some cut off.

        What was paid does not tell: a reward from pictures or a potential pays a world that blew up like any other.
        """
        if isinstance(self._world, Fragile):
            return self._world.broken
        counted, self._counted = self._counted, self._world.nan_resets
        return transition.truncated & (self._counted > counted)


@runtime_checkable
class Headed(Protocol):
    """A pushable world whose states are written in axes that turn with the robot, so that they do not say which way is
    north: whoever pushes by them has to push in these axes, too.
    """

    def headings(self) -> NDArray[np.float64]:
        """(N,) radians about the vertical from the world's axes to those of the states now."""
        ...


@runtime_checkable
class Disturber(Protocol):
    """Pushes a world while a policy learns in it; asked before each step, told of it after.

    A session binds it once. ``begin`` starts a segment of training: what was collected is dropped, draws follow from
    the seed. ``on_rollout`` is called by on-policy learners before they update.
    """

    def bind(self, world: World, oracle: Oracle) -> None:
        """Takes the world that will be pushed. ``oracle``: what the run's reward uses of the simulator's own signals.

        Raises:
            UserError: the world has no bodies, or not those that were chosen.
        """
        ...

    def begin(self, seed: int) -> None: ...

    def force(self, observation: Observation) -> NDArray[np.float64]:
        """(N, B, 6) N and N m on the world's bodies, for the step that comes next."""
        ...

    def on_step(self, step: Step) -> None:
        """What came of the last force."""
        ...

    def on_rollout(self, rollout: Collected) -> Mapping[str, float]:
        """Learns from the steps since the last call; may rewrite the policy's advantages in place. Returns metrics."""
        ...

    def dump(self) -> dict[str, Any]:
        """Everything that a resumed run needs."""
        ...

    def restore(self, state: Mapping[str, Any]) -> None: ...

    def save(self, folder: Path) -> None: ...


@runtime_checkable
class Adversary(Disturber, Protocol):
    """A disturber that can be trained against a frozen policy and then be held at one magnitude."""

    def hold(self, newtons: float, explore: bool, world: World | None = None) -> None:
        """From now on the bound is ``newtons``, without curriculum; ``explore`` draws forces, else the means push.

        ``world``: the pushed one, where that is not the one it was bound to.
        """
        ...


def turned(force: NDArray[np.float64], world: World) -> NDArray[np.float64]:
    """Forces (N, B, 6) in the world's axes, from those in the axes that its states are written in."""
    if not isinstance(world, Headed):
        return force
    angle, found = world.headings()[:, None], force.copy()
    for x, y in ((0, 1), (3, 4)):
        found[..., x] = np.cos(angle) * force[..., x] - np.sin(angle) * force[..., y]
        found[..., y] = np.sin(angle) * force[..., x] + np.cos(angle) * force[..., y]
    return found


def names_of(bodies: str | Sequence[str] | None) -> tuple[str, ...] | None:
    """Bodies as a yaml names them: a list, one name alone, or None."""
    if bodies is None:
        return None
    return (bodies,) if isinstance(bodies, str) else tuple(bodies)


def chosen_bodies(world: World, wanted: tuple[str, ...] | None, setting: str = "hook.bodies") -> tuple[str, ...]:
    """Which of the world's bodies are pushed: ``wanted``, or all if there are few.

    Raises:
        UserError: a body that is unknown or named twice, a world without bodies, or too many to mean all of them.
    """
    if not isinstance(world, Pushable) or not world.bodies:
        raise UserError(f"'{world.name}' has no bodies that could be pushed: use hook=none, or env=quadruped")
    if wanted is None:
        if len(world.bodies) > MANY:
            listed = ", ".join(world.bodies[:40])
            raise UserError(
                f"'{world.name}' has {len(world.bodies)} bodies: name some, {setting}=[...]. Known: {listed}"
            )
        return tuple(world.bodies)
    if not wanted:
        raise UserError(f"{setting}=[] pushes nothing: name some of {', '.join(world.bodies[:40])}")
    for name in wanted:
        if name not in world.bodies:
            raise unknown_name("body that can be pushed", name, world.bodies)
        if wanted.count(name) > 1:
            raise UserError(f"{setting}={list(wanted)} names '{name}' twice: name each body once")
    return wanted


def check_time_to_push(disturber: Disturber, steps: int | None) -> None:
    """Refuses a training of ``steps`` environment steps (None: not known) that ends before anybody is pushed."""
    warmup = getattr(getattr(disturber, "curriculum", None), "warmup", 0)
    if steps is not None and steps <= warmup:
        raise UserError(
            f"nobody would be pushed: hook.curriculum.warmup={warmup} environment steps pass first, and this training "
            f"has {steps}. Set hook.curriculum.warmup={steps // 25} hook.curriculum.ramp={steps // 2}, or train longer"
        )


def check_discount(disturber: Disturber, gamma: float | None) -> None:
    """Refuses a learner's ``gamma`` (None: not known) that a disturber which learns from it cannot learn under."""
    check = getattr(disturber, "check_discount", None)
    if check is not None and gamma is not None:
        check(gamma)


def disturbs(hook: Any) -> bool:
    """Whether a ``hook`` group names a disturber (and no stopper)."""
    from hydra.utils import get_object

    target = (hook or {}).get("_target_")
    return bool(target) and hasattr(get_object(target), "force")
