"""Where places lie in a camera's picture: labels for auxiliary losses, nothing for a policy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import mujoco

BEHIND = -1.0
"""What is told of both numbers of a place behind the camera: outside of every picture, and still a number."""
NEAREST = 1e-3
"""Metres ahead of the camera from which on a place counts as before it."""


def pixels(
    model: mujoco.MjModel, data: mujoco.MjData, camera: str, places: NDArray[np.float32], aspect: float
) -> NDArray[np.float32]:
    """(K, 2): places (K, 3), metres in world axes, as shares of the picture from its left and from its top.

    ``aspect``: width over height. Outside [0, 1] lies what the picture does not show. A pinhole camera that looks along
    its negative z axis, y up, ``cam_fovy`` degrees from top to bottom (MuJoCo's).
    """
    number = model.camera(camera).id
    seen = (places - data.cam_xpos[number]) @ data.cam_xmat[number].reshape(3, 3)
    ahead = -seen[:, 2]
    high = np.tan(np.radians(model.cam_fovy[number]) / 2) * np.maximum(ahead, NEAREST)
    shares = np.stack([0.5 + 0.5 * seen[:, 0] / (aspect * high), 0.5 - 0.5 * seen[:, 1] / high], 1)
    return np.where(ahead[:, None] > NEAREST, shares, BEHIND).astype(np.float32)
