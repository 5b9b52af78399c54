"""Imitation and tuning in one run: what it leaves, and that it goes on where it was interrupted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import line_verbs  # type: ignore[import-not-found]
import pytest
import torch
from line_verbs import called, rows_of
from safetensors.torch import load_file

from robo_reward.data.datasets import read_dataset
from robo_reward.errors import UserError
from robo_reward.policies.vla.sft import SftLearner
from robo_reward.policies.vla_learning.grpo import GrpoLearner

settings, start, _trusted = line_verbs.settings, line_verbs.start, line_verbs._trusted


def test_imitation_then_tuning_is_one_run(settings: Path, tmp_path: Path) -> None:
    policy = [f"+policy.{k}={v}" for k, v in (("channels", 8), ("keypoints", 8), ("hidden_dim", 32))]
    small = ("policy.image_size=16", "policy.chunk_size=2", "policy.n_action_steps=2")
    words = ("learner=sft_grpo", "policy=nano_vla", *policy, *small, "demos=2", "judge=none", "audit=none",
             "negatives.random=0", "negatives.replay=0", "learner.sft.updates=4", "learner.then.updates=1",
             "learner.then.group.groups=1", "learner.then.group.most=1", "learner.then.group.size=2")  # fmt: skip
    summary = called("train", settings, tmp_path / "run", *words, "video=false")
    assert (summary["learner"], summary["demos"], summary["updates"]) == ("sft+grpo", 2, 5)
    assert summary["cloned_success_rate"] is not None
    assert summary["rollouts"] == 2


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["learner.sft.acting_updates=7"], "learner.sft.acting_updates=7: without"),
        (["learner.sft.lr=1e30", "learner.sft.updates=3"], "lower learner.sft.lr"),
    ],
)
def test_refusals_name_the_settings_that_there_are(settings: Path, tmp_path: Path, words: list[str], says: str) -> None:
    small = ("learner=sft_grpo", "policy=nano_vla", "policy.image_size=16", "policy.chunk_size=2", "demos=2",
             "policy.n_action_steps=2", "judge=none", "audit=none", "negatives.random=0", "negatives.replay=0",
             "video=false")  # fmt: skip
    with pytest.raises(UserError, match=says):
        called("train", settings, tmp_path / "run", *small, *words)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["policy=nano_vla", "policy.image_size=16", "learner.then.noise.level=0"], "no step of the sampler is random"),
        (
            [
                "policy=nano_vla",
                "policy.image_size=16",
                "learner.then.update.way=imitate",
                "learner.then.group.offset=0.5",
                "learner.then.group.offset_of=[7]",
            ],
            r"group\.offset_of=\[7\]: the state has numbers 0 to 1",
        ),
        (["policy=act", "policy.pretrained_backbone_weights=random", "+policy.dim_model=16"], "act"),
    ],
)
def test_what_cannot_be_tuned_is_refused_before_it_is_imitated(
    settings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], says: str
) -> None:
    monkeypatch.delattr(SftLearner, "_train")
    small = ("learner=sft_grpo", "policy.chunk_size=2", "policy.n_action_steps=2", "demos=2", "judge=none",
             "audit=none", "negatives.random=0", "negatives.replay=0", "video=false")  # fmt: skip
    with pytest.raises(UserError, match=says):
        called("train", settings, tmp_path / "run", *words, *small)


@pytest.mark.parametrize(("lora", "at"), [(0, 0), (0, 1), (2, 1)])
def test_imitation_then_tuning_goes_on_in_the_middle_of_tuning(
    settings: Path, start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lora: int, at: int
) -> None:
    words = ("learner=sft_grpo", "policy=nano_vla", f"policy.path={start}", f"policy.lora={lora}", "demos=2",
             "judge=none", "audit=none", "negatives.random=0", "negatives.replay=0", "learner.sft.updates=2",
             "learner.then.updates=2", "learner.then.checkpoint_every=1", "learner.then.group.groups=1",
             "learner.then.group.most=1", "learner.then.group.size=4", "learner.then.group.min_spread=0",
             "video=false")  # fmt: skip
    whole = called("train", settings, tmp_path / "whole", *words)
    one = GrpoLearner._one

    def interrupted(self: GrpoLearner, *given: Any) -> None:
        if given[3] == at:
            raise KeyboardInterrupt
        one(self, *given)

    with monkeypatch.context() as patched:
        patched.setattr(GrpoLearner, "_one", interrupted)
        with pytest.raises(KeyboardInterrupt):
            called("train", settings, tmp_path / "broken", *words)
    with monkeypatch.context() as patched:
        patched.delattr(SftLearner, "learn")  # imitation is not done again
        resumed = called("train", settings, tmp_path / "broken", *words, "resume=true")
    assert rows_of(tmp_path / "broken") == rows_of(tmp_path / "whole")
    told = ("policy", "notes", "success_rate", "cloned_success_rate", "updates", "rollouts")
    assert [resumed[key] for key in told] == [whole[key] for key in told]
    assert resumed["policy"] == resumed["notes"]["prior"] == "nano_vla"
    assert resumed["notes"]["samples"] > 0
    held, made = (
        load_file(tmp_path / run / "policy/pretrained_model/model.safetensors") for run in ("whole", "broken")
    )
    assert all(torch.equal(value, made[name]) for name, value in held.items())


def test_of_many_demonstrations_the_run_keeps_some(settings: Path, start: Path, tmp_path: Path) -> None:
    words = ("learner=sft", "policy=nano_vla", f"policy.path={start}", "reward_model=none", "learner.updates=1")
    summary = called("train", settings, tmp_path / "run", *words, "demos=23", "video=false")
    assert (summary["demos"], summary["notes"]["demonstrations_kept"]) == (23, 20)
    assert len(read_dataset(str(tmp_path / "run/demonstrations"), views=["front"])) == 20
