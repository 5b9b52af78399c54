"""learner.acting_updates: actions that see places alone go on learning from the true ones, and nothing else changes."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from robo_reward import cli
from robo_reward.contract_tests import moving_square
from robo_reward.contracts import World
from robo_reward.data.datasets import write_dataset
from robo_reward.data.recording import Recording
from robo_reward.errors import UserError
from robo_reward.policies.vla.acting import acting_batches, check_asked, check_streamed, learn_to_act, number_of
from robo_reward.policies.vla.frames import EpisodeFrames
from robo_reward.policies.vla.lerobot_policy import LeRobotPolicy
from robo_reward.policies.vla.policy_settings import check_told
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
    found = acting_batches(frames, policy, 4, 8, 0, Ranks())
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


def test_what_lies_behind_an_end_counts_not() -> None:
    policy, frames = made([placed(0)])
    raw = frames.batch([10], (), range(4))  # of 12 steps
    assert raw["action_is_pad"].tolist() == [[False, False, True, True]]
    first = policy.module.acting_loss(policy.training_batch(raw))
    raw["action"][0, 2:] += 5
    torch.testing.assert_close(policy.module.acting_loss(policy.training_batch(raw)), first)
    raw["action"][0, :2] += 5
    assert policy.module.acting_loss(policy.training_batch(raw)) > first + 1


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
    assert acting_batches(frames, policy, None, 8, 0, Ranks()) is None


def test_only_what_tells_places_is_learned_from() -> None:
    """Also where the first episode tells none."""
    policy, frames = made([placed(0, told=False), placed(1), placed(2, told=False)])
    scene = moving_square(7, 4, ("front",), size=32)
    frames.add([replace(scene, places=np.zeros((5, 3), np.float32))], acted=False)
    assert frames.placed == list(range(12, 24))
    seen = [raw["observation.places"] for raw in batches_of(policy, frames)(0, 3)]
    assert {len(rows) for rows in seen} == {16}
    assert not any(key.startswith("observation.images") for raw in batches_of(policy, frames)(0, 1) for key in raw)
    assert torch.equal(torch.cat(seen), torch.from_numpy(placed(1).places[0]).expand(48, 3))  # type: ignore[index]


def test_there_is_nothing_to_teach_where_what_acts_is_frozen() -> None:
    policy, frames = made([placed(0)])
    for part in (policy.module.trunk, policy.module.head, policy.module.proprioception):
        part.requires_grad_(False)
    assert acting_batches(frames, policy, None, 8, 0, Ranks()) is None
    with pytest.raises(UserError, match=r"acting_updates=7: nothing that acts is trained"):
        number_of(policy, 7, 100, None)


def test_how_many_updates() -> None:
    policy, frames = made([placed(0)])
    batches = batches_of(policy, frames)
    assert [number_of(policy, asked, 100, batches) for asked in (None, 0, 7)] == [50, 0, 7]
    assert [number_of(policy, asked, 100, None) for asked in (None, 0)] == [0, 0]
    with pytest.raises(UserError, match=r"acting_updates=7: no demonstration tells all places"):
        number_of(policy, 7, 100, None)
    twin, _ = made([placed(0)], blind=True)
    assert number_of(twin, 7, 100, None) == 0, "it shares the settings of the policy that looks"


@pytest.mark.parametrize(
    ("settings", "weighed", "why"),
    [
        ({}, True, r"learner\.rabc weighs frames"),
        ({"bottleneck": False, "wordless": False}, False, r"without policy\.bottleneck=true.*nano_vla_places"),
        ({"waypoint_weight": 1.0}, False, r"policy\.waypoint_weight=1 shows actions waypoints"),
    ],
)
def test_what_settings_alone_tell_is_refused_before_anything_is_played(
    settings: dict[str, Any], weighed: bool, why: str
) -> None:
    recipe = PolicyRecipe("nano_vla", **{**PLACED, **SMALL, **settings})
    with pytest.raises(UserError, match=rf"acting_updates=7: {why}.*null"):
        check_asked(7, recipe.settings(), weighed)
    with pytest.raises(UserError, match="acting_updates=7"):
        SftLearner("data", acting_updates=7, rabc="file" if weighed else None).take_policy(recipe)
    for asked, chosen in ((None, settings), (0, settings), (7, {**settings, "blind": True})):
        check_asked(asked, PolicyRecipe("nano_vla", **{**PLACED, **SMALL, **chosen}).settings(), weighed)


def test_demonstrations_that_would_be_made_in_vain_are_not_made(tmp_path: Path) -> None:
    """The world's state and what is recorded of it are known before."""
    world, told = cast(World, SimpleNamespace(state_size=3, name="table")), Recording(places=True)
    knows = cast(World, SimpleNamespace(state_size=3, name="table", places=lambda: None))
    learner = SftLearner()
    learner.take_policy(PolicyRecipe("nano_vla", **PLACED, **SMALL))
    learner.check_world(world, told)
    with pytest.raises(
        UserError, match=r"policy\.places_weight=3 learns places.*recording\.places=true; policy=nano_vla "
    ):
        learner.check_world(knows, Recording())
    with pytest.raises(UserError, match=r"policy\.places_weight=3 .*: 'table' does not tell them; policy=nano_vla "):
        learner.check_world(world, Recording())
    learner.check_world(world)  # those of a dataset, which are there already
    config = PolicyRecipe("nano_vla", **PLACED, **SMALL).settings()
    check_told(config, knows, Recording(), known=True, acting=None)  # scenes tell places, but not what is done there:
    with pytest.raises(UserError, match=r"learner\.acting_updates=7 .* tell places: set recording\.places=true"):
        check_told(config, knows, Recording(), known=True, acting=7)
    given = SftLearner(data="elsewhere")  # the expert plays for the reward alone
    given.take_policy(PolicyRecipe("nano_vla", **PLACED, **SMALL))
    given.check_world(world, Recording())
    for settings, why in (
        ({"hand": [0, 1, 9]}, r"hand=\[0, 1, 9\] names"),
        ({"unseen_state": [9]}, r"unseen_state=\[9\]"),
    ):
        learner.take_policy(PolicyRecipe("nano_vla", **{**PLACED, **SMALL, "hand": [0, 1, 2], **settings}))
        with pytest.raises(UserError, match=rf"{why}.* of a state of {world.state_size}"):
            learner.check_world(world, told)


def test_where_only_some_demonstrations_tell_places_the_others_are_not_unlearned() -> None:
    policy, frames = made([placed(0, told=False), placed(1)])
    with pytest.warns(UserWarning, match=r"12 of 24 samples tell all places: no updates"):
        assert acting_batches(frames, policy, None, 8, 0, Ranks()) is None
    assert acting_batches(frames, policy, 3, 8, 0, Ranks()) is not None


def test_a_streamed_dataset_says_that_there_are_none() -> None:
    policy, _ = made([placed(0)])
    ways = r"raise learner\.cache_gb=0\.5, or set learner\.acting_updates=0"
    with pytest.raises(UserError, match=rf"acting_updates=7 beside a streamed dataset: {ways}"):
        check_streamed(policy, 7, 0.5)
    ways = r"raise the learner's cache_gb=0\.5, or set its acting_updates=0"  # sft's or sft_grpo's
    with pytest.warns(UserWarning, match=rf"actions learn beside the eyes only, .*: {ways}"):
        check_streamed(policy, None, 0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_streamed(policy, 0, 0.5)
        for asked in (None, 7):  # refused elsewhere, for the real reason
            check_streamed(made([placed(0)], bottleneck=False, wordless=False)[0], asked, 0.5)


@pytest.mark.parametrize("number", [0.5, -1, True, "half"])
def test_what_is_no_number_of_updates_is_refused(number: Any) -> None:
    with pytest.raises(UserError, match=rf"learner\.acting_updates={number} must be 0 or more, and whole, as 10"):
        SftLearner(acting_updates=number)


def test_a_hand_that_is_nowhere_near_is_refused() -> None:
    policy, frames = made([replace(placed(0), state=np.full((13, 3), 40.0, np.float32))], hand=[0, 1, 2])
    untold = policy.training_batch(frames.batch([0], (), range(4)))
    untold["observation.places"][:] = torch.nan
    policy.module(untold)  # says nothing, neither now nor later
    way = r"policy\.hand names numbers of the state that are 40 m from the places.*hand=\[\] policy\.unseen_state=\[\]"
    with pytest.raises(UserError, match=way):
        policy.module(policy.training_batch(frames.batch([0], (), range(4))))


@pytest.mark.parametrize("learner", ["sft", "sft_grpo"])
def test_the_command_refuses_before_it_plays(
    learner: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("robo_reward.data.demonstrations.collect_demonstrations", None)
    words = ["env=so101", f"learner={learner}", "policy=nano_vla_places", "demos=1", f"run_dir={tmp_path / 'run'}"]
    assert cli.run(["train", *words]) == 2
    assert "policy.places_weight=3 learns places from demonstrations" in capsys.readouterr().err


def test_the_command_logs_it_and_goes_on_in_the_middle_of_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
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
    words += ["learner=sft", "policy=nano_vla_places", "policy.hand=[1,2,3]", "learner.batch=4"]
    words += ["+policy.channels=8", "+policy.places_size=3", "policy.image_size=16", "evaluation_seeds=[1]"]
    words += ["video=false", "report=false", f"data={tmp_path / 'data'}", "learner.updates=5"]
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert cli.run(["train", *words, f"run_dir={whole}"]) == 0
    assert "2 updates of the actions by true places: loss" in capsys.readouterr().out
    last = json.loads((whole / "metrics.jsonl").read_text().splitlines()[-1])
    assert last["sft/acting_loss"] > 0

    def stopped(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("robo_reward.policies.vla.sft.learn_to_act", stopped)
        assert cli.run(["train", *words, f"run_dir={broken}"]) == 130
    assert "resume=true" in capsys.readouterr().err
    monkeypatch.setattr(SftLearner, "_loss", None)  # imitation is not done again
    assert cli.run(["train", *words, f"run_dir={broken}", "resume=true"]) == 0
    weights = [load_file(run / "policy" / "pretrained_model" / "model.safetensors") for run in (whole, broken)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
