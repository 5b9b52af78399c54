"""Recipes that claim what only the user may give, or that describe more than memory holds: refused, and quickly."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from robo_reward.build import build_reward_model, load_policy, load_reward_model
from robo_reward.errors import UserError
from robo_reward.trust import check_recipe

WING = "robo_reward.reward_models"
REMOTE = f"{WING}.remote.client.connect_remote"
ENSEMBLE = f"{WING}.ensemble.make_ensemble"
LEROBOT = f"{WING}.lerobot_bridge.lerobot_reward.LeRobotReward"
LINE = "robo_reward.line_world.LineReward"
JUDGE = f"{WING}.judges.vlm_judge.VlmJudge"
SERVER = f"{WING}.judges.openai_server.OpenAIServer"
ELSEWHERE = "http://elsewhere.test/v1"


def folder_of(said: Any, path: Path) -> Path:
    path.mkdir()
    (path / "model.yaml").write_text(said if isinstance(said, str) else json.dumps(said))
    return path


@pytest.mark.parametrize(
    ("said", "what"),
    [
        ({"_target_": REMOTE, "spawn": {"path": "{inner}", "trust": ["shutil"]}}, "wants to trust, in your name,"),
        (
            {"_target_": ENSEMBLE, "_recursive_": False, "models": {"a": {"path": "{inner}", "trust": ["shutil"]}}},
            "wants to trust, in your name,",
        ),
        ({"_target_": LEROBOT, "pretrained": "owner/name", "trust_remote_code": True}, "wants to run the code of the"),
        (
            {"_target_": ENSEMBLE, "models": {"a": {"_target_": LEROBOT, "trust_remote_code": "yes"}}},
            "wants to run the code of the",
        ),
        ({"_target_": REMOTE, "spawn": {"_target_": REMOTE, "spawn": {}, "python": "/bin/x"}}, "start the program"),
        (
            {"_target_": JUDGE, "views": ["front"], "backend": {"_target_": SERVER, "url": ELSEWHERE}},
            rf"send your pictures, and an API key with them, to '{ELSEWHERE}' \(url\)",
        ),
        ({"_target_": REMOTE, "address": "tcp:elsewhere.test:80"}, "send your pictures to 'tcp:elsewhere.test:80'"),
        (  # what names a class of ours says nothing about where its recipe may send things
            {"_target_": ENSEMBLE, "_recursive_": False, "models": {"a": {"_target_": REMOTE, "path": "{far}"}}},
            "send your pictures to",
        ),
    ],
)
def test_trust_is_not_given_by_what_wants_it(said: dict[str, Any], what: str, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    mark.mkdir()
    inner = folder_of({"_target_": "shutil.rmtree", "path": str(mark)}, tmp_path / "inner")
    far = folder_of({"_target_": REMOTE, "address": "tcp:elsewhere.test:80"}, tmp_path / "far")
    told = json.dumps(said).replace("{inner}", str(inner)).replace("{far}", str(far))
    with pytest.raises(UserError, match=rf"model.yaml' .*{what}.*ROBO_REWARD_TRUST="):
        load_reward_model(folder_of(told, tmp_path / "outer"))
    assert mark.is_dir()


def test_a_trusted_class_may_take_such_a_setting_and_ours_may_leave_it_off(monkeypatch: pytest.MonkeyPatch) -> None:
    file = Path("model.yaml")
    check_recipe({"_target_": LEROBOT, "trust_remote_code": False}, file, WING)
    check_recipe({"_target_": REMOTE, "python": None}, file, WING)
    mine = {"_target_": LINE, "python": "3.12"}
    with pytest.raises(UserError, match="start the program"):
        check_recipe(mine, file, WING)
    check_recipe(mine, file, WING, ("robo_reward.line_world",))
    with pytest.raises(UserError, match="in your name"):  # who trusts the inner one has not trusted the outer one
        check_recipe({"_target_": ENSEMBLE, "models": [mine], "trust": ["x"]}, file, WING, ("robo_reward.line_world",))


def judge_folder(path: Path, **more: Any) -> Path:
    backend = {"_target_": SERVER, "url": ELSEWHERE, **more}
    return folder_of({"_target_": JUDGE, "views": ["front"], "backend": backend}, path)


def test_one_may_trust_an_address_alone_and_what_is_said_at_hand_is_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = judge_folder(tmp_path / "judge", api_key_env="OTHER_API_KEY")
    both = f"url={ELSEWHERE},api_key_env=OTHER_API_KEY"
    with pytest.raises(UserError, match=f"ROBO_REWARD_TRUST='{both}'"):
        load_reward_model(folder)
    monkeypatch.setenv("ROBO_REWARD_TRUST", f"url={ELSEWHERE}")
    with pytest.raises(UserError, match=r"environment variable 'OTHER_API_KEY' \(api_key_env\)"):
        load_reward_model(folder)
    monkeypatch.setenv("ROBO_REWARD_TRUST", both)
    assert type(load_reward_model(folder)).__name__ == "VlmJudge"
    monkeypatch.delenv("ROBO_REWARD_TRUST")
    own = {"_target_": JUDGE, "path": str(folder), "backend": {"_target_": SERVER, "url": "http://mine.test/v1"}}
    with pytest.raises(UserError, match=ELSEWHERE):
        build_reward_model(own)  # the class is the user's, the address is not
    own["backend"] = {"_target_": SERVER, "url": ELSEWHERE, "api_key_env": "OTHER_API_KEY"}
    assert type(build_reward_model(OmegaConf.create(own))).__name__ == "VlmJudge"


def test_values_without_names_cannot_hide_an_address(tmp_path: Path) -> None:
    backend = {"_target_": SERVER, "_args_": [ELSEWHERE]}
    with pytest.raises(UserError, match=r"values without names \(_args_\)"):
        load_reward_model(folder_of({"_target_": JUDGE, "views": ["front"], "backend": backend}, tmp_path / "judge"))


def laughs() -> str:
    """Nine lists, each of nine of the one before: 9 to the 9th words in half a kilobyte."""
    lists = [f"{'abcdefghi'[k]}: &{'abcdefghi'[k]} [{','.join(['*' + 'abcdefghi'[k - 1]] * 9)}]" for k in range(1, 9)]
    return "\n".join([f"_target_: {LINE}", "a: &a [x,x,x,x,x,x,x,x,x]", *lists])


def doubled() -> str:
    """The same with interpolations: 2 to the 40th letters."""
    return "\n".join([f"_target_: {LINE}", "k0: xx", *(f'k{n}: "${{k{n - 1}}}${{k{n - 1}}}"' for n in range(1, 40))])


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (laughs(), "aliases"),
        (doubled(), "interpolation"),
        (f"_target_: {LINE}\nurl: http://elsewhere/${{oc.env:HOME}}", "interpolation"),
        (f"_target_: {LINE}\nnote: {'x' * (1 << 20)}", "no plain file of at most"),
        ("[" * 100_000, "cannot be read"),
    ],
    ids=["aliases", "interpolations", "environment", "long", "deep"],
)
def test_recipes_that_grow_when_they_are_read(said: str, message: str, tmp_path: Path) -> None:
    start = time.monotonic()
    with pytest.raises(UserError, match=message):
        load_reward_model(folder_of(said, tmp_path / "model"))
    assert time.monotonic() - start < 10


def test_recipes_that_never_end_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").symlink_to("/dev/zero")
    with pytest.raises(UserError, match="no plain file"):
        load_policy(tmp_path)
    os.unlink(tmp_path / "policy.yaml")
    os.mkfifo(tmp_path / "policy.yaml")
    with pytest.raises(UserError, match="no plain file"):
        load_policy(tmp_path)
