"""Which transforms leave the optimum of a task alone, on random tabular tasks solved exactly, in the real stack."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hydra import compose, initialize_config_module
from hypothesis import given, settings
from hypothesis import strategies as st

from robo_reward.build import build_transforms
from robo_reward.errors import UserError
from robo_reward.reward_models.transforms.absorbing import Absorbing
from robo_reward.reward_models.transforms.clip import Clip
from robo_reward.reward_models.transforms.completion import Completion
from robo_reward.reward_models.transforms.conservative import Conservative
from robo_reward.reward_models.transforms.gain import Gain
from robo_reward.reward_models.transforms.gated import OutcomeGate, StepGate
from robo_reward.reward_models.transforms.gold import Gold
from robo_reward.reward_models.transforms.hierarchy import Product
from robo_reward.reward_models.transforms.level import Level
from robo_reward.reward_models.transforms.min_form import MinForm
from robo_reward.reward_models.transforms.normaliser import Normaliser
from robo_reward.reward_models.transforms.par import Par
from robo_reward.reward_models.transforms.potential import Potential
from robo_reward.reward_models.transforms.stratified import Stratified
from robo_reward.reward_stack import RewardStack
from robo_reward.tabular_task import (
    StateReward,
    Task,
    in_chunks,
    random_task,
    regret,
    rewards_of,
    solve,
    values_of,
    wander,
)
from robo_reward.transform_kinds import Transform

Chain = Callable[[float], list[Transform]]
GAMMAS = st.sampled_from([0.8, 0.95, 0.99])
EXACT = 2e-3
"""Rewards are float32, and values up to 1 / (1 - gamma) = 100 of them."""

SOUND: dict[str, tuple[Chain, Chain]] = {
    "potential": (lambda g: [], lambda g: [Potential(g)]),
    "potential of any weight": (lambda g: [], lambda g: [Potential(g, weight=7.0)]),
    "two potentials": (lambda g: [], lambda g: [Potential(g), Potential(g, weight=-0.5)]),
    "potential of conservative progress": (lambda g: [], lambda g: [Conservative(), Potential(g)]),
    "potential of worst-case progress": (lambda g: [], lambda g: [Conservative("worst_case"), Potential(g)]),
    "potential beside the gold reward": (
        lambda g: [Gold(gamma=g)],
        lambda g: [Gold(gamma=g), Potential(g)],
    ),
    "potential after a bent reward": (lambda g: [Clip(-0.5, 0.5)], lambda g: [Clip(-0.5, 0.5), Potential(g)]),
    "normaliser": (lambda g: [], lambda g: [Normaliser(g, limit=1e6)]),
}
UNSOUND: dict[str, Chain] = {
    "potential with another discount": lambda g: [Potential(g - 0.3)],
    "gain": lambda g: [Gain(weight=5)],
    "level": lambda g: [Level(weight=5)],
    "gold": lambda g: [Gold(consecutive=1, weight=5)],
    "clip": lambda g: [Clip(-0.5, 0.5)],
    "par": lambda g: [Par([0.0], steepness=3)],
    "completion": lambda g: [Completion(weight=5)],
    "product": lambda g: [Product({"progress": [0, 1]}, weight=5)],
    "gated_steps": lambda g: [StepGate("progress", 0.5)],
    "absorbing": lambda g: [Absorbing(g)],
    "normaliser that clips": lambda g: [Normaliser(g, limit=0.5)],
}


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000), GAMMAS, st.sampled_from(sorted(SOUND)))
def test_sound_transforms_leave_the_optimum_alone(seed: int, gamma: float, name: str) -> None:
    task = random_task(seed, gamma)
    plain, shaped = (rewards_of(task, chain(gamma)) for chain in SOUND[name])
    assert regret(task, plain, shaped) <= EXACT


@pytest.mark.parametrize("name", sorted(SOUND))
def test_sound_transforms_change_the_reward(name: str) -> None:
    """Else the proof above would say nothing; in a few tasks the worst case leaves no progress at all."""
    tasks = [random_task(seed, 0.9) for seed in range(20)]
    pairs = [[rewards_of(task, chain(0.9)) for chain in SOUND[name]] for task in tasks]
    assert sum(not np.allclose(plain, shaped) for plain, shaped in pairs) >= 15


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000), GAMMAS)
def test_potentials_move_every_value_by_the_potential(seed: int, gamma: float) -> None:
    """Of every policy, not of the best only: V' = V - Phi, so differences between policies stay."""
    task = random_task(seed, gamma)
    plain, shaped = rewards_of(task, []), rewards_of(task, [Potential(gamma)])
    policy = np.random.default_rng(seed).integers(0, task.reach.shape[1], len(task.ends))
    moved = values_of(task, plain, policy) - task.progress
    # where an episode has ended nothing is valued any more
    assert values_of(task, shaped, policy)[~task.ends] == pytest.approx(moved[~task.ends], abs=EXACT)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10_000), GAMMAS)
def test_chunks_of_actions_keep_their_optimum(seed: int, gamma: float) -> None:
    """A policy that commits to two actions at a time, its learner discounting by gamma^2."""
    task = in_chunks(random_task(seed, gamma, states=4, actions=2))
    plain, shaped = rewards_of(task, []), rewards_of(task, [Potential(gamma, chunk=2)])
    assert regret(task, plain, shaped) <= EXACT


def test_chunks_need_their_own_discount() -> None:
    """gamma in place of gamma^2 moves the optimum of some task."""
    worst = 0.0
    for seed in range(60):
        task = in_chunks(random_task(seed, 0.9, states=4, actions=2))
        worst = max(worst, regret(task, rewards_of(task, []), rewards_of(task, [Potential(0.9, weight=5)])))
    assert worst > 0.05


def test_truncated_steps_bootstrap() -> None:
    """A time limit is not an end: the shaped reward is that of a step that goes on."""
    task = random_task(3, 0.95)
    chain = [Potential(0.95)]
    assert np.array_equal(rewards_of(task, chain), rewards_of(task, chain, truncated=True))
    ended = replace(task, ends=np.ones_like(task.ends))
    assert rewards_of(ended, chain) - rewards_of(ended, []) == pytest.approx(
        np.broadcast_to(-task.progress[:, None, None], task.reward.shape), abs=1e-6
    )


def counterexample(chain: Chain, gamma: float = 0.9, tries: int = 300) -> Task | None:
    """A random task whose best policy under ``chain`` loses at least 0.05 under the task's own reward."""
    for seed in range(tries):
        # an ended episode that the detector calls a success is refused for levels: here no detector says so
        task = random_task(seed, gamma)
        task = replace(task, success=np.where(task.ends, 0.0, task.success))
        if regret(task, rewards_of(task, []), rewards_of(task, chain(gamma))) > 0.05:
            return task
    return None


@pytest.mark.parametrize("name", UNSOUND)
def test_unsound_transforms_have_a_counterexample(name: str) -> None:
    assert counterexample(UNSOUND[name]) is not None


@pytest.mark.parametrize("name", SOUND)
def test_the_search_finds_none_for_sound_ones(name: str) -> None:
    """The search itself can fail: it is the same one."""
    plain, shaped = SOUND[name]
    if not plain(0.9):
        assert counterexample(shaped, tries=60) is None


@pytest.mark.parametrize("transform", [MinForm(source="reward"), OutcomeGate(), Stratified()])
def test_rewards_of_whole_episodes_can_turn_their_order_around(transform: Transform) -> None:
    """Of two episodes of one task the one with the greater return is paid less."""
    for seed in range(50):
        task = random_task(seed, 1.0)
        group = [wander(task, 100 * seed + k, 8) for k in range(2)]
        plain = [float(t.env_reward.sum()) for t in group if t.env_reward is not None]
        stack = RewardStack(StateReward(task), [transform])
        paid = [float(t.reward.sum()) for t in stack.price_group(group) if t.reward is not None]
        if (plain[0] - plain[1]) * (paid[0] - paid[1]) < -1e-3:
            return
    raise AssertionError("no counterexample")


# --- levels where success ends the episode ----------------------------------------------------------------------------


def corridor(detected: bool) -> Task:
    """Four states in a row; actions stay and go right; the last one is success and ends the episode."""
    reach = np.zeros((4, 2, 4))
    for state in range(4):
        reach[state, 0, state] = reach[state, 1, min(state + 1, 3)] = 1
    done = np.arange(4) == 3
    progress = np.asarray([0.0, 0.4, 0.9, 1.0])
    return Task(reach, np.zeros((4, 2, 4)), 0.95, done, progress, done * 1.0 * detected, np.zeros(4))


def test_a_level_pays_for_avoiding_success_and_absorbing_mends_it() -> None:
    task = corridor(detected=False)
    hovering = solve(task, rewards_of(task, [Level()], "none"))[1]
    assert hovering[:3].tolist() == [1, 1, 0]  # stops one state short of success
    lasting = [Level(), Absorbing(task.gamma)]
    assert solve(task, rewards_of(task, lasting, "none"))[1][:3].tolist() == [1, 1, 1]


def test_a_level_is_refused_where_success_ends_the_episode() -> None:
    task = corridor(detected=True)
    with pytest.raises(UserError, match="pays the policy for avoiding success"):
        rewards_of(task, [Level()], "none")
    rewards_of(task, [Level(), Absorbing(0.95)], "none")
    with pytest.raises(UserError, match="in which transform Gold pays at every step"):
        rewards_of(task, [Gold(), Potential(0.95)], "none")
    trace = replace(wander(task, 0, 30), env_reward=None)
    assert trace.terminated
    with pytest.raises(UserError, match="success ended an episode in which transform Level"):
        RewardStack(StateReward(task, "none"), [Level()]).price(trace)


def test_a_level_is_refused_where_the_oracles_success_ends_the_episode() -> None:
    """Whatever the detector says of it: the longer a policy fails, the more it would earn."""
    task = corridor(detected=False)
    trace = wander(task, 0, 30)
    trace = replace(trace, env_reward=np.eye(1, len(trace), len(trace) - 1, dtype=np.float32)[0])
    assert trace.terminated
    stack = RewardStack(StateReward(task, "success"), [Level()])
    with pytest.raises(UserError, match="success ended an episode in which transform Level"):
        stack.price(trace)
    assert trace.env_reward is not None
    stack.price(replace(trace, env_reward=0 * trace.env_reward))
    stack.price(replace(trace, terminated=False, truncated=True))


def test_the_chain_of_potential_pays_for_reaching_the_success_that_ends_the_episode() -> None:
    task = corridor(detected=True)
    paid = rewards_of(task, chain_of_potential(task.gamma), "none")
    assert paid[2, 1, 3] == pytest.approx(1 / (1 - task.gamma) - task.progress[2], rel=1e-5)
    assert solve(task, paid)[1][:3].tolist() == [1, 1, 1]


def test_a_detector_that_is_fooled_next_to_success_makes_hovering_worth_no_more_than_it() -> None:
    """Paid like a step of staying, the success that ends the episode would be worth 1 against 1 + 0.95 + ... = 20."""
    task = replace(corridor(detected=True), success=np.asarray([0.0, 0.0, 0.6, 1.0]))
    paid = rewards_of(task, chain_of_potential(task.gamma, "transform.chain.0.consecutive=1"), "none")
    stay, finish = solve(task, paid)[0][2]
    assert finish >= stay - 1e-4
    paid[2, 1, 3] -= 1 / (1 - task.gamma) - 1
    stay, finish = solve(task, paid)[0][2]
    assert stay > finish + 10


def chain_of_potential(gamma: float, *words: str) -> list[Transform]:
    """As its yaml has it, for a learner of this discount."""
    with initialize_config_module("robo_reward.configs", version_base="1.3"):
        config = compose("train", ["transform=potential", f"learner.sac.gamma={gamma}", *words])
    return [*build_transforms(config.transform)]


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000), GAMMAS)
def test_absorbing_is_the_task_whose_ends_go_on_for_ever(seed: int, gamma: float) -> None:
    task = random_task(seed, gamma)
    ended = rewards_of(task, [Level(), Absorbing(gamma)], "none")
    index = np.flatnonzero(task.ends)
    reach = task.reach.copy()
    reach[index] = 0
    reach[index, :, index] = 1
    goes_on = replace(task, reach=reach, ends=np.zeros_like(task.ends))
    lasting = rewards_of(goes_on, [Level()], "none")
    live = ~task.ends
    assert solve(task, ended)[0][live] == pytest.approx(solve(goes_on, lasting)[0][live], rel=1e-4, abs=EXACT)


def test_the_documentation_names_what_is_unsound() -> None:
    page = (Path(__file__).parents[2] / "docs" / "shaping.md").read_text()
    verdicts = {
        row.split("|")[1].strip().strip("`"): row.split("|")[3].strip()
        for row in page.splitlines()
        if row.startswith("| `")
    }
    whole = ["min_form", "gated", "stratified"]
    for name in ["gain", "level", "clip", "par", "completion", "product", "gated_steps", *whole]:
        assert verdicts[name].startswith("moves"), name
    for name in ["potential", "normaliser"]:
        assert verdicts[name].startswith("kept"), name
