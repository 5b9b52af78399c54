"""hf-libero sets itself up: no question, no file left behind, and a clear word where assets are missing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from robo_reward.envs.libero import installation
from robo_reward.envs.libero.installation import PARTS, VARIABLE, find_assets
from robo_reward.errors import UserError


def pack(folder: Path) -> Path:
    for part in PARTS:
        (folder / part).mkdir(parents=True)
    return folder


def test_the_variable_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named, local = pack(tmp_path / "named"), pack(tmp_path / "local")
    monkeypatch.setattr(installation, "_download_folder", lambda: local)
    monkeypatch.setenv(VARIABLE, str(named))
    assert (find_assets().folder, find_assets().origin) == (named, VARIABLE)
    monkeypatch.delenv(VARIABLE)
    assert (find_assets().folder, find_assets().origin) == (local, "local copy")


def test_stand_ins_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(pack(tmp_path)))
    assert find_assets().stand_ins == ()
    (tmp_path / "manifest.json").write_text(json.dumps({"stand_ins": {"b.png": "plain", "a.msh": "boxes"}}))
    assert find_assets().stand_ins == ("a.msh", "b.png")
    assert "2 stand-in visuals" in str(find_assets())
    (tmp_path / "manifest.json").write_text("[")
    with pytest.raises(UserError, match="list of stand-ins"):
        find_assets()


def test_a_wrong_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match=r"is no folder; set it to a copy of .*lerobot/libero-assets"):
        find_assets()
    (tmp_path / "articulated_objects").mkdir()
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    with pytest.raises(UserError, match="has no folder 'scenes'"):
        find_assets()


def test_offline_without_assets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr(installation, "_download_folder", lambda: tmp_path / "assets")
    monkeypatch.setattr("huggingface_hub.snapshot_download", _no_network)
    with pytest.raises(UserError, match=f"set {VARIABLE}=FOLDER"):
        find_assets()


def _no_network(*_: object, **__: object) -> None:
    raise ConnectionError("offline")


def test_nothing_is_asked_or_left_behind(assets: str, tmp_path: Path) -> None:
    code = (
        "from robo_reward.envs.libero.installation import import_libero; import_libero()\n"
        "from libero.libero import config_file, get_assets_path, get_libero_path\n"
        "print(get_libero_path('bddl_files')); print(get_assets_path()); print(config_file)"
    )
    home = {"HOME": str(tmp_path), "TMPDIR": str(tmp_path), "NUMBA_CACHE_DIR": str(tmp_path / "numba")}
    env = {k: v for k, v in os.environ.items() if k != "LIBERO_CONFIG_PATH"} | home
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    bddl, used, config = done.stdout.splitlines()[-3:]
    assert Path(bddl).is_dir()
    assert used == assets
    assert not Path(config).exists()
    assert not (tmp_path / ".libero").exists()
