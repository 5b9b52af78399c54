"""Warnings of ours as sentences: what is the matter, without the line of our code that noticed it."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def plain_warnings() -> Iterator[None]:
    """Prints warnings that robo_reward's modules raise as ``robo-reward: warning: TEXT``, all others as ever."""
    before = warnings.formatwarning

    def told(
        message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
    ) -> str:
        if _ours(category, filename):
            return f"robo-reward: warning: {message}\n"
        return before(message, category, filename, lineno, line)

    warnings.formatwarning = told
    try:
        yield
    finally:
        warnings.formatwarning = before


def _ours(category: type[Warning], filename: str) -> bool:
    if category.__module__.startswith("robo_reward."):
        return True
    modules = [module for name, module in list(sys.modules.items()) if name.startswith("robo_reward")]
    return filename in {getattr(module, "__file__", None) for module in modules}
