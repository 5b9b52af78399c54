"""What the members of an ensemble have in common: needs, size of pictures, and whether they price groups together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from robo_reward.contracts import GroupRewardModel, Needs, RewardModel
from robo_reward.errors import UserError
from robo_reward.trace import Trace


def merge_needs(needs: Mapping[str, Needs]) -> Needs:
    """All views, the one stride, whole episodes if any member asks for them.

    Raises:
        UserError: no member; different strides; a member that passes the simulator's own signal on.
    """
    if not needs:
        raise UserError("an ensemble needs at least one member: reward_model.models.NAME={...}")
    oracles = [name for name, n in needs.items() if n.oracle != "none"]
    if oracles:
        raise UserError(f"the member '{oracles[0]}' is the simulator's own signal, which says nothing to combine")
    strides = {name: n.stride for name, n in needs.items()}
    if len(set(strides.values())) > 1:
        listed = ", ".join(f"{name}: {stride}" for name, stride in strides.items())
        raise UserError(f"the members of an ensemble look at the same frames, these have other strides ({listed})")
    views = tuple(dict.fromkeys(view for n in needs.values() for view in n.views))
    return Needs(views, next(iter(strides.values())), any(n.episode for n in needs.values()))


def common_size(members: Mapping[str, RewardModel]) -> tuple[int, int] | None:
    """(height, width) of the pictures that the members were fitted on; None if none of them knows.

    Raises:
        UserError: members of different sizes, by name.
    """
    sizes = _known_sizes(members)
    if len(set(sizes.values())) > 1:
        listed = ", ".join(f"{name}: {height}x{width}" for name, (height, width) in sizes.items())
        raise UserError(
            f"the members of an ensemble are shown the same pictures, these were fitted on other sizes ({listed}): fit "
            "them on pictures of one size, or draw them side by side with robo-reward curves reward_models=[...]"
        )
    return next(iter(sizes.values()), None)


def check_shown(members: Mapping[str, RewardModel], demonstrations: Sequence[Trace]) -> None:
    """Refuses to fit others on pictures that ``members``, fitted already, cannot read.

    Raises:
        UserError: that names the member and both sizes.
    """
    for name, size in _known_sizes(members).items():
        for trace in demonstrations:
            for view in members[name].needs.views:
                if view in trace.frames and trace.frames[view].shape[1:3] != size:
                    height, width = trace.frames[view].shape[1:3]
                    raise UserError(
                        f"the member '{name}' of the ensemble was fitted on pictures of {size[0]}x{size[1]}, the "
                        f"demonstrations' '{view}' is {height}x{width}: fit all members on pictures of one size"
                    )


def _known_sizes(members: Mapping[str, RewardModel]) -> dict[str, tuple[int, int]]:
    sizes = {name: getattr(member, "frame_size", None) for name, member in members.items()}
    return {name: (int(size[0]), int(size[1])) for name, size in sizes.items() if size is not None}


def group_members(members: Mapping[str, RewardModel]) -> tuple[dict[str, GroupRewardModel], str]:
    """The members that price groups; and why the whole does not where only some do, else empty."""
    able = {name: member for name, member in members.items() if isinstance(member, GroupRewardModel)}
    said = [refused for member in members.values() if (refused := getattr(member, "groups_refused", ""))]
    if said or not able or len(able) == len(members):
        return able, said[0] if said else ""
    others = ", ".join(f"'{name}'" for name in members if name not in able)
    named = ", ".join(f"'{name}'" for name in able)
    return able, f"of this ensemble {named} prices the episodes of a group by each other and {others} does not"
