"""What the words ask of a picture: where the answers point, what teaches them, and what is left out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lerobot.configs import FeatureType, PolicyFeature
from lerobot.policies import make_pre_post_processors
from safetensors.torch import load_file, save_file

from robo_reward.errors import UserError
from robo_reward.policies.nano_vla.configuration_nano_vla import NanoVlaConfig
from robo_reward.policies.nano_vla.locator import PLACE_SCALE, told
from robo_reward.policies.nano_vla.modeling_nano_vla import NanoVlaPolicy
from robo_reward.policies.nano_vla.vision import CameraEncoder, in_crop, pointing_loss, shifted
from robo_reward.policies.vla.checkpoint import load_weights

CAMERA = "observation.images.top"
POINTS = "observation.points.top"


def test_samples_without_a_label_are_not_in_the_log() -> None:
    losses = {"places": torch.tensor([0.0, 5.0, 0.0, 3.0]), "heat": torch.zeros(4)}
    assert told(losses) == {"places_metres": 4.0 / PLACE_SCALE}


@pytest.fixture(autouse=True)
def _repeatable() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


def policy(**more: Any) -> NanoVlaPolicy:
    inputs = {CAMERA: PolicyFeature(FeatureType.VISUAL, (3, 32, 32))}
    inputs["observation.state"] = PolicyFeature(FeatureType.STATE, (2,))
    small = {"channels": 8, "keypoints": 4, "hidden_dim": 32, "instruction_dim": 16, "image_size": 32, "questions": 3}
    whole = {
        **small,
        "chunk_size": 2,
        "n_action_steps": 1,
        "brightness": 0.0,
        "colour": 0.0,
        "heat_weight": 1.0,
        **more,
    }
    actions = {"action": PolicyFeature(FeatureType.ACTION, (1,))}
    return NanoVlaPolicy(NanoVlaConfig(input_features=inputs, output_features=actions, device="cpu", **whole))


def prepared(made: NanoVlaPolicy, raw: dict[str, Any]) -> dict[str, Any]:
    stats = {key: {"mean": torch.zeros(1), "std": torch.ones(1)} for key in ("observation.state", "action")}
    batch: dict[str, Any] = make_pre_post_processors(made.config, dataset_stats=stats)[0](raw)
    return batch


def two_squares(count: int = 12) -> dict[str, Any]:
    """Dark pictures with a red and a green square; two instructions are asked of each, first of all the red one."""
    places = torch.randint(2, 26, (count, 2, 2))  # (row, column) of both squares' corners
    pictures = torch.full((count, 3, 32, 32), 60, dtype=torch.uint8)
    for shot, both in zip(pictures, places.tolist(), strict=True):
        for colour, (row, column) in enumerate(both):
            shot[:, row : row + 4, column : column + 4] = torch.tensor([255 * (k == colour) for k in range(3)])[
                :, None, None
            ].to(torch.uint8)
    middles = (places.flip(-1) + 2) / 32
    rows = 2 * count
    return {
        CAMERA: pictures,
        "observation.shown": torch.arange(count).repeat(2),
        POINTS: torch.cat([middles[:, :1], middles[:, 1:]]),
        "observation.state": torch.zeros(rows, 2),
        "action": torch.zeros(rows, 2, 1),
        "action_is_pad": torch.zeros(rows, 2, dtype=torch.bool),
        "task": ["touch red"] * count + ["touch green"] * count,
    }


def pointed(made: NanoVlaPolicy, batch: dict[str, Any]) -> torch.Tensor:
    """(R, 2): where the first question points, as shares."""
    with torch.no_grad():
        shares: torch.Tensor = (made.eval()._look(batch).seen[0].places[:, :2] + 1) / 2
    return shares


# --- the loss ---------------------------------------------------------------------------------------------------------


def test_the_loss_by_hand() -> None:
    answers = torch.randn(1, 1, 16).log_softmax(-1).view(1, 1, 4, 4)
    halfway = torch.tensor([[[0.5, 0.375]]])  # between the second and third of four columns, in the second row
    expected = -0.5 * (answers[0, 0, 1, 1] + answers[0, 0, 1, 2])
    torch.testing.assert_close(pointing_loss(answers, halfway), expected[None])
    middle = torch.tensor([[[0.875, 0.125]]])
    torch.testing.assert_close(pointing_loss(answers, middle), -answers[0, 0, 0, 3][None])
    edge = torch.tensor([[[1.0, 0.0]]])
    torch.testing.assert_close(pointing_loss(answers, edge), -answers[0, 0, 0, 3][None])
    both = torch.cat([halfway, middle], 1)
    torch.testing.assert_close(pointing_loss(answers.repeat(1, 2, 1, 1), both), (expected - answers[0, 0, 0, 3])[None])


@pytest.mark.parametrize("outside", [[1.01, 0.5], [0.5, -0.01], [float("nan"), float("nan")]])
def test_what_a_picture_does_not_show_is_not_asked(outside: list[float]) -> None:
    answers = torch.randn(2, 1, 4, 4, requires_grad=True)
    loss = pointing_loss(answers.flatten(2).log_softmax(-1).view(2, 1, 4, 4), torch.tensor([[outside], [[0.5, 0.5]]]))
    assert loss[0] == 0
    assert loss[1] > 0
    loss.sum().backward()
    assert answers.grad is not None
    assert answers.grad[0].abs().max() == 0


@given(st.floats(0.13, 0.87), st.floats(0.13, 0.87))
@settings(max_examples=20, deadline=None)
def test_the_best_answer_means_the_point_itself(x: float, y: float) -> None:
    """The gradient at the softmax of the bilinear weights is zero, and their mean is the point."""
    point = torch.tensor([[[x, y]]])
    unit = torch.eye(16).view(16, 1, 4, 4)
    weights = pointing_loss(-unit, point.expand(16, 1, 2))  # minus the sum of weight times -1 or 0
    cells = (torch.arange(4) + 0.5) / 4
    assert weights.sum().item() == pytest.approx(1, abs=1e-5)
    grid = weights.view(4, 4)
    assert (grid.sum(0) @ cells).item() == pytest.approx(x, abs=1e-5)
    assert (grid.sum(1) @ cells).item() == pytest.approx(y, abs=1e-5)


def test_points_follow_crop_and_shift() -> None:
    inside = in_crop(torch.tensor([[0.5, 0.5], [0.125, 0.25]]), [0.25, 0.75, 0.125, 0.875])
    torch.testing.assert_close(inside, torch.tensor([[0.5, 0.5], [0.0, 0.0]]))
    pictures = torch.zeros(8, 3, 16, 16)
    pictures[:, :, 6, 9] = 1.0
    moved_pictures, moved = shifted(pictures, 3)
    for shot, by in zip(moved_pictures, moved, strict=True):
        row, column = divmod(int(shot[0].argmax()), 16)
        torch.testing.assert_close(by, torch.tensor([(column - 9) / 16, (row - 6) / 16]))
    assert moved.abs().max() > 0


# --- what is learned --------------------------------------------------------------------------------------------------


def test_other_words_point_elsewhere_in_the_same_picture() -> None:
    made = policy(optimizer_lr=3e-3)
    batch = prepared(made, two_squares())
    optimizer = made.config.get_optimizer_preset().build(made.get_optim_params())
    made.train()
    for _ in range(200):
        loss, _ = made(batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    off = (pointed(made, batch) - batch[POINTS][:, 0]).norm(dim=-1)
    assert off.median() < 0.04, "two squares of 4 pixels in 32"
    switched = {**batch, "observation.language.tokens": batch["observation.language.tokens"].roll(12, 0)}
    torch.testing.assert_close(pointed(made, switched), pointed(made, batch).roll(12, 0))


def test_the_loss_reaches_what_looks_and_what_asks() -> None:
    made = policy().train()
    batch = prepared(made, two_squares())
    batch["action_is_pad"][:] = True  # nothing to imitate: the pointing alone teaches
    loss, said = made.forward(batch)
    loss.backward()
    assert loss.item() == pytest.approx(said["heat_nats"], rel=1e-5)
    camera: Any = made.cameras[0]
    for part in (camera.first, camera.keys, camera.questions, made.instruction.embedding):
        gradient: Any = part.weight.grad
        assert gradient is not None
        assert gradient.abs().max() > 0
    assert all(weight.grad is None for weight in made.trunk.parameters())


def test_asking_twice_of_a_picture_is_showing_it_twice() -> None:
    encoder = CameraEncoder(16, 8, 4, 5, 2).eval()
    pictures, words = torch.rand(3, 3, 16, 16) - 0.5, torch.randn(5, 5)
    shown = torch.tensor([0, 1, 2, 0, 2])
    once, twice = encoder(pictures, words, shown), encoder(pictures[shown], words)
    for one, other in ((once.places, twice.places), (once.rest, twice.rest), (once.answers, twice.answers)):
        torch.testing.assert_close(one, other)
    assert (once.places.shape, once.rest.shape) == ((5, encoder.places), (5, encoder.rest))
    torch.testing.assert_close(once.answers.exp().sum((-1, -2)), torch.ones(5, 2))


# --- without labels, and with too many --------------------------------------------------------------------------------


def test_data_without_points_teach_the_rest_and_say_so_once() -> None:
    made = policy()
    batch = prepared(made, {key: value for key, value in two_squares().items() if key != POINTS})
    with pytest.warns(UserWarning, match="heat_weight teaches nothing"):
        loss, said = made(batch)
    assert "heat_nats" not in said
    assert loss.isfinite()
    assert "heat_nats" not in made(batch)[1]
    assert policy(blind=True).pointing is None
    assert policy(heat_weight=0.0).pointing is None


def test_more_places_than_questions_are_refused() -> None:
    made = policy(questions=1)
    raw = two_squares()
    batch = prepared(made, {**raw, POINTS: raw[POINTS].repeat(1, 2, 1)})
    with pytest.raises(UserError, match=r"2 places, but policy\.questions=1"):
        made(batch)


def test_weights_of_an_earlier_nano_vla_are_refused(tmp_path: Path) -> None:
    made = policy()
    made.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["heat_weight"] == 1.0
    load_weights(made.config, tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    former = {**weights, "cameras.0.films.0.linear.weight": torch.zeros(2)}
    save_file(former, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(UserError, match="train it again"):
        load_weights(made.config, tmp_path)
    with pytest.raises(UserError, match="train it again"):
        NanoVlaPolicy.from_pretrained(tmp_path)
