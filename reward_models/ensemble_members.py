"""What the members of an ensemble have in common: needs, and whether they price the episodes of a group together."""

from __future__ import annotations

from collections.abc import Mapping

from robo_reward.contracts import GroupRewardModel, Needs, RewardModel
from robo_reward.errors import UserError


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


def group_members(members: Mapping[str, RewardModel]) -> tuple[dict[str, GroupRewardModel], str]:
    """The members that price groups; and why the whole does not where only some do, else empty."""
    able = {name: member for name, member in members.items() if isinstance(member, GroupRewardModel)}
    said = [refused for member in members.values() if (refused := getattr(member, "groups_refused", ""))]
    if said or not able or len(able) == len(members):
        return able, said[0] if said else ""
    others = ", ".join(f"'{name}'" for name in members if name not in able)
    named = ", ".join(f"'{name}'" for name in able)
    return able, f"of this ensemble {named} prices the episodes of a group by each other and {others} does not"
