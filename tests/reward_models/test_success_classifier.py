"""The success classifier: calibrated on what it never saw, corrected by the policy's episodes, able to end them."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import hydra
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from robo_reward.build import build, load_reward_model, save_reward_model
from robo_reward.contract_tests import moving_square
from robo_reward.contracts import Flags, Floats, Observation, World
from robo_reward.errors import UserError
from robo_reward.line_world import VIEW, LineReward, LineWorld
from robo_reward.reward_models.progress_fit import FitSettings
from robo_reward.reward_models.success_calibration import SUREST, calibrate, held, threshold_at
from robo_reward.reward_models.success_classifier import SuccessClassifier
from robo_reward.reward_models.success_stop import SuccessStop, load_success_stop
from robo_reward.rollout import rollout
from robo_reward.sealed_log import SealedError
from robo_reward.trace import Trace

CONFIGS = Path(hydra.utils.get_object("robo_reward.configs").__file__).parent
TESTS = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


# --- calibration ------------------------------------------------------------------------------------------------------


def test_the_temperature_of_logits_that_are_three_times_too_sure() -> None:
    """Logits are drawn so that p = sigmoid(z / 3) is exact for classes of equal size."""
    rng = np.random.default_rng(0)
    z = rng.normal(0, 6, 40_000)
    done = rng.random(len(z)) < 1 / (1 + np.exp(-z / 3))
    found = calibrate(z[done], z[~done], 0.05)
    assert found.temperature == pytest.approx(3, abs=0.1)
    assert found.offset == 0
    assert (found.probability(z[~done]) >= found.threshold).mean() == pytest.approx(0.05, abs=1e-3)
    p = found.probability(z)
    for low in np.arange(0, 1, 0.1):
        here = (p >= low) & (p < low + 0.1)
        assert done[here].mean() == pytest.approx(p[here].mean(), abs=0.03)
    moved = calibrate(z[done] + 5, z[~done] + 5, shift=True)
    assert (moved.temperature, moved.offset) == pytest.approx((3, 5), abs=0.2)


def test_a_few_separable_scores_do_not_make_it_certain() -> None:
    found = calibrate(np.array([4.0, 5.0]), np.array([-4.0, -5.0]))
    p = found.probability(np.array([4.5, -4.5]))
    assert p.tolist() == pytest.approx([0.75, 0.25], abs=0.02)  # Platt's (P + 1) / (P + 2) for P = 2
    assert found.probability(np.array([1e6, -1e6])).tolist() == [SUREST, pytest.approx(0, abs=1e-9)]


def test_a_failure_as_sure_as_can_be_leaves_a_threshold_that_nothing_reaches() -> None:
    rng = np.random.default_rng(0)
    won, lost = rng.normal(3, 1, 100), np.append(rng.normal(-3, 1, 3000), 300.0)
    strict, roomy = calibrate(won, lost, 0.0), calibrate(won, lost, 0.01)
    assert strict.probability(np.array([0.0, 1e9])).max() < strict.threshold == 1, "no failure passes, so nothing does"
    assert (roomy.probability(lost) >= roomy.threshold).mean() <= 0.01
    assert (roomy.probability(won) >= roomy.threshold).mean() > 0.9
    assert SuccessStop(LineReward(), strict.threshold).threshold == 1


@given(st.lists(st.floats(0, SUREST, width=32), min_size=1, max_size=40), st.floats(0, 0.99))
@settings(max_examples=100, deadline=None)
def test_no_more_failures_than_the_rate_reach_the_threshold(failures: list[float], rate: float) -> None:
    scores = np.asarray(failures, np.float32)
    threshold = threshold_at(scores, rate)
    assert (scores >= threshold).mean() <= rate
    assert 0 <= threshold <= 1
    assert threshold == 0 or (scores >= np.nextafter(np.float32(threshold), np.float32(-1))).mean() > rate


def test_held_is_the_least_of_frames_in_a_row() -> None:
    p = np.array([0.1, 0.9, 0.8, 0.2, 0.95], np.float32)
    assert held(p, 2).tolist() == pytest.approx([0.1, 0.8, 0.2, 0.2])
    assert len(held(p[:1], 2)) == 0


def test_what_cannot_be_calibrated() -> None:
    with pytest.raises(UserError, match="got 1 and 0 frames"):
        calibrate(np.zeros(1), np.zeros(0))
    with pytest.raises(UserError, match="false_positive_rate=1"):
        calibrate(np.zeros(1), np.zeros(1), 1.0)


# --- the model --------------------------------------------------------------------------------------------------------


def classifier(**settings: object) -> SuccessClassifier:
    fit = FitSettings(steps=80, hop_weight=0.0)
    return SuccessClassifier(["front"], stride=1, fit=fit, **settings)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    model = classifier()
    shown = [moving_square(k, 16) for k in range(4)]
    losses = model.fit(shown, [moving_square(10 + k, 16, source="random") for k in range(8)], 0)
    assert losses["fit/held_out_demonstrations"] == 1
    assert losses["fit/held_out_negatives"] == 2
    assert losses["fit/recall"] > 0.9
    folder = tmp_path_factory.mktemp("classifier")
    model.save(folder)
    return folder


def loaded(folder: Path) -> SuccessClassifier:
    model = classifier()
    model.load(folder)
    return model


def test_success_is_seen_and_nothing_else(fitted: Path) -> None:
    model = loaded(fitted)
    for seed in (50, 51):
        shown, wandering = moving_square(seed, 16), moving_square(seed, 16, source="random")
        assert shown.success is not None
        seen = model.estimate_episode(shown)
        assert (seen.success[-2:] > 0.8).all()
        assert (seen.success[~shown.success][:-1] < 0.5).all()
        assert (model.estimate_episode(wandering).success < model.threshold).mean() >= 0.9
        assert np.array_equal(seen.progress, seen.success)
        assert seen.uncertainty == pytest.approx(np.sqrt(seen.success * (1 - seen.success)), abs=1e-6)


def tinted(trace: Trace, mirrored: bool = False) -> Trace:
    """The same episode of a policy with its blue turned round, or also left and right."""
    frames = trace.frames["front"][:, :, :: -1 if mirrored else 1].copy()
    frames[..., 2] = 255 - frames[..., 2]
    return replace(trace, frames={"front": frames}, source="policy")


def test_a_picture_that_fools_it_is_corrected_by_the_policys_episodes(fitted: Path) -> None:
    """A policy rests on a wrong-coloured end; nobody annotated its episodes, so every frame is a failure."""
    model = loaded(fitted)
    end = tinted(moving_square(60, 16)).frames["front"][-1:]
    resting = replace(moving_square(60, 16, source="policy"), frames={"front": np.repeat(end, 17, 0)})
    before = model.estimate_episode(resting).success.mean()
    for seed in range(8):
        model.refit([resting], seed)
    after = model.estimate_episode(resting).success.mean()
    assert before > 0.5
    assert after < 0.3
    assert model.estimate_episode(moving_square(52, 16)).success[-1] > 0.7


def test_annotated_episodes_teach_a_new_success(fitted: Path) -> None:
    """Success at the other side of the picture, of which only annotations can tell."""
    model, other = loaded(fitted), loaded(fitted)
    new = [tinted(moving_square(80 + k, 16), mirrored=True) for k in range(25)]
    assert model.estimate_episode(new[24]).success[-1] < 0.5
    for seed in range(6):
        played = new[4 * seed : 4 * seed + 4]
        model.refit(played, seed)
        other.refit([replace(trace, success=None) for trace in played], seed)
    taught, untaught = (m.estimate_episode(new[24]).success[-1] for m in (model, other))
    assert taught > 0.7
    assert untaught < 0.5


def test_what_was_grown_is_saved(fitted: Path, tmp_path: Path) -> None:
    model = loaded(fitted)
    model.refit([moving_square(60, 16, source="policy")], 0)
    model.save(tmp_path)
    back, trace = loaded(tmp_path), moving_square(61, 16)
    again = [m.refit([trace], 1)["refit/detector"] for m in (model, back)]
    assert again[0] == again[1], "examples, optimizer and calibration all came back"
    assert np.array_equal(model.estimate_episode(trace).success, back.estimate_episode(trace).success)
    assert model.threshold == back.threshold


def test_one_demonstration_and_no_negatives_still_make_a_classifier() -> None:
    model = classifier()
    losses = model.fit([moving_square(0, 16)], [], 0)
    assert losses["fit/held_out_demonstrations"] == 0
    seen = model.estimate_episode(moving_square(0, 16)).success
    assert seen[-1] > 0.5 > seen[0]


def test_settings_that_make_no_sense(fitted: Path) -> None:
    with pytest.raises(UserError, match=r"held_out=0\.9"):
        classifier(held_out=0.9)
    with pytest.raises(UserError, match="false_positive_rate=1"):
        classifier(false_positive_rate=1.0)
    with pytest.raises(UserError, match="views"):
        SuccessClassifier(["top"]).load(fitted)
    with pytest.raises(UserError, match="not fitted"):
        classifier().estimate_episode(moving_square(0, 8))


# --- ending episodes --------------------------------------------------------------------------------------------------


class Steady:
    """The same action everywhere."""

    def __init__(self, action: float) -> None:
        self._action = action

    def act(self, observation: Observation) -> Floats:
        return np.full((len(observation.state), 1, 1), self._action, np.float32)

    def reset(self, fresh: Flags) -> None: ...

    def save(self, folder: Path) -> None: ...


def test_two_sure_looks_in_a_row_end_an_episode() -> None:
    """LineReward is sure from x = 0.9 on; at a tenth per step the episode ends one look after it got there."""
    world = LineWorld(3, horizon=30)
    stop = SuccessStop(LineReward(), threshold=0.5, consecutive=2)
    traces = list(rollout(world, Steady(1.0), 5, 0, views=(VIEW,), stopper=stop))
    for trace in traces:
        x = trace.state[:, 0]
        first = int(np.argmax(np.round(255 * x) / 255 >= 0.9))
        assert len(trace) == first + 1
        assert (trace.terminated, trace.truncated) == (True, False)
        assert trace.frame_steps[-1] == len(trace), "the last frame is kept"
        assert trace.meta["stopped"] == 1
        with pytest.raises(SealedError):  # the verdict is there, and nobody has read it
            world.sealed.outcomes(int(trace.meta["outcome"]))
    unstopped = list(rollout(LineWorld(3, horizon=30), Steady(1.0), 5, 0))
    assert [len(t) for t in unstopped] == [30] * 5
    assert all(np.array_equal(a.state, b.state[: len(a) + 1]) for a, b in zip(traces, unstopped, strict=True))


def test_a_stop_looks_at_its_own_stride_and_forgets_at_resets() -> None:
    stop = SuccessStop(LineReward(stride=4), threshold=0.5, consecutive=1)
    (trace,) = rollout(LineWorld(horizon=30), Steady(1.0), 1, 0, stopper=stop)
    assert len(trace) % 4 == 0
    world = LineWorld(2, ends=[(6, False), (7, False)])
    none = list(rollout(world, Steady(-1.0), 4, 0, stopper=SuccessStop(LineReward(), 0.5)))
    assert [t.truncated for t in none] == [True] * 4
    assert all("outcome" in t.meta for t in none)


def test_stops_that_make_no_sense(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="consecutive=0"):
        SuccessStop(LineReward(), 0.5, 0)
    with pytest.raises(UserError, match="whole episodes"):
        SuccessStop(LineReward(episode=True), 0.5)
    with pytest.raises(UserError, match="needs a fitted classifier"):
        load_success_stop(None)
    save_reward_model(LineReward(), OmegaConf.create({"_target_": "robo_reward.line_world.LineReward"}), tmp_path)
    with pytest.raises(UserError, match="no threshold of its own"):
        load_success_stop(str(tmp_path))
    assert load_success_stop(str(tmp_path), threshold=0.7).threshold == 0.7


@pytest.fixture
def slider(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """MuJoCo's block on a rail, pushed from x = -0.5; its success function is sealed and never asked."""
    monkeypatch.setattr(sys, "path", [*sys.path, str(TESTS / "envs")])
    from slider_task import SLIDER  # type: ignore[import-not-found]

    xml = tmp_path / "slider.xml"
    xml.write_text(SLIDER)
    config = OmegaConf.load(CONFIGS / "env" / "mjcf.yaml")
    world: World = build(OmegaConf.merge(config, {"xml": str(xml), "keyframe": "left", "horizon": 60, "views": []}))
    return world


def test_a_fitted_classifier_ends_episodes_in_simulation(slider: World, tmp_path: Path) -> None:
    def episodes(push: float, count: int, seed: int) -> list[Trace]:
        return list(rollout(slider, Steady(push), count, seed))

    shown = [replace(t, source="demonstration", success=t.state[:, 0] > 0.5) for t in episodes(1.0, 4, 0)]
    random = [replace(t, source="random") for t in (*episodes(-0.6, 4, 1), *episodes(-0.2, 4, 2))]
    config = OmegaConf.load(CONFIGS / "reward_model" / "success_classifier.yaml")
    config = OmegaConf.merge(config, {"views": [], "encoder": "state", "stride": 1, "fit": {"steps": 60}})
    OmegaConf.update(config, "path", None)
    model = build({k: v for k, v in OmegaConf.to_container(config, resolve=True).items() if k != "path"})  # type: ignore[union-attr]
    model.fit(shown, random, 0)
    save_reward_model(model, config, tmp_path / "model")
    assert isinstance(load_reward_model(tmp_path / "model"), SuccessClassifier)
    stop = build(OmegaConf.load(CONFIGS / "hook" / "success_stop.yaml"), path=str(tmp_path / "model"))
    (done,) = rollout(slider, Steady(1.0), 1, 9, stopper=stop)
    (idle,) = rollout(slider, Steady(-0.6), 1, 9, stopper=stop)
    assert done.terminated
    assert len(done) < 60
    assert done.state[-1, 0] > 0.3
    assert idle.truncated
    assert len(idle) == 60
