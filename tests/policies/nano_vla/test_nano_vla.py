"""nano_vla as a LeRobot policy: what it learns, what it does not look at, and what it is after being saved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lerobot.configs import FeatureType, PolicyFeature
from lerobot.policies import make_pre_post_processors
from lerobot.policies.factory import get_policy_class

from robo_reward.errors import UserError
from robo_reward.policies.nano_vla.configuration_nano_vla import NanoVlaConfig
from robo_reward.policies.nano_vla.heads import FlowHead, TokenHead
from robo_reward.policies.nano_vla.language import PADDING, InstructionEncoder, byte_tokens
from robo_reward.policies.nano_vla.modeling_nano_vla import NanoVlaPolicy
from robo_reward.policies.nano_vla.processor_nano_vla import floored
from robo_reward.policies.nano_vla.vision import shrink

SMALL: dict[str, Any] = {"channels": 8, "keypoints": 8, "hidden_dim": 64, "instruction_dim": 16, "image_size": 16}
CAMERAS = ("observation.images.top", "observation.images.wrist")


@pytest.fixture(autouse=True)
def _repeatable() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


def config(**more: Any) -> NanoVlaConfig:
    inputs = {key: PolicyFeature(FeatureType.VISUAL, (3, 32, 32)) for key in CAMERAS}
    inputs["observation.state"] = PolicyFeature(FeatureType.STATE, (3,))
    outputs = {"action": PolicyFeature(FeatureType.ACTION, (2,))}
    whole = {**SMALL, "chunk_size": 4, "n_action_steps": 2, "device": "cpu", **more}
    return NanoVlaConfig(input_features=inputs, output_features=outputs, **whole)


def batch(count: int = 8) -> dict[str, Any]:
    """Samples in which the first picture and the instruction alone tell the action: state is the same for all."""
    pictures = torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8)
    return {
        CAMERAS[0]: pictures,
        CAMERAS[1]: torch.full_like(pictures, 90),
        "observation.state": torch.zeros(count, 3),
        "action": torch.randn(count, 4, 2).clamp(-1.5, 1.5),
        "action_is_pad": torch.zeros(count, 4, dtype=torch.bool),
        "task": ["open the drawer", "close the drawer"] * (count // 2),
    }


def processors(settings: NanoVlaConfig, std: tuple[float, float] = (1.0, 1.0)) -> tuple[Any, Any]:
    stats = {"observation.state": {"mean": torch.zeros(3), "std": torch.ones(3)}}
    stats["action"] = {"mean": torch.tensor([0.5, 0.0]), "std": torch.tensor(std)}
    made: tuple[Any, Any] = make_pre_post_processors(settings, dataset_stats=stats)
    return made


def overfit(policy: Any, samples: dict[str, Any], updates: int) -> list[float]:
    optimizer = policy.config.get_optimizer_preset().build(policy.get_optim_params())
    losses = []
    policy.train()
    for _ in range(updates):
        loss, _ = policy(samples)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("head", ["flow", "tokens", "regression"])
def test_it_overfits_eight_frames_and_then_acts_as_they_do(head: str) -> None:
    settings = config(head=head, brightness=0.0, colour=0.0, bins=16, num_steps=10, optimizer_lr=3e-3)
    policy = get_policy_class("nano_vla")(settings)
    before, after = processors(settings)
    raw = batch()
    samples = before(raw)
    losses = overfit(policy, samples, 250)
    assert sum(losses[-10:]) < 0.5 * sum(losses[:10])
    chunk = after(policy.predict_action_chunk(samples))
    assert chunk.shape == raw["action"].shape
    constant = (raw["action"] - raw["action"].mean(0)).abs().mean()
    assert (chunk - raw["action"]).abs().mean() < 0.5 * constant, "it tells the samples apart by pictures and words"


def test_the_blind_twin_never_looks_and_needs_no_pictures() -> None:
    policy = NanoVlaPolicy(config(blind=True)).eval()
    before, _ = processors(policy.config)
    shown = before(batch())
    unseen = {key: value for key, value in batch().items() if key not in CAMERAS}
    noise = torch.randn(8, 4, 2)
    chunk = policy.predict_action_chunk(before(unseen), noise)
    torch.testing.assert_close(policy.predict_action_chunk(shown, noise), chunk)
    assert len(policy.cameras) == 0
    seeing = NanoVlaPolicy(config()).eval()
    one, other = before(batch()), before(batch())
    assert not torch.equal(seeing.predict_action_chunk(one, noise), seeing.predict_action_chunk(other, noise))


def test_actions_behind_the_end_do_not_count() -> None:
    policy = NanoVlaPolicy(config(head="regression")).eval()
    samples = processors(policy.config)[0](batch())
    samples["action_is_pad"][:, 2:] = True
    loss, _ = policy(samples)
    samples["action"][:, 2:] = 99.0
    torch.testing.assert_close(policy(samples)[0], loss)
    assert policy(samples, reduction="none")[0].shape == (8,)
    torch.testing.assert_close(policy(samples, reduction="none")[0].mean(), loss)


def test_a_sample_does_not_depend_on_the_others_of_its_batch() -> None:
    policy = NanoVlaPolicy(config()).eval()
    samples, noise = processors(policy.config)[0](batch()), torch.randn(8, 4, 2)
    alone = {key: value[:1] for key, value in samples.items() if isinstance(value, torch.Tensor)}
    whole = policy.predict_action_chunk(samples, noise)
    torch.testing.assert_close(policy.predict_action_chunk(alone, noise[:1]), whole[:1], rtol=1e-4, atol=1e-5)


def test_a_saved_policy_acts_alike(tmp_path: Path) -> None:
    policy = NanoVlaPolicy(config(crop={"top": [0.0, 0.75, 0.125, 0.875]})).eval()
    before, after = processors(policy.config)
    for part in (policy, before, after):
        part.save_pretrained(tmp_path)
    again = NanoVlaPolicy.from_pretrained(tmp_path)
    steps = make_pre_post_processors(again.config, pretrained_path=str(tmp_path))
    assert again.config.crop == policy.config.crop
    raw, noise = batch(), torch.randn(8, 4, 2)
    told = after(policy.predict_action_chunk(before(dict(raw)), noise))
    torch.testing.assert_close(steps[1](again.predict_action_chunk(steps[0](dict(raw)), noise)), told, rtol=0, atol=0)
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".safetensors"}


def test_what_hardly_moves_is_not_blown_up() -> None:
    _, after = processors(config(), (2.0, 0.0))
    moved = after(torch.ones(1, 4, 2))
    torch.testing.assert_close(moved[0, 0], torch.tensor([0.5 + 2.0, 0.1]))  # mean + std, and the floor 0.1


def test_actions_come_one_by_one_and_a_chunk_is_decided_every_second_time() -> None:
    policy = NanoVlaPolicy(config(head="regression")).eval()
    samples = processors(policy.config)[0](batch())
    chunk = policy.predict_action_chunk(samples)
    blank = {key: torch.zeros_like(value) for key, value in samples.items() if key in CAMERAS}
    policy.reset()
    torch.testing.assert_close(policy.select_action(samples), chunk[:, 0])
    torch.testing.assert_close(policy.select_action({**samples, **blank}), chunk[:, 1])
    assert not torch.equal(policy.select_action({**samples, **blank}), chunk[:, 0])


# --- heads ------------------------------------------------------------------------------------------------------------


def test_the_flow_ends_at_the_action_that_its_velocity_points_to() -> None:
    head = FlowHead(context=5, chunk=4, actions=2, hidden=16, draws=3)
    action, noise = torch.randn(6, 4, 2), torch.randn(6, 4, 2)
    head.velocity = lambda embedding, x, t: noise - action  # type: ignore[method-assign]
    for steps in (1, 7):
        torch.testing.assert_close(head.sample(torch.zeros(6, 5), noise, steps), action)
    # the objective's minimum is that velocity: at x_t = t noise + (1 - t) action it is (x_t - action) / t
    head.velocity = lambda embedding, x, t: (x - action.repeat(3, 1, 1)) / t[:, None, None]  # type: ignore[method-assign]
    assert head.loss(torch.zeros(6, 5), action).max() < 1e-4


@given(st.lists(st.floats(-3, 3), min_size=8, max_size=8))
@settings(max_examples=30, deadline=None)
def test_a_token_is_worth_what_it_stands_for(values: list[float]) -> None:
    head = TokenHead(context=5, chunk=4, actions=2, hidden=16, bins=12, reach=3.0)
    chunk = torch.tensor(values).view(1, 4, 2)
    tokens = head.tokens(chunk)
    assert (head.values(tokens) - chunk).abs().max() <= 0.25 + 1e-5  # half a bin of 6 / 12
    assert torch.equal(head.tokens(head.values(tokens)), tokens)


def test_token_probabilities_sum_to_one_at_any_temperature() -> None:
    head = TokenHead(context=5, chunk=4, actions=2, hidden=16, bins=12, reach=3.0)
    embedding = torch.randn(3, 5)
    for temperature in (0.5, 1.0, 2.0):
        each = [head.log_prob(embedding, torch.full((3, 4, 2), k), temperature).exp() for k in range(12)]
        torch.testing.assert_close(torch.stack(each).sum(0), torch.ones(3, 4, 2))
    assert torch.equal(head.draw(embedding), head.logits(embedding).argmax(-1))


def test_only_the_flow_has_a_velocity() -> None:
    policy = NanoVlaPolicy(config(head="tokens"))
    with pytest.raises(UserError, match="head=tokens has no velocity"):
        policy.velocity(torch.zeros(1, 64), torch.zeros(1, 4, 2), torch.ones(1))
    flow = NanoVlaPolicy(config()).eval()
    samples = processors(flow.config)[0](batch())
    embedding, noise = flow.encode(samples), torch.randn(8, 4, 2)
    x = noise
    for k in range(5):
        x = x - flow.velocity(embedding, x, torch.full((8,), 1 - k / 5)) / 5
    torch.testing.assert_close(flow.predict_action_chunk(samples, noise), x)


# --- words and pictures -----------------------------------------------------------------------------------------------


def test_instructions_are_bytes() -> None:
    tokens = byte_tokens(["Ab  c", ""], 6)
    assert tokens.tolist() == [[97, 98, 32, 99, PADDING, PADDING], [PADDING] * 6]
    assert byte_tokens(["abcdef"], 3).tolist() == [[97, 98, 99]]


def test_pictures_are_cropped_by_shares_and_averaged() -> None:
    picture = torch.zeros(1, 3, 8, 8, dtype=torch.uint8)
    picture[..., :4, :4] = 200
    assert shrink(picture, 2).tolist() == [[[[200, 0], [0, 0]]] * 3]
    assert shrink(picture, 2, (0.0, 0.5, 0.0, 0.5)).unique().tolist() == [200]
    assert shrink(picture, 2, (0.25, 0.75, 0.25, 0.75)).tolist() == [[[[200, 0], [0, 0]]] * 3]


@given(st.integers(16, 40), st.integers(16, 40), st.integers(0, 10**6))
@settings(max_examples=20, deadline=None)
def test_shrinking_twice_is_shrinking_once(height: int, width: int, seed: int) -> None:
    drawn = torch.Generator().manual_seed(seed)
    picture = torch.randint(0, 256, (2, 3, height, width), dtype=torch.uint8, generator=drawn)
    small = shrink(picture, 16, (0.0, 0.9, 0.1, 1.0))
    assert small.shape == (2, 3, 16, 16)
    assert torch.equal(shrink(small, 16, (0.0, 0.9, 0.1, 1.0)), small)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"head": "magic"}, "head=magic"),
        ({"n_action_steps": 9}, "n_action_steps=9 must be within 1 and chunk_size=4"),
        ({"crop": {"top": [0.5, 0.2, 0.0, 1.0]}}, "crop.top"),
        ({"channels": 12}, "multiple of 8"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        config(**settings)


def test_cameras_learn_where_things_are() -> None:
    policy = NanoVlaPolicy(config(places_weight=1.0, places_size=2, brightness=0.0, colour=0.0, optimizer_lr=3e-3))
    raw = batch()
    samples = processors(policy.config)[0]({**raw, "observation.places": torch.rand(8, 2)})
    first = policy(samples)[1]["places_metres"]
    overfit(policy, samples, 150)
    last = policy(samples)[1]["places_metres"]
    assert last < 0.2 * first
    each, whole = policy(samples, reduction="none")[0], policy(samples)[0]
    assert each.shape == (8,)
    assert whole.isfinite()
    del samples["observation.places"]
    policy.predict_action_chunk(samples)
    with pytest.raises(UserError, match=r"recording\.places=true"):
        policy.train()(samples)


def test_it_learns_how_far_the_next_waypoint_is_and_skips_what_is_not_known() -> None:
    policy = NanoVlaPolicy(config(waypoint_weight=1.0, brightness=0.0, colour=0.0, optimizer_lr=3e-3))
    raw = {**batch(), "observation.waypoint": torch.randn(8, 3)}
    samples = processors(policy.config)[0](raw)
    first = policy(samples)[1]["waypoint_deviations"]
    overfit(policy, samples, 150)
    assert policy(samples)[1]["waypoint_deviations"] < 0.3 * first
    samples["observation.waypoint"][:] = float("nan")
    loss, said = policy(samples)
    assert loss.isfinite()
    assert "waypoint_deviations" not in said, "of nothing known nothing is told"
    del samples["observation.waypoint"]
    with pytest.warns(UserWarning, match="no waypoints"):
        policy(samples)


def test_the_blind_twin_places_nothing() -> None:
    policy = NanoVlaPolicy(config(blind=True, places_weight=1.0))
    assert policy.locator is None
    assert "places_metres" not in policy(processors(policy.config)[0](batch()))[1]


def test_a_joint_that_rested_in_every_demonstration_does_not_shout_at_the_first_encoder_tick() -> None:
    stats = {"observation.state": {"mean": np.zeros(4), "std": np.array([20.0, 15.0, 10.0, 0.01])}}
    std = floored(stats, {"observation.state": 0.01})["observation.state"]["std"]  # type: ignore[index]
    np.testing.assert_allclose(std, [20.0, 15.0, 10.0, 0.2])  # 2% of the lower median, 10
    assert stats["observation.state"]["std"][3] == 0.01


def test_what_lies_behind_a_text_tells_nothing() -> None:
    encoder = InstructionEncoder(16)
    texts = ["open the drawer", "shut it", ""]
    together = encoder(byte_tokens(texts, 128))
    for length in (17, 40):
        torch.testing.assert_close(encoder(byte_tokens(texts, length)), together)
    torch.testing.assert_close(encoder(byte_tokens(texts[1:2], 128)), together[1:2])
