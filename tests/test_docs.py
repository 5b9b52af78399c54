"""Every command that README and docs show: its verb exists, and its words make a config."""

import re
import shlex
from functools import cache
from pathlib import Path

import pytest
from hydra import compose, initialize_config_module
from hydra.core.global_hydra import GlobalHydra

from robo_reward.cli import help_pages

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```\w*\n(.*?)^```", re.M | re.S)
INLINE = re.compile(r"`([^`\n]+)`")
COMMAND = re.compile(r"(?:^|\s)robo-reward ([a-z]+\b.*)")


@cache
def commands() -> tuple[tuple[str, str], ...]:
    """(page, words after ``robo-reward``), each once."""
    found = {}
    for page in PAGES:
        text = page.read_text("utf-8")
        fenced = [line for block in FENCE.findall(text) for line in block.replace("\\\n", " ").splitlines()]
        for line in [*fenced, *INLINE.findall(FENCE.sub("", text))]:
            if shown := COMMAND.search(line):
                found.setdefault(shown[1].strip(), page.name)
    return tuple((page, words) for words, page in found.items())


def overrides(words: list[str]) -> list[str]:
    """Without what stands for more (``...``) and the brackets around what may be left out."""
    kept = [word for word in words if "..." not in word and word != "-m"]
    return [word[1:-1] if word.startswith("[") and word.endswith("]") else word for word in kept]


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_a_page_has_a_title_and_its_links_lead_somewhere(page: Path) -> None:
    text = page.read_text("utf-8")
    assert re.search(r"^(# \S|<h1)", text, re.M), f"{page.name} is empty or has no title"
    for target in re.findall(r"\]\(([^)#\s]+)", FENCE.sub("", text)):
        if "://" not in target and not target.startswith("mailto:"):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_pages_show_commands() -> None:
    assert len(commands()) > 80


@pytest.mark.parametrize(("page", "line"), commands(), ids=[f"{page}: {line}" for page, line in commands()])
def test_a_shown_command_makes_a_config(page: str, line: str) -> None:
    verb, *words = shlex.split(line, comments=True)
    if verb in ("completion", "VERB"):
        return
    assert verb in help_pages.verbs(), f"{page} shows a verb that does not exist"
    if "--config-dir" in words or "--help" in words:
        return  # the folder is the reader's own
    GlobalHydra.instance().clear()
    with initialize_config_module("robo_reward.configs", version_base="1.3"):
        compose(verb, overrides(words), return_hydra_config=False)
