"""learner.scenes: what it may be, and that scenes go with policy and demonstrations; told as early as it can be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import hydra
import numpy as np
import pytest

from robo_reward.contract_tests import moving_square
from robo_reward.contracts import World
from robo_reward.data.datasets import write_dataset
from robo_reward.errors import UserError
from robo_reward.policies.vla.frames import EpisodeFrames
from robo_reward.policies.vla.recipe import PolicyRecipe
from robo_reward.policies.vla.still_scenes import StillScenes
from robo_reward.policies.vla.training_data import facts_of_traces, shrinker
from robo_reward.trace import Trace
from robo_reward.verbs.train import run

SMALL: dict[str, Any] = {"channels": 8, "hidden_dim": 32, "image_size": 16, "chunk_size": 4, "n_action_steps": 4}
UNUSED = cast(World, SimpleNamespace(name="fixed"))


def placed(seed: int, size: int = 32, places: int = 6, points: int | None = None) -> Trace:
    """An episode that tells so many numbers of places."""
    trace = moving_square(seed, 4, ("front",), size=size)
    told = None if points is None else {"front": np.full((5, points, 2), 0.5, np.float32)}
    return replace(trace, places=np.full((5, places), 7.0, np.float32), points=told)


def add(folder: Path, scenes: Trace, demonstration: Trace | None = None, **settings: Any) -> EpisodeFrames:
    """Scenes of a dataset beside a demonstration."""
    write_dataset([scenes], folder, images=True)
    acted = demonstration or moving_square(0, 4, ("front",), size=32)
    policy = PolicyRecipe("nano_vla", places_weight=3.0, **SMALL, **settings).build(facts_of_traces([acted], tuple))
    frames = EpisodeFrames(["front"], shrinker(policy))
    frames.add([acted])
    StillScenes(str(folder)).add(frames, ["front"], policy, UNUSED, 0)
    return frames


def test_scenes_that_fit_are_added(tmp_path: Path) -> None:
    frames = add(tmp_path / "a", placed(1, size=48), crop={"front": [0.0, 0.5, 0.0, 1.0]})
    assert (frames.acted, len(frames)) == (4, 7)
    add(tmp_path / "b", placed(1, size=16), placed(0))


def test_pictures_that_count_as_cropped_are_refused(tmp_path: Path) -> None:
    told = r"learner\.scenes=.*a: policy\.crop\.front needs larger pictures: those of 16x16"
    with pytest.raises(UserError, match=told):
        add(tmp_path / "a", placed(1, size=16), crop={"front": [0.0, 0.5, 0.0, 1.0]})


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("state", "states of scenes are 3 numbers, those of the demonstrations 2"),
        ("action", "actions of scenes are 2 numbers, those of the demonstrations 1"),
        ("places", "places of scenes are 9 numbers, those of the demonstrations 6: draw scenes in the world"),
        ("points", "points of 'front' of scenes are 6 numbers, .* 4"),
    ],
)
def test_other_sizes_are_refused(tmp_path: Path, what: str, told: str) -> None:
    scenes, demonstration = placed(1, points=2), placed(0, points=2)
    if what == "places":
        scenes = placed(1, places=9)
        with pytest.raises(UserError, match=r"those of the policy 6: set policy\.places_size=9"):
            add(tmp_path / "alone", scenes, None)
    elif what == "points":
        scenes = placed(1, points=3)
    else:
        values = getattr(scenes, what)
        scenes = replace(scenes, **{what: np.concatenate([values, values[:, :1]], 1)})
    with pytest.raises(UserError, match=told):
        add(tmp_path / "both", scenes, demonstration)


def test_places_of_another_size_than_the_policys_are_refused_of_demonstrations_too() -> None:
    demonstration = placed(0, places=9)
    policy = PolicyRecipe("nano_vla", places_weight=3.0, **SMALL).build(facts_of_traces([demonstration], tuple))
    frames = EpisodeFrames(["front"])
    frames.add([demonstration])
    with pytest.raises(UserError, match=r"places of 9 numbers, but policy\.places_size=6: set policy\.places_size=9"):
        policy.module(policy.training_batch(frames.batch([0], (), range(4))))


@pytest.mark.parametrize("given", [0, -3, 2.5, True])
def test_what_is_neither_a_number_nor_a_dataset_is_refused(given: Any) -> None:
    with pytest.raises(UserError, match=rf"learner\.scenes={given} must be 1 or more"):
        StillScenes(given)


@pytest.mark.parametrize("share", ["half", True, float("nan"), -0.5])
def test_a_share_that_is_none_is_refused(share: Any) -> None:
    with pytest.raises(UserError, match=rf"learner\.scenes_share={share} must .*0\.6"):
        StillScenes(3, share)


def test_a_blind_policy_looks_at_none() -> None:
    blind = PolicyRecipe("nano_vla", blind=True, **SMALL).settings()
    assert StillScenes("nowhere/at/all").seen_by(blind).given is None
    assert not StillScenes(3).seen_by(blind).drawn


@pytest.mark.parametrize("learner", ["sft", "sft_grpo"])
@pytest.mark.parametrize(
    ("given", "weight", "told"),
    [
        ("0", "places_weight=3", "scenes=0 must be 1 or more"),
        ("2.5", "places_weight=3", r"scenes=2\.5 must be 1 or more"),
        ("nowhere/at/all", "heat_weight=1", "there is no dataset folder 'nowhere/at/all'"),
        ("5", "places_weight=0", r"set policy\.places_weight=3"),
        ("5", "places_weight=3", "cannot rearrange its scene: leave scenes=5 out"),
    ],
)
def test_wrong_scenes_are_told_before_anything_is_collected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, learner: str, given: str, weight: str, told: str
) -> None:
    monkeypatch.setattr("robo_reward.data.demonstrations.collect_demonstrations", lambda *_, **__: pytest.fail("late"))
    key = "learner.scenes" if learner == "sft" else "learner.sft.scenes"
    words = ["env=metaworld", "env.height=16", "env.width=16", "policy=nano_vla", f"policy.{weight}", f"{key}={given}"]
    with hydra.initialize_config_module("robo_reward.configs", version_base="1.3"):
        config = hydra.compose("train", [f"learner={learner}", *words, f"run_dir={tmp_path / 'run'}"])
    with pytest.raises(UserError, match=told):
        run(config)


def test_a_world_that_cannot_show_them_is_told_before_data_are_decoded(tmp_path: Path) -> None:
    words = ["env=metaworld", "env.height=16", "env.width=16", "policy=nano_vla", "policy.places_weight=3"]
    with hydra.initialize_config_module("robo_reward.configs", version_base="1.3"):
        given = [f"data={tmp_path / 'never_read'}", "learner.scenes=5", f"run_dir={tmp_path / 'run'}"]
        config = hydra.compose("train", ["learner=sft", *words, *given])
    with pytest.raises(UserError, match="cannot rearrange its scene"):
        run(config)
