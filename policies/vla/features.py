"""Names and sizes at the border between our worlds and datasets and a LeRobot policy, and whether they fit."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from robo_reward.errors import UserError, unknown_name

if TYPE_CHECKING:
    from robo_reward.contracts import World

VIEW_PREFIX = "observation.images."
PICTURE = "observation.image"
"""What every key of pictures begins with: the only camera of some datasets (lerobot/pusht) is called just that."""
STATE = "observation.state"
ACTION = "action"
PLACES = "observation.places"
"""Of training samples: where a simulator says that things are. LeRobot's pipelines drop what has another prefix."""
POINTS = "observation.points."
"""Before a view's name, of training samples: where its picture shows those places, as shares from left and top."""
SHOWN = "observation.shown"
"""Of training samples: which of the batch's pictures each sample goes with, where several are asked of one picture."""
WAYPOINT = "observation.waypoint"
"""Of training samples: how far the state is from where the fingers next open or close, standardised."""
RESIZES = ("resize_imgs_with_padding", "image_resolution", "resize_shape", "image_resize_shape", "image_size")
"""Settings of policies that bring pictures to a size of their own."""


@dataclass(frozen=True, slots=True)
class DataFacts:
    """What a policy has to fit: ``views`` name -> (height, width), sizes of state and action, in our own names.

    ``stats``: LeRobot's statistics per key (mean, std, min, max, q01, q99), None where there is no data, as in a world.
    """

    name: str
    views: Mapping[str, tuple[int, int]]
    states: int
    actions: int
    stats: Mapping[str, Mapping[str, Any]] | None = field(default=None, repr=False)


def facts_of_world(world: World, size: tuple[int, int] | None) -> DataFacts:
    """What a world shows; ``size``: (height, width) of its pictures, None where nobody knows: they are not compared."""
    views = dict.fromkeys(world.view_names, size or (0, 0))
    return DataFacts(world.name, views, world.state_size, int(world.action_space.shape[0]))


def full_key(name: str) -> str:
    """A camera's short name, ``state`` or ``action`` as LeRobot's key; keys stay as they are."""
    if name.startswith("observation.") or name == ACTION:
        return name
    return STATE if name == "state" else VIEW_PREFIX + name


def short_name(key: str) -> str:
    """``observation.images.top`` is top, ``observation.state`` is state; ``full_key`` leads back."""
    return "state" if key == STATE else key.removeprefix(VIEW_PREFIX)


@dataclass(frozen=True, slots=True)
class Names:
    """``policy.rename``: our camera or state name -> the policy's."""

    rename: Mapping[str, str] = field(default_factory=dict)

    def theirs(self, name: str) -> str:
        """The policy's key of what we call ``name``, short or full."""
        return {full_key(k): full_key(v) for k, v in self.rename.items()}.get(full_key(name), full_key(name))

    def shown(self, views: Sequence[str]) -> dict[str, str]:
        """Our view -> the policy's key: a camera that is renamed goes before one that merely has the name.

        Raises:
            UserError: two of them are renamed to one.
        """
        named, found = {full_key(ours) for ours in self.rename}, dict[str, str]()
        for view in sorted(views, key=lambda view: full_key(view) not in named):
            other = found.setdefault(self.theirs(view), view)
            if other != view and full_key(view) in named:
                name = short_name(self.theirs(view))
                raise UserError(f"policy.rename calls two cameras '{name}', {other} and {view}: leave one of them out")
        return {view: key for key, view in found.items()}

    def check_known(self, views: Collection[str], wanted: Collection[str] | None = None) -> None:
        """Refuses to rename cameras that there are not to one of the policy's, and to one that it does not read.

        ``views``: those of data and world together; ``wanted``: the keys that it reads, None: any.

        Raises:
            UserError: as said.
        """
        known = {full_key(view) for view in views}
        there = {self.theirs(view) for view in views if full_key(view) in map(full_key, self.rename)}
        for ours, theirs in self.rename.items():
            if not full_key(ours).startswith(PICTURE):
                continue
            if full_key(ours) not in known and full_key(theirs) not in there:
                raise unknown_name("camera in policy.rename", ours, sorted(views))
            if wanted is not None and full_key(theirs) not in wanted:
                raise unknown_name("camera of the policy in policy.rename", theirs, [short_name(key) for key in wanted])

    def views_of(self, config: Any, views: Sequence[str]) -> dict[str, str]:
        """Our view -> the policy's key, for the cameras that the policy reads, in its order.

        Raises:
            UserError: the policy reads a camera that there is not; the message suggests ``policy.rename``.
        """
        wanted, shown = cameras_of(config), self.shown(views)
        ours = {key: view for view, key in shown.items()}
        missing = [key for key in wanted if key not in ours]
        copes = hasattr(config, "empty_cameras") and len(missing) < len(wanted)
        unused = [view for view in views if shown.get(view) not in wanted]
        if missing and (unused or not copes):
            raise UserError(_mismatch(config, missing, list(views), unused, self.rename))
        return {ours[key]: key for key in wanted if key in ours}


def cameras_of(config: Any) -> list[str]:
    """The keys of the pictures that a policy reads; none if it is blind."""
    return [] if getattr(config, "blind", False) else list(config.image_features)


def take_sizes(config: Any, facts: DataFacts, names: Names) -> None:
    """Gives ``config`` the data's sizes of state and action, as LeRobot's trainer does; the weights stay as they are.

    Raises:
        UserError: the policy does not pad both (smolvla, pi0 and pi05 do), pads to less, or there are no data.
    """
    from lerobot.configs import FeatureType, PolicyFeature

    if facts.stats is None:
        raise UserError("policy.sizes=data is for training on demonstrations (learner=sft): leave it out here")
    for what, size, most in (
        ("state", facts.states, getattr(config, "max_state_dim", None)),
        ("action", facts.actions, getattr(config, "max_action_dim", None)),
    ):
        if most is None:
            raise UserError(
                f"policy.sizes=data: {config.type} policies do not pad, their sizes are those of their weights"
            )
        if size > most:
            raise UserError(
                f"policy.sizes=data: this {config.type} policy pads {what}s to {most}, the data have {size}"
            )
    config.input_features[names.theirs("state")] = PolicyFeature(FeatureType.STATE, (facts.states,))
    config.output_features[ACTION] = PolicyFeature(FeatureType.ACTION, (facts.actions,))


def check_sizes(config: Any, facts: DataFacts, names: Names) -> None:
    """Refuses other sizes of state, action or pictures than the policy's, naming both.

    Raises:
        UserError: as said.
    """
    kind = config.type
    pads = getattr(config, "max_state_dim", None) is not None and getattr(config, "max_action_dim", None) is not None
    way = "; to train it for this one set policy.sizes=data" if pads else ""
    own, action = config.input_features.get(names.theirs("state")), config.action_feature
    if own is not None and own.shape[0] != facts.states:
        raise UserError(
            f"the {kind} policy reads states of size {own.shape[0]}, those of '{facts.name}' have {facts.states}: use "
            f"another dataset or world (env.features changes a world's state), or train a policy from scratch{way}"
        )
    if action is not None and action.shape[0] != facts.actions:
        raise UserError(
            f"the {kind} policy gives actions of size {action.shape[0]}, those of '{facts.name}' have {facts.actions}: "
            f"this is another robot's or controller's policy{way}"
        )
    if any(getattr(config, name, None) for name in RESIZES):
        return
    for view, key in names.views_of(config, list(facts.views)).items():
        size, expected = tuple(facts.views[view]), tuple(config.image_features[key].shape[1:])
        if 0 not in size and size != expected:
            raise UserError(
                f"the {kind} policy reads pictures of {expected[0]}x{expected[1]} as '{short_name(key)}', '{view}' of "
                f"'{facts.name}' has {size[0]}x{size[1]}: set env.height={expected[0]} env.width={expected[1]}"
            )


def _mismatch(
    config: Any, missing: Sequence[str], views: Sequence[str], unused: Sequence[str], rename: Mapping[str, str]
) -> str:
    wanted = ", ".join(short_name(key) for key in cameras_of(config))
    told = f"the {config.type} policy reads the camera(s) {wanted}; here are {', '.join(views) or 'none'}"
    if len(unused) < len(missing):
        lacking = ", ".join(short_name(key) for key in missing)
        return f"{told}: nothing can stand for {lacking} (name views that the world has, env.views=[...])"
    pairs = {**rename, **{view: short_name(key) for view, key in zip(unused, missing, strict=False)}}
    mapping = ",".join(f"{ours}: {theirs}" for ours, theirs in pairs.items())
    return f"{told}: say which is which, e.g. 'policy.rename={{{mapping}}}'"
