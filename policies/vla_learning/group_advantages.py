"""Group-relative advantages, and which groups say anything at all (GRPO with a gate)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from robo_reward.contracts import GroupRewardModel
from robo_reward.errors import UserError, unknown_name
from robo_reward.reward_stack import RewardStack
from robo_reward.trace import Trace
from robo_reward.transform_kinds import name_of, nature_of

Array = NDArray[np.float64]
Pays = Literal["auto", "final", "max", "mean", "sum"]
PAYS: tuple[Pays, ...] = ("auto", "final", "max", "mean", "sum")


def group_advantages(rewards: Array, eps: float = 1e-6) -> Array:
    """(G,): (R - mean) / (population deviation + eps)."""
    return np.asarray((rewards - rewards.mean()) / (rewards.std() + eps))


def spread_of(rewards: Array) -> float:
    """How far a group's rewards lie apart: what the gate compares with ``min_spread``.

    With learned rewards groups are hardly ever equal, so without a gate the estimator's noise would become an
    advantage of unit variance.
    """
    return float(np.ptp(rewards))


class EpisodePricer:
    """One number for each whole episode of some groups.

    ``pays``: the reward of the last step (``final``; with transform=level the final progress, EVOLVE's reward), the
    ``max``, ``mean`` or ``sum`` over its steps. ``auto``: what the reward model says of groups (``GroupRewardModel``);
    max for the simulator's success; sum for its dense reward and for chains that pay for changes or events or price
    whole episodes; final for levels. ``together``: groups are priced by each other, all at once.
    """

    def __init__(self, stack: RewardStack, pays: Pays = "auto") -> None:
        """UserError for an unknown ``pays``, potentials, ``auto`` where only some members of a reward price groups."""
        if pays not in PAYS:
            raise unknown_name("group.pays (of learner=vla_ppo: ppo.pays)", pays, PAYS)
        self._stack = stack
        self.together = pays == "auto" and isinstance(stack.model, GroupRewardModel)
        refused = getattr(stack.model, "groups_refused", "")
        if pays == "auto" and refused:
            raise UserError(f"{refused}: take members of one kind, or say what an episode pays (pays=final, ...)")
        if not self.together:
            _check_potentials(stack)
        self.pays: Pays = _chosen(stack) if pays == "auto" else pays

    def price(self, groups: Sequence[Sequence[Trace]]) -> tuple[list[Array], list[list[Trace]]]:
        """Rewards (G,) of each group, and the traces with them; groups may refer to each other's successes.

        Raises:
            UserError: a reward that is not finite.
        """
        if self.together:
            model = self._stack.model
            assert isinstance(model, GroupRewardModel)
            flat = np.asarray(model.estimate_group([t for group in groups for t in group]), np.float64)
            ends = np.cumsum([len(group) for group in groups])[:-1]
            rewards = [np.asarray(part) for part in np.split(flat, ends)]
            traces = [list(group) for group in groups]
        else:
            traces = [self._stack.price_group([_over(t) for t in group]) for group in groups]
            rewards = [np.asarray([self._of(t) for t in group]) for group in traces]
        if not all(np.isfinite(r).all() for r in rewards):
            raise UserError("the reward of an episode is not finite: no policy can learn from it")
        return rewards, traces

    def _of(self, trace: Trace) -> float:
        assert trace.reward is not None
        reward = trace.reward.astype(np.float64)
        return float({"final": reward[-1], "max": reward.max(), "mean": reward.mean(), "sum": reward.sum()}[self.pays])


def _check_potentials(stack: RewardStack) -> None:
    """Potentials shape the steps of a critic that bootstraps; one number for an episode leaves nothing to shape."""
    for transform in stack.transforms:
        if nature_of(transform).role == "potential":
            raise UserError(
                f"transform {name_of(transform)} shapes steps for a critic, but here an episode is paid as a whole: "
                "its shaping adds up to the same for all from one start, or to pay for progress at the end and against "
                "reaching it early. Use transform=success, level, gain or accumulated"
            )


def _chosen(stack: RewardStack) -> Pays:
    if stack.model.needs.oracle == "success" and not stack.transforms:
        return "max"
    natures = [nature_of(transform) for transform in stack.transforms]
    earned = any(n.pays in ("change", "event") or n.scope == "episode" for n in natures)
    return "sum" if earned or stack.model.needs.oracle == "reward" else "final"


def _over(trace: Trace) -> Trace:
    """An episode that our own detector or horizon ended, as one whose time is over: it is paid once, not per step, so
    that ending it early costs the policy nothing."""
    return replace(trace, terminated=False, truncated=True) if trace.terminated else trace
