"""LeRobot policies behind our contract: when they look, what they remember, how they are saved, what they refuse."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from robo_reward.build import load_policy
from robo_reward.contracts import Observation
from robo_reward.errors import UserError
from robo_reward.policies.vla.features import DataFacts
from robo_reward.policies.vla.lerobot_policy import LeRobotPolicy
from robo_reward.policies.vla.recipe import PolicyRecipe
from robo_reward.trace import Trace
from robo_reward.views import LazyViews

TYPES = ("nano_vla", "act", "diffusion", "smolvla")
LOOKS = {"nano_vla": [0, 2, 4], "act": [0, 2, 4], "diffusion": [0, 2, 3, 5], "smolvla": [0, 3]}
"""Steps of the first six at which pictures are read: when a chunk of 2 or 3 is due, and for diffusion one before."""


def observe(episodes: Sequence[Trace], step: int, read: list[str] | None = None) -> Observation:
    """What a world per episode shows at a step; the views that are looked at go to ``read``."""

    def render(view: str) -> Any:
        if read is not None:
            read.append(view)
        return np.stack([trace.frames[view][step] for trace in episodes])

    state = np.stack([trace.state[step] for trace in episodes])
    return Observation(LazyViews(("front", "top"), render, lambda: True), state, ("go right",) * len(episodes))


def built(recipes: dict[str, PolicyRecipe], kind: str, facts: DataFacts) -> LeRobotPolicy:
    return recipes[kind].build(facts, np.full(1, -0.5, np.float32), np.full(1, 0.5, np.float32))


def acted(policy: LeRobotPolicy, episodes: Sequence[Trace], steps: int = 6) -> Any:
    policy.reset(np.ones(len(episodes), bool))
    return np.concatenate([policy.act(observe(episodes, step)) for step in range(steps)], 1)


@pytest.mark.parametrize("kind", TYPES)
def test_pictures_are_read_only_when_a_chunk_is_due(
    kind: str, recipes: dict[str, PolicyRecipe], facts: DataFacts, episodes: list[Trace]
) -> None:
    policy = built(recipes, kind, facts)
    looked = []
    for step in range(6):
        read: list[str] = []
        action = policy.act(observe(episodes, step, read))
        assert action.shape == (3, 1, 1)
        assert action.dtype == np.float32
        assert (np.abs(action) <= 0.5).all()
        assert sorted(read) in ([], ["front", "top"])
        looked += [step] if read else []
    assert looked == LOOKS[kind]


@pytest.mark.parametrize("kind", TYPES)
def test_a_saved_policy_acts_alike_and_is_lerobots_checkpoint(
    kind: str, recipes: dict[str, PolicyRecipe], facts: DataFacts, episodes: list[Trace], tmp_path: Path
) -> None:
    policy = built(recipes, kind, facts)
    policy.save(tmp_path)
    again = load_policy(tmp_path)
    assert isinstance(again, LeRobotPolicy)
    np.testing.assert_allclose(acted(again, episodes), acted(policy, episodes), atol=1e-6)
    held = {path.suffix for path in (tmp_path / "pretrained_model").iterdir() if path.is_file()}
    assert held == {".json", ".safetensors"}
    assert json.loads((tmp_path / "pretrained_model/config.json").read_text())["type"] == kind


def test_a_model_that_is_nowhere_is_told(facts: DataFacts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match=r"policy=smolvla with policy\.vlm_model_name=nobody/nothing: .*cached files"):
        PolicyRecipe("smolvla", vlm_model_name="nobody/nothing").build(facts)


def test_smolvla_brings_its_language_model_along(
    recipes: dict[str, PolicyRecipe], facts: DataFacts, episodes: list[Trace], tmp_path: Path
) -> None:
    policy = built(recipes, "smolvla", facts)
    policy.save(tmp_path / "here")
    (tmp_path / "here").rename(tmp_path / "there")
    again = load_policy(tmp_path / "there")
    assert isinstance(again, LeRobotPolicy)
    assert again.config.vlm_model_name == str(tmp_path / "there/pretrained_model/vlm")
    assert (acted(again, episodes) == acted(policy, episodes)).all()


def test_one_worlds_new_episode_leaves_the_others_chunks_alone(
    recipes: dict[str, PolicyRecipe], facts: DataFacts, episodes: list[Trace]
) -> None:
    policy = built(recipes, "nano_vla", facts)
    policy.act(observe(episodes, 0))
    kept = [list(queue) for queue in policy._queues]
    policy.reset(np.array([False, True, False]))
    assert [len(queue) for queue in policy._queues] == [1, 0, 1]
    action = policy.act(observe(episodes, 5))
    np.testing.assert_array_equal(action[[0, 2], 0], np.stack([kept[0][0], kept[2][0]]))
    assert [len(queue) for queue in policy._queues] == [0, 1, 0]


def test_the_same_states_give_the_same_actions_whatever_ran_before(
    recipes: dict[str, PolicyRecipe], facts: DataFacts, episodes: list[Trace]
) -> None:
    policy = built(recipes, "nano_vla", facts)
    first = acted(policy, episodes)
    torch.randn(5)
    drawn = torch.random.get_rng_state()
    assert (acted(policy, episodes) == first).all()
    assert torch.equal(torch.random.get_rng_state(), drawn), "and nobody else's randomness is used up"


def test_the_blind_twin_renders_nothing(facts: DataFacts, episodes: list[Trace]) -> None:
    policy = PolicyRecipe("nano_vla", blind=True, hidden_dim=32).build(facts)
    read: list[str] = []
    policy.act(observe(episodes, 0, read))
    assert read == []
    assert PolicyRecipe("nano_vla", blind=True).views_of(("front", "top")) == ()


# --- names and sizes --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def saved(recipes: dict[str, PolicyRecipe], facts: DataFacts, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    built(recipes, "nano_vla", facts).save(folder)
    return folder


def test_other_cameras_are_refused_with_the_mapping_that_works(
    saved: Path, facts: DataFacts, episodes: list[Trace]
) -> None:
    other = replace(facts, views={"side": (32, 32), "wrist": (32, 32)}, stats=None)
    with pytest.raises(UserError, match=r"front, top; here are side, wrist.*policy.rename=\{side: front,wrist: top\}"):
        PolicyRecipe(path=str(saved)).build(other)
    recipe = PolicyRecipe(path=str(saved), rename={"side": "front", "wrist": "top"})
    assert recipe.views_of(("side", "wrist", "extra")) == ("side", "wrist")
    policy = recipe.build(other)
    renamed = [
        replace(trace, frames={"side": trace.frames["front"], "wrist": trace.frames["top"]}) for trace in episodes
    ]
    views = {view: np.stack([trace.frames[view][0] for trace in renamed]) for view in ("side", "wrist")}
    state = np.stack([trace.state[0] for trace in renamed])
    chunk = policy.act(Observation(views, state, ("go right",) * 3))
    straight = PolicyRecipe(path=str(saved)).build(replace(facts, stats=None))
    np.testing.assert_array_equal(chunk, straight.act(observe(episodes, 0)))
    with pytest.raises(UserError, match="nothing can stand for top"):
        PolicyRecipe(path=str(saved)).build(replace(facts, views={"front": (32, 32)}))


@pytest.mark.parametrize(
    ("changes", "told"),
    [({"states": 5}, "states of size 2, .* have 5"), ({"actions": 7}, "actions of size 1, .* have 7")],
)
def test_other_sizes_are_refused_with_both_values(
    saved: Path, facts: DataFacts, changes: dict[str, int], told: str
) -> None:
    with pytest.raises(UserError, match=told):
        PolicyRecipe(path=str(saved)).build(replace(facts, stats=None, **changes))


def test_a_base_checkpoint_that_pads_takes_the_sizes_of_another_robots_data(
    recipes: dict[str, PolicyRecipe], facts: DataFacts, episodes: list[Trace], tmp_path: Path
) -> None:
    base = built(recipes, "smolvla", facts)
    base.save(tmp_path / "base")
    assert facts.stats is not None
    wide = {key: {k: np.resize(v, 3) for k, v in stats.items()} for key, stats in facts.stats.items()}
    other = replace(facts, states=3, actions=3, stats=wide)
    with pytest.raises(UserError, match=r"policy\.sizes=data"):
        PolicyRecipe(path=str(tmp_path / "base")).build(other)
    policy = PolicyRecipe(path=str(tmp_path / "base"), sizes="data").build(other)
    assert policy.config.action_feature.shape == (3,)
    weights = dict(base.module.named_parameters())
    assert all(torch.equal(value, weights[name]) for name, value in policy.module.named_parameters())
    seen = replace(observe(episodes, 0), state=np.zeros((3, 3), np.float32))
    assert policy.act(seen).shape == (3, 1, 3)
    policy.save(tmp_path / "trained")
    again = load_policy(tmp_path / "trained")
    assert isinstance(again, LeRobotPolicy)
    assert again.config.robot_state_feature.shape == (3,)


def test_sizes_are_taken_from_data_and_within_what_is_padded(
    recipes: dict[str, PolicyRecipe], facts: DataFacts, tmp_path: Path
) -> None:
    for kind in ("smolvla", "act"):
        built(recipes, kind, facts).save(tmp_path / kind)
    with pytest.raises(UserError, match="pads actions to 4, the data have 7"):
        PolicyRecipe(path=str(tmp_path / "smolvla"), sizes="data").build(replace(facts, actions=7))
    with pytest.raises(UserError, match="act policies do not pad"):
        PolicyRecipe(path=str(tmp_path / "act"), sizes="data").build(replace(facts, actions=7))
    with pytest.raises(UserError, match="for training on demonstrations"):
        PolicyRecipe(path=str(tmp_path / "smolvla"), sizes="data").build(replace(facts, stats=None))


def test_pictures_of_another_size_are_refused_by_policies_that_do_not_resize(
    recipes: dict[str, PolicyRecipe], facts: DataFacts, tmp_path: Path
) -> None:
    built(recipes, "act", facts).save(tmp_path)
    large = dict.fromkeys(facts.views, (64, 48))
    with pytest.raises(UserError, match=r"reads pictures of 32x32 .* has 64x48: set env.height=32"):
        PolicyRecipe(path=str(tmp_path)).build(replace(facts, views=large))


def test_another_type_chunk_or_setting_is_refused(saved: Path, facts: DataFacts) -> None:
    with pytest.raises(UserError, match=r"policy.type=act, but .* of type nano_vla"):
        PolicyRecipe("act", path=str(saved)).build(facts)
    with pytest.raises(UserError, match=r"policy.chunk_size=9, but .* chunk_size=4"):
        PolicyRecipe(path=str(saved), chunk_size=9).build(facts)
    with pytest.raises(UserError, match="within 1 and the chunk's 4"):
        PolicyRecipe(path=str(saved), n_action_steps=9).build(facts)
    with pytest.raises(UserError, match="'chunk_sise'; did you mean 'chunk_size'"):
        PolicyRecipe("nano_vla", chunk_sise=9).build(facts)
    with pytest.raises(UserError, match="holds no LeRobot policy"):
        PolicyRecipe(path=str(saved.parent)).build(facts)


def test_data_that_a_checkpoints_normalisation_would_distort_are_refused(saved: Path, facts: DataFacts) -> None:
    assert facts.stats is not None
    action = dict(facts.stats["action"])
    moved = replace(facts, stats={**facts.stats, "action": {**action, "mean": action["mean"] + 40.0}})
    with pytest.raises(UserError, match=r"normalises action\[0\] by mean 0.0833 .* data have 40.1"):
        PolicyRecipe(path=str(saved)).build(moved)
    policy = PolicyRecipe(path=str(saved), normalisation="data").build(moved)
    step = next(step for step in policy.after.steps if getattr(step, "stats", None))
    assert abs(float(np.asarray(step.stats["action"]["mean"]).reshape(-1)[0]) - 40.08) < 0.01
    assert PolicyRecipe(path=str(saved), normalisation="checkpoint").build(moved) is not None


def test_processors_that_name_other_code_are_not_run(saved: Path, facts: DataFacts, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(saved / "pretrained_model", tmp_path / "evil")
    file = tmp_path / "evil/policy_preprocessor.json"
    held = json.loads(file.read_text())
    held["steps"][0] = {"class": "subprocess.Popen", "config": {"args": ["true"]}}
    file.write_text(json.dumps(held))
    with pytest.raises(UserError, match=r"wants to run 'subprocess.Popen'"):
        PolicyRecipe(path=str(tmp_path / "evil")).build(facts)


def test_adapters_alone_are_trained_and_saved_merged(
    saved: Path, facts: DataFacts, episodes: list[Trace], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"policy.lora=2 adapts a trained policy"):
        PolicyRecipe("nano_vla", lora=2).build(facts)
    policy = PolicyRecipe(path=str(saved), lora=2).build(facts)
    trained = {name for name, weight in policy.module.named_parameters() if weight.requires_grad}
    assert trained
    assert all("lora_" in name for name in trained)
    before = acted(policy, episodes)
    with torch.no_grad():
        for name, weight in policy.module.named_parameters():
            if "lora_B" in name:
                weight.add_(0.3)
    after = acted(policy, episodes)
    assert not np.allclose(before, after)
    policy.save(tmp_path)
    again = load_policy(tmp_path)
    assert isinstance(again, LeRobotPolicy)
    np.testing.assert_allclose(acted(again, episodes), after, atol=1e-4)
    assert not any("lora" in name for name, _ in again.policy.named_parameters())
