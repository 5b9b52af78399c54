"""A refused reward is refused behind a server and in an ensemble too, and the refusal names its folder."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from robo_reward import cli
from robo_reward.audit_record import read_record, weights_sha256
from robo_reward.build import build_reward_model, save_reward_model
from robo_reward.errors import UserError
from robo_reward.line_world import LineReward
from robo_reward.reward_audits import PartAudit, audits_of, check_audits, sources_of, tell_audits, unpack_audits
from robo_reward.reward_models.remote.client import connect_remote

sys.path += [str(Path(__file__).parents[1] / folder) for folder in ("reward_models", "third_party")]
from reward_server import serving  # pyright: ignore[reportMissingImports]

LINE = "robo_reward.line_world.LineReward"
SETTINGS = Path(__file__).parents[1] / "third_party" / "settings"


@pytest.fixture(autouse=True)
def _trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROBO_REWARD_TRUST", "robo_reward.line_world")


def saved(folder: Path, verdict: str | None, **more: Any) -> Path:
    """A saved reward, with an audit of it where there is a verdict."""
    save_reward_model(LineReward(), OmegaConf.create({"_target_": LINE, **more}), folder)
    if verdict is not None:
        audited(folder, verdict)
    return folder


def audited(folder: Path, verdict: str) -> None:
    record = {"verdict": verdict, "reasons": ["it pays for time"], "weights_sha256": weights_sha256(folder), "env": "w"}
    (folder / "audit.json").write_text(json.dumps(record))


def ensemble(**models: Any) -> dict[str, Any]:
    target = "robo_reward.reward_models.ensemble.make_ensemble"
    return {"_target_": target, "_recursive_": False, "models": models}


def found(config: dict[str, Any]) -> list[PartAudit]:
    return audits_of(build_reward_model(config), config)


def refusal(audits: list[PartAudit]) -> str:
    check_audits(audits, accepted=True)
    with pytest.raises(
        UserError, match=r"refuses the reward in .*: it pays for time.*accept_refused_reward=true"
    ) as info:
        check_audits(audits, accepted=False)
    return str(info.value)


def test_an_unchanged_copy_keeps_the_audit_and_a_changed_one_does_not(tmp_path: Path) -> None:
    """As train saves the reward that it was given, beside its policy."""
    given = saved(tmp_path / "given", "care")
    copy, other = OmegaConf.create({"path": str(given)}), OmegaConf.create({"path": str(given), "changes": {"a": 1}})
    save_reward_model(LineReward(), copy, tmp_path / "copy")
    record = read_record(tmp_path / "copy")
    assert record is not None
    assert (record.verdict, record.current) == ("care", True)
    save_reward_model(LineReward(), other, tmp_path / "other")
    assert read_record(tmp_path / "other") is None


def test_a_record_is_not_about_a_reward_with_other_settings(tmp_path: Path) -> None:
    given = {"path": str(saved(tmp_path / "given", "pass", stride=1))}
    (same,) = found({**given, "changes": {"stride": 1}})
    assert same.current is not None
    (other,) = found({**given, "changes": {"stride": 2}})
    assert other.current is None
    (hashed,) = (s.hashed() for s in sources_of(None, {**given, "changes": {"stride": 2}}))
    assert [audit.current for audit in hashed.audits()] == [None]


def test_a_saved_ensemble_keeps_what_its_members_had_otherwise(tmp_path: Path) -> None:
    given = str(saved(tmp_path / "given", "pass"))
    whole = ensemble(one={"_target_": LINE, "path": given, "changes": {"stride": 2}})
    save_reward_model(LineReward(), OmegaConf.create(whole), tmp_path / "whole")
    assert OmegaConf.load(tmp_path / "whole" / "model.yaml").models.one == {"_target_": LINE, "stride": 2}


def test_members_are_looked_at_nested_ones_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad, good = str(saved(tmp_path / "bad", "refuse")), str(saved(tmp_path / "good", "pass"))
    inner = ensemble(deep={"path": bad}, plain={"_target_": LINE})
    assert f"'{bad}' (member 'first/deep')" in refusal(found(ensemble(first=inner, second={"path": good})))
    fine = found(ensemble(one={"path": good}))
    check_audits(fine, accepted=False)
    assert tell_audits(fine, "w") == (None, "of its parts"), "good members say nothing of the whole"
    assert "as a whole this reward was never audited" in capsys.readouterr().out
    assert tell_audits(found(ensemble(one={"path": bad})), "w")[0] == "refuse"
    assert tell_audits(found(ensemble(one={"_target_": LINE})), "w") == (None, "none")


def test_an_ensemble_that_was_audited_counts_by_its_own_record(tmp_path: Path) -> None:
    bad, whole = saved(tmp_path / "bad", "refuse"), tmp_path / "whole"
    whole.mkdir()
    recipe = ensemble(one={"path": str(bad)}) | {"_recursive_": False}
    (whole / "model.yaml").write_text(OmegaConf.to_yaml(OmegaConf.create(recipe)))
    config = {"path": str(whole)}
    refusal(found(config))  # it has no record of its own yet
    audited(whole, "pass")
    (own,) = found(config)
    assert (own.place, own.whole, own.current is not None) == (f"'{whole}'", True, True)
    check_audits([own], accepted=False)
    (whole / "weights").write_text("others")  # its record is about something else now
    refusal(found(config))


def test_a_server_tells_the_audit_of_the_weights_that_it_read(tmp_path: Path) -> None:
    folder = saved(tmp_path / "model", None)
    config = {"path": str(folder)}
    model = build_reward_model(config)
    sources = sources_of(model, config)
    with serving(model, str(tmp_path / "s"), sources=sources) as (address, _):
        remote = {"_target_": "robo_reward.reward_models.remote.client.connect_remote", "address": address}
        (before,) = found(remote)
        assert (before.record, before.whole) == (None, True)
        audited(folder, "refuse")
        assert f"'{folder}' (served at {address})" in refusal(found(remote))
        assert f"'{folder}' (served at {address}) (member 'one')" in refusal(found(ensemble(one=remote)))
        told = connect_remote(address)
        with serving(told, str(tmp_path / "t"), sources=sources_of(told, remote)) as (second, _):
            assert f"(served at {address}) (served at {second})" in refusal(found({**remote, "address": second}))
        (folder / "weights").write_text("others")
        audited(folder, "pass")  # of weights that the server does not price with
        (other,) = found(remote)
        assert other.record is not None
        assert other.current is None
    with serving(model, str(tmp_path / "old")) as (address, _):
        assert found({**remote, "address": address}) == [], "a server that does not say"
    (folder / "audit.json").write_text("{")
    with pytest.raises(UserError, match="damaged"), serving(model, str(tmp_path / "s"), sources=sources):
        pass


def test_what_makes_no_sense_is_refused() -> None:
    fine = {"folder": "f", "where": "", "whole": True, "record": {"verdict": "fine", "env": None}}
    nonsense: list[Any] = [[{}], [3], 3, [fine]]
    for told in nonsense:
        with pytest.raises(UserError, match="says of its audit makes no sense"):
            unpack_audits(told, "here")
    assert unpack_audits(None, "here") is None


@pytest.mark.parametrize(
    "words",
    [
        ["reward_model=remote", "reward_model.spawn={path: bad}"],
        ["reward_model=ensemble", "reward_model.models.first.path=bad", "reward_model.models.second.path=bad"],
    ],
)
def test_train_refuses_it(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    saved(Path("bad"), "refuse")
    more = ["env=line", "transform=level", "learner=ppo", "steps=40", "learner.n_steps=10", "learner.batch_size=10"]
    assert cli.run(["train", *words, *more, "judge=none", "run_dir=run", "--config-dir", str(SETTINGS)]) == 2
    told = capsys.readouterr().err
    assert "the audit refuses the reward in '" in told
    assert "bad'" in told


def test_a_refused_member_stays_on_record_and_has_nothing_fitted_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    saved(Path("bad"), "refuse")
    words = ["reward_model=ensemble", "reward_model.models.first.path=bad"]
    words += ["reward_model@reward_model.models.second=progress", "reward_model.models.second.encoder=state"]
    words += [
        "reward_model.models.second.fit.steps=2",
        "reward_model.models.second.stride=1",
        "env=line",
        "transform=level",
        "demos=1",
        "audit=none",
    ]
    words += ["learner=ppo", "steps=400", "learner.n_steps=10", "learner.batch_size=10", "accept_refused_reward=true"]
    assert (
        cli.run(
            ["train", *words, "judge=none", "episodes=2", "report=false", "run_dir=run", "--config-dir", str(SETTINGS)]
        )
        == 0
    )
    told = capsys.readouterr().out
    assert "fitted once more" not in told
    assert "as a whole" not in told, "the run fits the whole itself"
    summary = json.loads(Path("run/summary.json").read_text())
    assert (summary["reward_audit"], summary["notes"]["audit_of_reward"]) == ("refuse", "of its parts")
