"""Exploration that lasts an episode: who senses what, that what is kept is true, and what cannot learn from it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lerobot.processor.relative_action_processor import RelativeActionsProcessorStep
from line_env import goes_on_as_saved, make_policy, make_session  # type: ignore[import-not-found]
from omegaconf import OmegaConf

from robo_reward.errors import UserError
from robo_reward.playground import Playground
from robo_reward.policies.vla_learning.clipped_update import UpdateSettings, Way
from robo_reward.policies.vla_learning.exploring import Decision, ExploringPolicy, packed, unpacked
from robo_reward.policies.vla_learning.flow_sde import FlowNoise
from robo_reward.policies.vla_learning.group_tuning import GroupSettings, GroupTuner
from robo_reward.policies.vla_learning.likelihood import likelihood_of
from robo_reward.policies.vla_learning.ppo_tuning import PpoTuner
from robo_reward.policies.vla_learning.preferences import PreferenceSettings, PreferenceTuner
from robo_reward.policies.vla_learning.sensed_offset import Displaced, SensedOffset

STATE = "observation.state"
SMALL = GroupSettings(groups=2, size=4, most=2, min_spread=0.01, offset=0.5, offset_of=[0])


def tuner_of(way: Way = "imitate", **more: Any) -> GroupTuner:
    torch.manual_seed(0)
    settings = UpdateSettings(lr=1e-3, batch=32, epochs=2, way=way)
    return GroupTuner(make_policy(), replace(SMALL, **more), settings, FlowNoise(), 0)


def played(tuner: GroupTuner, worlds: int) -> list[list[Decision]]:
    return tuner.play(Playground(make_session(worlds))).decisions


@given(st.floats(1e-3, 10), st.integers(2, 9), st.integers(0, 99), st.lists(st.integers(0, 6), min_size=1, unique=True))
def test_the_later_half_is_displaced_within_bounds(within: float, size: int, group: int, numbers: list[int]) -> None:
    found = SensedOffset(within, numbers, 3).of_group(group, size)
    assert found is not None
    assert found.by.shape == (size, len(numbers))
    straight = (size + 1) // 2
    assert not found.by[:straight].any()
    assert np.all(found.by[straight:] != 0)
    assert np.abs(found.by).max() <= within * (1 + 1e-6)
    again, other = (SensedOffset(within, numbers, 3).of_group(n, size) for n in (group, group + 1))
    assert again is not None
    assert other is not None
    assert np.array_equal(again.by, found.by)
    assert not np.array_equal(other.by, found.by)
    assert [found.off(world) for world in range(size + 2)] == [False] * straight + [True] * (size - straight) + [
        False
    ] * 2


def test_without_an_offset_nothing_is_displaced() -> None:
    assert SensedOffset(0.0, (0, 1), 0).of_group(0, 4) is None


def test_named_numbers_of_named_worlds_by_hand() -> None:
    off = Displaced((0, 2), np.array([[0, 0], [1, -2], [3, 4]], np.float32))
    state = torch.zeros(3, 4)
    expected = [[3, 0, 4, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    assert off.sensed(state, [2, 0, 5]).tolist() == expected  # no episode is left for world 5
    assert not state.any()
    assert off.after(1).sensed(state, [0, 1, 2]).tolist() == [[1, 0, -2, 0], [3, 0, 4, 0], [0, 0, 0, 0]]


@pytest.mark.parametrize("rename", [None, {"state": "observation.joints"}])
def test_who_is_displaced_acts_as_it_would_there_and_remembers_where_it_was(rename: dict[str, str] | None) -> None:
    policy, ground = make_policy(rename=rename), Playground(make_session(2))
    key = policy.names.theirs("state")
    assert (key == STATE) == (rename is None)
    likelihood, here = likelihood_of(policy, FlowNoise()), ground.world.reset(0)
    drawn = []
    for moved, sensed in ((0.0, 0.3), (0.3, 0.0)):
        explorer = ExploringPolicy(policy, likelihood)
        explorer.begin(5, Displaced((0,), np.array([[sensed], [0.0]], np.float32)))
        state = here.state + np.array([[moved, 0], [0, 0]], np.float32)
        action = explorer.act(replace(here, state=state))
        decision = explorer.last(0)
        assert decision is not None
        drawn.append((action, decision))
        assert torch.equal(decision.seen[key], torch.from_numpy(state[:1]))
    (first, displaced), (second, true) = drawn
    assert np.array_equal(first, second)
    assert torch.equal(displaced.draw.chunk, true.draw.chunk)
    assert (displaced.displaced, true.displaced) == (True, False)


def test_worlds_that_are_out_of_step_sense_what_is_theirs() -> None:
    policy, ground = make_policy(), Playground(make_session(2))
    here, chunks = ground.world.reset(0), []
    for off, moved in ((0.3, 0.0), (0.0, 0.3)):
        explorer = ExploringPolicy(policy, likelihood_of(policy, FlowNoise()))
        explorer.begin(5, Displaced((0,), np.array([[0.0], [off]], np.float32)))
        explorer.act(here)
        explorer.reset(np.array([False, True]))
        explorer._queues[1].clear()  # the second world alone decides
        explorer.finished[1].clear()
        explorer.act(replace(here, state=here.state + np.array([[0, 0], [moved, 0]], np.float32)))
        decision = explorer.last(1)
        assert decision is not None
        assert decision.displaced == bool(off)
        chunks.append(decision.draw.chunk)
    assert torch.equal(*chunks)


def test_nothing_else_changes_what_is_drawn() -> None:
    one, two = played(tuner_of(), 4), played(tuner_of(offset=0.0), 4)
    assert torch.equal(one[0][0].draw.chunk, two[0][0].draw.chunk)
    assert not torch.equal(one[3][0].draw.chunk, two[3][0].draw.chunk)


@pytest.mark.parametrize("worlds", [1, 2, 3, 4, 6])
def test_the_same_episodes_are_displaced_however_many_worlds_there_are(worlds: int) -> None:
    flags = [[d.displaced for d in episode if d.executed] for episode in played(tuner_of(), worlds)]
    assert [set(flag) for flag in flags] == [{False}, {False}, {True}, {True}]


def test_a_tuner_that_was_saved_goes_the_same_way() -> None:
    goes_on_as_saved(tuner_of)


@pytest.mark.parametrize("way", ["imitate", "shift"])
def test_displaced_decisions_tell_nothing_of_how_far_the_policy_moved(way: Way) -> None:
    tuner = tuner_of(way)
    decisions = [d for episode in played(tuner, 4) for d in episode if d.executed]
    true = [d for d in decisions if not d.displaced]
    assert 0 < len(true) < len(decisions)
    told = tuner.update.run(decisions, torch.linspace(-1, 2, len(decisions)), 0)
    assert told["kl"] == tuner.update.moved(true) > 0
    tuner.remember(decisions)
    drift = tuner.drift()
    tuner.remember(true)
    assert drift == tuner.drift() > 0
    assert tuner.update.moved([d for d in decisions if d.displaced]) == 0.0
    assert [unpacked(packed(d)).displaced for d in decisions] == [d.displaced for d in decisions]


def test_what_learns_from_ratios_cannot_use_it() -> None:
    ratios = UpdateSettings(way="clipped")
    with pytest.raises(UserError, match=r"group\.offset=0\.5: .*update\.way=clipped.*group\.offset=0, or"):
        GroupTuner(make_policy(), SMALL, ratios, FlowNoise(), 0)
    PreferenceTuner(
        make_policy(), SMALL, ratios, FlowNoise(), 0, preferences=PreferenceSettings()
    )  # pairs have no ratios


@pytest.mark.parametrize("offset", [-0.1, float("nan"), float("inf"), 1e40, True, None, "0.5"])
def test_an_offset_out_of_range_is_refused(offset: Any) -> None:
    with pytest.raises(UserError, match=r"group\.offset=.* must be 0 \(none\) to 1000"):
        GroupSettings(offset=offset)


@pytest.mark.parametrize("numbers", [[], [-1], [0, 0], [1.5], ["x"], [True], 2, None, "01"])
def test_numbers_that_are_none_are_refused(numbers: Any) -> None:
    given_ = OmegaConf.create(numbers) if isinstance(numbers, list) else numbers  # as the command line gives them
    with pytest.raises(UserError, match=r"group\.offset_of=.* must be a list of different numbers of the state"):
        GroupSettings(offset=0.1, offset_of=given_)


def test_a_policy_that_cannot_sense_so_is_refused_at_once() -> None:
    with pytest.raises(UserError, match=r"group\.offset_of=\[2\]: the state has numbers 0 to 1"):
        tuner_of(offset_of=[2])
    off, policy = SensedOffset(0.1, [0], 0), make_policy()
    off.check(policy)
    policy.before.steps.append(RelativeActionsProcessorStep(enabled=False))
    off.check(policy)
    policy.before.steps.append(RelativeActionsProcessorStep(enabled=True))
    with pytest.raises(UserError, match=r"group\.offset=0\.1: .* count from its state"):
        off.check(policy)
    SensedOffset(0.0, [9], 0).check(policy)
    blind = make_policy()
    del blind.config.input_features[STATE]
    with pytest.raises(UserError, match=r"the policy reads none: set group\.offset=0"):
        off.check(blind)


def test_ppo_plays_no_groups() -> None:
    with pytest.raises(UserError, match=r"group\.offset=0\.5: learner=vla_ppo plays no groups"):
        PpoTuner(make_policy(), SMALL, UpdateSettings(), FlowNoise(), 0)
