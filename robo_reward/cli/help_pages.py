"""The help texts, read from the yaml files themselves without hydra, so that they answer at once."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

_KEY = re.compile(r"^(?P<indent>  )?(?P<key>[A-Za-z_]\w*):(?P<value>[^#]*)(#\s*(?P<comment>.*))?$")
_WIDTH = 100

_FOOT = """\
Exit codes: 0 done, 1 a fault of ours, 2 something to mend in what was given, 3 an arm was stopped, 75 pre-empted and
resumable, 130 interrupted and resumable. ROBO_REWARD_TRACEBACK=1 shows where an error came from."""

_HYDRA = """\
Hydra:
  --cfg job [--resolve]      shows the composed configuration and stops
  -m KEY=A,B,... KEY=...     runs every combination, each in its own subfolder
  --config-dir DIR           adds your yaml files: DIR/reward_model/mine.yaml is reward_model=mine
  +KEY=VALUE, ~KEY           adds a key, removes a key
  --hydra-help               all of hydra's own flags"""


@dataclass(frozen=True, slots=True)
class Key:
    """A key of a verb's yaml (one level deep): its default as written, and what the comment says about it."""

    name: str
    default: str
    comment: str


@cache
def configs_folder() -> Path:
    """Where the package's yaml files are."""
    spec = find_spec("robo_reward.configs")
    return Path(str(spec and spec.origin)).parent


def verbs() -> list[str]:
    """The verbs that exist: a module in ``verbs/`` and a yaml of the same name."""
    here = Path(__file__).parent.parent / "verbs"
    return sorted(path.stem for path in configs_folder().glob("*.yaml") if (here / f"{path.stem}.py").exists())


def program_help() -> str:
    """The text of ``robo-reward --help``."""
    listed = "\n".join(f"  {verb:<12} {summary(verb)}" for verb in verbs())
    return f"""\
robo-reward: a robot policy learned from a learned progress reward.

Usage: robo-reward VERB [KEY=VALUE ...]
       robo-reward VERB --help

Verbs:
{listed}
  {"completion":<12} shell completion: eval "$(robo-reward completion bash)" (or zsh, fish)

`robo-reward train` without arguments runs the whole main job.
{_FOOT}"""


def verb_help(verb: str) -> str:
    """The text of ``robo-reward VERB --help``: keys and groups of the verb, then what hydra adds."""
    keys = "\n".join(_row(f"{key.name}={key.default}", key.comment) for key in top_level_keys(verb))
    groups = "\n".join(_row(f"{group}={chosen}", _options(group)) for group, chosen in chosen_groups(verb))
    parts = [f"robo-reward {verb}: {summary(verb)}", f"Usage: robo-reward {verb} [KEY=VALUE ...]"]
    parts += [f"Keys and their defaults:\n{keys}"] if keys else []
    parts += [f"Groups, the default choice and all choices (settings of a choice: GROUP.KEY=VALUE):\n{groups}"] * bool(
        groups
    )
    return "\n\n".join([*parts, _HYDRA, _FOOT])


def summary(verb: str) -> str:
    """The first comment of the verb's yaml."""
    for line in _lines(verb):
        if line.startswith("#") and not line.startswith("# @"):
            return line.lstrip("# ").rstrip()
    return ""


def top_level_keys(verb: str) -> list[Key]:
    """The keys of a verb's yaml in their order; a comment stands behind the key or in the lines above it.

    A key that holds others is followed by them as ``key.other``.
    """
    keys: list[Key] = []
    above: list[str] = []
    parent = ""
    for line in _lines(verb):
        if line.startswith("#"):
            above.append(line.lstrip("# "))
            continue
        found = _KEY.match(line)
        if found and not found["indent"]:
            parent = found["key"]
        if found and parent not in ("defaults", "hydra"):
            name = f"{parent}.{found['key']}" if found["indent"] else parent
            comment = found["comment"] or " ".join(above)
            keys.append(Key(name, found["value"].strip() or "...", comment.strip()))
        above = []
    return keys


def chosen_groups(verb: str) -> Iterator[tuple[str, str]]:
    """(group, default choice) of the verb's defaults list; a group that lies elsewhere as ``group@place``."""
    inside = False
    for line in _lines(verb):
        inside = line.startswith("defaults:") or (inside and bool(re.match(r"\s|-|#|$", line)))
        found = re.match(r"\s*-\s*(?:optional\s+|override\s+)?([\w/]+(?:@[\w.]+)?):\s*([^\s#]+)", line)
        if inside and found and not found[1].startswith(("hydra", "/hydra")):
            yield found[1].lstrip("/"), found[2]


def group_options(group: str) -> list[str]:
    """The names of the yaml files of a group."""
    return sorted(path.stem for path in (configs_folder() / group.split("@")[0]).glob("*.yaml"))


def _options(group: str) -> str:
    return ", ".join(group_options(group))


def _lines(verb: str) -> list[str]:
    return (configs_folder() / f"{verb}.yaml").read_text("utf-8").splitlines()


def _row(left: str, right: str) -> str:
    indent = " " * 32
    head = f"  {left:<29} " if len(left) < 30 else f"  {left}\n{indent}"
    return (head + textwrap.fill(right, _WIDTH - 32).replace("\n", f"\n{indent}")).rstrip()
