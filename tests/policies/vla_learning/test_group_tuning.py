"""Groups from one start, the gate, advantages, the clipped update, and that a toy reward rises."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from line_env import goes_on_as_saved, make_policy, make_session  # type: ignore[import-not-found]

from robo_reward.contracts import Estimate
from robo_reward.errors import UserError
from robo_reward.line_world import LineReward
from robo_reward.playground import HorizonStop, Playground
from robo_reward.policies.vla.features import DataFacts
from robo_reward.policies.vla.lerobot_policy import load_lerobot_policy
from robo_reward.policies.vla_learning.clipped_update import UpdateSettings, divergence, executed_mask, surrogate
from robo_reward.policies.vla_learning.flow_sde import FlowNoise
from robo_reward.policies.vla_learning.group_advantages import EpisodePricer, group_advantages
from robo_reward.policies.vla_learning.group_tuning import GroupSettings, GroupTuner, flattened
from robo_reward.policies.vla_learning.preferences import (
    PreferenceSettings,
    PreferenceTuner,
    flow_errors,
    pairs_of,
    preference_loss,
)
from robo_reward.reward_models.env_reward import EnvReward
from robo_reward.reward_models.transforms.completion import Completion
from robo_reward.reward_models.transforms.gain import Gain
from robo_reward.reward_models.transforms.gated import OutcomeGate
from robo_reward.reward_models.transforms.gold import Gold
from robo_reward.reward_models.transforms.level import Level
from robo_reward.reward_models.transforms.min_form import MinForm
from robo_reward.reward_models.transforms.potential import Potential
from robo_reward.reward_models.transforms.stratified import Stratified
from robo_reward.reward_stack import RewardStack

SMALL = GroupSettings(groups=2, size=4, most=3, min_spread=0.01)


def tuner_of(head: str = "flow", kind: Any = GroupTuner, noise: Any = "sde", lr: float = 1e-3, **more: Any) -> Any:
    settings = GroupSettings(groups=2, size=8, most=4, min_spread=0.01)
    return kind(make_policy(head), settings, UpdateSettings(lr=lr, batch=64), FlowNoise(noise), 0, **more)


def test_advantages_are_those_of_grpo() -> None:
    found = group_advantages(np.array([-0.1, 0, 0.1]))
    assert found == pytest.approx([-1.2247, 0, 1.2247], abs=1e-3)
    assert group_advantages(np.full(3, 0.7)) == pytest.approx([0, 0, 0], abs=1e-6)


def test_the_surrogate_is_clipped_on_the_side_that_would_pay() -> None:
    settings = UpdateSettings(clip_low=0.2, clip_high=0.28, dual=3.0)

    def loss(ratio: float, advantage: float) -> float:
        one = torch.ones(1, 1, dtype=torch.bool)
        return surrogate(torch.tensor([[ratio]]).log(), torch.tensor([advantage]), one, settings).item()

    assert loss(1.1, 1.0) == pytest.approx(-1.1)
    assert loss(2.0, 1.0) == pytest.approx(-1.28)
    assert loss(0.5, 1.0) == pytest.approx(-0.5)
    assert loss(0.5, -1.0) == pytest.approx(0.8)
    assert loss(9.0, -1.0) == pytest.approx(3.0), "the dual bound"


def test_steps_that_were_not_random_count_nowhere() -> None:
    log_ratio = torch.tensor([[0.1, 5.0]])
    random = torch.tensor([[True, False]])
    assert surrogate(log_ratio, torch.ones(1), random, UpdateSettings()).item() == pytest.approx(-np.exp(0.1))
    assert divergence(log_ratio, random).item() == pytest.approx(np.exp(0.1) - 1.1, abs=1e-6)


@pytest.mark.parametrize("noise", ["sde", "cps", "noise", "tokens"])
def test_a_group_begins_in_one_start_and_the_first_ratio_is_one(noise: str) -> None:
    tuner = tuner_of("tokens") if noise == "tokens" else tuner_of(noise=noise)
    group = tuner.play(Playground(make_session(worlds=3)))
    assert len(group.traces) == len(group.decisions) == 8
    starts = np.stack([trace.state[0] for trace in group.traces])
    assert np.ptp(starts, axis=0).tolist() == [0, 0]
    assert len({round(float(trace.state[-1][0]), 5) for trace in group.traces}) > 4, "but they go their own ways"
    decisions = [d for episode in group.decisions for d in episode]
    log_ratio, random = tuner.update.log_ratio(decisions)
    assert random.any(1).all()
    assert log_ratio.detach().abs().max().item() < 1e-4


def test_what_an_end_cuts_off_is_masked() -> None:
    tuner = tuner_of()
    group = tuner.play(Playground(make_session()), HorizonStop(5))
    assert {len(trace) for trace in group.traces} == {5}
    assert [d.executed for d in group.decisions[0]] == [2, 2, 1]
    assert executed_mask(group.decisions[0], 2)[:, 0, :, 0].tolist() == [[1, 1], [1, 1], [1, 0]]
    last = group.decisions[0][-1]
    actions = tuner.policy.after(last.draw.chunk)[0, 0]
    assert float(actions.clamp(-1, 1)) == pytest.approx(float(group.traces[0].action[4, 0]), abs=1e-5)
    before = tuner.update.log_ratio([last])[0].sum().item()
    last.draw.log_prob[:, :, 1] += 100.0
    assert tuner.update.log_ratio([last])[0].sum().item() == pytest.approx(before)


@pytest.mark.parametrize("noise", ["sde", "cps"])
def test_the_first_ratio_is_one_where_half_of_a_chunk_is_executed(noise: str) -> None:
    """Through acting itself: pictures shrunk and kept, queues, and a new plan before the chunk is over."""
    tuner = tuner_of(noise=noise)
    tuner.policy.execute = tuner.explorer._execute = 1
    group = tuner.play(Playground(make_session(worlds=2)), HorizonStop(5))
    decisions = [d for episode in group.decisions for d in episode]
    assert {d.executed for d in decisions} == {1}
    assert len(decisions) == 5 * len(group.traces)
    log_ratio, random = tuner.update.log_ratio(decisions)
    assert (log_ratio[random].exp() - 1).abs().max().item() < 1e-4
    decisions[0].draw.log_prob[:, :, 1:] += 100.0  # what was decided and never tried
    assert (tuner.update.log_ratio(decisions)[0][random].exp() - 1).abs().max().item() < 1e-4


def test_everything_is_counted() -> None:
    session = make_session(worlds=3)
    tuner = GroupTuner(make_policy(), SMALL, UpdateSettings(), FlowNoise(), 0)
    tuner.play(Playground(session))
    assert (session.tally.rollouts, session.tally.env_steps, len(session.outcomes)) == (4, 40, 4)
    session.world.sealed.unseal()
    assert {session.world.sealed.outcomes()[k].length for k in session.outcomes} == {10}


class Flat(LineReward):
    """Always 0.5."""

    def estimate_episode(self, trace: Any) -> Estimate:
        half = np.full(len(trace.frame_steps), 0.5, np.float32)
        return Estimate(half, half * 0, half * 0, half * 0)


def test_groups_without_spread_are_counted_and_change_nothing() -> None:
    session = make_session(model=Flat())
    tuner = GroupTuner(make_policy(), SMALL, UpdateSettings(lr=0.1), FlowNoise(), 0)
    before = tuner.values()
    metrics = tuner.round(Playground(session))
    assert (metrics["groups"], metrics["skipped"], tuner.skipped) == (0, 3, 3)
    assert all(torch.equal(value, before[name]) for name, value in tuner.values().items())
    assert tuner.drift() == 0.0


@pytest.mark.parametrize(("head", "lr", "rounds"), [("flow", 2e-3, 8), ("tokens", 4e-3, 12)])
def test_a_toy_reward_rises(head: str, lr: float, rounds: int) -> None:
    session = make_session()
    tuner = tuner_of(head, lr=lr)
    ground = Playground(session)
    ways = []
    for _ in range(rounds):
        tuner.round(ground)
        ways.append(np.mean([t.state[-1, 0] - t.state[0, 0] for g in tuner.last for t in g.traces]))
    assert np.mean(ways[-3:]) > np.mean(ways[:3]) + 0.15
    assert tuner.drift() > 0.1


def test_an_update_stops_where_the_policy_has_moved_too_far() -> None:
    tuner = GroupTuner(make_policy(), SMALL, UpdateSettings(lr=0.05, epochs=8, kl_stop=0.01), FlowNoise(), 0)
    metrics = tuner.round(Playground(make_session()))
    assert metrics["stopped_by_kl"] == 1
    assert metrics["steps"] < 8


def test_ratios_need_random_steps_and_the_other_updates_say_that_they_cannot_tell_a_drift() -> None:
    still, group = FlowNoise(level=0.0), GroupSettings(1, 4, 1, 0.0)
    with pytest.raises(UserError, match=r"noise\.level=0: no step .* set noise\.level above 0"):
        GroupTuner(make_policy(), group, UpdateSettings(), still, 0)
    for tuner in (
        GroupTuner(make_policy(), group, UpdateSettings(way="imitate"), still, 0),
        PreferenceTuner(make_policy(), group, UpdateSettings(), still, 0),
    ):
        assert tuner.round(Playground(make_session()))["groups"] == 1
        assert np.isnan(tuner.drift())
    GroupTuner(make_policy(), group, UpdateSettings(), FlowNoise("noise", level=0.0), 0)
    GroupTuner(make_policy("tokens"), group, UpdateSettings(), still, 0)


def test_a_tuner_that_was_saved_goes_the_same_way() -> None:
    goes_on_as_saved(tuner_of)


def test_rewards_of_an_episode() -> None:
    trace = tuner_of().play(Playground(make_session())).traces[0]
    by = {}
    for pays in ("final", "max", "mean", "sum"):
        stack = make_session().stack
        by[pays] = EpisodePricer(stack, pays).price([[trace]])[0][0][0]  # type: ignore[arg-type]
    line = trace.frames["front"].mean((1, 2, 3))[1:] / 255
    assert by == pytest.approx({"final": line[-1], "max": line.max(), "mean": line.mean(), "sum": line.sum()}, abs=1e-5)
    assert EpisodePricer(RewardStack(EnvReward("success"), [])).pays == "max"


@pytest.mark.parametrize(
    ("chain", "pays"),
    [
        ([Level()], "final"),
        ([Gain()], "sum"),
        ([Completion()], "sum"),
        ([MinForm()], "sum"),
        ([Level(), OutcomeGate()], "sum"),
    ],
    ids=["level", "gain", "completion", "min_form", "gated"],
)
def test_what_an_episode_is_worth_follows_from_what_the_chain_pays_for(chain: list[Any], pays: str) -> None:
    assert EpisodePricer(RewardStack(LineReward(), chain)).pays == pays


@pytest.mark.parametrize("gamma", [0.98, 1.0])
def test_a_potential_shapes_nothing_where_an_episode_is_paid_as_a_whole(gamma: float) -> None:
    with pytest.raises(UserError, match=r"Potential shapes steps for a critic.*transform=success"):
        EpisodePricer(RewardStack(LineReward(), [Gold(), Potential(gamma=gamma)]))


def test_scales_that_normalised_advantages_cancel_are_refused() -> None:
    session = make_session()
    session.stack.transforms = (Stratified(weighting=True),)
    with pytest.raises(UserError, match="cancel"):
        tuner_of().round(Playground(session))


def test_the_preference_loss_by_hand() -> None:
    one = torch.ones(1)
    assert preference_loss(one, one, one, one, 250).item() == pytest.approx(np.log(2))
    better = preference_loss(0.99 * one, one, one, one, 250).item()
    assert better == pytest.approx(np.log(1 + np.exp(-2.5)), rel=1e-3)


def test_pairs_share_noise_and_the_better_episode_becomes_likelier() -> None:
    tuner = tuner_of(kind=PreferenceTuner, lr=1e-3, preferences=PreferenceSettings(margin=0.05))
    kept, _ = tuner.gather(Playground(make_session()))
    pairs = pairs_of(kept, PreferenceSettings(margin=0.05))
    assert pairs
    assert len(pairs_of(kept, PreferenceSettings(margin=2.0))) == 0
    seen: list[torch.Tensor] = []
    field, velocity = tuner._field, tuner._field.velocity
    field.velocity = lambda z, x, t: (seen.append(t), velocity(z, x, t))[1]
    metrics = [tuner.improve(kept) for _ in range(8)]
    assert all(torch.equal(seen[0], t) for t in seen[1:4]), "one time for both of a pair, before and after"
    assert metrics[-1]["preferred"] > 0.7
    assert metrics[-1]["loss"] < metrics[0]["loss"]


def test_flow_errors_count_what_was_executed() -> None:
    class Still:
        shape, actions, steps = (2, 3), 1, 4

        def encode(self, batch: Any) -> Any:
            return None

        def velocity(self, observation_embedding: Any, noisy_chunk: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
            return torch.zeros_like(noisy_chunk)

    noise, chunk = torch.ones(1, 2, 3), torch.tensor([[[3.0], [100.0]]])
    mask = torch.tensor([[[1.0], [0.0]]])
    assert flow_errors(Still(), {}, chunk, mask, noise, torch.full((1,), 0.5)).item() == pytest.approx(4.0)


def test_settings_out_of_range_are_refused() -> None:
    for make in (
        lambda: GroupSettings(size=1),
        lambda: GroupSettings(groups=4, most=2),
        lambda: UpdateSettings(clip_low=1.0),
        lambda: UpdateSettings(train="some"),
        lambda: PreferenceSettings(beta=0),
    ):
        with pytest.raises(UserError):
            make()
    with pytest.raises(UserError, match="head=flow"):
        tuner_of("tokens", kind=PreferenceTuner)


def test_decisions_carry_their_episodes_advantage() -> None:
    tuner = tuner_of()
    kept, _ = tuner.gather(Playground(make_session()))
    decisions, advantages = flattened(kept)
    assert len(decisions) == len(advantages) == sum(len(e) for g in kept for e in g.decisions)
    first = group_advantages(kept[0].rewards)
    assert advantages[0].item() == pytest.approx(first[0], rel=1e-5)


def test_smolvla_is_tuned_by_groups_too(recipes: dict[str, Any], tmp_path: Any) -> None:
    stats = {
        "observation.state": {"mean": np.zeros(2, np.float32), "std": np.ones(2, np.float32)},
        "action": {"mean": np.zeros(1, np.float32), "std": np.full(1, 0.5, np.float32)},
    }
    bound = np.ones(1, np.float32)
    policy = recipes["smolvla"].build(DataFacts("line", {"front": (8, 8)}, 2, 1, stats), -bound, bound)
    policy.execute = 5
    tuner = GroupTuner(policy, GroupSettings(1, 4, 1, 0.0), UpdateSettings(lr=1e-3), FlowNoise(), 0)
    before = tuner.values()
    metrics = tuner.round(Playground(make_session()))
    assert metrics["groups"] == 1
    assert metrics["kl"] < 1.0
    changed = {name for name, value in tuner.values().items() if not torch.equal(value, before[name])}
    assert any("action_out_proj" in name for name in changed)
    policy.save(tmp_path)
    again = load_lerobot_policy(tmp_path)
    observation = make_session().world.reset(0)
    assert again.act(observation) == pytest.approx(policy.act(observation), abs=1e-4)
