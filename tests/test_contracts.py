"""Every yaml of a group builds, and what it builds keeps the contract: a new yaml is tested by being there."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import hydra
import numpy as np
import pytest
import torch
from omegaconf import DictConfig, OmegaConf, open_dict

from robo_reward import contract_tests as contract
from robo_reward.arm.learner import ArmLearner
from robo_reward.build import (
    build,
    build_reward_model,
    build_transforms,
    load_reward_model,
    save_reward_model,
    trusted_by,
)
from robo_reward.contracts import LearnedRewardModel, RewardModel, World
from robo_reward.errors import UserError
from robo_reward.line_world import LineReward
from robo_reward.reward_stack import RewardStack
from robo_reward.trace import Trace
from robo_reward.transform_kinds import nature_of

CONFIGS = Path(hydra.utils.get_object("robo_reward.configs").__file__).parent
VIEWS = ("front",)
STEPS = 16

MJCF = """
<mujoco><worldbody><light pos="0 0 3"/><body name="box"><joint name="slide" type="slide" axis="1 0 0"/>
<geom size=".1 .1 .1" type="box"/></body></worldbody>
<actuator><motor joint="slide" ctrlrange="-1 1"/></actuator></mujoco>
"""


def names(group: str) -> list[str]:
    return sorted(path.stem for path in (CONFIGS / group).glob("*.yaml"))


def compose(*overrides: str) -> Any:
    with hydra.initialize_config_module("robo_reward.configs", version_base="1.3"):
        return hydra.compose("train", list(overrides))


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


# --- reward models ----------------------------------------------------------------------------------------------------


WITHOUT_DOWNLOADS: dict[str, dict[str, Any]] = {
    "goal_clip": {"architecture": str(Path(__file__).parent / "reward_models" / "tiny_clip.json"), "pretrained": None},
    "perceptual": {"encoder": "timm:test_resnet/random"},
}
"""Settings of models whose weights come from the hub: random ones keep the contract as well."""
JUDGES = ("gvl", "topreward", "vlm_judge")


def judge_url() -> str:
    """The address of a server that judges the moving square truly."""
    folder = str(Path(__file__).parent / "reward_models")
    if folder not in sys.path:
        sys.path.append(folder)
    from judge_server import standing_server  # type: ignore[import-not-found]

    return str(standing_server().url)


def lerobot_classifier() -> str:
    """The folder of a tiny random classifier that LeRobot saved."""
    folder = str(Path(__file__).parent / "reward_models")
    if folder not in sys.path:
        sys.path.append(folder)
    from tiny_lerobot import standing_classifier  # type: ignore[import-not-found]

    return str(standing_classifier())


def reward_address() -> str:
    """The address of a server that prices the moving square by its brightness."""
    folder = str(Path(__file__).parent / "reward_models")
    if folder not in sys.path:
        sys.path.append(folder)
    from reward_server import standing_address  # type: ignore[import-not-found]

    return str(standing_address())


def small(name: str) -> Any:
    """The yaml's settings, made quick: one view, few steps of fitting."""
    config = compose(f"reward_model={name}").reward_model
    with open_dict(config):
        for part in (config, *config.get("models", {}).values()):
            for key, value in {"views": list(VIEWS), "stride": 1, "members": 2, "refit_steps": 5}.items():
                if key in part:
                    part[key] = value
            if "fit" in part:
                part.fit.steps = 20
        config.update(WITHOUT_DOWNLOADS.get(name, {}))
        if name in JUDGES:
            config.backend.url = judge_url()
        if name == "grm":
            config.backend.model.url = judge_url()
        if name == "lerobot":
            config.pretrained = lerobot_classifier()
        if name == "remote":
            config.address = reward_address()
    return config


def episodes(source: Any, count: int, first_seed: int) -> list[Trace]:
    return [contract.moving_square(first_seed + k, STEPS, VIEWS, source=source) for k in range(count)]


@pytest.fixture(scope="module")
def fitted() -> dict[str, tuple[Any, RewardModel]]:
    return {}


@pytest.fixture
def model(request: pytest.FixtureRequest, fitted: dict[str, tuple[Any, RewardModel]]) -> tuple[Any, RewardModel]:
    """The reward model of one yaml, fitted once on a moving square where it is learned."""
    name = request.param
    if name not in fitted:
        torch.set_num_threads(1)
        config = small(name)
        built = build_reward_model(config)
        if isinstance(built, LearnedRewardModel):
            losses = built.fit(episodes("demonstration", 2, 0), episodes("random", 4, 10), seed=0)
            assert all(np.isfinite(v) for v in losses.values())
        fitted[name] = config, built
    return fitted[name]


every_model = pytest.mark.parametrize("model", names("reward_model"), indirect=True)


@every_model
def test_estimates_have_their_form(model: tuple[Any, RewardModel]) -> None:
    for episode in (*episodes("demonstration", 1, 50), *episodes("policy", 2, 60)):
        contract.check_estimates(model[1], episode)
        contract.check_estimates(model[1], episode.every(3))


@every_model
def test_steps_and_episodes_agree(model: tuple[Any, RewardModel]) -> None:
    seen = episodes("policy", 3, 70)
    if model[1].needs.episode:
        with pytest.raises(UserError, match="whole episodes"):
            contract.check_steps_agree(model[1], seen)
    else:
        contract.check_steps_agree(model[1], seen)


@every_model
def test_resets_do_not_leak(model: tuple[Any, RewardModel]) -> None:
    if not model[1].needs.episode:
        steady, first, then = episodes("policy", 3, 80)
        contract.check_reset_isolation(model[1], steady, first, then)


@every_model
def test_saved_models_price_alike(model: tuple[Any, RewardModel], tmp_path: Path) -> None:
    config, built = model
    save_reward_model(built, config, tmp_path)
    contract.check_saved(built, load_reward_model(tmp_path, trusted_by(config)), episodes("policy", 1, 90)[0])
    config = OmegaConf.merge(config, {"path": str(tmp_path)}) if "path" in config else config
    contract.check_saved(built, build_reward_model(config), episodes("policy", 1, 90)[0])


@every_model
def test_fitting_twice_gives_the_same_model(model: tuple[Any, RewardModel]) -> None:
    config, built = model
    if isinstance(built, LearnedRewardModel):
        again = build_reward_model(config)
        assert isinstance(again, LearnedRewardModel)
        again.fit(episodes("demonstration", 2, 0), episodes("random", 4, 10), seed=0)
        contract.check_saved(built, again, episodes("policy", 1, 90)[0])


def test_the_contract_finds_what_breaks_it() -> None:
    """A model that forgets nothing at resets, and one that says more than 1, are caught."""

    class Leaky(LineReward):
        def begin(self, first: Any, fresh: Any) -> Any:
            if len(self._before) == len(fresh) and not fresh.all():
                fresh = np.zeros_like(fresh)
            return super().begin(first, fresh)

    class Loud(LineReward):
        def estimate_episode(self, trace: Trace) -> Any:
            estimate = super().estimate_episode(trace)
            estimate.progress[:] = 1.5
            return estimate

    steady, first, then = episodes("policy", 3, 80)
    contract.check_reset_isolation(LineReward(), steady, first, then)
    contract.check_steps_agree(LineReward(), [steady, first])
    with pytest.raises(AssertionError, match="depend on the episode before"):
        contract.check_reset_isolation(Leaky(), steady, first, then)
    with pytest.raises(AssertionError, match=r"progress=1\.5 .* outside \[0, 1\]"):
        contract.check_estimates(Loud(), steady)


# --- transforms, learners, worlds -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", names("transform"))
def test_transforms(name: str) -> None:
    reward = small("env_dense" if name == "none" else "transport")
    members = [f"reward_model.members={reward.members}"] if "members" in reward else []
    config = compose(f"transform={name}", *members).transform
    for entry in config.chain:
        if nature_of(build(entry)).scope == "step":  # others look beyond the world's own past: priced below
            contract.check_transform(lambda entry=entry: build(entry))
    stack = RewardStack(build_reward_model(reward), build_transforms(config))
    assert stack.base_reward


@pytest.mark.parametrize("name", [n for n in names("transform") if n != "none"])
def test_transforms_price_episodes(name: str) -> None:
    """A group of episodes, in every mode that the chain allows: finite float32 rewards, one a step."""

    class Matching(LineReward):
        spread_of = 3

        def estimate_episode(self, trace: Trace) -> Any:
            seen = super().estimate_episode(trace)
            return replace(seen, match=seen.progress)

    stack = RewardStack(Matching(), build_transforms(compose(f"transform={name}").transform))
    group = episodes("policy", 3, 30)
    if any(nature_of(t).scope == "running" for t in stack.transforms):
        with pytest.raises(UserError, match="pricing=per_step"):
            stack.price_group(group)
        return
    for priced in stack.price_group(group):
        assert priced.reward is not None
        assert priced.reward.shape == (STEPS,)
        assert priced.reward.dtype == np.float32
        assert np.isfinite(priced.reward).all()


def _parts(config: DictConfig) -> list[DictConfig]:
    """The learners that a learner is made of."""
    return [part for part in config.learner.values() if isinstance(part, DictConfig) and "updates" in part]


@pytest.mark.parametrize("name", names("learner"))
def test_learners(name: str) -> None:
    config = compose(f"learner={name}")
    learner = build(config.learner)
    if name == "hil_serl":  # works beside an arm: robo_reward/arm/learner.py
        methods = ("begin", "prepare", "hear", "work", "mode", "acting", "state", "load")
        assert set(methods) <= set(vars(ArmLearner))
        assert all(callable(getattr(learner, method)) for method in methods)
    else:
        assert callable(learner.learn)
    counted = [config.rollouts, config.steps, *(part.get("updates") for part in (config.learner, *_parts(config)))]
    assert any(count is not None for count in counted), "nothing ends this learner"
    over = compose(f"learner={name}", "steps=7", "rollouts=8")
    assert (over.steps, over.rollouts) == (7, 8)


def overrides_for(name: str, folder: Path) -> Sequence[str]:
    xml = folder / "box.xml"
    xml.write_text(MJCF)
    return {"mjcf": (f"env.xml={xml}",), "gym": ("env.id=InvertedPendulum-v5",)}.get(name, ())


@pytest.mark.parametrize("name", names("env"))
def test_worlds(name: str, tmp_path: Path) -> None:
    config = compose(f"env={name}", *overrides_for(name, tmp_path)).env
    if name == "libero" and not os.environ.get("ROBO_REWARD_LIBERO_ASSETS"):
        pytest.skip("LIBERO's assets are needed: set ROBO_REWARD_LIBERO_ASSETS")
    if name == "none":
        with pytest.raises(UserError, match="has no simulator"):
            build(config)
        return
    world: World = build(config)
    assert isinstance(world, World)
    first = world.reset(0)
    assert first.state.shape == (world.num_worlds, world.state_size)
    assert first.state.dtype == np.float32
    step = world.step(np.zeros((world.num_worlds, *world.action_space.shape), np.float32))
    assert np.isnan(step.env_reward).all()  # masked unless an oracle was asked for
    assert np.array_equal(world.reset(0).state, first.state)
    world.close()
