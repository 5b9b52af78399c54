"""The tree is as CONTRIBUTING says: mapped packages, whole links, short files, real targets, a clean lock."""

import ast
import re
import subprocess
import sys
import tomllib
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra import compose, initialize_config_module
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from robo_reward.cli import help_pages

ROOT = Path(__file__).resolve().parent.parent
WINGS = ("envs", "policies", "real_robot", "reward_models")
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
SETUPTOOLS = PYPROJECT["tool"]["setuptools"]


@cache
def files() -> tuple[Path, ...]:
    """What git tracks or would track, without links."""
    asked = ["git", "-C", str(ROOT), "ls-files", "-coz", "--exclude-standard"]
    listed = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    paths = sorted({ROOT / name for name in listed.split("\0") if name})
    return tuple(path for path in paths if path.is_file() and not path.is_symlink())


def python_files() -> list[Path]:
    return [path for path in files() if path.suffix == ".py"]


def yaml_files() -> list[Path]:
    return sorted((ROOT / "configs").rglob("*.yaml"))


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("wing", [*WINGS, "configs"])
def test_each_link_leads_to_the_folder_at_the_root(wing: str) -> None:
    link = ROOT / "robo_reward" / wing
    assert link.is_symlink()
    assert str(link.readlink()) == f"../{wing}"
    assert link.resolve() == ROOT / wing


def test_the_package_map_is_complete() -> None:
    mapped = {ROOT / folder: name for name, folder in SETUPTOOLS["package-dir"].items()}
    assert set(mapped.values()) == set(SETUPTOOLS["packages"])
    holding = {path.parent for path in python_files() if path.relative_to(ROOT).parts[0] in (*WINGS, "robo_reward")}
    assert holding | {ROOT / "configs"} == set(mapped), "every folder with python files stands in the map, no other"
    for folder, name in mapped.items():
        assert (folder / "__init__.py").exists(), folder
        assert name.removeprefix("robo_reward").strip(".").replace(".", "/") == (
            "" if folder == ROOT / "robo_reward" else named(folder).removeprefix("robo_reward/")
        )


def test_the_wheel_installs_one_package_under_its_own_name() -> None:
    assert PYPROJECT["project"]["name"] == "robo-reward"
    assert all(name.split(".")[0] == "robo_reward" for name in SETUPTOOLS["packages"])
    assert list(PYPROJECT["project"]["scripts"]) == ["robo-reward"]


def test_no_file_is_a_drawer() -> None:
    drawers = [
        named(path) for path in python_files() if path.stem in ("utils", "util", "common", "base", "helpers", "misc")
    ]
    assert drawers == []


def test_no_file_is_over_300_lines() -> None:
    lengths = {named(path): len(path.read_text("utf-8").splitlines()) for path in python_files()}
    assert {name: length for name, length in lengths.items() if length > 300} == {}


def test_every_module_opens_with_what_it_is_for() -> None:
    silent = [named(path) for path in python_files() if not ast.get_docstring(ast.parse(path.read_text("utf-8")))]
    assert silent == []


def test_nothing_pickles() -> None:
    loads = re.compile(
        r"^\s*(import pickle|from pickle|import dill|import joblib)|torch\.(save|load)\(|allow_pickle=True",
        re.M,
    )
    guilty = [
        named(path) for path in python_files() if path != Path(__file__) and loads.search(path.read_text("utf-8"))
    ]
    assert guilty == []


def test_wings_stand_apart() -> None:
    lint = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([str(lint), "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def targets() -> list[str]:
    found: set[str] = set()
    for path in yaml_files():
        found |= set(re.findall(r"^\s*(?:-\s+)?_target_:\s*['\"]?([\w.]+)", path.read_text("utf-8"), re.M))
    return sorted(found - {"null"})


@pytest.mark.parametrize("target", targets())
def test_every_target_of_the_yaml_files_exists(target: str) -> None:
    module, _, name = target.rpartition(".")
    try:
        found: Any = import_module(module)
    except ModuleNotFoundError:  # a method of a class
        module, _, owner = module.rpartition(".")
        found = getattr(import_module(module), owner)
    assert callable(getattr(found, name))


@pytest.mark.parametrize("path", yaml_files(), ids=named)
def test_every_yaml_file_says_what_it_is_for(path: Path) -> None:
    text = path.read_text("utf-8")
    yaml.safe_load(text)
    assert not re.search(r": \{\}", text), "hydra seals an empty mapping: nobody could fill it; write null"
    first = next(line for line in text.splitlines() if not line.startswith("# @"))
    assert re.match(r"# .{8,}", first), "the first comment of a yaml file is its help text"


def choices() -> list[tuple[str, str]]:
    listed = [(verb, "") for verb in help_pages.verbs()]
    for verb in help_pages.verbs():
        for group, _ in help_pages.chosen_groups(verb):
            listed += [(verb, f"{group}={option}") for option in help_pages.group_options(group)]
    return listed


@pytest.mark.parametrize(("verb", "choice"), choices())
def test_every_choice_composes(verb: str, choice: str) -> None:
    with initialize_config_module("robo_reward.configs", version_base="1.3"):
        compose(verb, overrides=[choice] if choice else [])


def test_every_verb_has_a_module_and_a_yaml() -> None:
    paths = (ROOT / "robo_reward" / "verbs").glob("*.py")
    runnable = {path.stem for path in paths if re.search(r"^def run\(", path.read_text("utf-8"), re.M)}
    assert runnable == {path.stem for path in (ROOT / "configs").glob("*.yaml")}


def test_no_path_of_one_machine_and_no_registry_is_committed() -> None:
    here = re.compile(r"(?<![\w.])/(?:root|work|home/\w+|Users/\w+)/[\w.]")
    registry = re.compile(r"^\s*--(?:extra-)?index-url|^\s*--find-links|extra-index-url\s*=|file:///", re.M)
    guilty = []
    for path in files():
        if path.suffix in (".py", ".toml", ".lock", ".yaml", ".md", ".json", ".cff", "") and path != Path(__file__):
            text = path.read_text("utf-8", errors="replace")
            guilty += [named(path)] if here.search(text) or registry.search(text) else []
    assert guilty == []


def locked() -> dict[str, str]:
    lines = (ROOT / "requirements.lock").read_text("utf-8").splitlines()
    return dict(line.split(" ")[0].split("==") for line in lines if re.match(r"[a-z0-9]", line))


def test_the_lock_satisfies_every_requirement() -> None:
    project = PYPROJECT["project"]
    asked = [*project["dependencies"], *PYPROJECT["dependency-groups"]["dev"]]
    asked += [line for extra in project["optional-dependencies"].values() for line in extra]
    versions = locked()
    for requirement in map(Requirement, asked):
        if requirement.name != "robo-reward":
            version = versions.get(canonicalize_name(requirement.name))
            assert version is not None, f"{requirement} is not locked: make lock"
            assert requirement.specifier.contains(version), f"{requirement} is locked at {version}: make lock"


def test_the_lock_has_hashes_and_one_opencv() -> None:
    text = (ROOT / "requirements.lock").read_text("utf-8")
    pins = re.findall(r"^[a-z0-9][^\n]*(?:\n    --hash=sha256:[0-9a-f]{64}[^\n]*)*", text, re.M)
    assert len(pins) == len(locked())
    assert all("--hash=sha256:" in pin for pin in pins)
    assert [name for name in locked() if "opencv" in name] == ["opencv-python-headless"]
    assert "+" not in locked()["torch"], "torch must be the registry's ordinary build"
