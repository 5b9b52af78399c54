"""SAC learns a bandit whose answer is known, and goes on from a saved state bit by bit."""

import copy
import math

import pytest
import torch

from robo_reward.policies.actor import Actor
from robo_reward.policies.soft_actor_critic import Batch, SacSettings, SoftActorCritic

BEST = 0.5


def bandit(count: int = 128) -> Batch:
    """One step: the reward is 1 - (a - best)^2, whatever the state."""
    action = torch.rand(count, 1) * 2 - 1
    state = torch.randn(count, 2)
    reward = 1 - (action[:, 0] - BEST).square()
    return Batch(state, action, reward, torch.randn(count, 2), torch.ones(count))


def make(anchor: float = 0.0) -> SoftActorCritic:
    return SoftActorCritic(2, 1, SacSettings(width=32, learning_rate=3e-3, anchor=anchor), timid=True)


def trained(updates: int, agent: SoftActorCritic) -> SoftActorCritic:
    for _ in range(updates):
        batch = bandit()
        agent.update_critic(batch)
        agent.update_actor(batch)
    return agent


def chosen(agent: SoftActorCritic) -> float:
    with torch.no_grad():
        return float(agent.average_actor.mode(torch.randn(256, 2)).mean())


def test_a_one_step_bandit_is_solved() -> None:
    torch.manual_seed(0)
    agent = make()
    assert abs(chosen(agent)) < 0.2, "a timid actor starts near zero"
    trained(400, agent)
    assert chosen(agent) == pytest.approx(BEST, abs=0.1)
    value = agent.value(torch.randn(64, 2), torch.full((64, 1), BEST)).mean()
    assert float(value.detach()) == pytest.approx(1.0, abs=0.1), "terminal: no future is added"


def test_the_anchor_holds_back_by_what_it_costs() -> None:
    torch.manual_seed(0)
    # 1 - (a - .5)^2 - 3 a^2 is greatest at a = .5 / (1 + 3)
    assert chosen(trained(400, make(anchor=3.0))) == pytest.approx(0.125, abs=0.05)


def test_the_future_is_discounted_where_the_episode_goes_on() -> None:
    torch.manual_seed(0)
    settings = SacSettings(width=32, learning_rate=3e-3, gamma=0.5, target_rate=0.1, start_temperature=1e-6)
    agent = SoftActorCritic(2, 1, settings, timid=True)
    for _ in range(400):
        batch = bandit()
        agent.update_critic(Batch(batch.state, batch.action, torch.ones(128), batch.after, torch.zeros(128)))
    # a reward of 1 for ever at gamma .5 is worth 2
    assert float(agent.value(torch.randn(64, 2), torch.zeros(64, 1)).mean().detach()) == pytest.approx(2.0, abs=0.1)


def test_the_log_probability_is_that_of_a_squashed_gaussian() -> None:
    torch.manual_seed(0)
    actor = Actor(3, 2)
    state = torch.randn(1, 3).expand(200_000, 3)
    with torch.no_grad():
        action, log_prob = actor.sample(state)
    assert action.abs().max() <= 1
    # over the square [-1, 1]^2 of area 4, E[1 / p] = 4
    assert float((-log_prob).exp().mean()) == pytest.approx(4.0, rel=0.1)


def test_an_update_of_the_actor_is_one_step_on_the_stated_losses_and_leaves_the_critic_alone() -> None:
    torch.manual_seed(3)
    agent, batch = trained(5, make(anchor=2.0)), bandit()
    agent.critic.zero_grad()
    other = copy.deepcopy(agent)
    torch.manual_seed(4)
    agent.update_actor(batch)
    torch.manual_seed(4)
    action, log_prob = other.actor.sample(batch.state)
    values = other.critic(torch.cat([batch.state, action], -1)).squeeze(-1).mean(0)
    temperature = other.log_temperature.exp().detach()
    loss = (temperature * log_prob - values).mean() + 2.0 * other.actor.mode(batch.state).square().sum(-1).mean()
    loss.backward()
    for own, stated in zip(agent.actor.parameters(), other.actor.parameters(), strict=True):
        assert own.grad is not None
        assert stated.grad is not None
        torch.testing.assert_close(own.grad, stated.grad, atol=1e-6, rtol=1e-4)
    # -log_temperature * (log_prob + target entropy), which is -1 for one action
    assert agent.log_temperature.grad is not None
    assert float(agent.log_temperature.grad) == pytest.approx(float(-(log_prob.detach() - 1.0).mean()), abs=1e-6)
    assert all(p.grad is None for p in agent.critic.parameters())


def test_a_restored_agent_goes_on_as_the_unbroken_one() -> None:
    torch.manual_seed(1)
    agent, other = trained(5, make()), make()
    other.load(copy.deepcopy(agent.state()))
    torch.manual_seed(2)
    trained(5, agent)
    torch.manual_seed(2)
    trained(5, other)
    for one, two in zip(agent.actor.parameters(), other.actor.parameters(), strict=True):
        assert torch.equal(one, two)
    assert agent.updates == other.updates == 10
    assert math.isclose(float(agent.log_temperature.detach()), float(other.log_temperature.detach()))
