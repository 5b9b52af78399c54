"""SRPO's self-reference: golden values of both forms, clusters that the released setting cannot find, and groups."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from omegaconf import OmegaConf

from robo_reward.build import build_reward_model, save_reward_model
from robo_reward.contract_tests import check_saved, moving_square
from robo_reward.contracts import GroupRewardModel, LearnedRewardModel
from robo_reward.errors import UserError
from robo_reward.reward_models.progress_fit import FitSettings
from robo_reward.reward_models.self_reference import (
    NOISE,
    dbscan,
    failure_share,
    group_rewards,
    nearest,
    success_centres,
    unit,
)
from robo_reward.reward_models.self_referential import SelfReferentialModel, _pooled
from robo_reward.trace import Trace

DISTANCES = np.array([1.0, 2, 3, 5])


def test_golden_values_of_both_published_forms() -> None:
    assert failure_share(DISTANCES, "min_max") == pytest.approx([0.596, 0.5545, 0.3, 0.004], abs=5e-4)
    assert failure_share(DISTANCES, "z_score") == pytest.approx([0.6124, 0.4993, 0.3663, 0.1434], abs=5e-5)


def test_a_single_failure_gets_half_of_the_share() -> None:
    assert failure_share(np.array([7.0]), "min_max") == pytest.approx([0.3])
    assert failure_share(np.array([7.0]), "z_score") == pytest.approx([0.4])


@given(hnp.arrays(np.float64, 6, elements=st.floats(0, 100)), st.sampled_from(["min_max", "z_score"]))
def test_nearer_is_never_less_and_no_failure_earns_a_success(distances: Any, form: Any) -> None:
    share = failure_share(distances, form)
    assert (np.diff(share[np.argsort(distances)]) <= 1e-12).all()
    assert ((share >= 0) & (share < 1)).all()


def test_a_group_by_hand() -> None:
    embedded = np.array([[0.0, 1], [0, 2], [0, 3], [0, 6], [0, 0]])
    success = np.array([True, False, False, False, False])
    # distances 1, 2, 5 to the only success: n = 0, 1/4, 1; the last was not pictured
    rewards = group_rewards(embedded, success, embedded[:1], "min_max")
    assert rewards == pytest.approx([1, 0.59598, 0.55448, 0.00402, 0], abs=1e-5)
    nobody = np.zeros(5, bool)
    assert group_rewards(embedded, nobody, embedded[:0], "min_max").tolist() == [0] * 5
    assert group_rewards(embedded, ~nobody, embedded, "z_score").tolist() == [1] * 5


# --- clustering -------------------------------------------------------------------------------------------------------


def test_dbscan_by_hand() -> None:
    line = np.array([0.0, 1, 2, 10, 11, 50])
    gaps = np.abs(line[:, None] - line[None])
    assert dbscan(gaps, 1.5, 2).tolist() == [0, 0, 0, 1, 1, NOISE]
    assert dbscan(gaps, 1.5, 3).tolist() == [0, 0, 0, NOISE, NOISE, NOISE]  # 1 is the only core point
    assert dbscan(gaps, 0.5, 1).tolist() == [0, 1, 2, 3, 4, 5]
    assert dbscan(gaps[:0, :0], 1, 1).tolist() == []


def two_ways(count: int = 12, size: int = 400) -> np.ndarray:
    """Successes of two kinds in many dimensions, with noise."""
    rng = np.random.default_rng(0)
    kinds = rng.normal(size=(2, size))
    return np.stack([kinds[k % 2] + 0.3 * rng.normal(size=size) for k in range(count)])


def test_the_released_setting_finds_no_cluster_in_many_dimensions_and_ours_find_both() -> None:
    successes = two_ways()
    released = success_centres(successes, "standard", 0.5, 2, 8)
    assert released == pytest.approx(successes.mean(0, keepdims=True)), "one mean of everything"
    for space in ("cosine", "pca"):
        placed = unit(successes) if space == "cosine" else successes
        centres = success_centres(placed, space, None, 2, 4)
        assert len(centres) == 2, space
        own = np.stack([placed[0::2].mean(0), placed[1::2].mean(0)])
        assert nearest(own, centres) == pytest.approx([0, 0], abs=1e-9)
        # a success of one kind is near its own centre and far from the mean of both
        assert nearest(placed[:1], centres)[0] < 0.6 * nearest(placed[:1], placed.mean(0, keepdims=True))[0]


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("space", ["cosine", "pca", "standard"])
def test_few_or_equal_successes_have_a_centre(count: int, space: Any) -> None:
    centres = success_centres(np.ones((count, 5)), space, None, 2, 8)
    assert centres == pytest.approx(np.ones((1, 5)))


# --- the model --------------------------------------------------------------------------------------------------------


def make(**more: Any) -> SelfReferentialModel:
    return SelfReferentialModel(["front"], 1, members=1, refit_steps=30, fit=FitSettings(steps=40), **more)


@pytest.fixture(scope="module")
def model() -> SelfReferentialModel:
    torch.set_num_threads(1)
    made = make()
    made.fit([moving_square(k) for k in range(2)], [moving_square(k, source="random") for k in range(10, 16)], seed=0)
    return made


def test_groups_are_priced_by_their_own_successes(model: SelfReferentialModel) -> None:
    assert isinstance(model, GroupRewardModel)
    assert isinstance(model, LearnedRewardModel)
    group = [moving_square(20), moving_square(21).cut(12), moving_square(22).cut(5), moving_square(23, source="random")]
    rewards = model.estimate_group(group, np.array([True, False, False, False]))
    assert rewards.dtype == np.float32
    assert rewards[0] == 1
    assert (rewards[1:] < 0.6).all()
    assert rewards[1] > rewards[2], "who came farther earns more"
    # by hand from the embeddings
    embedded = np.stack([model.episode_embedding(t) for t in group])
    gaps = np.linalg.norm(embedded[1:] - embedded[0], axis=1)
    assert rewards[1:] == pytest.approx(failure_share(gaps, "min_max"), abs=1e-6)


def test_a_group_without_success_borrows_or_earns_nothing(model: SelfReferentialModel) -> None:
    group = [moving_square(k, source="random") for k in (30, 31, 32)]
    nobody = np.zeros(3, bool)
    assert model.estimate_group(group, nobody).max() > 0
    model._borrow = False
    try:
        assert model.estimate_group(group, nobody).tolist() == [0, 0, 0]
    finally:
        model._borrow = True


def test_the_detector_says_who_succeeded_if_nobody_else_does(model: SelfReferentialModel) -> None:
    group = [moving_square(40), moving_square(41, source="random")]
    assert [model.called_success(t) for t in group] == [True, False]
    assert model.estimate_group(group)[0] == 1
    assert model.estimate_group(group)[1] < 1


def test_the_simulator_says_who_succeeded_where_it_is_asked(model: SelfReferentialModel, tmp_path: Path) -> None:
    from dataclasses import replace

    asked = make(oracle="success")
    assert asked.needs.oracle == "success"
    asked.load_state(model.state())
    group = [moving_square(45), moving_square(46, source="random"), moving_square(47, source="random")]
    told = [replace(t, env_reward=np.zeros(len(t), np.float32)) for t in group]
    assert told[1].env_reward is not None
    told[1].env_reward[3] = 1  # whom the detector calls a failure
    rewards = asked.estimate_group(told)
    assert rewards[1] == 1
    assert max(rewards[0], rewards[2]) < 1
    assert rewards == pytest.approx(model.estimate_group(group, np.array([False, True, False])))
    with pytest.raises(UserError, match="this episode does not hold"):
        asked.estimate_group([replace(t, env_reward=None) for t in group])
    with pytest.raises(UserError, match=r"oracle of reward_model=self_referential.*'reward'"):
        make(oracle="reward")
    # a saved model is asked for it, too
    held = {"_target_": "robo_reward.reward_models.self_referential.SelfReferentialModel", "views": ["front"]}
    held |= {"stride": 1, "members": 1, "path": None, "oracle": "none"}
    save_reward_model(model, OmegaConf.create(held), tmp_path)
    loaded = {"path": str(tmp_path), **{k: v for k, v in held.items() if k != "path"}}
    assert build_reward_model(loaded).needs.oracle == "none"
    assert build_reward_model({**loaded, "oracle": "success"}).needs.oracle == "success"
    save_reward_model(asked, OmegaConf.create({**loaded, "oracle": "success"}), tmp_path / "again")
    again = {**loaded, "path": str(tmp_path / "again")}
    assert build_reward_model(again).needs.oracle == "success"
    with pytest.raises(UserError, match=r"may hold the simulator's verdicts, and oracle=none would hide that"):
        build_reward_model({**again, "changes": {"oracle": "none"}})


def test_another_reward_is_not_asked_for_the_simulators_word(tmp_path: Path) -> None:
    target = "robo_reward.reward_models.progress.ProgressModel"
    (tmp_path / "model.yaml").write_text(f"_target_: {target}\nviews: [front]\nstride: 1\n")
    with pytest.raises(UserError, match=r"oracle=success is asked of .*, a ProgressModel, which asks no simulator"):
        build_reward_model({"path": str(tmp_path), "oracle": "success"})


def test_tasks_of_a_group_do_not_refer_to_each_other(model: SelfReferentialModel) -> None:
    from dataclasses import replace

    group = [moving_square(50), moving_square(51, source="random"), moving_square(52, source="random")]
    other = [replace(t, task="another task") for t in group]
    alone = model.estimate_group(group, np.array([True, False, False]))
    both = model.estimate_group([*group, *other], np.array([True, False, False, False, False, False]))
    assert both[:3] == pytest.approx(alone)
    assert both[3:].tolist() == [0, 0, 0], "of that task nothing is known"


def test_single_episodes_refer_to_the_memory_which_grows(model: SelfReferentialModel, tmp_path: Path) -> None:
    good, bad = moving_square(60), moving_square(61, source="random")
    seen = model.estimate_episode(good)
    assert seen.progress[-1] == 1
    assert model.estimate_episode(bad).progress[-1] < 0.61
    assert seen.progress[0] < seen.progress[-1]
    known = len(model._known[good.task])
    failures = len(model._failures[good.task])
    model.save(tmp_path)
    try:
        model.refit([good, bad], seed=1, steps=1)
        assert len(model._known[good.task]) == known + 1, "the detector's verdict, not the annotation"
        assert len(model._failures[good.task]) == failures + 1
        again = make()
        again.load(tmp_path)
        assert len(again._known[good.task]) == known
    finally:
        model.load(tmp_path)
    check_saved(model, again, bad)


def test_the_memory_is_bounded() -> None:
    model = make(memory=2)
    memory: dict[str, Any] = {}
    model.episode_embedding = lambda trace: np.full(3, float(len(trace)))  # type: ignore[method-assign]
    model._remember(memory, [moving_square(0, steps=k) for k in (3, 4, 5)])
    assert memory["move the square to the right"].tolist() == [[4.0] * 3, [5.0] * 3]


def test_pooling_thins_and_repeats() -> None:
    frames = np.arange(5, dtype=np.float64)[:, None]
    assert _pooled(frames, 5).tolist() == [2.0]
    assert _pooled(frames, 2).tolist() == [2.0]  # first and last
    assert _pooled(frames[:1], 64).tolist() == [0.0]


def test_what_cannot_be_is_refused(model: SelfReferentialModel) -> None:
    for more, said in (
        ({"form": "zscore"}, "did you mean 'z_score'"),
        ({"space": "cosin"}, "did you mean 'cosine'"),
        ({"alpha": 1.5}, "alpha=1.5 between 0 and 1"),
        ({"eps": 0.0}, r"eps=0.0 must be above 0"),
        ({"memory": 0}, "memory=0 must be at least 1"),
    ):
        with pytest.raises(UserError, match=said):
            make(**more)
    with pytest.raises(UserError, match="not fitted"):
        make().estimate_episode(moving_square(0))
    with pytest.raises(UserError, match="a group of 1 episodes has 2 verdicts"):
        model.estimate_group([moving_square(0)], np.ones(2, bool))
    empty = moving_square(0)
    empty = Trace(
        empty.task, empty.state, empty.action, {"front": empty.frames["front"][:0]}, np.arange(0), 10, "policy"
    )
    with pytest.raises(UserError, match="without kept frames"):
        model.estimate_group([empty], np.zeros(1, bool))


def test_a_single_failure_has_no_scale_and_a_warning_says_so() -> None:
    with pytest.warns(UserWarning, match="knows 1 failure of 'move the square to the right'.*negatives.random=2"):
        make().fit([moving_square(0)], [moving_square(10, source="random")], seed=0)
