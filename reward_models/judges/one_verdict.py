"""Reads an answer in words as one verdict, one of few candidates, and as none where it could be several or none."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

EMPHASIS = r"[\s*_`\"']*"
MARKS = r"(?:[^\w\-\u2212]|_)*"
REASONS = r"(?:because|since)\b"
JOINS = r"(?:or|and|to|through|maybe|perhaps|possibly)\b"


@dataclass(frozen=True, slots=True)
class Found:
    """``index`` of the candidate; it stands at ``text[at]``, and ``text[start:end]`` tells its place from others."""

    index: int
    start: int
    at: int
    end: int


def find_verdict(text: str, lead: str, candidates: Sequence[str]) -> Found | None:
    """The candidate behind the last ``lead``, or the one that the first line is, in an answer without the lead.

    Case and marks such as ``**`` do not matter. None unless it is one verdict: nothing else is glued to it (``50``,
    ``4.5``, ``3%``), no word follows without a mark (``5 objects``; ``4 of 5``, ``4/5`` and reasons are read, with
    numbers too: ``4 (1 block missing)``), it is no choice or range (``3-4``, ``1, 2 or 3``), and no other verdict
    stands beside it. A later line, in other words than "or", replaces an earlier verdict.
    """
    word = "|".join(re.escape(c) for c in candidates)
    one = re.compile(rf"{MARKS}(?<![.,\-\u2212])({word})(?![^\W_])", re.IGNORECASE)
    key = EMPHASIS.join(re.escape(part) for part in re.findall(r"\w+|[^\w\s]", lead))
    leads = list(re.finditer(key, text, re.IGNORECASE)) if key else []
    found = one.match(text, leads[-1].end() if leads else 0)
    if found is None:
        return None
    index = _index_of(found[1], candidates)
    line, _, later = text[found.end() :].partition("\n")
    if candidates[-1].isdigit():  # how long the scale is
        line = re.sub(rf"^{EMPHASIS}(?:/|out of\b|of\b)\s*{candidates[-1]}(?!\w)", "", line, flags=re.IGNORECASE)
    if not leads:
        others = [other for other in map(one.match, later.splitlines()) if other is not None]
        alone = re.fullmatch(r"(?:[^\w%]|_)*", line) and all(_index_of(o[1], candidates) == index for o in others)
        return Found(index, 0, found.start(1), len(text)) if alone else None
    glued = re.match(rf"{EMPHASIS}%|[^\w\s(]*\d|[\s*_`\"']+(?!{REASONS})[^\W_]", line, re.IGNORECASE)
    other = rf"(?:{word}|\d[\d.]*)(?![^\W_])"
    joined = re.match(
        rf"(?:[\W_]*{JOINS}[\W_]*{other})|(?:[\W_]*{other}(?:[\W_]*$|[\W_]*{JOINS}|[\W_]*\d|%))", line, re.I
    )
    if glued or joined:
        return None
    earlier = (other for other in (one.match(text, e.end()) for e in reversed(leads[:-1])) if other is not None)
    last = next((other.end() for other in earlier if _index_of(other[1], candidates) != index), None)
    if last is not None and are_alternatives(text[last : leads[-1].start()]):
        return None
    return Found(index, leads[-1].start(), found.start(1), found.end(1))


def are_alternatives(between: str) -> bool:
    """Whether two verdicts with this text between them are a choice: one line, or no words but "or" and the like."""
    words = re.findall(r"[^\W_]+", between)
    return "\n" not in between or all(word.casefold() in ("or", "and", "to") for word in words)


def spelled(token: str, candidates: Sequence[str]) -> int | None:
    """Which candidate a token stands for: spelled out, in any case and with marks, or as the beginning of only one."""
    bare = token.strip(" \t\r\n*_`\"'()[]<>:.,;!").casefold()
    folded = [c.casefold() for c in candidates]
    if bare in folded:
        return folded.index(bare)
    begun = [k for k, c in enumerate(folded) if bare and c.startswith(bare)]
    return begun[0] if len(begun) == 1 else None


def _index_of(word: str, candidates: Sequence[str]) -> int:
    return [c.casefold() for c in candidates].index(word.casefold())
