"""Values that hydra's grammar cannot read, such as paths with brackets or umlauts: quoted, so that it takes them."""

from __future__ import annotations

import os
import re


def readable(word: str) -> str:
    """A ``KEY=VALUE`` as hydra reads it; anything else, and what hydra reads as it is, stays.

    A slip in a list or a mapping stays one, for hydra to tell. ``~/`` at the beginning of a value is the home folder:
    shells expand it at the beginning of a word only.
    """
    key, equals, value = word.partition("=")
    if not equals or not re.fullmatch(r"\+{0,2}[\w./@:-]+", key):
        return word
    if value.startswith("~/"):
        value = os.path.expanduser(value)
    plain = f"{key}={value}"
    if _reads(plain):
        return plain
    quoted = f"{key}='" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    return plain if value.startswith(("[", "{")) or not _reads(quoted) else quoted


def _reads(word: str) -> bool:
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        OverridesParser.create().parse_override(word)
    except HydraException:
        return False
    return True
