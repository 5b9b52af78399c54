"""Every setting that README and docs name is one of some verb's, with ``+`` in front where no yaml has it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import zip_longest
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from robo_reward.cli import help_pages

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```\w*\n(.*?)^```", re.M | re.S)
INLINE = re.compile(r"`([^`\n]+)`")
SETTING = re.compile(r"(?:^|(?<=\s))(\+{0,2})([a-z_]+(?:\.[a-z_0-9]+)+)=")
NAME = re.compile(r"([a-z_]+)((?:\.[a-z_0-9]+)+)")
FILES = (".html", ".json", ".jsonl", ".md", ".mp4", ".png", ".py", ".sock", ".yaml")
CONFIGS = ROOT / "configs"


@cache
def configs() -> tuple[frozenset[str], ...]:
    """The keys of configs in which each option of each group is chosen once, of all groups at a time."""
    left = {group.name: sorted(path.stem for path in group.glob("*.yaml")) for group in CONFIGS.iterdir()}
    made = []
    GlobalHydra.instance().clear()
    with initialize_config_module("robo_reward.configs", version_base="1.3"):
        for verb in sorted(help_pages.verbs(), key=lambda verb: verb != "train"):
            chosen = compose(verb, return_hydra_config=True).hydra.runtime.choices
            groups = [group for group in chosen if left.get(group)]
            alone = [[f"experiment={name}"] for name in (left.pop("experiment") if "experiment" in groups else ())]
            options = [[f"{group}={name}" for name in left.pop(group)] for group in groups if group != "experiment"]
            for words in [[], *alone, *zip_longest(*options)]:
                config = OmegaConf.to_container(compose(verb, [word for word in words if word]))
                made.append(frozenset(keys(config)))
    return tuple(made)


def keys(node: Any, before: str = "") -> Iterator[str]:
    """All dotted keys, those of mappings too."""
    for name, value in node.items() if isinstance(node, Mapping) else ():
        yield f"{before}{name}"
        yield from keys(value, f"{before}{name}.")


def spans() -> Iterator[tuple[Path, str]]:
    """What stands in backticks and is no command line of its own (``test_docs``) or of another program."""
    for page in PAGES:
        for span in INLINE.findall(FENCE.sub("", page.read_text("utf-8"))):
            if not re.match(r"(robo-reward|lerobot-\w+|-)", span):
                yield page, span


def has(key: str) -> bool:
    """Whether some config has the key, or one that ends so: pages on learners leave ``learner`` out."""
    return any(known == key or known.endswith(f".{key}") for config in configs() for known in config)


def lacks(key: str) -> bool:
    """Whether some config could be given the key and does not have it."""
    parent = key.rpartition(".")[0]
    return any(parent in config and key not in config for config in configs())


def test_settings_with_a_value_are_taken_as_written() -> None:
    shown = {(plus, key): page.name for page, span in spans() for plus, key in SETTING.findall(span)}
    assert len(shown) > 80
    wrong = [f"{page}: {plus}{key}" for (plus, key), page in shown.items() if not (lacks(key) if plus else has(key))]
    assert not wrong, f"no config takes these as written: {wrong}"


def test_settings_that_are_only_named_exist() -> None:
    groups = {path.name for path in CONFIGS.iterdir() if path.is_dir()} | {"bounds", "fit", "group", "ppo", "update"}
    named = {span: page.name for page, span in spans() if (m := NAME.fullmatch(span)) and m[1] in groups}
    wrong = [f"{page}: {key}" for key, page in named.items() if not key.endswith(FILES) and not has(key)]
    assert not wrong, f"no config has these: {wrong}"
