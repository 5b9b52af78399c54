"""Self-imitation: which episodes are imitated, what that does to a policy, and that it goes on as it was saved."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from line_env import goes_on_as_saved, make_policy, make_session  # type: ignore[import-not-found]

from robo_reward.errors import UserError
from robo_reward.playground import Playground
from robo_reward.policies.vla.features import DataFacts
from robo_reward.policies.vla.flow import readout_of
from robo_reward.policies.vla_learning.clipped_update import UpdateSettings
from robo_reward.policies.vla_learning.exploring import Decision, gathered, prepared
from robo_reward.policies.vla_learning.flow_sde import FlowNoise
from robo_reward.policies.vla_learning.group_tuning import GroupSettings, GroupTuner
from robo_reward.policies.vla_learning.imitating_update import ImitatingUpdate

IMITATE = UpdateSettings(lr=1e-3, batch=32, epochs=10, way="imitate")


def tuner_of(head: str = "flow", **more: Any) -> GroupTuner:
    torch.manual_seed(0)
    group = GroupSettings(groups=2, size=8, most=4, min_spread=0.01)
    return GroupTuner(make_policy(head), group, replace(IMITATE, **more), FlowNoise(), 0)


def decided(tuner: GroupTuner) -> list[Decision]:
    played, _ = tuner.gather(Playground(make_session()))
    return [d for group in played for episode in group.decisions for d in episode if d.executed]


def acts(tuner: GroupTuner, decisions: list[Decision]) -> float:
    """The mean chunk that the policy now draws for what was seen."""
    batch = prepared(tuner.policy, gathered(decisions))
    tuner.policy.policy.eval()
    return float(tuner.likelihood.draw(batch, torch.Generator().manual_seed(3)).chunk.mean())


@pytest.mark.parametrize(("head", "lr"), [("flow", 1e-3), ("tokens", 1e-2)])
@pytest.mark.parametrize("side", [1.0, -1.0])
def test_the_policy_moves_to_what_had_a_positive_advantage(head: str, lr: float, side: float) -> None:
    tuner = tuner_of(head, lr=lr, epochs=30)
    assert isinstance(tuner.update, ImitatingUpdate)
    decisions = decided(tuner)
    means = torch.tensor([float(d.draw.chunk.mean()) for d in decisions])
    before = acts(tuner, decisions)
    told = tuner.update.run(decisions, side * (means - means.mean()), 0)
    assert side * (acts(tuner, decisions) - before) > 0.1
    assert told["imitated"] == float((side * (means - means.mean()) > 0).sum())
    assert told["kl"] > 0


def test_worse_episodes_are_left_alone() -> None:
    tuner = tuner_of()
    decisions, before = decided(tuner), tuner.values()
    told = tuner.update.run(decisions, -torch.ones(len(decisions)), 0)
    assert told == {"imitated": 0.0, "kl": 0.0}
    assert all(torch.equal(value, before[name]) for name, value in tuner.values().items())


def test_what_was_not_executed_is_not_imitated() -> None:
    values = []
    for unseen in (-1.0, 1.0):
        tuner = tuner_of("tokens")  # each number is told for itself; a flow sees the whole noisy chunk
        cut = [replace(d, executed=1, draw=replace(d.draw, chunk=d.draw.chunk.clone())) for d in decided(tuner)]
        for d in cut:
            d.draw.chunk[:, 1:] = unseen
        tuner.update.run(cut, torch.ones(len(cut)), 0)
        values.append(tuner.values())
    assert all(torch.equal(value, values[1][name]) for name, value in values[0].items())


@pytest.mark.parametrize("kind", ["nano_vla", "smolvla", "pi0", "pi05"])
def test_every_flow_is_told_what_was_executed(kind: str, recipes: dict[str, Any]) -> None:
    """LeRobot's own loss of pi0 and pi0.5 reads no mask."""
    stats = {
        "observation.state": {"mean": np.zeros(2), "std": np.ones(2), "q01": -2 * np.ones(2), "q99": 2 * np.ones(2)},
        "action": {"mean": np.zeros(1), "std": np.full(1, 0.5), "q01": -np.ones(1), "q99": np.ones(1)},
    }
    bound = np.ones(1, np.float32)
    policy = recipes[kind].build(DataFacts("line", {"front": (8, 8)}, 2, 1, stats), -bound, bound)
    tuner = GroupTuner(policy, GroupSettings(1, 2, 1, 0.0), IMITATE, FlowNoise(), 0)
    update = tuner.update
    assert isinstance(update, ImitatingUpdate)
    seen: dict[str, torch.Tensor] = {}
    played = tuner.play(Playground(make_session(worlds=2)))
    whole = [d for episode in played.decisions for d in episode][:3]
    chunk = whole[0].draw.chunk.shape[1]
    assert chunk > 1

    def losses(executed: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The loss, and how much it asks of the velocity of what comes after the first action."""
        rows = [replace(d, executed=executed) for d in whole]
        torch.manual_seed(3)
        policy.module.zero_grad()
        with caught(policy, seen):
            loss = update._loss(rows)
        loss.backward()
        gradient = seen["velocity"].grad
        assert gradient is not None
        return loss.detach(), gradient.reshape(len(gradient), chunk, -1)[:, 1:].abs().sum()

    (first, later), (every, all_later) = losses(1), losses(chunk)
    assert later == 0, "no error of what was never executed moves the policy"
    assert all_later > 0
    assert not torch.isclose(first, every)
    if kind in ("pi0", "pi05"):
        torch.manual_seed(3)
        batch = prepared(policy, gathered(whole))
        own = policy.policy.forward({**batch, "action": torch.cat([d.draw.chunk for d in whole])})[0]
        torch.testing.assert_close(every, own.detach())


@contextmanager
def caught(policy: Any, seen: dict[str, torch.Tensor]) -> Iterator[None]:
    """Keeps the velocity that the last layer says, with its gradient."""

    def keep(_: Any, __: Any, said: torch.Tensor) -> None:
        said.retain_grad()
        seen["velocity"] = said

    handle = readout_of(policy).register_forward_hook(keep)
    try:
        yield
    finally:
        handle.remove()


def test_a_toy_reward_rises_and_nothing_is_warned_of() -> None:
    tuner, ground, ways = tuner_of(), Playground(make_session()), []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(5):
            tuner.round(ground)
            ways.append(np.mean([t.state[-1, 0] - t.state[0, 0] for g in tuner.last for t in g.traces]))
    assert ways[-1] > ways[0] + 0.1


def test_the_head_alone() -> None:
    tuner = tuner_of(train="head")
    before = {name: value.clone() for name, value in tuner.policy.module.state_dict().items()}
    tuner.round(Playground(make_session()))
    changed = {n for n, v in tuner.policy.module.state_dict().items() if not torch.equal(v, before[n])}
    assert changed
    assert all(name.startswith("head.") for name in changed)


def test_a_resumed_tuner_goes_the_same_way() -> None:
    goes_on_as_saved(tuner_of, rel=1e-4)


def test_a_resumed_tuner_remembers_too() -> None:
    goes_on_as_saved(lambda: tuner_of(memory=50), rel=1e-4)


def test_better_episodes_of_earlier_rounds_are_imitated_too() -> None:
    plain, remembering = tuner_of(), tuner_of(memory=7)
    decisions = decided(plain)[:20]
    better = torch.tensor([1.0] * 10 + [-1.0] * 10)
    for tuner in (plain, remembering):
        assert tuner.update.run(decisions, better, 0)["imitated"] == 10
    assert plain.update.run(decisions[:4], better[:4], 1)["imitated"] == 4
    assert remembering.update.run(decisions[:4], better[:4], 1)["imitated"] == 4 + 7
    # the newest stay, and none of the worse ones
    kept = [d for d, _ in remembering.update._kept]  # type: ignore[attr-defined]
    assert all(any(d is known for known in decisions[:10]) for d in kept)
    assert [d is known for d, known in zip(kept, decisions[:4], strict=False)] == [True] * 4
    assert len(kept) == 7


def test_a_memory_of_another_update_is_refused() -> None:
    with pytest.raises(UserError, match=r"update\.memory=5 must be 0 or more, .* belongs to update\.way=imitate"):
        UpdateSettings(way="clipped", memory=5)


def test_own_episodes_need_no_labels_of_auxiliary_losses() -> None:
    tuner = tuner_of()
    told = make_policy("flow", places_weight=1.0)
    tuner = GroupTuner(told, tuner.settings, IMITATE, FlowNoise(), 0)
    assert tuner.round(Playground(make_session()))["imitated"] > 0
    assert told.policy.labelled, "supervised training goes on asking"
