"""From a trace to the samples that LeRobot's reward models read: single frames, windows, or the video so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robo_reward.contracts import Frames
from robo_reward.errors import UserError
from robo_reward.trace import Trace

Shape = Literal["frame", "window", "prefix"]
VIEW_PREFIX = "observation.images."


def shape_of(config: Any) -> Shape:
    """Which samples a model of this configuration reads."""
    if hasattr(config, "max_frames"):
        return "prefix"
    return "window" if config.observation_delta_indices else "frame"


def image_keys(config: Any) -> list[str]:
    """The pictures that it reads, by LeRobot's keys."""
    if shape_of(config) != "frame" and hasattr(config, "image_key"):
        return [config.image_key]
    if hasattr(config, "views"):
        return [VIEW_PREFIX + view for view in config.views]
    return [key for key in config.input_features if key.startswith("observation.image")]


def keys_of_views(config: Any, views: Sequence[str]) -> dict[str, str]:
    """View -> LeRobot's key: by name where they agree, else in order.

    Raises:
        UserError: where the model reads another number of cameras.
    """
    keys = image_keys(config)
    if all(VIEW_PREFIX + view in keys for view in views) and len(views) == len(keys):
        return {view: VIEW_PREFIX + view for view in views}
    if len(views) != len(keys):
        raise UserError(
            f"this {config.type} reads {len(keys)} camera(s) ({', '.join(keys) or 'none'}), views names "
            f"{len(views)} ({', '.join(views) or 'none'}): set reward_model.views to as many, in that order"
        )
    return dict(zip(views, keys, strict=True))


def frame_batch(
    frames: Mapping[str, Frames], keys: Mapping[str, str], state: NDArray[np.float32], tasks: Sequence[str]
) -> dict[str, Any]:
    """LeRobot's batch of N single frames, pictures (N, C, H, W) float in [0, 1]."""
    batch: dict[str, Any] = {key: to_pictures(frames[view]) for view, key in keys.items()}
    count = len(state)
    more = {"index": torch.zeros(count, dtype=torch.long), "episode_index": torch.zeros(count, dtype=torch.long)}
    return batch | {"observation.state": torch.from_numpy(state), "task": list(tasks)} | more


def window_batch(trace: Trace, at: Sequence[int], keys: Mapping[str, str], config: Any) -> dict[str, Any]:
    """Windows (B, T, ...) around the kept frames ``at``, by the configuration's deltas in steps, inside the episode."""
    steps = trace.frame_steps[list(at)][:, None] + np.asarray(config.observation_delta_indices)
    rows = _nearest(trace.frame_steps, np.clip(steps, 0, len(trace)))
    batch: dict[str, Any] = {key: to_pictures(trace.frames[view][rows]) for view, key in keys.items()}
    batch[getattr(config, "state_key", "observation.state")] = torch.from_numpy(trace.state[trace.frame_steps[rows]])
    batch["index"] = torch.as_tensor(trace.frame_steps[list(at)])
    return batch | {"task": [trace.task] * len(at), "episode_index": torch.zeros(len(at), dtype=torch.long)}


def prefix_batch(trace: Trace, at: Sequence[int], keys: Mapping[str, str], config: Any) -> dict[str, Any]:
    """The video up to each kept frame of ``at``, (B, T, C, H, W), T = ``max_frames`` evenly spaced, both ends kept."""
    count = config.max_frames or len(trace.frame_steps)
    rows = np.stack([np.linspace(0, end, count).round().astype(np.int64) for end in at])
    batch: dict[str, Any] = {key: to_pictures(trace.frames[view][rows]) for view, key in keys.items()}
    return batch | {getattr(config, "task_key", "task"): [trace.task] * len(at)}


def to_pictures(frames: NDArray[np.uint8]) -> Tensor:
    """(..., H, W, 3) uint8 -> (..., 3, H, W) float32 in [0, 1], as LeRobot's loader gives them."""
    return torch.tensor(frames).movedim(-1, -3).float() / 255


def _nearest(kept: NDArray[np.int64], steps: NDArray[np.int64]) -> NDArray[np.int64]:
    """Which kept frame lies nearest to each step."""
    rows: NDArray[np.int64] = np.abs(kept[:, None, None] - steps[None]).argmin(0)
    return rows
