"""Chains that contradict themselves are refused when they are built, and the message says why."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import hydra
import numpy as np
import pytest

from robo_reward.build import build_transforms
from robo_reward.chain_check import check_learners_discount, check_normalised_advantage, pays_unbounded_level
from robo_reward.cli import run
from robo_reward.contract_tests import moving_square
from robo_reward.contracts import Estimate, Flags, Floats, Transition
from robo_reward.errors import UserError
from robo_reward.line_world import LineReward, LineWorld
from robo_reward.reward_models.env_reward import EnvReward
from robo_reward.reward_models.transforms.absorbing import Absorbing
from robo_reward.reward_models.transforms.accumulated import Accumulated
from robo_reward.reward_models.transforms.clip import Clip
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
from robo_reward.rewarded_env import RewardedEnv
from robo_reward.transform_kinds import Transform

REFUSED: list[tuple[list[Transform], str]] = [
    ([Gold(), Potential(), Normaliser()], "Normaliser after Potential: .* put Potential last"),
    ([Gold(), Potential(), Clip()], "Clip after Potential"),
    ([Level(), Potential(), Par()], "Par after Potential"),
    ([Level(), Potential(), Absorbing()], "Absorbing after Potential"),
    ([Level(), Potential(), Stratified()], "Stratified after Potential"),
    ([Gold(), Potential(0.9), Potential(0.99)], "Potential with gamma=0.9 and Potential with gamma=0.99"),
    ([Level(), Absorbing(0.9), Potential(0.99)], "Absorbing with gamma=0.9 and Potential with gamma=0.99"),
    ([Gold(gamma=0.9), Potential(0.99)], "Gold with gamma=0.9 and Potential"),
    (
        [Gold(gamma=0.9), Potential(0.9, chunk=5)],
        r"and Potential with gamma=0\.9 over 5 steps \(0\.59049 a transition\)",
    ),
    ([Level(), Normaliser(), Normaliser()], "undoes the earlier one's scale"),
    ([Par(), Level()], "Par reshapes the reward so far, and nothing before it pays any"),
    ([Potential(), StepGate()], "StepGate reshapes the reward so far"),
    ([Level(), Stratified(), Level()], "Level after Stratified: .* a failure above a success"),
    ([Level(), Stratified(), Gain()], "Gain after Stratified"),
    ([Level(), Stratified(), Potential()], "Potential after Stratified"),
    ([Level(), Stratified(), OutcomeGate()], "OutcomeGate after Stratified"),
    ([Level(), Absorbing(), Level()], "Level pays a level after Absorbing"),
    ([Level(), Absorbing(), Gold()], "Gold pays a level after Absorbing"),
    ([Level(), Absorbing(), Gold(once=True), Accumulated()], "Accumulated pays a level after Absorbing"),
    ([Level(), Absorbing(), Absorbing()], "Absorbing twice"),
    ([Level(), Absorbing(), Gain(), Clip(-2.5, 2.5)], "Clip after Absorbing bounds .* put Clip before Absorbing"),
    ([Level(), Absorbing(), Par()], "put Par before Absorbing"),
    ([Level(), Absorbing(), Normaliser()], "Normaliser after Absorbing"),
    ([Gold(once=True), Absorbing()], "Gold before Absorbing is paid in full already, or once"),
    ([Gold(gamma=0.98), Absorbing()], "Leave Absorbing out"),
    ([Level(), Gold(gamma=0.98), Absorbing()], "Put Gold after Absorbing"),
    ([Gain(), Absorbing()], "Leave Absorbing out"),
    ([Level(), Gain(), Absorbing()], "Put Gain after Absorbing"),
    ([Level(), OutcomeGate(), Absorbing()], "Put OutcomeGate after Absorbing"),
    ([Gold(gamma=0.9), Clip()], "Clip after Gold bounds what the lasting end is worth, .* leave Clip out"),
    ([Level(), Gold(gamma=0.9), Normaliser()], "put Normaliser before Gold"),
    ([MinForm(), Normaliser()], "cannot stand in one chain"),
]
WARNED: list[tuple[list[Transform], str]] = [
    ([Level(), Par(), Normaliser()], "Normaliser right after Par"),
    ([Level(), Par(), Clip(-1, 1)], "Clip to .* has no effect: Par already"),
    ([Level(), Clip(0, 1), Clip(-1, 2)], "has no effect: Clip already"),
    ([Gain(), Potential()], "Gain beside Potential"),
    ([Gain(), MinForm("reward")], "MinForm over Gain"),
    ([Level(), Conservative()], "Conservative stands last and has no effect"),
    ([Conservative(), Accumulated()], r"Conservative has no effect: .* \(Accumulated reads gain\)"),
    ([Conservative(), Level("success")], r"Conservative has no effect: .* \(Level reads success\)"),
    ([Conservative(), Gold(), Clip(0, 1)], r"Conservative has no effect: .* \(Gold reads success\)"),
    ([Level(), Par(), Par()], "Par right after Par: it bends again"),
    ([Level(), Level()], "levels of the same are paid twice"),
    ([Gain(), Gain()], "changes of the same are paid twice"),
]
FINE: list[list[Transform]] = [
    [Level(), Par(), Potential()],
    [Conservative(), Gold(), Potential(0.9), Potential(0.9, weight=0.1)],
    [Level(), Par(), Clip(0.2, 0.8)],
    [Conservative(), Product({"progress": [0, 1]})],
    [Conservative(), Level("success"), Level("progress")],
    [Level("match"), Level("success")],
    [Level(), StepGate(), Level()],
    [Level(), Stratified(), Clip()],
    [Gold(0.5), Gold(0.9)],
    [Gain(), Clip()],
    [Level(), Absorbing(), Gold(once=True)],
    [Level(), Clip(), Absorbing(), Gold(gamma=0.98)],
    [Level(), Absorbing(), Gain()],
    [Gold(), Absorbing()],
    [Gold(), Par(), Absorbing()],
    [Gold(gamma=0.9), Potential(0.9)],
    [Gold(gamma=1.0), Potential(1.0)],
    [Gold(gamma=0.9**5), Potential(0.9, chunk=5)],
    [Gold(), Clip()],
    [Level(), Clip(), Gold(gamma=0.9), Level()],
    [Level(), OutcomeGate()],
    [Level(), Normaliser(), Potential()],
]


@pytest.mark.parametrize(("chain", "says"), REFUSED)
def test_contradictions_are_refused(chain: list[Transform], says: str) -> None:
    with pytest.raises(UserError, match=says):
        RewardStack(LineReward(), chain)


@pytest.mark.parametrize(("chain", "says"), WARNED)
def test_what_has_no_effect_is_said(chain: list[Transform], says: str) -> None:
    with pytest.warns(UserWarning, match=says):
        RewardStack(LineReward(), chain)


@pytest.mark.parametrize("chain", FINE)
def test_sound_chains_pass_in_silence(chain: list[Transform]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        RewardStack(LineReward(), chain)


def test_the_worlds_own_reward_can_be_reshaped_at_once() -> None:
    assert RewardStack(EnvReward("reward"), [Normaliser()]).base_reward == "env_dense"


def test_a_transform_that_tells_nothing_is_taken_as_it_is() -> None:
    class Mine:
        base_reward: str | None = "mine"

        def begin(self, first: Estimate, fresh: Flags) -> None: ...

        def __call__(self, reward: Floats, transition: Transition, estimate: Estimate) -> Floats:
            return reward + 1

    assert RewardStack(LineReward(), [Mine(), Clip()]).base_reward == "mine"


def test_scales_that_a_group_shares_are_refused_under_normalised_advantages() -> None:
    check_normalised_advantage([Level(), Stratified()])
    with pytest.raises(UserError, match="cancel that exactly"):
        check_normalised_advantage([Level(), Stratified(weighting=True)])


def test_levels_are_known() -> None:
    assert pays_unbounded_level([Gold(), Potential()]) == "Gold"
    assert pays_unbounded_level([Gold(gamma=0.98), Potential()]) is None
    assert pays_unbounded_level([Level(), Potential()]) == "Level"
    assert pays_unbounded_level([Level(), Absorbing()]) is None
    assert pays_unbounded_level([Level(), Absorbing(), Level()]) == "Level"
    assert pays_unbounded_level([Gold(), Par()]) == "Par", "it pays for nothing, too: half a reward at every step"
    assert pays_unbounded_level([Gold(once=True), Clip(0, 1)]) is None


def test_a_discount_other_than_the_learners_is_refused() -> None:
    for chain in ([Level(), Absorbing(0.9)], [Gold(gamma=0.9)], [Gold(once=True), Potential(0.9)]):
        check_learners_discount(chain, 0.9)
        check_learners_discount(chain, None)
        with pytest.raises(UserError, match=r"discounts by gamma=0\.9 and the learner by 0\.99"):
            check_learners_discount(chain, 0.99)
    check_learners_discount([Level(), Gold(), Gold(once=True, gamma=0.9)], 0.99)
    check_learners_discount([Level(), Potential(0.9, chunk=5)], 0.9**5)
    with pytest.raises(UserError, match=r"gamma=0\.9 over 5 steps \(0\.59049 a transition\) and the learner by 0\.9"):
        check_learners_discount([Level(), Potential(0.9, chunk=5)], 0.9)


def test_modes_that_a_chain_cannot_do_are_refused() -> None:
    trace = moving_square(0, 8)
    with pytest.raises(UserError, match="compares the episodes of a group, but 1 was given"):
        RewardStack(LineReward(), [Level(), Stratified()]).price(trace)
    with pytest.raises(UserError, match="pricing=per_step"):
        RewardStack(LineReward(), [Level(), Normaliser()]).price(trace)
    whole = RewardStack(LineReward(), [MinForm()])
    assert whole.needs.episode
    assert not whole.model.needs.episode
    with pytest.raises(UserError, match="pricing=deferred"):
        RewardedEnv(LineWorld(1), whole, 0, pricing="per_step").reset()
    later = RewardedEnv(LineWorld(1, horizon=3), whole, 0, pricing="deferred")
    later.reset()
    for _ in range(3):
        later.step_async(np.ones((1, 1), np.float32))
        later.step_wait()
    assert [len(trace.reward) for _, trace in later.take_priced() if trace.reward is not None] == [3]


@pytest.mark.parametrize(
    ("overrides", "gamma"),
    [
        ([], 0.98),
        (["learner.sac.gamma=0.9"], 0.9),
        (["learner=ppo"], 0.99),
        (["learner=sac", "learner.gamma=0.7"], 0.7),
    ],
)
@pytest.mark.parametrize("name", ["potential", "absorbing"])
def test_the_discount_is_the_learners(name: str, overrides: list[str], gamma: float) -> None:
    with hydra.initialize_config_module("robo_reward.configs", version_base="1.3"):
        config: Any = hydra.compose("train", [f"transform={name}", *overrides])
    piece: Any = build_transforms(config.transform)[-1]
    assert piece.nature.gamma == gamma


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        (["transform.chain.1.gamma=0.5"], "Gold with gamma=0.98 and Potential with gamma=0.5"),
        ([f"transform.chain.{k}.gamma=0.5" for k in (0, 1)], "discounts by gamma=0.5 and the learner by 0.98"),
    ],
)
def test_train_refuses_discounts_that_are_not_the_learners(
    tmp_path: Path, capsys: Any, changed: list[str], says: str
) -> None:
    assert run(["train", "reward_model=progress", "transform=potential", f"run_dir={tmp_path / 'run'}", *changed]) == 2
    assert says in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "run" / "summary.json").exists()
