"""Settings of LeRobot's configs that a yaml names: which there are, which go together, which a checkpoint may get."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from typing import Any

from robo_reward.contracts import World
from robo_reward.data.recording import KnowsPlaces, Recording
from robo_reward.errors import UserError, unknown_name

FREE = ("n_action_steps", "num_steps", "num_inference_steps", "draws", "shift", "brightness", "colour", "heat_weight")
"""Settings that a checkpoint may be given otherwise than it was trained with; optimizer_* and scheduler_* too."""
COUNTED = re.compile(r"int( \| None)?|(typing\.)?Optional\[int\]")
"""The types of settings that are whole numbers."""
_LISTS = (list, tuple)
RANDOM = "random"
"""What a yaml says in place of pretrained weights, where LeRobot says None; null in a yaml is the policy's default."""


def _check_fields(kind: str, config: Any, settings: Mapping[str, Any]) -> None:
    """Refuses settings that the config of that kind of policy does not have."""
    known = [field.name for field in fields(config) if field.init]
    for name in settings:
        if name not in known:
            raise unknown_name(f"setting of policy={kind}", name, known)


def config_of(kind: str, config: Any, settings: Mapping[str, Any], **more: Any) -> Any:
    """A policy's config of its class, the settings and what is known besides.

    Raises:
        UserError: a setting that there is not, a fraction for a count, some that do not go together, or a model that
            neither the cache nor the hub has.
    """
    _check_fields(kind, config, settings)
    try:
        made = config(**more, **_with_tuples(config, settings))
        _check_executed(made)
        _check_whole(made, settings)
        _check_backbone(made, settings)
        return made
    except (TypeError, ValueError, AttributeError, NotImplementedError, OSError) as error:
        raise refused(kind, settings, error) from error


def _check_backbone(config: Any, settings: Mapping[str, Any]) -> None:
    """Refuses weights that torchvision has not for the backbone: it would be told by a KeyError, after collecting."""
    named = settings.get("pretrained_backbone_weights")
    if named is None:
        return
    from torchvision.models import get_model_weights

    weights = get_model_weights(config.vision_backbone)
    if str(named).removeprefix(f"{weights.__name__}.") not in weights.__members__:
        known = (RANDOM, *(f"{weights.__name__}.{name}" for name in weights.__members__))
        raise unknown_name("policy.pretrained_backbone_weights", str(named), known)


def refused(kind: str, settings: Mapping[str, Any], error: Exception) -> UserError:
    """What LeRobot says of settings, with those that were given."""
    given = (
        " ".join(f"policy.{name}={RANDOM if value is None else value}" for name, value in settings.items())
        or "its defaults"
    )
    said = " ".join(str(error).replace("self.", "").split())
    return UserError(f"policy={kind} with {given}: {said.rstrip('.')}. Set what is named there: policy.NAME=VALUE")


def _with_tuples(config: Any, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings with tuples where LeRobot's config wants them: yaml has lists, which it could not save again."""
    wanted = {field.name for field in fields(config) if "tuple" in str(field.type)}
    return {
        name: tuple(value) if name in wanted and isinstance(value, Sequence) and not isinstance(value, str) else value
        for name, value in settings.items()
    }


def apply(config: Any, settings: Mapping[str, Any], path: str) -> None:
    """Sets what may be set on a checkpoint's config; anything else must be as it was trained.

    Raises:
        UserError: it is not, there is no such setting, a fraction for a count, or more actions are to be executed than
            are decided at once.
    """
    _check_fields(config.type, type(config), settings)
    for name, value in settings.items():
        own = getattr(config, name)
        if list(own) == list(value) if isinstance(own, _LISTS) and isinstance(value, _LISTS) else own == value:
            continue
        if name not in FREE and not name.startswith(("optimizer_", "scheduler_")):
            raise UserError(
                f"policy.{name}={value}, but the {config.type} policy in '{path}' was trained with {name}={own}: leave "
                f"it out (policy.{name}=null where an experiment sets it), or train from scratch without policy.path"
            )
        setattr(config, name, value)
    _check_executed(config)
    _check_whole(config, settings)


def check_told(config: Any, world: World, recording: Recording | None, known: bool, acting: int | None) -> None:
    """Refuses a policy for which demonstrations would be made in vain.

    ``recording``: how they are about to be made, None: they are there; ``known``: scenes or a checkpoint tell places;
    ``acting``: ``learner.acting_updates``.

    Raises:
        UserError: settings name numbers that the world's state has not, or what is to be learned nobody tells.
    """
    if hasattr(config, "check_state"):
        config.check_state(world.state_size)
    if recording is None or recording.places or getattr(config, "blind", False):
        return
    way = "set recording.places=true" if isinstance(world, KnowsPlaces) else f"'{world.name}' does not tell them"
    if acting:
        raise UserError(
            f"learner.acting_updates={acting} learns from demonstrations that tell places: {way}, or leave it null"
        )
    if getattr(config, "places_weight", 0) and not known:
        raise UserError(
            f"policy.places_weight={config.places_weight:g} learns places from demonstrations that tell them: {way}; "
            "policy=nano_vla policy.places_weight=0 needs none"
        )


def _check_whole(config: Any, names: Collection[str]) -> None:
    """Refuses fractions and words for what is counted, and all but true and false for switches.

    LeRobot would save them, but not read them again. Optimizers and schedules take any number.
    """
    for counted in fields(config):
        name, kind = counted.name, getattr(counted.type, "__name__", str(counted.type))
        if name in names and kind == "bool" and not isinstance(getattr(config, name), bool):
            raise UserError(f"policy.{name}={getattr(config, name)!r} must be true or false (null: the policy's own)")
        if name not in names or not COUNTED.fullmatch(kind) or name.startswith(("optimizer_", "scheduler_")):
            continue
        value = getattr(config, name)
        if value is not None and not isinstance(value, int):
            raise UserError(f"policy.{name}={value!r} must be a whole number (null: the policy's own)")


def _check_executed(config: Any) -> None:
    chunk = getattr(config, "chunk_size", None) or getattr(config, "horizon", None)
    executed = getattr(config, "n_action_steps", 1)
    if chunk is not None and not (isinstance(executed, int) and 1 <= executed <= chunk):
        raise UserError(f"policy.n_action_steps={executed!r} must be within 1 and the chunk's {chunk} actions")
