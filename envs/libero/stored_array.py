"""Reads the one array in a file of initial states from its bytes: nothing that the file says is executed."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from robo_reward.errors import UserError

PAIR = re.compile(rb"(K.|M..)(K.|M..)\x86", re.DOTALL)
"""A shape as the files write it: two numbers of one (K) or two (M) bytes, then the mark of a pair."""
LEAST = 1000
"""Bytes; the table is longer, everything else that the files hold is shorter."""


def read_array(file: Path) -> NDArray[np.float64]:
    """The two-dimensional float64 array (n, m) that LIBERO's authors stored in a zip archive.

    Raises:
        UserError: the file is missing, or holds anything else.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            data = archive.read(next(n for n in archive.namelist() if n.endswith("data.pkl")))
        stored = _long_text(data).encode("latin-1")
    except (OSError, StopIteration, ValueError, zipfile.BadZipFile) as error:
        raise UserError(f"the initial states '{file}' cannot be read ({error}); install hf-libero again") from error
    for pair in PAIR.finditer(data):
        rows, columns = (int.from_bytes(number[1:], "little") for number in pair.groups())
        if rows * columns and 8 * rows * columns == len(stored):
            return np.frombuffer(stored, "<f8").reshape(rows, columns).copy()
    raise UserError(f"the initial states '{file}' hold no table of float64 numbers; install hf-libero again")


def _long_text(data: bytes) -> str:
    """The first text of ``LEAST`` bytes or more: an X, its length in four bytes, then UTF-8. "" where there is none."""
    for mark in re.finditer(b"X", data):
        start = mark.end() + 4
        length = int.from_bytes(data[mark.end() : start], "little")
        if LEAST <= length <= len(data) - start:
            return data[start : start + length].decode("utf-8")
    return ""
