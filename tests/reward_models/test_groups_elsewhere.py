"""What a model says of a group of episodes is the same behind a server and in an ensemble, and never silently lost."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robo_reward.contract_tests import moving_square
from robo_reward.contracts import Flags, Floats, GroupRewardModel, RewardModel
from robo_reward.errors import UserError
from robo_reward.line_world import LineReward
from robo_reward.policies.vla_learning.group_advantages import EpisodePricer
from robo_reward.reward_models.ensemble import Ensemble, Rule
from robo_reward.reward_models.remote import messages
from robo_reward.reward_models.remote.client import connect_remote
from robo_reward.reward_models.remote.replica import replicate
from robo_reward.reward_models.remote.wire import Message, WireError
from robo_reward.reward_models.transforms.level import Level
from robo_reward.reward_stack import RewardStack
from robo_reward.trace import Trace

sys.path.append(str(Path(__file__).parent))
from reward_server import serving

EPISODES = [moving_square(k, source="policy") for k in range(4)]


class Ranked(LineReward):
    """Pays an episode its rank in the group, less ``off``; 1 to whom a caller calls a success."""

    parse_failures = 0

    def __init__(self, off: float = 0.0) -> None:
        super().__init__()
        self._off = off

    def estimate_group(self, traces: Sequence[Trace], success: Flags | None = None) -> Floats:
        self.parse_failures += 1
        last = np.asarray([self.estimate_episode(trace).progress[-1] for trace in traces])
        rank = np.argsort(np.argsort(last)) / len(traces) - self._off
        return np.where(np.zeros(len(traces), bool) if success is None else success, 1, rank).astype(np.float32)


def paid(model: RewardModel) -> Floats:
    (rewards,), _ = EpisodePricer(RewardStack(model, [Level("progress")])).price([EPISODES])
    return np.asarray(rewards, np.float32)


def test_a_group_is_priced_alike_here_served_and_as_an_only_member(tmp_path: Path) -> None:
    here, called = Ranked(), np.array([False, True, False, False])
    with serving(here, str(tmp_path / "s")) as (address, server):
        remote = connect_remote(address)
        for model in (remote, Ensemble({"one": here}), Ensemble({"far": remote}), replicate(Ensemble({"one": here}))):
            assert isinstance(model, GroupRewardModel)
            np.testing.assert_array_equal(model.estimate_group(EPISODES), here.estimate_group(EPISODES))
            np.testing.assert_array_equal(model.estimate_group(EPISODES, called), here.estimate_group(EPISODES, called))
            np.testing.assert_array_equal(paid(model), paid(here))
        assert server.served.frames == 6 * 4 * 17
        assert remote.parse_failures == 6
    plain = Ensemble({"one": LineReward()})
    with serving(plain, str(tmp_path / "t")) as (address, _):
        for other in (connect_remote(address), plain):
            assert not isinstance(other, GroupRewardModel)
            np.testing.assert_array_equal(paid(other), paid(LineReward()))
        with pytest.raises(UserError, match="which no server of this version does"):
            connect_remote(address)._estimate_group(EPISODES)


@pytest.mark.parametrize(
    ("rule", "paid"), [("mean", [0.25, 0.5]), ("worst", [0.0, 0.25]), ("uncertainty_weighted", [0.2188, 0.4688])]
)
def test_members_are_combined_by_the_rule(rule: Rule, paid: list[float]) -> None:
    seen = Ensemble({"high": Ranked(-0.25), "low": Ranked(0.25)}, rule).estimate_group(EPISODES)
    # ranks 0, 1/4, 1/2, 3/4, a quarter up and down; the variance 1/16 weighs 1/2; clipped to [0, 1]
    worst = np.clip(np.array([0, 0.25, 0.5, 0.75]) - 0.25, 0, 1)
    mean = np.array([0, 0.25, 0.5, 0.75]) - (1 / 32 if rule == "uncertainty_weighted" else 0)
    np.testing.assert_allclose(np.sort(seen), np.clip(worst if rule == "worst" else mean, 0, 1), atol=1e-6)
    assert np.sort(seen)[1:3].tolist() == pytest.approx(paid, abs=1e-4)


def test_members_of_two_kinds_are_refused_by_name_here_and_served(tmp_path: Path) -> None:
    mixed = Ensemble({"srpo": Ranked(), "line": LineReward()})
    with serving(mixed, str(tmp_path / "s")) as (address, _):
        for model in (mixed, connect_remote(address), Ensemble({"outer": mixed})):
            assert not isinstance(model, GroupRewardModel)
            stack = RewardStack(model, [Level("progress")])
            with pytest.raises(UserError, match=r"'srpo' prices the episodes of a group .* and 'line' does not.*pays="):
                EpisodePricer(stack)
            assert EpisodePricer(stack, "final").pays == "final"


def test_groups_that_make_no_sense_are_refused() -> None:
    nonsense: list[dict[str, Any]] = [{}, {"episodes": 3}, {"episodes": [1]}, {"episodes": [{}]}]
    for fields in nonsense:
        with pytest.raises(WireError):
            messages.unpack_group(Message("estimate_group", fields, {"9/state": np.zeros(1)}))
    for rewards in (np.zeros(3, np.float32), np.full(2, np.nan, np.float32)):
        with pytest.raises(WireError, match="for 2 episodes, or are not finite"):
            messages.unpack_rewards(messages.pack_rewards(rewards), 2)
