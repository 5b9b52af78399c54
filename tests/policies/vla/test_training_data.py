"""What supervised training reads: chunks, paddings, orders, statistics; in memory, and streamed by LeRobot."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from robo_reward.contract_tests import moving_square
from robo_reward.data.datasets import write_dataset
from robo_reward.errors import UserError
from robo_reward.policies.vla import training_data as data_of
from robo_reward.policies.vla.features import DataFacts
from robo_reward.policies.vla.frames import EpisodeFrames
from robo_reward.policies.vla.normalisation import stats_of_traces
from robo_reward.policies.vla.optimisation import AveragedWeights
from robo_reward.policies.vla.recipe import PolicyRecipe
from robo_reward.trace import Trace


def counted(seed: int, steps: int = 5) -> Trace:
    """An episode whose actions and pictures tell its step: action k at step k, brightness 10 k + seed."""
    trace = moving_square(seed, steps, ("front",), size=16)
    shown = np.stack([np.full((16, 16, 3), 10 * k + seed, np.uint8) for k in range(steps + 1)])
    return replace(trace, action=np.arange(steps, dtype=np.float32)[:, None], frames={"front": shown})


def test_chunks_repeat_the_last_action_behind_the_end_and_say_so() -> None:
    frames = EpisodeFrames(["front"])
    frames.add([counted(0), counted(1)], [100, 200])
    assert len(frames) == 10
    batch = frames.batch([3, 5], (), range(4))
    assert batch["action"][..., 0].tolist() == [[3, 4, 4, 4], [0, 1, 2, 3]]
    assert batch["action_is_pad"].tolist() == [[False, False, True, True], [False] * 4]
    assert batch["index"].tolist() == [103, 200]
    assert batch["observation.images.front"][:, 0, 0, 0].tolist() == [30, 1]
    assert batch["observation.images.front"].shape == (2, 3, 16, 16)


def test_earlier_moments_stay_inside_the_episode() -> None:
    frames = EpisodeFrames(["front"])
    frames.add([counted(0), counted(1)])
    batch = frames.batch([2, 5], (-1, 0), (-1, 0, 1))
    assert batch["observation.images.front"][:, :, 0, 0, 0].tolist() == [[10, 20], [1, 1]]
    assert batch["observation.state"].shape == (2, 2, 2)
    assert batch["action"][..., 0].tolist() == [[1, 2, 3], [0, 0, 1]]
    assert batch["action_is_pad"].tolist() == [[False] * 3, [True, False, False]]


def test_moments_are_refused_where_pictures_lie_apart() -> None:
    """Pictures would go back by four steps where states, and acting, go back by one."""
    frames = EpisodeFrames(["front"])
    frames.add([counted(0, 9), counted(1, 9).every(4)])
    with pytest.raises(UserError, match=r"looks at 2 consecutive steps, .* up to 4 steps apart.*recording\.every=1"):
        frames.batch([0], (-1, 0), (0,))
    assert len(frames.batch([0], (), (0,))["action"]) == 1
    assert len(frames.batch([0], (0,), (0,))["action"]) == 1
    unseen = EpisodeFrames([])
    unseen.add([counted(1, 9).every(4)])
    assert len(unseen.batch([0], (-1, 0), (0,))["action"]) == 1


def test_steps_without_a_picture_are_no_samples() -> None:
    frames = EpisodeFrames(["front"])
    frames.add([counted(0).every(2)])
    assert frames.batch(range(len(frames)), (), (0,))["action"].flatten().tolist() == [0, 2, 4]


@given(st.integers(1, 30), st.integers(1, 9), st.integers(0, 12), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_every_epoch_shows_each_sample_once_and_goes_on_where_it_stopped(
    count: int, batch: int, first: int, seed: int
) -> None:
    whole = list(data_of.order(count, batch, seed, 0, 20))
    assert list(data_of.order(count, batch, seed, first, 20)) == whole[first:]
    flat = [k for chosen in whole for k in chosen]
    epochs = [flat[at : at + count] for at in range(0, len(flat) - count + 1, count)]
    assert all(sorted(epoch) == list(range(count)) for epoch in epochs)


def test_no_samples_are_refused() -> None:
    with pytest.raises(UserError, match="not one step"):
        list(data_of.order(0, 4, 0, 0, 1))


def test_statistics_are_lerobots() -> None:
    stats = stats_of_traces([counted(0), counted(0)], ["front"])
    assert stats["action"]["mean"].tolist() == [2.0]
    np.testing.assert_allclose(stats["action"]["std"], [np.sqrt(2.0)], rtol=1e-6)
    assert (stats["action"]["min"].item(), stats["action"]["max"].item()) == (0.0, 4.0)
    assert stats["observation.images.front"]["mean"].shape == (3, 1, 1)
    np.testing.assert_allclose(stats["observation.images.front"]["mean"].flatten(), [25 / 255] * 3, rtol=1e-5)


def test_memory_and_lerobots_loader_give_the_same_batches(recipes: dict[str, PolicyRecipe], tmp_path: Path) -> None:
    episodes = [moving_square(k, 6, ("front",), size=32) for k in range(2)]
    write_dataset(episodes, tmp_path / "data", images=True)
    path = str(tmp_path / "data")
    facts = data_of.facts_of_dataset(path, tuple)
    assert (dict(facts.views), facts.states, facts.actions) == ({"front": (32, 32)}, 2, 1)
    policy = recipes["act"].build(facts)
    assert data_of.decoded_gigabytes(path, ["front"], policy, None) == 12 * 32 * 32 * 3 / 1e9
    frames = data_of.frames_of_dataset(path, ["front"], policy, None)
    assert len(frames) == 10, "the last frame of an episode leads to no state that was recorded"
    inside = {int(k): row for row, k in enumerate(frames.batch(range(10), (), range(4))["index"])}
    held = frames.batch(range(10), (), range(4))
    seen = 0
    for raw in data_of.streamed_batches(path, policy, 4, 0, 0)(0, 3):
        for row, index in enumerate(raw["index"].tolist()):
            if index not in inside:
                continue
            seen += 1
            own = inside[index]
            shown = held["observation.images.front"][own].float() / 255
            torch.testing.assert_close(raw["observation.images.front"][row], shown)
            torch.testing.assert_close(raw["observation.state"][row], held["observation.state"][own])
            kept = ~raw["action_is_pad"][row] & ~held["action_is_pad"][own]
            torch.testing.assert_close(raw["action"][row][kept], held["action"][own][kept])
            assert raw["task"][row] == held["task"][own]
    assert seen >= 8


def test_streamed_samples_tell_places_and_points_too(tmp_path: Path) -> None:
    episodes = []
    for number in range(2):
        trace, told = moving_square(number, 6, ("front", "top"), size=32), np.random.default_rng(number)
        points = {view: told.random((7, 2, 2), np.float32) for view in ("front", "top")}
        episodes.append(replace(trace, places=told.random((7, 6), np.float32), points=points))
    write_dataset(episodes, tmp_path / "data", images=True)
    path, small = str(tmp_path / "data"), {"channels": 8, "hidden_dim": 32, "chunk_size": 2, "n_action_steps": 2}
    recipe = PolicyRecipe("nano_vla", image_size=16, places_weight=3.0, heat_weight=1.0, **small)  # type: ignore[arg-type]
    policy = recipe.build(data_of.facts_of_dataset(path, recipe.views_of))
    held = data_of.frames_of_dataset(path, ["front", "top"], policy, None).batch(range(10), (), range(2))
    inside = {int(index): row for row, index in enumerate(held["index"])}
    keys = ["observation.places", "observation.points.front", "observation.points.top"]
    seen = 0
    for raw in data_of.streamed_batches(path, policy, 4, 0, 0)(0, 2):
        rows = [(row, inside[k]) for row, k in enumerate(raw["index"].tolist()) if k in inside]
        for key in keys:
            torch.testing.assert_close(raw[key][[row for row, _ in rows]], held[key][[own for _, own in rows]])
        said = policy.module(policy.training_batch(raw))[1]
        assert {"places_metres", "heat_nats"} <= set(said)
        seen += len(rows)
    assert seen >= 4


def test_held_pictures_are_no_samples_but_chunks_are_whole(tmp_path: Path) -> None:
    """Six episodes of two tasks, pictures at every second step: two of each task are read, places with them."""
    episodes = []
    for number in range(6):
        trace = replace(counted(number, 7).every(2), task=("push", "pull")[number % 2])
        trace = replace(trace, places=np.arange(8, dtype=np.float32)[:, None])
        # the last step's picture is one that every(2) keeps beside those that were due
        kept = trace.frame_steps % 2 == 0
        shown = {view: frames[kept] for view, frames in trace.frames.items()}
        episodes.append(replace(trace, frames=shown, frame_steps=trace.frame_steps[kept]))
    write_dataset(episodes, tmp_path / "held", images=True, hold=True)
    path = str(tmp_path / "held")
    facts = data_of.facts_of_dataset(path, tuple)
    policy = PolicyRecipe("nano_vla", image_size=16, hidden_dim=32, chunk_size=3, n_action_steps=3).build(facts)
    frames = data_of.frames_of_dataset(path, ["front"], policy, 2)
    batch = frames.batch(range(len(frames)), (), range(3))
    assert batch["task"] == ["push"] * 3 + ["pull"] * 3 + ["push"] * 3 + ["pull"] * 3
    assert batch["action"][:3, :, 0].tolist() == [[0, 1, 2], [2, 3, 4], [4, 5, 5]]
    assert batch["action_is_pad"][:3].sum().item() == 1
    assert batch["observation.places"][:3, 0].tolist() == [0, 2, 4]
    assert batch["index"][:6].tolist() == [0, 2, 4, 7, 9, 11]
    assert data_of.decoded_gigabytes(path, ["front"], policy, 2) == pytest.approx(28 * 16 * 16 * 3 / 1e9)
    with pytest.raises(UserError, match=r"raise learner\.cache_gb"):
        data_of.streamed_batches(path, policy, 4, 0, 0)


def asked(trace: Trace, words: str, places: float) -> Trace:
    """The same pictures under an instruction, with the places and points that it asks for."""
    count = len(trace) + 1
    points = {"front": np.full((count, 1, 2), places / 10, np.float32)}
    return replace(trace, task=words, places=np.full((count, 3), places, np.float32), points=points)


def test_a_still_picture_is_kept_once_and_asked_under_every_instruction() -> None:
    frames = EpisodeFrames(["front"])
    still = counted(7).every(2)
    frames.add([asked(counted(0), "move", 1.0)])
    frames.add([asked(still, "left", 2.0), asked(still, "right", 3.0), asked(counted(9), "other", 4.0)], acted=False)
    assert len(frames) == 5 + 3 + 5
    batch = frames.batch([0, 5, 6, 8], (), range(2))
    assert batch["task"] == ["move", "left", "left", "other", "right", "right"]
    assert batch["observation.shown"].tolist() == [0, 1, 2, 3, 1, 2]
    assert batch["observation.images.front"][:, 0, 0, 0].tolist() == [0, 7, 27, 9]
    assert batch["action_is_pad"].any(1).tolist() == [False] + [True] * 5
    assert batch["observation.places"][:, 0].tolist() == [1, 2, 2, 4, 3, 3]
    torch.testing.assert_close(batch["observation.points.front"][:, 0, 1], batch["observation.places"][:, 0] / 10)
    assert len(batch["observation.state"]) == len(batch["action"]) == len(batch["index"]) == 6
    assert batch["observation.waypoint"][1:].isnan().all()
    assert "observation.shown" not in frames.batch([0, 1, 8], (), range(2))


def test_a_scene_that_the_end_repeats_is_one_scene_under_every_instruction() -> None:
    """Datasets repeat the last picture, since an episode has one more state than actions."""
    one = counted(7, steps=1)
    twice = replace(one, state=one.state[[0, 0]], frames={view: shown[[0, 0]] for view, shown in one.frames.items()})
    frames = EpisodeFrames(["front"])
    frames.add([asked(twice, "left", 2.0), asked(twice, "right", 3.0)], acted=False)
    assert len(frames) == 1
    assert frames.batch([0], (), range(2))["task"] == ["left", "right"]


def test_places_are_learned_from_the_episodes_that_tell_them() -> None:
    frames = EpisodeFrames(["front"])
    frames.add([counted(0)])
    frames.add([asked(counted(7).every(2), "left", 2.0)], acted=False)
    places = frames.batch([0, 5], (), range(2))["observation.places"]
    assert places.isnan().all(1).tolist() == [True, False]


def test_episodes_without_points_beside_some_with_them() -> None:
    frames = EpisodeFrames(["front"])
    frames.add([counted(0), asked(counted(1), "move", 2.0)])
    points = frames.batch([0, 5], (), range(2))["observation.points.front"]
    assert points[0].isnan().all()
    torch.testing.assert_close(points[1], torch.full((1, 2), 0.2))
    alone = EpisodeFrames(["front"])
    alone.add([counted(0)])
    assert "observation.points.front" not in alone.batch([0], (), range(2))


def test_points_go_with_the_policys_own_name_of_the_camera() -> None:
    frames = EpisodeFrames(["front"])
    frames.add([asked(counted(0), "move", 2.0)])
    facts = data_of.facts_of_traces([counted(0)], tuple)
    small: dict[str, Any] = {"image_size": 16, "hidden_dim": 32, "chunk_size": 2, "n_action_steps": 2}
    policy = PolicyRecipe("nano_vla", rename={"front": "eye"}, heat_weight=1.0, **small).build(facts)
    batch = policy.training_batch(frames.batch([0, 1], (), range(2)))
    assert batch["observation.points.eye"].shape == (2, 1, 2)
    assert policy.policy(batch)[1]["heat_nats"] > 0


def test_the_cache_keeps_pictures_as_small_as_the_policy_reads_them(facts: DataFacts, episodes: list[Trace]) -> None:
    policy = PolicyRecipe("nano_vla", image_size=16, hidden_dim=32, chunk_size=3, n_action_steps=3).build(facts)
    frames = EpisodeFrames(["front", "top"], data_of.shrinker(policy))
    frames.add(episodes)
    raw = frames.batch([0], (), range(3))
    assert raw["observation.images.top"].shape == (1, 3, 16, 16)
    large = EpisodeFrames(["front", "top"])
    large.add(episodes)
    policy.policy.eval()
    noise = torch.zeros(1, 3, 1)
    both = [policy.training_batch(part.batch([0], (), range(3))) for part in (frames, large)]
    one, other = (policy.policy.predict_action_chunk(batch, noise) for batch in both)
    torch.testing.assert_close(one, other)


def test_which_moments_are_seen_and_decided() -> None:
    once: Any = SimpleNamespace(type="act", n_obs_steps=1, observation_delta_indices=None, action_delta_indices=[0, 1])
    assert data_of.deltas(once) == ([], [0, 1])
    one: Any = SimpleNamespace(type="smolvla", n_obs_steps=1, observation_delta_indices=[0], action_delta_indices=[0])
    assert data_of.deltas(one) == ([], [0])
    two: Any = SimpleNamespace(
        type="diffusion", n_obs_steps=2, observation_delta_indices=[-1, 0], action_delta_indices=[-1, 0]
    )
    assert data_of.deltas(two) == ([-1, 0], [-1, 0])


def test_averaged_weights_by_hand() -> None:
    module = torch.nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        module.weight.fill_(0.0)
    average = AveragedWeights(module, 0.995)
    with torch.no_grad():
        module.weight.fill_(1.0)
    average.update()  # keeps 2/11 of 0, takes 9/11 of 1
    with average.applied():
        assert abs(module.weight.item() - 9 / 11) < 1e-6
    assert module.weight.item() == 1.0
    again = AveragedWeights(module, 0.995)
    again.load(average.state())
    again.apply()
    assert abs(module.weight.item() - 9 / 11) < 1e-6
