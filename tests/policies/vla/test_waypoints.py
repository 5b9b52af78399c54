"""Waypoints: the next change of the fingers, told by the demonstration itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from robo_reward.contract_tests import moving_square
from robo_reward.contracts import World
from robo_reward.data.datasets import write_dataset
from robo_reward.errors import UserError
from robo_reward.policies.vla import training_data as data_of
from robo_reward.policies.vla.features import PLACES, WAYPOINT, DataFacts
from robo_reward.policies.vla.frames import EpisodeFrames
from robo_reward.policies.vla.recipe import PolicyRecipe
from robo_reward.policies.vla.still_scenes import StillScenes
from robo_reward.policies.vla.waypoints import WayScale, waypoints, ways
from robo_reward.trace import Trace


def grasping(fingers: list[float]) -> tuple[np.ndarray, np.ndarray]:
    """An episode whose state counts its steps, with the given commands of the fingers."""
    state = np.arange(len(fingers) + 1, dtype=np.float32)[:, None]
    return state, np.stack([np.zeros(len(fingers)), fingers], 1).astype(np.float32)


def test_the_label_is_the_state_at_the_next_change_of_the_fingers() -> None:
    state, action = grasping([-1, -1, 1, 1, 1, -1, -1])
    assert waypoints(state, action)[:, 0].tolist() == [2, 2, 2, 5, 5, 5, 7]
    assert ways(state, action)[:, 0].tolist() == [2, 1, 0, 2, 1, 0, 1]


def test_fingers_that_never_move_lead_to_the_end() -> None:
    state, action = grasping([0.3] * 4)
    assert waypoints(state, action)[:, 0].tolist() == [4, 4, 4, 4]


@given(st.lists(st.sampled_from([-1.0, 0.2, 0.9]), min_size=1, max_size=12))
def test_waypoints_never_lie_behind(fingers: list[float]) -> None:
    state, action = grasping(fingers)
    told = waypoints(state, action)[:, 0]
    assert (told >= np.arange(len(fingers))).all()
    assert (np.diff(told) >= 0).all()


def test_labels_are_standardised_and_what_rests_is_not_blown_up() -> None:
    scale = WayScale(np.array([[0.0, 5.0], [2.0, 5.0], [np.nan, np.nan]], np.float32))
    np.testing.assert_allclose(scale(np.array([3.0, 5.01], np.float32)), [2.0, 1.0], atol=1e-4)


def still(trace: Trace) -> Trace:
    """The same pictures, with the places of rearranged scenes."""
    return replace(trace, places=np.full((len(trace) + 1, 2), 7.0, np.float32))


def test_scenes_are_seen_but_never_imitated() -> None:
    frames = EpisodeFrames(["front"])
    acted, pictures = (still(moving_square(k, 4, ("front",), size=16)) for k in range(2))
    frames.add([acted])
    frames.add([pictures], acted=False)
    assert len(frames) == 8
    batch = frames.batch(range(8), (), range(2))
    assert batch["action_is_pad"][:3].any(1).tolist() == [False] * 3
    assert batch["action_is_pad"][4:].all()
    assert batch[WAYPOINT].isnan().all(1).tolist() == [False] * 4 + [True] * 4
    torch.testing.assert_close(batch[PLACES], torch.full((8, 2), 7.0))


def test_scale_forgets_nothing_when_episodes_are_added_later() -> None:
    one, other = (moving_square(k, 6, ("front",), size=16) for k in range(2))
    frames, both = EpisodeFrames(["front"]), EpisodeFrames(["front"])
    frames.add([one])
    frames.batch([0], (), (0,))
    frames.add([other])
    both.add([one, other])
    torch.testing.assert_close(frames.batch([3, 8], (), (0,))[WAYPOINT], both.batch([3, 8], (), (0,))[WAYPOINT])
    with pytest.raises(AssertionError):
        torch.testing.assert_close(frames.batch([3], (), (0,))[WAYPOINT], torch.zeros(1, 2))


def test_a_policy_that_learned_places_goes_on_with_data_that_tell_none(
    tmp_path: Path, facts: DataFacts, episodes: list[Trace]
) -> None:
    settings: dict[str, Any] = {"image_size": 16, "hidden_dim": 32, "chunk_size": 4, "n_action_steps": 4}
    settings |= {"places_size": 2, "waypoint_weight": 1.0}
    frames, places = EpisodeFrames(["front", "top"]), EpisodeFrames(["front", "top"])
    frames.add(episodes)
    places.add([still(episode) for episode in episodes])
    first = PolicyRecipe("nano_vla", places_weight=3.0, **settings).build(facts)
    with pytest.raises(UserError, match=r"places_weight needs demonstrations that tell"):
        first.module(first.training_batch(frames.batch([0, 1], (), range(4))))
    assert "places_metres" in first.module(first.training_batch(places.batch([0, 1], (), range(4))))[1]
    first.save(tmp_path)
    on = PolicyRecipe(path=str(tmp_path), heat_weight=1.0).build(facts)
    assert on.policy.pointing is not None
    batch = on.training_batch(frames.batch([0, 1], (), range(4)))
    with pytest.warns(UserWarning, match="tell no places: the loss that policy.places_weight weighs is left out"):
        loss, said = on.module(batch)
    assert torch.isfinite(loss)
    assert "waypoint_deviations" in said
    assert "places_metres" not in said
    assert "places_metres" in on.module(on.training_batch(places.batch([0, 1], (), range(4))))[1]


def test_a_dataset_of_scenes_trains_only_cameras(tmp_path: Path, facts: DataFacts, episodes: list[Trace]) -> None:
    write_dataset([still(episodes[0])], tmp_path / "scenes", images=True)
    write_dataset([episodes[0]], tmp_path / "placeless", images=True)
    settings: dict[str, Any] = {
        "image_size": 16,
        "hidden_dim": 32,
        "chunk_size": 4,
        "n_action_steps": 4,
        "places_size": 2,
    }
    policy = PolicyRecipe("nano_vla", places_weight=1.0, **settings).build(facts)
    frames, unused = (
        EpisodeFrames(["front", "top"], data_of.shrinker(policy)),
        cast(World, SimpleNamespace(name="fixed")),
    )
    StillScenes(str(tmp_path / "scenes")).add(frames, ["front", "top"], policy, unused, 0)
    batch = policy.training_batch(frames.batch(range(4), (), range(4)))
    policy.module.train()
    loss, said = policy.module(batch)
    assert said["flow_loss"] == 0
    loss.backward()
    moved = {name for name, weight in policy.module.named_parameters() if weight.grad is not None and weight.grad.any()}
    assert any(name.startswith("cameras.") for name in moved)
    assert not any(name.startswith("head.") for name in moved)
    with pytest.raises(UserError, match="tells no places"):
        StillScenes(str(tmp_path / "placeless")).add(frames, ["front", "top"], policy, unused, 0)
    with pytest.raises(UserError, match=r"policy\.places_weight"):
        blank = PolicyRecipe("nano_vla").build(facts)
        StillScenes(str(tmp_path / "scenes")).add(frames, ["front", "top"], blank, unused, 0)
    with pytest.raises(UserError, match="cannot rearrange"):
        StillScenes(3).add(frames, ["front", "top"], policy, unused, 0)
