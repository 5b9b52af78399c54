"""learner=sft: losses fall, runs resume exactly, weights by progress, and the verbs around it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import hydra
import numpy as np
import pytest
import torch

from robo_reward.data.dataset_source import open_dataset
from robo_reward.data.datasets import write_dataset
from robo_reward.errors import UserError
from robo_reward.policies.vla.frames import EpisodeFrames
from robo_reward.policies.vla.optimisation import build_optimisation
from robo_reward.policies.vla.progress_weights import progress_weights
from robo_reward.policies.vla.recipe import PolicyRecipe
from robo_reward.policies.vla.sft import SftLearner
from robo_reward.policies.vla.training_data import deltas, facts_of_traces
from robo_reward.report.curve import Curve
from robo_reward.report.rabc_file import rabc_parquet
from robo_reward.trace import Trace
from robo_reward.verbs.train import run

QUICK = ("episodes=1", "evaluation_seeds=[1]", "report=false", "video=false", "learner.batch=8", "learner.log_every=2")
NANO = ("+policy.channels=8", "+policy.hidden_dim=32", "policy.image_size=16")
SMALL = (*NANO, "policy.chunk_size=4", "policy.n_action_steps=4")
DRAWER = ("env=metaworld", "env.height=16", "env.width=16", "env.horizon=20", "learner=sft", "policy=nano_vla", *SMALL)


def train(folder: Path, *overrides: str) -> dict[str, Any]:
    with hydra.initialize_config_module("robo_reward.configs", version_base="1.3"):
        config = hydra.compose("train", [*QUICK, *overrides, f"run_dir={folder}"])
    run(config)
    summary: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    return summary


def losses_of(folder: Path) -> dict[int, float]:
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return {row["step"]: row["sft/loss"] for row in rows if "sft/loss" in row}


@pytest.fixture(scope="module")
def demonstrations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on two demonstrations that were collected on the spot: its folder."""
    folder = tmp_path_factory.mktemp("sft") / "run"
    summary = train(folder, *DRAWER, "demos=2", "learner.updates=8", "learner.checkpoint_every=4")
    assert (summary["policy"], summary["learner"], summary["demos"]) == ("nano_vla", "sft", 2)
    assert (summary["used_env_reward"], summary["used_env_success"]) == (False, False)
    assert (summary["rollouts"], summary["updates"], summary["reward_model"]) == (0, 8, "none")
    assert summary["success_episodes"] == 1
    return folder


def test_a_trained_run_is_evaluated_again_and_gives_the_same(demonstrations: Path, tmp_path: Path) -> None:
    from robo_reward.verbs.evaluate import run as evaluate

    with hydra.initialize_config_module("robo_reward.configs", version_base="1.3"):
        evaluate(hydra.compose("evaluate", [f"run={demonstrations}", "video=false", f"run_dir={tmp_path / 'again'}"]))
    assert json.loads((tmp_path / "again/summary.json").read_text())["notes"]["reproduced"] is True


def test_more_looks_than_it_was_trained_with_can_be_tried(demonstrations: Path, tmp_path: Path) -> None:
    from robo_reward.verbs.evaluate import run as evaluate

    with hydra.initialize_config_module("robo_reward.configs", version_base="1.3"):
        words = [f"run={demonstrations}", "video=false", f"run_dir={tmp_path / 'again'}"]
        evaluate(hydra.compose("evaluate", [*words, "execute=2"]))
        notes = json.loads((tmp_path / "again/summary.json").read_text())["notes"]
        assert (notes["execute"], notes["reproduced"]) == (2, None)
        with pytest.raises(UserError, match="within 1 and the 4 actions"):
            evaluate(hydra.compose("evaluate", [*words, "execute=5"]))


def test_a_resumed_run_goes_the_way_of_the_unbroken_one(
    demonstrations: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = (*DRAWER, f"data={demonstrations / 'demonstrations'}", "learner.updates=8", "learner.checkpoint_every=4")
    train(tmp_path / "whole", *words)
    loss = SftLearner._loss
    count = {"updates": 0}

    def interrupted(self: SftLearner, *given: Any) -> torch.Tensor:
        count["updates"] += 1
        if count["updates"] == 7:
            raise KeyboardInterrupt
        return loss(self, *given)

    with monkeypatch.context() as patched:
        patched.setattr(SftLearner, "_loss", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "broken", *words)
    train(tmp_path / "broken", *words, "resume=true")
    whole, broken = losses_of(tmp_path / "whole"), losses_of(tmp_path / "broken")
    assert [broken[step] for step in (6, 8)] == [whole[step] for step in (6, 8)]
    saved = [tmp_path / name / "policy/pretrained_model/model.safetensors" for name in ("whole", "broken")]
    assert saved[0].read_bytes() == saved[1].read_bytes()


def test_it_goes_on_from_a_run_and_streams_what_is_too_large(demonstrations: Path, tmp_path: Path) -> None:
    words = ("env=metaworld", "env.height=16", "env.width=16", "env.horizon=8", "learner=sft", "policy=nano_vla")
    data = f"data={demonstrations / 'demonstrations'}"
    more = (f"policy.path={demonstrations}", "policy.lora=2", "learner.cache_gb=0", "learner.workers=0")
    summary = train(tmp_path / "run", *words, data, *more, "learner.updates=2")
    assert summary["notes"]["trained_parameters"] < summary["notes"]["parameters"]
    assert summary["notes"]["samples"] is None


@pytest.mark.parametrize("kind", ["nano_vla", "act", "diffusion", "smolvla", "pi0", "pi05", "multi_task_dit"])
def test_the_loss_falls_on_eight_frames(kind: str, recipes: dict[str, PolicyRecipe], episodes: list[Trace]) -> None:
    facts = facts_of_traces(episodes, tuple)
    policy = recipes[kind].build(facts)
    frames = EpisodeFrames(list(facts.views))
    frames.add(episodes)
    raw = frames.batch([0, 5, 8, 12, 17, 20, 25, 30], *deltas(policy.config))
    steps = build_optimisation(policy.module, policy.config, 40, 3e-3, "constant", 0)
    policy.policy.train()
    losses = []
    for _ in range(12 if kind in ("act", "diffusion") else 40):
        torch.manual_seed(1)
        loss = policy.module(policy.training_batch(raw))[0]
        losses.append(loss.item())
        steps.step(loss)
    assert losses[-1] < 0.8 * losses[0]


def test_frames_without_progress_weigh_nothing(episodes: list[Trace], tmp_path: Path) -> None:
    write_dataset(episodes[:2], tmp_path / "data", images=True)
    source = open_dataset(tmp_path / "data")
    zeros = np.zeros(13, np.float32)
    rising = Curve(np.arange(13), np.linspace(0, 1, 13, dtype=np.float32), zeros, None)
    falling = Curve(np.arange(13), np.linspace(1, 0, 13, dtype=np.float32), zeros, None)
    file = tmp_path / "progress.parquet"
    file.write_bytes(rabc_parquet(source, [(0, rising), (1, falling)], "test"))
    facts = facts_of_traces(episodes, tuple)
    policy = PolicyRecipe("nano_vla", head="regression", hidden_dim=32, chunk_size=4, n_action_steps=4).build(facts)
    policy.policy.eval()
    frames = EpisodeFrames(list(facts.views))
    frames.add(episodes[:2], [0, 12])
    learner = SftLearner(data="x", rabc=str(file))
    weigher = progress_weights(str(file), 0.01, policy)
    both = frames.batch([0, 3, 12, 15], *deltas(policy.config))
    assert both["index"].tolist() == [0, 3, 12, 15]
    weights, _ = weigher.compute_batch_weights(both)
    np.testing.assert_allclose(weights.numpy(), [2, 2, 0, 0], atol=1e-4)
    alone = frames.batch([0, 3], *deltas(policy.config))
    torch.testing.assert_close(learner._loss(policy, both, weigher), learner._loss(policy, alone, None))
    plain = learner._loss(policy, both, None)
    assert not torch.isclose(plain, learner._loss(policy, alone, None))


def test_rabc_is_refused_where_it_cannot_weigh(recipes: dict[str, PolicyRecipe], episodes: list[Trace]) -> None:
    with pytest.raises(UserError, match="give it with data="):
        SftLearner(rabc="file")
    for scenes in (3, "scenes"):
        with pytest.raises(UserError, match=r"learner\.scenes=.* has none: set one to null"):
            SftLearner(data="x", rabc="file", scenes=scenes)
    act = recipes["act"].build(facts_of_traces(episodes, tuple))
    with pytest.raises(UserError, match="act policy gives no loss per sample"):
        progress_weights("file", 0.01, act)
    nano = recipes["nano_vla"].build(facts_of_traces(episodes, tuple))
    with pytest.raises(UserError, match="is no progress file"):
        progress_weights("nowhere.parquet", 0.01, nano)


@pytest.mark.parametrize(("share", "batch"), [(0.0, 16), (1.0, 16), (0.6, 1), (0.01, 16)])
def test_scenes_leave_room_for_demonstrations_and_these_for_scenes(share: float, batch: int) -> None:
    with pytest.raises(UserError, match=rf"learner\.scenes_share={share:g} must leave .* batch's {batch} samples"):
        SftLearner(scenes=3, scenes_share=share, batch=batch)
    SftLearner(scenes_share=share, batch=batch)


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (("learner=sft",), "trains a policy that you choose: policy=nano_vla"),
        (("policy=nano_vla",), "brings a policy of its own"),
        (("reward_model=none", "transform=none"), "learns from a reward"),
        (("learner=sft", "policy=nano_vla", "learner.updates=0"), "learner.updates=0 must be 1 or more"),
        (("learner=sft", "policy=nano_vla", "learner.ema=1.0"), "learner.ema=1.0"),
        (("learner=sft", "policy=lerobot"), "needs policy.path"),
        (
            ("learner=sft", "policy=act", "policy.chunk_size=20"),
            r"policy=act with policy\.chunk_size=20: .*100 for `n_action_steps` and 20 for `chunk_size`",
        ),
        (("learner=sft", "policy=diffusion", "+policy.horizon=6"), r"policy\.horizon=6: .*horizon=6 and down_dims"),
        (("learner=sft", "policy=nano_vla", "+policy.chanels=8"), "setting of policy=nano_vla 'chanels'"),
        (("learner=sft_grpo", "policy=act", "policy.chunk_size=20"), r"policy\.chunk_size=20"),
        (("learner=sft", "policy=lerobot", "policy.type=gaussian_actor"), "type=gaussian_actor imitates no actions"),
        (("learner=sft", "policy=lerobot", "policy.type=tdmpc"), "type=tdmpc is trained on what will be seen later"),
        (("learner=sft", "policy=lerobot", "policy.type=eo1"), "policy=eo1 with its defaults: .*cached files"),
        (("learner=sft", "policy=nano_vla", "policy.n_action_steps=1.5"), r"n_action_steps=1\.5 must be within"),
        (("learner=sft", "policy=nano_vla", "policy.chunk_size=8.5"), r"policy\.chunk_size=8\.5 must be a whole"),
        (("learner=sft", "policy=nano_vla", "policy.blind=0"), r"policy\.blind=0 must be true or false"),
        (("learner=sft", "policy=act", "policy.chunk_size=100.5"), r"policy\.chunk_size=100\.5 must be a whole"),
        (
            ("learner=sft", "policy=act", "policy.pretrained_backbone_weights=none"),
            r"pretrained_backbone_weights 'none'.* Known: .*IMAGENET1K_V1, random",
        ),
        (("learner=sft", "policy=diffusion", "+policy.n_obs_steps=1.5"), r"policy\.n_obs_steps=1\.5 must be a whole"),
    ],
)
def test_what_does_not_go_together_is_refused(tmp_path: Path, overrides: tuple[str, ...], told: str) -> None:
    with hydra.initialize_config_module("robo_reward.configs", version_base="1.3"):
        config = hydra.compose("train", [*overrides, f"run_dir={tmp_path / 'run'}"])
    with pytest.raises(UserError, match=told):
        run(config)
    assert not list(tmp_path.rglob("demonstrations")), "refused before anything is collected"


@pytest.mark.parametrize("learner", ["sft", "sft_grpo"])
def test_pictures_that_lie_apart_are_refused_before_any_is_taken(tmp_path: Path, learner: str) -> None:
    sizes = ["env.height=16", "env.width=16"]
    words = ["env=metaworld", *sizes, f"learner={learner}", "policy=diffusion", "recording.every=4"]
    with hydra.initialize_config_module("robo_reward.configs", version_base="1.3"):
        config = hydra.compose("train", [*words, f"run_dir={tmp_path / 'run'}"])
    with pytest.raises(UserError, match="looks at 2 consecutive steps, but pictures lie up to 4 steps apart"):
        run(config)
    assert not list(tmp_path.rglob("demonstrations"))


def test_bfloat16_trains_the_same_objective(episodes: list[Trace]) -> None:
    facts = facts_of_traces(episodes, tuple)
    losses = []
    for dtype in ("float32", "bfloat16"):
        torch.manual_seed(0)
        policy = PolicyRecipe("nano_vla", head="regression", hidden_dim=32, image_size=16, dtype=dtype).build(facts)
        policy.policy.eval()
        frames = EpisodeFrames(list(facts.views))
        frames.add(episodes)
        loss = SftLearner()._loss(policy, frames.batch([0, 7, 20], *deltas(policy.config)), None)
        loss.backward()
        losses.append(loss.item())
        assert loss.dtype == torch.float32
    assert losses[0] != losses[1]
    assert abs(losses[0] - losses[1]) < 0.02 * losses[0]
