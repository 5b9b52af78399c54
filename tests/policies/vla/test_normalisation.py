"""Whether a checkpoint's statistics fit the data: other units in either direction, and tasks that move less."""

from __future__ import annotations

import numpy as np
import pytest

from robo_reward.errors import UserError
from robo_reward.policies.vla.normalisation import check_stats

DEGREES = {"mean": np.array([30.0, -45, 60, 10, 5, 20]), "std": np.array([20.0, 25, 22, 18, 15, 12])}
RADIANS = {name: np.radians(values) for name, values in DEGREES.items()}


def check(checkpoint: dict[str, np.ndarray], data: dict[str, np.ndarray]) -> None:
    check_stats("act", {"action": checkpoint}, {"action": data})


def with_spread(data: dict[str, np.ndarray], **spread: float) -> dict[str, np.ndarray]:
    """The data with other deviations of some dimensions, ``_0=0.1``."""
    std = data["std"].copy()
    for name, value in spread.items():
        std[int(name[1:])] = value
    return {**data, "std": std}


@pytest.mark.parametrize(("checkpoint", "data"), [(DEGREES, RADIANS), (RADIANS, DEGREES)], ids=["narrow", "wide"])
def test_another_unit_is_refused_in_both_directions(
    checkpoint: dict[str, np.ndarray], data: dict[str, np.ndarray]
) -> None:
    with pytest.raises(UserError, match=r"action\[0\] by mean .* another unit or robot\?"):
        check(checkpoint, data)


def test_another_unit_is_known_where_the_gripper_has_the_same() -> None:
    mixed = {name: np.where(np.arange(6) == 5, DEGREES[name], RADIANS[name]) for name in DEGREES}
    with pytest.raises(UserError, match=r"mean 30 and deviation 20, the data have 0\.524 and 0\.349"):
        check(DEGREES, mixed)


def test_what_does_not_move_or_hardly_moves_in_a_task_is_taken() -> None:
    check(DEGREES, DEGREES)
    check(DEGREES, with_spread(DEGREES, _0=0.0, _1=0.0, _2=0.0, _3=0.0, _4=0.0, _5=0.0))
    check(DEGREES, with_spread(DEGREES, _0=0.0, _1=1e-5, _3=0.5, _4=0.2))
    check(DEGREES, {**DEGREES, "std": DEGREES["std"] / 5})
