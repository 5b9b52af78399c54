"""The shift of chunks: by hand, what it does to a policy, and that noise moves nothing far."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from line_env import make_policy, make_session  # type: ignore[import-not-found]

from robo_reward.errors import UserError
from robo_reward.playground import Playground
from robo_reward.policies.vla_learning.clipped_update import ClippedUpdate, UpdateSettings
from robo_reward.policies.vla_learning.flow_sde import FlowNoise
from robo_reward.policies.vla_learning.group_tuning import GroupSettings, GroupTuner
from robo_reward.policies.vla_learning.outcome_critic import CriticSettings
from robo_reward.policies.vla_learning.shift_update import Drawn, ShiftUpdate, shift_of

SHIFT = UpdateSettings(lr=1e-3, batch=64, epochs=8, way="shift", train="head")


def tuner_of(head: str = "flow", **more: Any) -> GroupTuner:
    group = GroupSettings(groups=2, size=8, most=4, min_spread=0.01, critic=CriticSettings(folds=2))
    return GroupTuner(make_policy(head), group, replace(SHIFT, **more), FlowNoise(), 0)


def drawn_of(residual: torch.Tensor, features: torch.Tensor) -> Drawn:
    none = torch.zeros(len(residual), 1, 1, 1)
    return Drawn(none, none, none[..., 0, 0], residual, features, None)


def test_the_shift_by_hand() -> None:
    residual = torch.tensor([1.0, -1.0, 2.0, -2.0]).view(4, 1, 1)
    weight = torch.tensor([1.0, -1.0, 1.0, -1.0])
    drawn = drawn_of(residual, torch.zeros(4, 1))
    shift, size = shift_of(drawn, weight, ridge=0.5, strength=2.0, reach=10.0)
    # the constant alone: 2 * sum(w r) / (n + 0.5 n) = 2 * 6 / 6
    torch.testing.assert_close(shift, torch.full((4, 1, 1), 2.0))
    assert size == pytest.approx(2.0)
    bounded, size = shift_of(drawn, weight, ridge=0.5, strength=2.0, reach=0.1)
    torch.testing.assert_close(bounded, torch.full((4, 1, 1), 0.1))
    assert size == pytest.approx(0.1)


def test_the_shift_goes_where_what_is_known_tells_it() -> None:
    generator = torch.Generator().manual_seed(0)
    known = torch.randn(400, 1, generator=generator)
    residual = torch.randn(400, 1, 1, generator=generator)
    weight = known[:, 0] * residual[:, 0, 0]  # better the more it deviates with the sign of what is known
    shift, _ = shift_of(drawn_of(residual, known), weight, ridge=0.01, strength=1.0, reach=10.0)
    assert float(torch.corrcoef(torch.stack([shift[:, 0, 0], known[:, 0]]))[0, 1]) > 0.95


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
    assert told["loss"] < told["shift"] ** 2, "the network has learned some of the shift"


def test_a_toy_reward_rises() -> None:
    tuner, ground, ways = tuner_of(), Playground(make_session()), []
    for _ in range(8):
        tuner.round(ground)
        ways.append(np.mean([t.state[-1, 0] - t.state[0, 0] for g in tuner.last for t in g.traces]))
    assert np.mean(ways[-3:]) > np.mean(ways[:3]) + 0.1


def test_only_the_head_is_moved_and_nothing_else() -> None:
    tuner = tuner_of()
    before = {name: value.clone() for name, value in tuner.policy.module.state_dict().items()}
    tuner.round(Playground(make_session()))
    changed = {n for n, v in tuner.policy.module.state_dict().items() if not torch.equal(v, before[n])}
    assert changed
    assert all(name.startswith("head.") for name in changed)


def test_a_resumed_tuner_goes_the_same_way() -> None:
    one, ground = tuner_of(), Playground(make_session())
    one.round(ground)
    state = one.state()
    expected = one.round(ground)
    two = tuner_of()
    two.load(state)
    assert two.round(Playground(make_session())) == pytest.approx(expected, rel=1e-4)


def test_what_cannot_be() -> None:
    assert type(tuner_of().update) is ShiftUpdate
    assert type(tuner_of("tokens", way="clipped").update) is ClippedUpdate
    with pytest.raises(UserError, match="head=flow"):
        tuner_of("tokens").round(Playground(make_session()))
    for settings in ({"way": "other"}, {"ridge": 0.0}, {"reach": 0.0}, {"strength": 0.0}, {"draws": 0}):
        with pytest.raises(UserError):
            replace(SHIFT, **settings)


def _batch(tuner: GroupTuner, decisions: Any) -> Any:
    from robo_reward.policies.vla_learning.exploring import gathered, prepared

    return prepared(tuner.policy, gathered(decisions))
