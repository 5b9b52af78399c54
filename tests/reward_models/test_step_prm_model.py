"""step_prm on a small world of our own: a bright square that goes to the right, or, for another task, down."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from robo_reward.contract_tests import moving_square, observe_frames, step_through
from robo_reward.errors import UserError
from robo_reward.reward_models.audit.metrics import value_order_correlation
from robo_reward.reward_models.remote.client import connect_remote
from robo_reward.reward_models.step_prm.fusion import Fusion
from robo_reward.reward_models.step_prm.hop_training import HopFit, drop_inputs
from robo_reward.reward_models.step_prm.step_prm import StepPrm
from robo_reward.runs.checkpoint import load_state, save_state
from robo_reward.trace import Source, Trace

from .reward_server import serving

VIEWS = ("front", "wrist")
QUICK = HopFit(steps=60, slots=8, pairs=2, samples=200, chunk=1)
RIGHT, DOWN = "move the square to the right", "pull it down"


def episode(seed: int, task: str = RIGHT, source: Source = "demonstration", steps: int = 14) -> Trace:
    """The square's way; for the other task the picture is turned, so that it goes down."""
    trace = moving_square(seed, steps, VIEWS, 32, source)
    if task == DOWN:
        trace = replace(trace, frames={v: f.transpose(0, 2, 1, 3).copy() for v, f in trace.frames.items()})
    return replace(trace, task=task)


def demonstrations() -> list[Trace]:
    return [episode(k, task) for k in range(2) for task in (RIGHT, DOWN)]


def negatives() -> list[Trace]:
    return [episode(10 + k, task, "random") for k in range(2) for task in (RIGHT, DOWN)]


@pytest.fixture(scope="module")
def fitted() -> StepPrm:
    torch.set_num_threads(1)
    model = StepPrm(VIEWS, stride=1, refit_steps=20, references=2, fit=QUICK)
    losses = model.fit(demonstrations(), negatives(), seed=0)
    assert losses["fit/hop"] < 0.1
    return model


def test_both_tasks_are_ordered_and_random_episodes_stay_low(fitted: StepPrm) -> None:
    for task in (RIGHT, DOWN):
        done = fitted.estimate_episode(episode(30, task))
        assert value_order_correlation(done.progress) > 0.95
        assert done.progress[-1] > 0.7
        assert done.success[-1] > done.success[3]
        assert fitted.estimate_episode(episode(31, task, "random")).progress[-2:].mean() < 0.5


def test_hops_forward_are_positive_and_backward_negative(fitted: StepPrm) -> None:
    way = episode(32)
    back = replace(way, frames={v: f[::-1].copy() for v, f in way.frames.items()})
    assert fitted.estimate_episode(way.every(7)).gain[1:].min() > 0.1
    assert fitted.estimate_episode(back.every(7)).gain[1:].max() < -0.1


def test_a_frozen_robot_makes_no_step(fitted: StepPrm) -> None:
    way = episode(33)
    still = replace(way, frames={v: f[:1].repeat(len(f), 0) for v, f in way.frames.items()})
    seen = fitted.estimate_episode(still)
    assert (seen.gain == 0).all()
    fitted.fusion = Fusion("forward")
    assert (fitted.estimate_episode(still).progress == 0).all()
    fitted.fusion = Fusion()


def test_a_missing_view_still_works_and_no_view_is_refused(fitted: StepPrm) -> None:
    whole = episode(34)
    for view in VIEWS:
        partial = replace(whole, frames={view: whole.frames[view]})
        assert value_order_correlation(fitted.estimate_episode(partial).progress) > 0.9
        stepped = step_through(fitted, [partial])
        assert [float(e.progress[0]) for e in stepped] == pytest.approx(
            fitted.estimate_episode(partial).progress, abs=1e-3
        )
    with pytest.raises(UserError, match="reads view"):
        fitted.estimate_episode(replace(whole, frames={"side": whole.frames["front"]}))


def test_a_missing_view_works_through_a_server_as_it_does_here(fitted: StepPrm, tmp_path: Path) -> None:
    whole = episode(30)
    for view in VIEWS:
        seen = replace(whole, frames={view: whole.frames[view]})
        with serving(fitted, str(tmp_path / view)) as (address, _):
            remote = connect_remote(address)
            there, here = remote.estimate_episode(seen), fitted.estimate_episode(seen)
            stepped = step_through(remote, [seen])
        np.testing.assert_allclose(there.progress, here.progress, atol=1e-5)
        np.testing.assert_allclose([e.progress[0] for e in stepped], here.progress, atol=1e-4)
    with serving(fitted, str(tmp_path / "none")) as (address, _):
        none = replace(whole, frames={"top": whole.frames["front"]})
        with pytest.raises(UserError, match=r"reads the view 'front', these pictures are of \['top'\]"):
            connect_remote(address).estimate_episode(none)


def test_dropped_inputs_always_leave_a_view() -> None:
    given = drop_inputs(500, 3, HopFit(drop_view=0.9, drop_anchor=0.5), dropped=[1])
    assert given[:, 2:].any(1).all()
    assert not given[:, 3].any()
    assert 0.3 < given[:, 0].float().mean() < 0.7


def test_an_instruction_without_a_goal_is_priced_from_the_start_and_counted(fitted: StepPrm) -> None:
    before = fitted.fallbacks
    seen = fitted.estimate_episode(replace(episode(35), task="fold the towel"))
    assert np.isfinite(seen.progress).all()
    assert fitted.fallbacks == before + 15


def test_a_reset_judges_and_counts_only_the_worlds_that_begin_anew(fitted: StepPrm) -> None:
    """Stepped side by side, one of them reset on the way: counted like three whole episodes and the part before."""
    seen = [replace(episode(40 + k, source="policy", steps=4), task="do what nobody showed") for k in range(3)]
    before = fitted.fallbacks
    stepped = step_through(fitted, seen[:2], swap=(2, seen[2]))
    counted = fitted.fallbacks - before
    assert counted == 2 * 5 + 1, "five frames of each world, and the one that its reset showed"
    whole = fitted.estimate_episode(seen[0])
    assert fitted.fallbacks == before + counted + 5
    np.testing.assert_allclose([e.progress[0] for e in stepped], whole.progress, atol=1e-5)
    nobody = fitted.begin(observe_frames([(e, 0) for e in seen[:2]]), np.zeros(2, bool))
    assert nobody.progress.tolist() == [0, 0]
    assert fitted.fallbacks == before + counted + 5


def test_one_demonstration_adapts_to_a_new_task() -> None:
    torch.set_num_threads(1)
    model = StepPrm(VIEWS, stride=1, refit_steps=10, fit=replace(QUICK, steps=40, adapt_share=0.75))
    model.fit([episode(0), episode(1)], [episode(10, RIGHT, "random")], seed=0)
    model.goals.remember([episode(2, DOWN)], VIEWS)
    unseen = episode(40, DOWN)
    before = model.estimate_episode(unseen).progress
    model.adapt([episode(2, DOWN)], [], seed=0, rehearse=[episode(0)])
    after = model.estimate_episode(unseen).progress
    assert value_order_correlation(after) > max(0.95, value_order_correlation(before) - 0.01)
    assert after[-1] > 0.7
    assert value_order_correlation(model.estimate_episode(episode(41)).progress) > 0.9  # the old task is still known


def test_refitting_lowers_the_success_of_what_a_policy_shows(fitted: StepPrm, tmp_path: Path) -> None:
    fitted.save(tmp_path)
    model = StepPrm(VIEWS, stride=1, refit_steps=60, references=2, fit=QUICK)
    model.load(tmp_path)
    way = episode(36)
    rests = replace(way, frames={v: f[9:10].repeat(15, 0) for v, f in way.frames.items()}, source="policy")
    before = model.estimate_episode(rests)
    for seed in range(4):
        model.refit([rests], seed)
    after = model.estimate_episode(rests)
    assert after.success.mean() < max(float(before.success.mean()), 0.3)
    assert np.array_equal(after.progress, before.progress)


# --- on disk ----------------------------------------------------------------------------------------------------------


def test_a_saved_model_prices_alike(fitted: StepPrm, tmp_path: Path) -> None:
    fitted.save(tmp_path)
    loaded = StepPrm(VIEWS, stride=1, references=2, fit=QUICK)
    loaded.load(tmp_path)
    one, other = (m.estimate_episode(episode(37)) for m in (fitted, loaded))
    assert np.array_equal(one.progress, other.progress)
    assert np.array_equal(one.success, other.success)
    assert not list(tmp_path.glob("*.p*"))


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (StepPrm(("front",)), "fitted on views"),
        (StepPrm(VIEWS, layers=3), "set reward_model.layers"),
    ],
)
def test_weights_of_another_model_are_refused(fitted: StepPrm, model: StepPrm, words: str, tmp_path: Path) -> None:
    fitted.save(tmp_path)
    with pytest.raises(UserError, match=words):
        model.load(tmp_path)


def test_damaged_and_hostile_weights_are_refused(fitted: StepPrm, tmp_path: Path) -> None:
    fitted.save(tmp_path)
    state = load_state(tmp_path, "reward_model")
    name = next(k for k in state["learned"]["backend"]["net"] if k.endswith("task.weight"))
    for weight, words in ((torch.zeros(2, 2), "do not fit"), (torch.full((64, 32), float("nan")), "not finite")):
        broken = tmp_path / words.replace(" ", "-")
        changed = {**state["learned"]["backend"]["net"], name: weight}
        learned = {**state["learned"], "backend": {**state["learned"]["backend"], "net": changed}}
        save_state(broken, "reward_model", {**state, "learned": learned})
        with pytest.raises(UserError, match=words):
            StepPrm(VIEWS, fit=QUICK).load(broken)
    with pytest.raises(UserError, match="not those of a step_prm"):
        StepPrm(VIEWS).load_state({"net": {}})
    (tmp_path / "reward_model.tensors.safetensors").write_bytes(b"\x80\x04pickle")
    with pytest.raises(UserError, match="safetensors"):
        StepPrm(VIEWS).load(tmp_path)
    (tmp_path / "reward_model.json").write_text(json.dumps({"dict": [["kind", "other"]]}))
    (tmp_path / "reward_model.tensors.safetensors").unlink()
    with pytest.raises(UserError, match="not those of a step_prm"):
        StepPrm(VIEWS).load(tmp_path)


def test_what_cannot_be_fitted_is_refused() -> None:
    with pytest.raises(UserError, match="at least 1 demonstration"):
        StepPrm(VIEWS, fit=QUICK).fit([], [], seed=0)
    with pytest.raises(UserError, match="no view 'side'"):
        StepPrm(("side", "front"), stride=1, fit=QUICK).fit([episode(0)], [], seed=0)
    with pytest.raises(UserError, match="robo-reward fit"):
        StepPrm(VIEWS).estimate_episode(episode(0))
    with pytest.raises(UserError, match="name views"):
        StepPrm(())


def test_an_episode_of_one_frame_is_priced_and_one_of_none_refused(fitted: StepPrm) -> None:
    one = episode(38).cut(0)
    assert fitted.estimate_episode(one).progress.shape == (1,)
    none = replace(one, frames={v: f[:0] for v, f in one.frames.items()}, frame_steps=one.frame_steps[:0])
    with pytest.raises(UserError, match="without kept frames"):
        fitted.estimate_episode(none)


def test_pictures_of_another_size_are_refused(fitted: StepPrm) -> None:
    with pytest.raises(UserError, match="32x32"):
        fitted.estimate_episode(replace(moving_square(1, 14, VIEWS, 48), task=RIGHT))
