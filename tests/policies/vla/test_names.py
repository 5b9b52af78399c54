"""Which camera is which: ``policy.rename`` with cameras that have the policy's names, and keys of datasets' cameras."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from robo_reward.contract_tests import moving_square
from robo_reward.data.datasets import write_dataset
from robo_reward.errors import UserError
from robo_reward.policies.vla import training_data as data_of
from robo_reward.policies.vla.features import DataFacts, Names, full_key, short_name
from robo_reward.policies.vla.recipe import PolicyRecipe
from robo_reward.trace import Trace

NANO: dict[str, Any] = {"channels": 8, "keypoints": 8, "hidden_dim": 32, "chunk_size": 4, "n_action_steps": 2}
SMALL: dict[str, Any] = {**NANO, "image_size": 16}


def painted(**cameras: int) -> Trace:
    """An episode whose cameras show one grey each."""
    trace = moving_square(0, 8, ("front",), size=16)
    frames = {view: np.full((len(trace) + 1, 16, 16, 3), grey, np.uint8) for view, grey in cameras.items()}
    return replace(trace, frames=frames)


@pytest.fixture(scope="module")
def reads_image(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A checkpoint that reads the camera ``image``."""
    folder = tmp_path_factory.mktemp("reads_image")
    facts = data_of.facts_of_traces([painted(image=5)], tuple)
    PolicyRecipe("nano_vla", **SMALL).build(facts).save(folder)
    return str(folder)


@pytest.mark.parametrize("order", [("corner", "image"), ("image", "corner")])
def test_a_renamed_camera_goes_before_one_that_has_the_name(
    order: tuple[str, ...], reads_image: str, tmp_path: Path
) -> None:
    greys = {"corner": 10, "image": 200}
    episode = painted(**{view: greys[view] for view in order})
    write_dataset([episode], tmp_path / "data", images=True)
    path = str(tmp_path / "data")
    recipe = PolicyRecipe(path=reads_image, rename={"corner": "image"}, normalisation="data")
    assert recipe.views_of(order) == ("corner",)
    policy = recipe.build(data_of.facts_of_dataset(path, recipe.views_of))
    views = list(policy.names.views_of(policy.config, order))
    held = data_of.frames_of_dataset(path, views, policy, None).batch([0], (), range(4))
    streamed = next(data_of.streamed_batches(path, policy, 2, 0, 0)(0, 1))
    acted = policy.raw_batch({view: episode.frames[view][:1] for view in order}, episode.state[:1], ["x"])
    for shown in (policy.in_their_names(held), policy.in_their_names(streamed), acted):
        picture = shown["observation.images.image"].float()
        assert round(float(picture.mean() * (255 if picture.max() <= 1 else 1))) == 10
    stats = next(step.stats for step in policy.before.steps if getattr(step, "stats", None))
    assert float(torch.as_tensor(stats["observation.images.image"]["mean"]).mean()) == pytest.approx(10 / 255, abs=1e-3)


def test_two_cameras_of_one_name_are_refused() -> None:
    facts = data_of.facts_of_traces([painted(front=1, top=2)], tuple)
    with pytest.raises(UserError, match=r"one camera 'top' of front and top.*policy\.views=\[front\]"):
        PolicyRecipe("nano_vla", rename={"front": "top"}, **SMALL).build(facts)
    with pytest.raises(UserError, match="one camera 'top'"):
        PolicyRecipe("nano_vla", rename={"front": "top"}, **SMALL).views_of(("front", "top"))
    chosen = PolicyRecipe("nano_vla", rename={"front": "top"}, views=["front"], **SMALL).build(facts)
    assert chosen.names.views_of(chosen.config, ["front", "top"]) == {"front": "observation.images.top"}
    with pytest.raises(UserError, match="calls two cameras 'eye', side and wrist"):
        Names({"side": "eye", "wrist": "eye"}).shown(["side", "wrist"])


def test_names_that_nobody_has_are_refused(reads_image: str, facts: DataFacts) -> None:
    typo = PolicyRecipe(path=reads_image, rename={"cornr": "image"})
    with pytest.raises(UserError, match=r"camera in policy.rename 'cornr'; did you mean 'corner'\?"):
        typo.check_names(["corner", "image"])
    with pytest.raises(UserError, match=r"camera of the policy in policy\.rename 'imag'; did you mean 'image'"):
        PolicyRecipe(path=reads_image, rename={"corner": "imag"}).check_names(["corner", "image"])
    # a dataset's and a world's camera may be renamed together, and the state
    both = {"corner": "image", "side": "image", "state": "observation.joints"}
    PolicyRecipe(path=reads_image, rename=both).check_names(["side"])


def test_short_and_full_names_lead_to_each_other() -> None:
    for key in ("observation.images.top", "observation.image", "observation.state"):
        assert full_key(short_name(key)) == key


def pusht(folder: Path) -> str:
    """A dataset whose only camera is ``observation.image``, as lerobot/pusht has it."""
    import lerobot.datasets.lerobot_dataset as lerobot

    features: dict[str, Any] = {
        "observation.image": {"dtype": "image", "shape": (32, 32, 3), "names": ["height", "width", "channels"]},
        "observation.state": {"dtype": "float32", "shape": (2,), "names": None},
        "action": {"dtype": "float32", "shape": (1,), "names": None},
    }
    dataset = lerobot.LeRobotDataset.create("local/pusht", 10, features, root=folder, use_videos=False)
    for number in range(2):
        trace = moving_square(number, 12, ("front",), size=32)
        for k in range(12):
            shown = {"observation.image": trace.frames["front"][k], "observation.state": trace.state[k]}
            dataset.add_frame({**shown, "action": trace.action[k], "task": trace.task})
        dataset.save_episode()
    dataset.finalize()
    return str(folder)


@pytest.mark.parametrize("kind", ["nano_vla", "diffusion"])
def test_a_camera_called_observation_image_is_one(
    kind: str, settings_of: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    path = pusht(tmp_path / "pusht")
    crop: dict[str, Any] = {"crop": {"observation.image": [0.0, 0.75, 0.0, 1.0]}} if kind == "nano_vla" else {}
    recipe = PolicyRecipe(kind, **settings_of[kind], **crop)
    facts = data_of.facts_of_dataset(path, recipe.views_of)
    policy = recipe.build(facts)
    assert list(policy.config.image_features) == ["observation.image"]
    held = data_of.frames_of_dataset(path, list(facts.views), policy, None)
    raw = held.batch([0, 5], *data_of.deltas(policy.config))
    streamed = next(data_of.streamed_batches(path, policy, 2, 0, 0)(0, 1))
    for batch in (raw, streamed):
        assert torch.isfinite(policy.module(policy.training_batch(batch))[0])
    policy.save(tmp_path / "saved")
    again = PolicyRecipe(path=str(tmp_path / "saved")).build(facts)
    assert torch.isfinite(again.module(again.training_batch(raw))[0])
    # in a world with another name for it, the message's mapping works for data and world alike
    world = replace(facts, views={"corner": (32, 32)}, stats=None)
    with pytest.raises(UserError, match=r"policy.rename=\{corner: observation.image\}"):
        PolicyRecipe(path=str(tmp_path / "saved")).build(world)
    renamed = PolicyRecipe(path=str(tmp_path / "saved"), rename={"corner": "observation.image"})
    renamed.check_names(["corner", "observation.image"])
    assert renamed.build(facts).names.views_of(policy.config, ["corner"]) == {"corner": "observation.image"}
    assert renamed.build(world) is not None


def test_the_dataset_of_another_checkpoint_says_which_is_which(reads_image: str, tmp_path: Path) -> None:
    path = pusht(tmp_path / "pusht")
    with pytest.raises(UserError, match=r"policy.rename=\{observation.image: image\}"):
        data_of.facts_of_dataset(path, PolicyRecipe(path=reads_image).views_of)
    recipe = PolicyRecipe(path=reads_image, rename={"observation.image": "image"})
    assert recipe.views_of(["observation.image"]) == ("observation.image",)


def test_views_that_are_not_read_are_left_out_of_a_batch() -> None:
    policy: Any = SimpleNamespace(type="x", image_features={"observation.images.image": None})
    assert Names({"corner": "image"}).views_of(policy, ["image", "corner"]) == {"corner": "observation.images.image"}
