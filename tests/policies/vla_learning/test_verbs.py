"""learner=grpo, dpo, vla_ppo and nora through train, adapt through its verb, resume, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import hydra
import line_verbs  # type: ignore[import-not-found]
import numpy as np
import pytest
from line_env import make_policy  # type: ignore[import-not-found]
from line_verbs import SMALL, called, rows_of

from robo_reward.errors import UserError
from robo_reward.policies.vla_learning.grpo import GrpoLearner
from robo_reward.verbs.evaluate import run as evaluate

settings, start, _trusted = line_verbs.settings, line_verbs.start, line_verbs._trusted


@pytest.fixture(scope="module")
def tuned(settings: Path, start: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tuned") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROBO_REWARD_TRUST", "paper_world,line_env")
        summary = called(
            "train", settings, folder, "learner=grpo", "policy=nano_vla", f"policy.path={start}", *SMALL, "video=false"
        )
    assert (summary["learner"], summary["policy"], summary["updates"]) == ("grpo", "nano_vla", 2)
    assert (summary["used_env_reward"], summary["used_env_success"]) == (False, False)
    assert summary["rollouts"] == 4 * summary["notes"]["groups_played"] == summary["notes"]["rewarded_episodes"]
    return folder


def test_grpo_leaves_a_lerobot_checkpoint_and_says_what_it_did(tuned: Path) -> None:
    assert (tuned / "policy" / "pretrained_model" / "config.json").is_file()
    rows = [row for row in rows_of(tuned) if "grpo/reward" in row]
    assert len(rows) == 2
    assert all(row["grpo/horizon"] == 10 for row in rows)


def test_the_oracle_is_marked(settings: Path, start: Path, tmp_path: Path) -> None:
    words = ("learner=grpo", "reward_model=env_sparse", "transform=none", "policy=nano_vla", f"policy.path={start}")
    summary = called("train", settings, tmp_path / "run", *words, *SMALL, "learner.updates=1", "video=false")
    assert (summary["used_env_success"], summary["base_reward"]) == (True, "env_sparse")
    # and stays so, whatever is done with the policy
    words = ("learner=as_is", "policy=lerobot", f"policy.path={tmp_path / 'run'}", "reward_model=none")
    taken = called("train", settings, tmp_path / "taken", *words, "video=false")
    assert (taken["used_env_reward"], taken["used_env_success"]) == (False, True)
    adapted = called("adapt", settings, tmp_path / "adapted", f"run={tmp_path / 'taken'}", *ADAPT, "bounds.rounds=1")
    assert adapted["used_env_success"]


def test_srpo_by_the_simulators_verdicts_is_marked_and_traced(settings: Path, tmp_path: Path) -> None:
    words = ("learner=srpo", "reward_model=self_referential", "reward_model.oracle=success", "audit=none", "judge=none")
    fitted = (
        "reward_model.encoder=state", "reward_model.fit.steps=5", "reward_model.stride=1", "demos=2",
        "negatives.random=2", "negatives.replay=0", "env.horizon=20",
    )  # fmt: skip
    able = make_policy()
    able.policy.head.out.bias.data -= 1.5  # some of its episodes succeed
    able.save(tmp_path / "able")
    more = ("policy=nano_vla", f"policy.path={tmp_path / 'able'}", *SMALL, "learner.updates=1", "video=false")
    summary = called("train", settings, tmp_path / "run", *words, *fitted, *more)
    assert (summary["used_env_reward"], summary["used_env_success"]) == (False, True)
    (row,) = [row for row in rows_of(tmp_path / "run") if "srpo/reward" in row]
    notes = summary["notes"]
    assert row["srpo/success"] == notes["rewarded_successes"] / notes["rewarded_episodes"] > 0
    assert row["srpo/success"] <= row["srpo/reward"] <= 1


@pytest.mark.parametrize("learner", ["grpo", "vla_credit", "self_imitation"])
def test_a_resumed_run_goes_the_way_of_the_unbroken_one(
    settings: Path, start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, learner: str
) -> None:
    words = (
        f"learner={learner}", "policy=nano_vla", f"policy.path={start}", *SMALL, "learner.updates=3", "video=false",
        "learner.checkpoint_every=2",
    )  # fmt: skip
    called("train", settings, tmp_path / "whole", *words)
    one, count = GrpoLearner._one, {"updates": 0}

    def interrupted(self: GrpoLearner, *given: Any) -> None:
        count["updates"] += 1
        if count["updates"] == 3:
            raise KeyboardInterrupt
        one(self, *given)

    with monkeypatch.context() as patched:
        patched.setattr(GrpoLearner, "_one", interrupted)
        with pytest.raises(KeyboardInterrupt):
            called("train", settings, tmp_path / "broken", *words)
    resumed = called("train", settings, tmp_path / "broken", *words, "resume=true")
    whole = json.loads((tmp_path / "whole/summary.json").read_text())
    told = ("rewarded_episodes", "reward_of_failures", "reward_of_successes", "reward_auroc")
    assert resumed["rollouts"] == whole["rollouts"] == whole["notes"]["rewarded_episodes"]
    assert [resumed["notes"][key] for key in told] == [whole["notes"][key] for key in told]
    assert rows_of(tmp_path / "broken") == rows_of(tmp_path / "whole")


def test_preferences_are_learned_by_the_same_verb(settings: Path, start: Path, tmp_path: Path) -> None:
    words = ("learner=dpo", "policy=nano_vla", f"policy.path={start}", *SMALL, "learner.preferences.margin=0.01")
    summary = called("train", settings, tmp_path / "run", *words, "video=false")
    assert summary["learner"] == "dpo"
    assert any(row.get("dpo/pairs", 0) > 0 for row in rows_of(tmp_path / "run"))


@pytest.mark.parametrize("credit", ["steps", "end"])
def test_ppo_is_a_learner_of_the_same_verb(settings: Path, start: Path, tmp_path: Path, credit: str) -> None:
    words = ("learner=vla_ppo", "policy=nano_vla", f"policy.path={start}", "learner.updates=2", "video=false")
    ppo = ("learner.ppo.episodes=4", f"learner.ppo.credit={credit}")
    summary = called("train", settings, tmp_path / "run", *words, *ppo)
    assert (summary["learner"], summary["rollouts"], summary["used_env_success"]) == ("vla_ppo", 8, False)
    rows = [row for row in rows_of(tmp_path / "run") if "vla_ppo/reward" in row]
    assert "vla_ppo/value_loss" in rows[0]
    assert "vla_ppo/kl" in rows[1]


def test_a_checkpoint_becomes_a_run_as_it_is(settings: Path, start: Path, tmp_path: Path) -> None:
    """A bare LeRobot checkpoint is evaluated, and adapted from there."""
    words = ("learner=as_is", "policy=lerobot", f"policy.path={start / 'pretrained_model'}", "reward_model=none")
    summary = called("train", settings, tmp_path / "run", *words, "video=false")
    assert (summary["learner"], summary["updates"], summary["rollouts"]) == ("as_is", 0, 0)
    assert summary["success_episodes"] == 1
    held, made = (folder / "pretrained_model/model.safetensors" for folder in (start, tmp_path / "run/policy"))
    assert held.read_bytes() == made.read_bytes()
    adapted = called("adapt", settings, tmp_path / "adapted", f"run={tmp_path / 'run'}", *ADAPT, "bounds.rounds=1")
    assert adapted["updates"] == 1
    with pytest.raises(UserError, match="learns nothing"):
        called("train", settings, tmp_path / "no", *words, "learner.updates=1")
    with pytest.raises(UserError, match=r"camera in policy.rename 'frnt'; did you mean 'front'"):
        called("train", settings, tmp_path / "typo", *words, "policy.rename={frnt: front}")


def test_a_checkpoint_for_pictures_of_another_size_is_refused(
    settings: Path, start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("robo_reward.policies.vla.features.RESIZES", ())  # as if the network took what it is shown
    words = ("learner=as_is", "policy=lerobot", f"policy.path={start / 'pretrained_model'}", "reward_model=none")
    with pytest.raises(UserError, match=r"reads pictures of 8x8 .* has 16x16: set env.height=8 env.width=8"):
        called("train", settings, tmp_path / "run", *words, "+env.height=16", "+env.width=16", "video=false")


def test_nora_learns_without_a_rollout(settings: Path, start: Path, tmp_path: Path) -> None:
    words = ("learner=nora", "policy=nano_vla", f"policy.path={start}", "demos=2", "learner.updates=1", "video=false")
    summary = called("train", settings, tmp_path / "run", *words, "reward_model=none", "learner.world.steps=20")
    assert (summary["learner"], summary["rollouts"], summary["updates"]) == ("nora", 0, 1)
    assert (summary["used_env_success"], summary["demos"]) == (False, 2)
    assert summary["notes"]["pairs"] > 0
    assert any("nora/preferred" in row for row in rows_of(tmp_path / "run"))


@pytest.mark.parametrize(
    "scenes", [("learner=sft", "reward_model=none", "learner.scenes=3"), ("learner=sft_grpo", "learner.sft.scenes=3")]
)
def test_scenes_of_several_worlds_are_refused_at_once(
    settings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scenes: tuple[str, ...]
) -> None:
    monkeypatch.delattr("robo_reward.training.gather_demonstrations")  # nothing is collected for nothing
    with pytest.raises(UserError, match=r"env.num_worlds=4: .*scenes=FOLDER.*set env.num_worlds=1"):
        called("train", settings, tmp_path / "run", "policy=nano_vla", "policy.places_weight=3", *scenes)


@pytest.mark.parametrize("learner", ["grpo", "vla_ppo", "sft_grpo"])
def test_a_hook_that_would_end_nothing_is_refused(settings: Path, start: Path, tmp_path: Path, learner: str) -> None:
    words = (f"learner={learner}", "policy=nano_vla", f"policy.path={start}", "+hook._target_=line_env.make_reward")
    with pytest.raises(UserError, match=r"ends no episode of learner .*learner.stop=0.95.*hook=none"):
        called("train", settings, tmp_path / "run", *words)


def test_what_cannot_be_tuned_is_refused(settings: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="goes on from a trained policy"):
        called("train", settings, tmp_path / "a", "learner=grpo", "policy=nano_vla")
    with pytest.raises(UserError, match="that you choose"):
        called("train", settings, tmp_path / "b", "learner=grpo")


ADAPT = ("bounds.rounds=2", "bounds.window=4", "checkpoint_every=1", "adaptation.group.groups=1",
         "adaptation.group.size=4", "adaptation.group.most=1")  # fmt: skip


def test_adapt_goes_on_from_a_run_and_is_oracle_free(settings: Path, tuned: Path, tmp_path: Path) -> None:
    summary = called("adapt", settings, tmp_path / "run", f"run={tuned}", *ADAPT, "test={horizon: 25}")
    assert (summary["verb"], summary["learner"], summary["updates"]) == ("adapt", "evolve", 2)
    assert (summary["used_env_reward"], summary["used_env_success"]) == (False, False)
    assert summary["notes"]["before_success_rate"] is not None
    assert summary["notes"]["ended"] == "all rounds done"
    assert summary["notes"]["rewarded_episodes"] == summary["rollouts"] == 8
    with hydra.initialize_config_module("robo_reward.configs", version_base="1.3"):
        words = [f"run={tmp_path / 'run'}", "video=false", f"run_dir={tmp_path / 'again'}"]
        evaluate(hydra.compose("evaluate", words))
    again = json.loads((tmp_path / "again/summary.json").read_text())
    assert again["notes"]["reproduced"] is True
    assert again["env_return"] == summary["env_return"], "in the world that the run was tested in"
    assert again["notes"]["horizon"] == 25
    for told in (summary["notes"], again["notes"]):
        assert (told["evaluated_starts"], told["evaluated_from"]) == ("drawn", [0])
        assert told["success_by_task"] == {"0: go right": summary["success_rate"]}


def test_adapt_resumes(settings: Path, tuned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from robo_reward.adaptation import Adaptation

    words = (f"run={tuned}", *ADAPT, "reward_model=counted")
    whole = called("adapt", settings, tmp_path / "whole", *words)
    assert (whole["parse_failures"], whole["fallbacks"]) == (8, 16)
    play = Adaptation.round

    def interrupted(self: Adaptation, ground: Any) -> dict[str, float]:
        if self.done == 1:
            raise KeyboardInterrupt
        return play(self, ground)

    with monkeypatch.context() as patched:
        patched.setattr(Adaptation, "round", interrupted)
        with pytest.raises(KeyboardInterrupt):
            called("adapt", settings, tmp_path / "broken", *words)
    stopped = json.loads((tmp_path / "broken/summary.json").read_text())
    assert (stopped["status"], stopped["parse_failures"], stopped["fallbacks"]) == ("interrupted", 4, 8)
    resumed = called("adapt", settings, tmp_path / "broken", *words, "resume=true")
    assert (resumed["parse_failures"], resumed["fallbacks"]) == (8, 16)
    assert rows_of(tmp_path / "broken") == rows_of(tmp_path / "whole")
    assert resumed["notes"] == whole["notes"]
    assert resumed["notes"]["rewarded_episodes"] == resumed["rollouts"] == 8


def test_a_hook_is_one_file(settings: Path, tuned: Path, tmp_path: Path) -> None:
    words = (f"run={tuned}", "adaptation=mine", "bounds.rounds=5", "bounds.drift=2.5")
    summary = called("adapt", settings, tmp_path / "run", *words)
    assert "bounds.drift is 2.5" in summary["notes"]["ended"]
    assert summary["rollouts"] == 3 * 2


def test_adapt_refuses_what_would_tell_it_the_truth(settings: Path, tuned: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"this reward .* does: name a fitted one"):
        called("adapt", settings, tmp_path / "a", f"run={tuned}", "reward_model=env_sparse", "transform=none")
    with pytest.raises(UserError, match="needs a fitted reward"):
        called("adapt", settings, tmp_path / "b", f"run={tuned}", "reward_model=progress", "reward_model.views=[front]")
    with pytest.raises(UserError, match="adapt needs run=DIR"):
        called("adapt", settings, tmp_path / "c")


def test_the_start_was_not_touched(start: Path, tuned: Path) -> None:
    from robo_reward.policies.vla.lerobot_policy import load_lerobot_policy

    first, last = (load_lerobot_policy(p).policy.head.out.bias.detach().numpy() for p in (start, tuned / "policy"))
    assert not np.allclose(first, last)
