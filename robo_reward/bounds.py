"""Checks the numbers of a config, a verb's or a component's, before anything is made of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

from robo_reward.errors import UserError, unknown_name

if TYPE_CHECKING:
    from robo_reward.contracts import World


def check_bounds(config: Any, least: Mapping[str, int]) -> None:
    """Every key of ``least`` must be a whole number of at least its value; null means that nothing was chosen.

    Raises:
        UserError: that names the key, its value and the bound.
    """
    from omegaconf import OmegaConf

    for key, bound in least.items():
        value = OmegaConf.select(config, key)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int) or value < bound:
            raise UserError(f"{key}={value} must be a whole number of {bound} or more")


def check_numbers(
    owner: str, *, least: float | None = None, most: float | None = None, whole: bool = False, **settings: Any
) -> None:
    """Every one of ``settings`` must be a finite number (``whole``: without a fraction) from ``least`` to ``most``.

    Raises:
        UserError: that names the owner, the key, its value and the bounds.
    """
    bounds = [f"of {least:g} or more"] if least is not None else []
    bounds += [f"of {most:g} or less"] if most is not None else []
    wanted = " ".join(["a whole number" if whole else "a finite number", " and ".join(bounds)]).strip()
    low, high = -math.inf if least is None else least, math.inf if most is None else most
    for key, value in settings.items():
        number = isinstance(value, Integral if whole else Real) and not isinstance(value, bool)
        if not number or not math.isfinite(value) or not low <= float(value) <= high:
            raise UserError(f"{owner}: {key}={value} must be {wanted}")


def check_positive(owner: str, **settings: Any) -> None:
    """Every one of ``settings`` must be a finite number above 0.

    Raises:
        UserError: as ``check_numbers``.
    """
    check_numbers(owner, **settings)
    for key, value in settings.items():
        if not value > 0:
            raise UserError(f"{owner}: {key}={value} must be above 0")


def check_seeds(seeds: Any) -> None:
    """``evaluation_seeds`` must list at least one whole number.

    Raises:
        UserError: that shows what was given and how it is written.
    """
    listed = list(seeds) if isinstance(seeds, Sequence) and not isinstance(seeds, str) else []
    if not listed or not all(isinstance(seed, int) for seed in listed):
        raise UserError(f"evaluation_seeds={seeds} must list at least one whole number, e.g. evaluation_seeds=[1,2]")


def check_device(config: Any) -> None:
    """``device`` must be here, and something of the run must use it.

    Raises:
        UserError: that says what is missing; also where nothing that was chosen runs on a GPU.
    """
    import torch
    from omegaconf import OmegaConf

    device = str(config.device)
    kind, _, number = device.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (number and not number.isdigit()):
        raise UserError(f"device={device} must be cpu, cuda, cuda:0 or mps")
    if kind == "cpu":
        return
    count = torch.cuda.device_count() if kind == "cuda" else int(torch.backends.mps.is_available())
    if int(number or 0) >= count:
        raise UserError(f"device={device}: torch finds {count} such devices on this machine; use device=cpu")
    groups = [OmegaConf.to_container(config[name], resolve=False) for name in ("learner", "policy", "reward_model")]
    if not any(_knows_device(group) for group in groups):
        raise UserError(
            f"device={device}: neither this learner nor this reward runs on a GPU (both are small); leave device=cpu"
        )


def _knows_device(settings: Any) -> bool:
    if isinstance(settings, Mapping):
        return "device" in settings or any(map(_knows_device, settings.values()))
    return isinstance(settings, list) and any(map(_knows_device, settings))


def check_enough_worlds(world: World) -> None:
    """Refuses to train in fewer worlds than the world's settings need, if it tells that (``too_few_worlds``); the
    world is closed then.

    Raises:
        UserError: with what would be left out.
    """
    told = getattr(world, "too_few_worlds", None)
    if told is not None:
        world.close()
        raise UserError(told)


def check_views(world: World, views: Sequence[str], reader: str = "the reward") -> None:
    """Refuses a world that does not show a view that ``reader`` reads; the world is closed then.

    Raises:
        UserError: with the views that it shows.
    """
    for view in views:
        if view not in world.view_names:
            world.close()
            raise unknown_name(f"view that {reader} reads", view, world.view_names)


def check_unit_actions(world: World) -> None:
    """Refuses worlds whose actions do not fill [-1, 1], for learners that squash theirs; the world is closed then.

    Raises:
        UserError: with the world's bounds.
    """
    space = world.action_space
    if (space.low != -1).any() or (space.high != 1).any():
        world.close()
        raise UserError(
            f"this learner acts in [-1, 1], the actions of '{world.name}' lie in {space.low.min():g} to "
            f"{space.high.max():g}: let the env scale them (env=so101: env.control=steps), or use learner=ppo"
        )
