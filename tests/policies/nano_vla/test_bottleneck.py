"""Behind a bottleneck actions see of the pictures only places, from the hand where the state tells where that is."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from lerobot.policies import make_pre_post_processors
from one_camera import one_camera

from robo_reward.errors import UserError
from robo_reward.policies.nano_vla.configuration_nano_vla import NanoVlaConfig
from robo_reward.policies.nano_vla.locator import HAND, PLACES, Locator
from robo_reward.policies.nano_vla.modeling_nano_vla import NanoVlaPolicy


def config(**more: Any) -> NanoVlaConfig:
    return one_camera(4, 2, **{"places_weight": 3.0, **more})


def made(**more: Any) -> NanoVlaPolicy:
    torch.manual_seed(0)
    return NanoVlaPolicy(config(**more)).eval()


def pipelines(settings: NanoVlaConfig, **more: Any) -> tuple[Any, Any]:
    stats = {"observation.state": {"mean": torch.full((4,), 5.0), "std": torch.full((4,), 2.0)}}
    stats["action"] = {"mean": torch.zeros(2), "std": torch.ones(2)}
    found: tuple[Any, Any] = make_pre_post_processors(settings, dataset_stats=stats, **more)
    return found


def samples(settings: NanoVlaConfig, count: int = 6) -> dict[str, Any]:
    """What the processors make of so many samples."""
    drawn = torch.Generator().manual_seed(1)
    raw = {
        "observation.images.top": torch.rand(count, 3, 16, 16, generator=drawn),
        "observation.state": torch.randn(count, 4, generator=drawn),
        "task": ["open the drawer"] * count,
        "action": torch.randn(count, 2, 2, generator=drawn),
        "action_is_pad": torch.zeros(count, 2, dtype=torch.bool),
        PLACES: torch.randn(count, 6, generator=drawn),
    }
    return dict(pipelines(settings)[0](raw))


def moved_weights(policy: NanoVlaPolicy) -> set[str]:
    """The parts whose weights the last backward pass reached."""
    return {name.split(".")[0] for name, p in policy.named_parameters() if p.grad is not None and p.grad.any()}


PERCEPTION = {"cameras", "instruction", "locator"}
ACTION = {"trunk", "head", "proprioception"}


def test_actions_teach_actions_and_places_teach_what_tells_places() -> None:
    policy = made(bottleneck=True)
    batch = samples(policy.config)
    policy.labelled = False  # own episodes: actions alone
    policy(batch)[0].backward()
    assert moved_weights(policy) == ACTION
    policy.zero_grad()
    policy.labelled = True
    batch["action_is_pad"][:] = True  # scenes: places alone
    policy(batch)[0].backward()
    assert moved_weights(policy) == PERCEPTION


def test_without_it_actions_teach_everything() -> None:
    policy = made()
    policy.labelled = False
    policy(samples(policy.config))[0].backward()
    assert moved_weights(policy) == PERCEPTION | ACTION


@pytest.mark.parametrize("bottleneck", [True, False])
def test_pictures_reach_actions_through_places_alone(bottleneck: bool) -> None:
    policy = made(bottleneck=bottleneck)
    batch = samples(policy.config)
    others = {**batch, "observation.images.top": batch["observation.images.top"].flip(0)}
    assert not torch.equal(policy.encode(batch), policy.encode(others)), "places are seen"
    assert policy.locator is not None
    torch.nn.init.zeros_(policy.locator.net[-1].weight)  # type: ignore[arg-type]
    assert torch.equal(policy.encode(batch), policy.encode(others)) == bottleneck


def test_places_from_the_hand_are_differences_in_decimetres() -> None:
    locator = Locator(3, 4, waypoint=2, places=6)
    located = torch.tensor([[7.0, 8.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]])
    seen = locator.from_hand(located, torch.tensor([[0.1, 0.2, 0.3]]))
    torch.testing.assert_close(seen, torch.tensor([[7.0, 8.0, 0.0, 0.0, 0.0, 3.0, 3.0, 3.0]]))


def test_the_hand_is_told_as_the_robot_tells_it_and_a_saved_policy_knows_which_numbers_it_is(tmp_path: Path) -> None:
    policy = made(bottleneck=True, hand=[2, 0, 1])
    before, after = pipelines(policy.config)
    for part in (policy, before, after):
        part.save_pretrained(tmp_path)
    again = NanoVlaPolicy.from_pretrained(tmp_path)
    assert again.config.hand == [2, 0, 1]
    loaded = make_pre_post_processors(again.config, pretrained_path=str(tmp_path))[0]
    state = torch.tensor([[0.1, 0.2, 0.3, 0.4]])
    raw = {"observation.images.top": torch.rand(1, 3, 16, 16), "observation.state": state, "task": ["open"]}
    for pipeline in (before, loaded):
        batch = pipeline(dict(raw))
        torch.testing.assert_close(batch[HAND], state[:, [2, 0, 1]])
        torch.testing.assert_close(batch["observation.state"], (state - 5) / 2)
    torch.testing.assert_close(again.encode(loaded(dict(raw))), policy.encode(before(dict(raw))))


def test_actions_see_places_from_the_hand() -> None:
    policy = made(bottleneck=True, hand=[0, 1, 2])
    batch = samples(policy.config, 1)
    assert policy.locator is not None
    torch.nn.init.zeros_(policy.locator.net[-1].weight)  # type: ignore[arg-type]
    there, first = policy.encode(batch), policy.locator.net[-1].bias
    assert isinstance(first, torch.Tensor)
    first.data += 10 * torch.tensor([0.1, 0.2, 0.3] * 2)  # both places are elsewhere by so many metres,
    assert not torch.allclose(policy.encode(batch), there)
    batch[HAND] = batch[HAND] + torch.tensor([[0.1, 0.2, 0.3]])  # and so is the hand
    torch.testing.assert_close(policy.encode(batch), there)


@pytest.mark.parametrize("unseen", [[1, 3], [0, 1, 2, 3]])
def test_actions_do_not_see_what_of_the_state_is_left_out(unseen: list[int]) -> None:
    policy = made(bottleneck=True, hand=[0, 1, 2], unseen_state=unseen)
    batch = {**samples(policy.config), HAND: torch.zeros(6, 3)}
    assert policy.locator is not None
    torch.nn.init.zeros_(policy.locator.net[-1].weight)  # type: ignore[arg-type]
    for number in range(4):
        other = {**batch, "observation.state": batch["observation.state"].clone()}
        other["observation.state"][:, number] += 1
        assert torch.equal(policy.encode(batch), policy.encode(other)) == (number in unseen)


@pytest.mark.parametrize("wordless", [True, False])
def test_actions_hear_words_through_places_alone(wordless: bool) -> None:
    policy = made(bottleneck=True, wordless=wordless)
    batch = samples(policy.config)
    others = {**batch, "observation.language.tokens": batch["observation.language.tokens"].roll(1, 1)}
    assert not torch.equal(policy.encode(batch), policy.encode(others)), "places answer them"
    assert policy.locator is not None
    torch.nn.init.zeros_(policy.locator.net[-1].weight)  # type: ignore[arg-type]
    assert torch.equal(policy.encode(batch), policy.encode(others)) == wordless


def test_behind_the_bottleneck_actions_learn_from_true_places_where_they_are_told() -> None:
    policy = made(bottleneck=True, hand=[0, 1, 2], brightness=0.0, colour=0.0).train()
    batch = samples(policy.config)
    batch[PLACES][0, 1] = torch.nan
    others = {**batch, "observation.images.top": batch["observation.images.top"].flip(0)}
    same = torch.isclose(policy.encode(batch), policy.encode(others)).all(1)
    assert same.tolist() == [False, True, True, True, True, True], "one place is not told: the located one is taken"
    moved = policy.encode({**batch, PLACES: batch[PLACES] + 0.1})
    assert not torch.isclose(policy.encode(batch), moved).all(1).any()
    policy.eval()
    assert torch.equal(policy.encode(batch), policy.encode({k: v for k, v in batch.items() if k != PLACES}))


@pytest.mark.parametrize("more", [{"bottleneck": False}, {"places_size": 3}])
def test_other_policies_learn_from_located_places(more: dict[str, Any]) -> None:
    policy = made(**{"bottleneck": True, "brightness": 0.0, "colour": 0.0, **more}).train()
    batch = samples(policy.config)
    without = {key: value for key, value in batch.items() if key != PLACES}
    assert torch.equal(policy.encode(batch), policy.encode(without))


def test_places_alone_are_enough() -> None:
    settings = config(bottleneck=True, wordless=True)
    assert settings.input_features is not None
    del settings.input_features["observation.state"]
    policy = NanoVlaPolicy(settings)
    policy(samples(made().config))[0].backward()
    assert moved_weights(policy) == {"cameras", "instruction", "locator", "trunk", "head"}


def test_the_blind_twin_ignores_all_of_it() -> None:
    twin = made(blind=True, bottleneck=True, hand=[0, 1, 2], unseen_state=[0, 1], wordless=True)
    assert twin.locator is None
    batch = samples(twin.config)
    assert twin.encode(batch).shape == (6, 32)
    assert torch.equal(made(blind=True).encode(batch), twin.encode(batch))
    assert config(blind=True, bottleneck=True, places_weight=0.0).bottleneck


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"bottleneck": True, "places_weight": 0.0}, "leaves actions nothing of the pictures but places: set places_w"),
        ({"hand": [0, 1, 2], "places_weight": 0.0}, "is where places are seen from: set places_weight=3"),
        ({"hand": 0}, "hand=0 of nano_vla must be three different numbers"),
        ({"hand": [0.5, 1, 2]}, "three different numbers"),
        ({"hand": [True, 0, 2]}, "three different numbers"),
        ({"hand": "xyz"}, "three different numbers"),
        ({"hand": [0, 1]}, r"hand=\[0, 1\] of nano_vla must be three different numbers"),
        ({"hand": [0, 1, 1]}, "three different numbers"),
        ({"hand": [0, 1, -1]}, "three different numbers"),
        ({"hand": [0, 1, 2], "places_size": 4}, "places_size=4 a multiple of three"),
        ({"unseen_state": [0, 0], "bottleneck": True}, r"unseen_state=\[0, 0\] of nano_vla must be different numbers"),
        ({"unseen_state": 0, "bottleneck": True}, "unseen_state=0 of nano_vla must be different numbers"),
        ({"unseen_state": [True], "bottleneck": True}, "must be different numbers"),
        ({"unseen_state": [0]}, r"unseen_state=\[0\] of nano_vla .*set bottleneck=true, too"),
        ({"wordless": True}, "wordless=True of nano_vla .*set bottleneck=true, too"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        config(**settings)


def test_the_way_out_of_places_that_nobody_tells_leads_out() -> None:
    preset: dict[str, Any] = {"bottleneck": True, "hand": [0, 1, 2], "unseen_state": [0, 1], "wordless": True}
    with pytest.raises(UserError, match=r"or bottleneck=false hand=\[\] unseen_state=\[\] wordless=false$"):
        config(**preset, places_weight=0.0)
    config(bottleneck=False, hand=[], unseen_state=[], wordless=False, places_weight=0.0)
    untold = {key: value for key, value in samples(made().config).items() if key != PLACES}
    with pytest.raises(UserError, match=r"recording\.places=true, or policy=nano_vla policy\.places_weight=0"):
        made(bottleneck=True, wordless=True).train()(untold)


def test_a_policy_that_cannot_know_where_its_hand_is_says_so() -> None:
    with pytest.warns(
        UserWarning, match=r"unseen_state=\[0, 1\] of nano_vla without hand: .*policy\.unseen_state=\[\]"
    ):
        made(bottleneck=True, unseen_state=[0, 1])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made(bottleneck=True, unseen_state=[0, 1], hand=[0, 1, 2])
        made(bottleneck=True, unseen_state=[0, 1], waypoint_weight=1.0)  # which tells it from the hand
        made(blind=True, bottleneck=True, unseen_state=[0, 1])


def test_places_are_exact_in_bfloat16() -> None:
    locator = Locator(3, 8, waypoint=0, places=6)
    features = torch.randn(4, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = locator(features)
    assert torch.equal(inside, locator(features))


def test_waypoints_alone_are_no_bottleneck_without_a_state() -> None:
    settings = config(bottleneck=True, places_weight=0.0, waypoint_weight=1.0)
    assert settings.input_features is not None
    del settings.input_features["observation.state"]
    with pytest.raises(UserError, match=r"needs observation\.state"):
        NanoVlaPolicy(settings)


def test_a_hand_that_the_state_does_not_have_is_refused() -> None:
    with pytest.raises(UserError, match=r"hand=\[0, 1, 4\] names numbers of a state of 4"):
        made(hand=[0, 1, 4])
    with pytest.raises(UserError, match=r"unseen_state=\[4\] names numbers of a state of 4"):
        made(bottleneck=True, hand=[0, 1, 2], unseen_state=[4])
