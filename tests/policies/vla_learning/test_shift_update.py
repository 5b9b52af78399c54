"""The shift of chunks: by hand, what it does to a policy, and that noise moves nothing far."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from line_env import goes_on_as_saved, make_policy, make_session  # type: ignore[import-not-found]

from robo_reward.errors import UserError
from robo_reward.playground import Playground
from robo_reward.policies.vla_learning.clipped_update import ClippedUpdate, UpdateSettings
from robo_reward.policies.vla_learning.flow_sde import FlowNoise
from robo_reward.policies.vla_learning.group_tuning import GroupSettings, GroupTuner
from robo_reward.policies.vla_learning.outcome_critic import CriticSettings
from robo_reward.policies.vla_learning.shift_update import ShiftUpdate, regressed

SHIFT = UpdateSettings(batch=64, way="shift")


def tuner_of(head: str = "flow", **more: Any) -> GroupTuner:
    torch.manual_seed(0)  # one start: only the last layer is in a tuner's state
    group = GroupSettings(groups=2, size=8, most=4, min_spread=0.01, critic=CriticSettings(folds=2))
    return GroupTuner(make_policy(head), group, replace(SHIFT, **more), FlowNoise(), 0)


def test_the_regression_by_hand() -> None:
    # a constant input: 2 * sum(w r) / (n + 0.5 n), twice (the input and the layer's bias see the same)
    inputs, wanted = torch.ones(4, 1).double(), torch.tensor([[1.0], [1.0], [2.0], [2.0]]).double()
    settings = replace(SHIFT, ridge=0.5, strength=2.0, reach=10.0)
    change, size = regressed(inputs.T @ inputs, inputs.T @ wanted, 4.0, 4.0, settings)
    torch.testing.assert_close(change, torch.full((1, 1), 2.0).double())
    assert size == pytest.approx(2.0)
    bounded, size = regressed(inputs.T @ inputs, inputs.T @ wanted, 4.0, 4.0, replace(settings, reach=0.1))
    torch.testing.assert_close(bounded, torch.full((1, 1), 0.1).double())
    assert size == pytest.approx(0.1)


def test_chunks_move_the_way_of_the_better_ones() -> None:
    tuner = tuner_of()
    kept, _ = tuner.gather(Playground(make_session()))
    decisions = [d for group in kept for episode in group.decisions for d in episode]
    advantages = torch.tensor([float(d.draw.chunk.mean()) for d in decisions])
    before = tuner.likelihood.draw(_batch(tuner, decisions), torch.Generator().manual_seed(3)).chunk.mean()
    told = tuner.update.run(decisions, advantages, 0)
    after = tuner.likelihood.draw(_batch(tuner, decisions), torch.Generator().manual_seed(3)).chunk.mean()
    assert float(after - before) > 0.05
    assert told["shift"] <= SHIFT.reach + 1e-6


def test_a_toy_reward_rises() -> None:
    tuner, ground, ways = tuner_of(), Playground(make_session()), []
    for _ in range(8):
        tuner.round(ground)
        ways.append(np.mean([t.state[-1, 0] - t.state[0, 0] for g in tuner.last for t in g.traces]))
    assert np.mean(ways[-3:]) > np.mean(ways[:3]) + 0.1


def test_the_last_layer_is_moved_and_nothing_else() -> None:
    tuner = tuner_of()
    before = {name: value.clone() for name, value in tuner.policy.module.state_dict().items()}
    tuner.round(Playground(make_session()))
    changed = {n for n, v in tuner.policy.module.state_dict().items() if not torch.equal(v, before[n])}
    assert changed
    assert changed == {"head.out.weight", "head.out.bias"}


def test_a_resumed_tuner_goes_the_same_way() -> None:
    goes_on_as_saved(tuner_of, rel=1e-4)


def test_what_cannot_be() -> None:
    assert type(tuner_of().update) is ShiftUpdate
    assert type(tuner_of("tokens", way="clipped").update) is ClippedUpdate
    with pytest.raises(UserError, match="head=flow"):
        tuner_of("tokens")
    for settings in ({"way": "other"}, {"ridge": 0.0}, {"reach": 0.0}, {"strength": 0.0}, {"draws": 0}):
        with pytest.raises(UserError):
            replace(SHIFT, **settings)


def _batch(tuner: GroupTuner, decisions: Any) -> Any:
    from robo_reward.policies.vla_learning.exploring import gathered, prepared

    return prepared(tuner.policy, gathered(decisions))
