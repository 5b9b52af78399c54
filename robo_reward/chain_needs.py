"""What a chain of transforms asks of the reward model that it follows."""

from __future__ import annotations

from collections.abc import Sequence

from robo_reward.contracts import RewardModel
from robo_reward.errors import UserError
from robo_reward.naming import reward_name
from robo_reward.traits import traits_of
from robo_reward.transform_kinds import Transform, name_of, nature_of


def check_model(transforms: Sequence[Transform], model: RewardModel) -> None:
    """Raises UserError where the model (``Traits``) does not give what a piece of the chain reads."""
    for place, transform in enumerate(transforms):
        if nature_of(transform).source == "match":
            _check_match(name_of(transform), model)
        assumed = nature_of(transform).spread_of
        if assumed is not None:
            _check_spread(name_of(transform), place, assumed, model)


def _check_match(name: str, model: RewardModel) -> None:
    if traits_of(model).gives_match is False:
        raise UserError(
            f"transform {name} pays for the match with demonstrations (transform=default does), which "
            f"reward_model={reward_name(model)} does not give: use transform=potential (detected success, shaped by "
            "progress), transform=success or transform=level, or reward_model=transport"
        )


def _check_spread(name: str, place: int, assumed: int, model: RewardModel) -> None:
    """Conservatism without disagreement to go by is none, and of another number of opinions it is no bound."""
    told, reward = traits_of(model).spread_of, reward_name(model)
    if told == 1:
        raise UserError(
            f"transform {name} lowers progress by the disagreement of several opinions, and reward_model={reward} has "
            "one: its uncertainty is always 0. Use transform=level, or a model of several: fit progress with "
            "reward_model.members=3, or reward_model=ensemble"
        )
    if assumed and told is None:
        raise UserError(
            f"transform {name} bounds what the worst of {assumed} members says, and the uncertainty of "
            f"reward_model={reward} is not known to be their deviation (spread_of, docs/adding_your_own.md): use "
            "transform=conservative, or for the exact minimum transform=level reward_model=ensemble "
            "reward_model.rule=worst"
        )
    if assumed and assumed != told:
        raise UserError(
            f"transform {name} bounds what the worst of {assumed} members says, but reward_model={reward} has {told}: "
            f"set transform.chain.{place}.members={told}"
        )
