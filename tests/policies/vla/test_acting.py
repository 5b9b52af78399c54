"""learner.acting_updates: actions that see places alone go on learning from the true ones, and nothing else changes."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from robo_reward import cli
from robo_reward.contract_tests import moving_square
from robo_reward.data.datasets import write_dataset
from robo_reward.errors import UserError
from robo_reward.policies.vla.acting import acting_batches, check_streamed, learn_to_act, number_of
from robo_reward.policies.vla.frames import EpisodeFrames
from robo_reward.policies.vla.lerobot_policy import LeRobotPolicy
from robo_reward.policies.vla.recipe import PolicyRecipe
from robo_reward.policies.vla.sft import SftLearner
from robo_reward.policies.vla.training_data import Batches, facts_of_traces
from robo_reward.ranks import Ranks
from robo_reward.trace import Trace

SMALL: dict[str, Any] = {"channels": 8, "hidden_dim": 32, "image_size": 16, "chunk_size": 4, "n_action_steps": 4}
PLACED: dict[str, Any] = {"places_weight": 3.0, "places_size": 3, "bottleneck": True, "wordless": True}


def placed(seed: int, told: bool = True) -> Trace:
    """An episode whose actions are the first number of its place."""
    trace = moving_square(seed, 12, ("front",), size=32)
    place = np.random.default_rng(seed).uniform(-0.1, 0.1, 3).astype(np.float32)
    action = np.full_like(trace.action, 5 * place[0])
    return replace(trace, action=action, places=np.tile(place, (13, 1)) if told else None)


def made(traces: list[Trace], **settings: Any) -> tuple[LeRobotPolicy, EpisodeFrames]:
    torch.manual_seed(0)
    policy = PolicyRecipe("nano_vla", **{"head": "regression", **PLACED, **SMALL, **settings}).build(
        facts_of_traces(traces, tuple)
    )
    frames = EpisodeFrames(["front"])
    frames.add(traces)
    return policy, frames


def batches_of(policy: LeRobotPolicy, frames: EpisodeFrames) -> Batches:
    found = acting_batches(frames, policy, 8, 0, Ranks())
    assert found is not None
    return found


def taught(updates: int, **settings: Any) -> tuple[LeRobotPolicy, EpisodeFrames, dict[str, torch.Tensor]]:
    policy, frames = made([placed(k) for k in range(12)], **settings)
    before = {name: weight.clone() for name, weight in policy.module.state_dict().items()}
    learn_to_act(policy, batches_of(policy, frames), updates, 3e-3, 0.9, 0, Ranks())
    return policy, frames, before


def test_it_teaches_actions_and_nothing_that_lies_before_places() -> None:
    policy, _, before = taught(5)
    changed = {n.split(".")[0] for n, w in policy.module.state_dict().items() if not torch.equal(w, before[n])}
    assert changed == {"trunk", "head", "proprioception"}


def test_actions_of_unseen_places_are_learned() -> None:
    policy, _, _ = taught(400)
    fresh = [placed(k) for k in range(50, 60)]
    frames = EpisodeFrames(["front"])
    frames.add(fresh)
    raw = frames.batch([12 * k for k in range(10)], (), range(4))
    off = {}
    for name, told in (("true", raw), ("none", {**raw, "observation.places": torch.zeros(10, 3)})):
        off[name] = float(policy.module.acting_loss(policy.training_batch(told)).detach())
    assert off["true"] < 0.3 * off["none"]


def test_pictures_do_not_matter_and_the_same_seed_gives_the_same_weights() -> None:
    first, _, _ = taught(3)
    again, dark = made([placed(k) for k in range(12)])
    for view in dark._parts:
        dark._parts[view] = [torch.zeros_like(part) for part in dark._parts[view]]
    learn_to_act(again, batches_of(again, dark), 3, 3e-3, 0.9, 0, Ranks())
    for name, weight in first.module.state_dict().items():
        assert torch.equal(again.module.state_dict()[name], weight), name


def test_rows_without_a_place_and_what_lies_behind_an_end_count_not() -> None:
    policy, frames = made([placed(k) for k in range(2)])
    batch = policy.training_batch(frames.batch([0, 12], (), range(4)))
    alone = policy.module.acting_loss(policy.training_batch(frames.batch([0], (), range(4))))
    batch["observation.places"][1, 2] = torch.nan
    torch.testing.assert_close(policy.module.acting_loss(batch), alone)
    batch["action_is_pad"][:] = True
    nothing = policy.module.acting_loss(batch)
    assert nothing.item() == 0
    nothing.backward()  # an update that teaches nothing, and no traceback


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"bottleneck": False, "wordless": False}, True),
        ({"waypoint_weight": 1.0}, True),  # behind it waypoints reach actions too, which have no true value later
        ({}, False),
        ({"blind": True}, True),
    ],
)
def test_policies_and_data_that_cannot_have_none(settings: dict[str, Any], told: bool) -> None:
    policy, frames = made([placed(0, told)], **settings)
    assert acting_batches(frames, policy, 8, 0, Ranks()) is None


def test_only_what_tells_places_is_learned_from() -> None:
    """Also where the first episode tells none."""
    policy, frames = made([placed(0, told=False), placed(1), placed(2, told=False)])
    scene = moving_square(7, 4, ("front",), size=32)
    frames.add([replace(scene, places=np.zeros((5, 3), np.float32))], acted=False)
    assert frames.placed == list(range(12, 24))
    seen = [raw["observation.places"] for raw in batches_of(policy, frames)(0, 3)]
    assert {len(rows) for rows in seen} == {16}
    assert torch.equal(torch.cat(seen), torch.from_numpy(placed(1).places[0]).expand(48, 3))  # type: ignore[index]


def test_there_is_nothing_to_teach_where_what_acts_is_frozen() -> None:
    policy, frames = made([placed(0)])
    for part in (policy.module.trunk, policy.module.head, policy.module.proprioception):
        part.requires_grad_(False)
    assert acting_batches(frames, policy, 8, 0, Ranks()) is None


def test_how_many_updates() -> None:
    policy, frames = made([placed(0)])
    batches = batches_of(policy, frames)
    assert [number_of(policy, asked, 100, batches, False) for asked in (None, 0, 7)] == [50, 0, 7]
    assert [number_of(policy, asked, 100, None, False) for asked in (None, 0)] == [0, 0]
    assert number_of(policy, None, 100, batches, True) == 0
    with pytest.raises(UserError, match=r"acting_updates=7: the policy does not act on places alone.*nano_vla_places"):
        number_of(policy, 7, 100, None, False)
    with pytest.raises(UserError, match=r"acting_updates=7: learner\.rabc weighs frames"):
        number_of(policy, 7, 100, batches, True)
    twin, _ = made([placed(0)], blind=True)
    assert number_of(twin, 7, 100, None, False) == 0, "it shares the settings of the policy that looks"


def test_a_streamed_dataset_says_that_there_are_none() -> None:
    policy, _ = made([placed(0)])
    with pytest.raises(UserError, match=r"acting_updates beside a streamed dataset: raise learner\.cache_gb=0\.5"):
        check_streamed(policy, 7, 0.5)
    with pytest.warns(UserWarning, match=r"actions learn beside the eyes only"):
        check_streamed(policy, None, 0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_streamed(policy, 0, 0.5)
        check_streamed(made([placed(0)], bottleneck=False, wordless=False)[0], None, 0.5)


@pytest.mark.parametrize("number", [0.5, -1, True, "half"])
def test_what_is_no_number_of_updates_is_refused(number: Any) -> None:
    with pytest.raises(UserError, match=rf"learner\.acting_updates={number} must be 0 or more, and whole"):
        SftLearner(acting_updates=number)


def test_a_hand_that_is_nowhere_near_is_refused() -> None:
    policy, frames = made([replace(placed(0), state=np.full((13, 3), 40.0, np.float32))], hand=[0, 1, 2])
    with pytest.raises(UserError, match=r"policy\.hand names numbers of the state that are 40 m from the places"):
        policy.module(policy.training_batch(frames.batch([0], (), range(4))))


def test_the_command_logs_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    episode = Trace(
        task="swing",
        state=rng.normal(size=(13, 4)).astype(np.float32),
        action=rng.uniform(-1, 1, (12, 1)).astype(np.float32),
        frames={"free": rng.integers(0, 255, (13, 16, 16, 3)).astype(np.uint8)},
        frame_steps=np.arange(13),
        fps=20.0,
        source="demonstration",
        places=np.ones((13, 3), np.float32),
    )
    write_dataset([episode], tmp_path / "data", images=True)
    words = ["env=gym", "env.id=InvertedPendulum-v5", "env.height=16", "env.width=16", "env.horizon=5", "episodes=1"]
    words += ["learner=sft", "policy=nano_vla_places", "policy.hand=[]", "policy.unseen_state=[1]", "learner.batch=4"]
    words += ["+policy.channels=8", "+policy.places_size=3", "policy.image_size=16", "evaluation_seeds=[1]"]
    words += ["video=false", "report=false", f"data={tmp_path / 'data'}", f"run_dir={tmp_path / 'run'}"]
    assert cli.run(["train", *words, "learner.updates=5"]) == 0
    assert "2 updates of the actions by true places: loss" in capsys.readouterr().out
    last = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[-1])
    assert last["sft/acting_loss"] > 0
