"""The words of an instruction, whatever its script, and which instructions say the same."""

from __future__ import annotations

import unicodedata
from itertools import groupby


def words(text: str) -> list[str]:
    """Lower-case words without punctuation: runs of letters, digits and their marks of any script."""
    lower = unicodedata.normalize("NFKC", text).lower()
    return ["".join(run) for spoken, run in groupby(lower, _spoken) if spoken]


def _spoken(character: str) -> bool:
    return character.isalnum() or unicodedata.category(character).startswith("M")
