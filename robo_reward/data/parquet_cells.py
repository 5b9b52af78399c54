"""What the columns of a dataset's parquet files hold, as arrays; what is damaged is refused, its episode named."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robo_reward.errors import UserError


def matrix(column: Any, what: str) -> NDArray[np.float32]:
    """(L, D) numbers of a column of L rows, scalars or lists.

    Raises:
        UserError: rows of several lengths, or without a value.
    """
    try:
        rows = np.asarray(column.to_pylist(), np.float32)
    except (ValueError, TypeError):
        raise UserError(f"{what} is damaged: a row has no value, or another length than the others") from None
    return rows.reshape(len(rows), -1)


def pictures(column: Any, steps: NDArray[np.int64], what: str) -> NDArray[np.uint8]:
    """(F, H, W, 3) pictures of a column of encoded ones (PNG and the like), at some of its rows.

    Raises:
        UserError: a picture that is missing or cannot be decoded, or of another size than the first.
    """
    found: list[NDArray[np.uint8]] = []
    for step in steps:
        found.append(_picture(column[int(step)].as_py(), f"{what}, frame {step},"))
        if found[-1].shape != found[0].shape:
            sizes = " and ".join(f"{f.shape[1]}x{f.shape[0]}" for f in (found[0], found[-1]))
            raise UserError(
                f"{what} has pictures of several sizes, {sizes} at frame {step}: record it anew, or leave it out"
            )
    return np.stack(found)


def _picture(cell: Any, what: str) -> NDArray[np.uint8]:
    from PIL import Image

    try:
        picture = Image.open(io.BytesIO(cell["bytes"]) if cell["bytes"] else cell["path"])
        return np.asarray(picture.convert("RGB"), np.uint8)
    except (
        OSError,
        SyntaxError,
        TypeError,
        KeyError,
        ValueError,
        AttributeError,
        Image.DecompressionBombError,
    ) as error:
        raise UserError(
            f"{what} holds no picture that can be decoded ({type(error).__name__}): leave it out"
        ) from error
