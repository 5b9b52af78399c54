"""What a run says of its start's use of the simulator, by the folder that the start lies in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from robo_reward.errors import UserError
from robo_reward.provenance import oracle_before


def run_with(folder: Path, **said: Any) -> Path:
    (folder / "policy" / "pretrained_model").mkdir(parents=True)
    (folder / "policy" / "base" / "pretrained_model").mkdir(parents=True)
    (folder / "config.yaml").touch()
    (folder / "summary.json").write_text(json.dumps(said))
    return folder


@pytest.mark.parametrize("below", ["", "policy", "policy/pretrained_model", "policy/base/pretrained_model"])
def test_the_run_around_a_policy_is_asked(tmp_path: Path, below: str) -> None:
    run = run_with(tmp_path / "run", used_env_reward=False, used_env_success=True)
    assert oracle_before(str(run / below)) == (False, True)


def test_what_lies_in_no_run_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "summary.json").write_text("[]")  # somebody else's
    (tmp_path / "model").mkdir()
    assert oracle_before(str(tmp_path / "model")) == oracle_before("lerobot/smolvla_base") == (False, False)
    assert oracle_before(None) == (False, False)


def test_a_damaged_summary_is_told(tmp_path: Path) -> None:
    run = run_with(tmp_path / "run")
    (run / "summary.json").write_text("[]")
    with pytest.raises(UserError, match="is damaged"):
        oracle_before(str(run))


DENSE = {"_target_": "robo_reward.reward_models.env_reward.EnvReward", "oracle": "reward"}
SPARSE = {**DENSE, "oracle": "success"}
LEARNED = {"_target_": "robo_reward.reward_models.progress.ProgressModel", "path": None}
SERVED = {"_target_": "robo_reward.reward_models.remote.client.connect_remote", "address": "tcp:here:1"}
OWN = {"_target_": "mine.Reward"}
SELF = {"_target_": "robo_reward.reward_models.self_referential.SelfReferentialModel", "oracle": "none"}


def killed(folder: Path, reward: Any, **config: Any) -> Path:
    """A run that left a policy and no summary."""
    run = run_with(folder)
    (run / "summary.json").unlink()
    (run / "metrics.jsonl").touch()
    OmegaConf.save(OmegaConf.create({"reward_model": reward, "policy": None, **config}), run / "config.yaml")
    return run


@pytest.mark.parametrize(
    ("reward", "used"),
    [
        (DENSE, (True, False)),
        (SPARSE, (False, True)),
        (LEARNED, (False, False)),
        (SERVED, (True, True)),
        (OWN, (True, True)),
        ({**OWN, "oracle": "none"}, (False, False)),
        (None, (False, False)),
    ],
)
def test_a_run_without_a_summary_is_told_by_its_config(tmp_path: Path, reward: Any, used: tuple[bool, bool]) -> None:
    run = killed(tmp_path / "run", reward)
    assert oracle_before(str(run / "policy")) == used
    (run / "summary.json").write_text('{"status": "failed", "used_env_reward": null}')  # it ended before it knew
    assert oracle_before(str(run / "policy")) == used


@pytest.mark.parametrize(
    ("saved", "used"), [("none", (False, False)), ("success", (False, True)), (None, (True, True))]
)
def test_a_saved_reward_is_asked_which_signal_it_uses(
    tmp_path: Path, saved: str | None, used: tuple[bool, bool]
) -> None:
    held = tmp_path / "fit" / "reward_model"
    held.mkdir(parents=True)
    if saved is not None:
        OmegaConf.save(OmegaConf.create({**SELF, "oracle": saved}), held / "model.yaml")
    for path in (held, held.parent):
        for name, group in (("self", SELF), ("other", LEARNED)):  # the group is often another than the saved one's
            run = killed(tmp_path / f"of-{path.name}-{name}", {**group, "path": str(path)})
            assert oracle_before(str(run / "policy")) == used


@pytest.mark.parametrize("said", ["[1, 2]", "", "{}", "just words", "fit: 1", "oracle: null", "_target_: 3"])
def test_nobody_knows_of_a_saved_reward_that_says_nothing(tmp_path: Path, said: str) -> None:
    (tmp_path / "fit").mkdir()
    (tmp_path / "fit" / "model.yaml").write_text(said)
    run = killed(tmp_path / "run", {**SELF, "path": str(tmp_path / "fit")})
    assert oracle_before(str(run / "policy")) == (True, True)


def test_a_change_of_a_saved_reward_counts(tmp_path: Path) -> None:
    (tmp_path / "fit").mkdir()
    OmegaConf.save(OmegaConf.create(SELF), tmp_path / "fit" / "model.yaml")
    told = {**SELF, "path": str(tmp_path / "fit"), "changes": {"oracle": "success"}}
    assert oracle_before(str(killed(tmp_path / "run", told) / "policy")) == (False, True)


@pytest.mark.parametrize("key", ["policy", "learner", "run"])
def test_what_an_unfinished_run_began_with_counts_too(tmp_path: Path, key: str) -> None:
    first = run_with(tmp_path / "first", used_env_reward=True, used_env_success=False)
    second = killed(tmp_path / "second", SPARSE, policy={"path": str(first)})
    start = str(second / "policy")
    named: dict[str, Any] = {"policy": {"path": start}, "learner": {"start": start}, "run": str(second)}
    third = killed(tmp_path / "third", LEARNED, **{key: named[key]})
    assert oracle_before(str(third)) == (True, True)
    (third / "summary.json").write_text('{"used_env_reward": false, "used_env_success": true}')
    assert oracle_before(str(third)) == (False, True)


def test_an_arms_start_is_a_pose(tmp_path: Path) -> None:
    assert oracle_before(str(killed(tmp_path / "run", LEARNED, learner={"start": {"pan": 0.0}}))) == (False, False)


GONE = [("lerobot/smolvla_base", False), ("/gone/run/policy", True), ("runs/gone", True), ("gone", True)]


@pytest.mark.parametrize(("start", "used"), GONE)
def test_a_start_that_is_gone_may_have_used_all(tmp_path: Path, start: str, used: bool) -> None:
    assert oracle_before(str(killed(tmp_path / "run", LEARNED, policy={"path": start}))) == (used, used)


def test_a_start_is_found_from_another_folder_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_with(tmp_path / "runs" / "first", used_env_reward=True, used_env_success=False)
    second = killed(tmp_path / "runs" / "second", LEARNED, policy={"path": "runs/first"})
    for here in (tmp_path, tmp_path / "runs" / "first"):
        monkeypatch.chdir(here)
        assert oracle_before(str(second)) == (True, False)


@pytest.mark.parametrize(
    "config", ["a: 1\n---\nb: 2\n", "x: !secret token\n", "reward_model: {_target_: other.Thing}\n"]
)
def test_somebody_elses_config_is_no_run(tmp_path: Path, config: str) -> None:
    (tmp_path / "config.yaml").write_text(config)
    (tmp_path / "models" / "act").mkdir(parents=True)
    assert oracle_before(str(tmp_path / "models" / "act")) == (False, False)
    run = run_with(tmp_path / "run", used_env_reward=True, used_env_success=False)
    (run / "policy" / "base" / "config.yaml").write_text(config)
    assert oracle_before(str(run / "policy" / "base" / "pretrained_model")) == (True, False)


def test_the_nearest_run_is_asked(tmp_path: Path) -> None:
    """A summary further up is another run's."""
    run_with(tmp_path / "outer", used_env_reward=False, used_env_success=False)
    assert oracle_before(str(killed(tmp_path / "outer" / "inner", SPARSE) / "policy")) == (False, True)


def test_a_config_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    run = killed(tmp_path / "run", LEARNED)
    (run / "config.yaml").write_text("a: [")
    with pytest.raises(UserError, match=r"cannot be read .* copy the policy out"):
        oracle_before(str(run))
