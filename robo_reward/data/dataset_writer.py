"""Writes traces as a LeRobotDataset v3, through LeRobot's own writer, whole or not at all."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robo_reward.data.dataset_source import AGE, PLACES, POINTS, VIEW_PREFIX
from robo_reward.data.subtasks import write_keyframes
from robo_reward.errors import UserError
from robo_reward.trace import Trace

CODEC = {"vcodec": "h264", "pix_fmt": "yuv444p", "g": 2, "crf": 6}
"""Full chroma: with 4:2:0 the colours of a 64 px picture bleed (mean error 2.7/255 instead of 1.0/255)."""


def write_dataset(
    traces: Sequence[Trace],
    folder: Path,
    fps: float | None = None,
    *,
    images: bool = False,
    robot_type: str | None = None,
    hold: bool = False,
    joints: Sequence[str] | None = None,
) -> None:
    """Writes one LeRobotDataset v3 into ``folder``, which must not exist yet.

    A frame of the dataset is (state_t, action_t, next.success = success[t+1], next.reward = reward[t] where
    every trace is priced). Frames that the trace did not keep are left out, and so is what lies behind the
    last action; the reward of the steps between two kept frames is summed. ``fps`` (Hz, default: the traces'
    own over their stride) is rounded, since LeRobot counts whole frames per second. Pictures become H.264
    4:4:4 video at crf 6, or PNG in parquet with ``images``. With ``hold`` every step is written: a picture stands
    until the next one, and ``picture_age`` counts the steps since it was taken. ``simulator.places`` and
    ``simulator.points``: the traces' places and points, where all have some. ``joints``: LeRobot's names of the
    values of states and actions, which lerobot-replay sends by them. Annotated keyframes become LeRobot's sub-tasks.

    Raises:
        UserError: ``folder`` exists, no traces, or the traces differ in views, sizes or rate.
    """
    if folder.exists():
        raise UserError(f"'{folder}' exists already; give another folder or delete it first")
    if not traces:
        raise UserError("there is no episode to write; a dataset needs at least one")
    features = _features(traces, images, hold)
    if joints is not None:
        for key in ("observation.state", "action"):
            features[key]["names"] = list(joints)
    rate = max(1, round((traces[0].fps if hold else _rate(traces)) if fps is None else fps))
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        _write(traces, temporary / "dataset", folder.name, rate, features, not images, robot_type)
        os.replace(temporary / "dataset", folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write(
    traces: Sequence[Trace],
    root: Path,
    name: str,
    fps: int,
    features: Mapping[str, Any],
    videos: bool,
    robot_type: str | None,
) -> None:
    import av
    import datasets
    from lerobot.configs import RGBEncoderConfig
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    datasets.disable_progress_bars()
    av.logging.set_libav_level(av.logging.ERROR)  # LeRobot lets x264 print its statistics to stderr
    logging.getLogger("lerobot").setLevel(logging.WARNING)
    dataset = LeRobotDataset.create(
        f"local/{name}",
        fps,
        dict(features),
        root=root,
        robot_type=robot_type,
        use_videos=videos,
        video_backend="pyav",
        rgb_encoder=RGBEncoderConfig(**CODEC),
    )
    for trace in traces:
        for frame in _frames(trace, set(features)):
            dataset.add_frame(frame)
        dataset.save_episode(parallel_encoding=False)
    dataset.finalize()
    written = [_written(trace, set(features)) for trace in traces]
    ends = [np.searchsorted(steps, trace.keyframes) for steps, trace in zip(written, traces, strict=True)]
    inside = [sorted({int(e) for e in of if 0 < e < len(steps) - 1}) for of, steps in zip(ends, written, strict=True)]
    write_keyframes(root, inside, [len(steps) for steps in written], fps)


def _frames(trace: Trace, wanted: Set[str]) -> Iterator[dict[str, Any]]:
    steps = _written(trace, wanted)
    until = np.append(steps[1:], len(trace))
    rows = np.searchsorted(trace.frame_steps, steps, "right") - 1
    for row, step, following in zip(rows, steps, until, strict=True):
        frame: dict[str, Any] = {f"{VIEW_PREFIX}{view}": shown[row] for view, shown in trace.frames.items()}
        frame["observation.state"] = np.asarray(trace.state[step], np.float32)
        frame["action"] = np.asarray(trace.action[step], np.float32)
        frame["task"] = trace.task
        if trace.success is not None:
            frame["next.success"] = np.array([trace.success[following]], bool)
        if AGE in wanted:
            frame[AGE] = np.array([step - trace.frame_steps[row]], np.int64)
        if PLACES in wanted and trace.places is not None:
            frame[PLACES] = np.asarray(trace.places[step], np.float32)
        if POINTS in wanted and trace.points:
            told = [trace.points[view][step].reshape(-1) for view in sorted(trace.points)]
            frame[POINTS] = np.concatenate(told).astype(np.float32)
        if "next.reward" in wanted and trace.reward is not None:
            frame["next.reward"] = np.array([trace.reward[step:following].sum()], np.float32)
        yield frame


def _written(trace: Trace, wanted: Set[str]) -> NDArray[np.int64]:
    return np.arange(len(trace)) if AGE in wanted else _steps(trace)


def _steps(trace: Trace) -> NDArray[np.int64]:
    """The steps that are written: those with pictures (every one where there are no views) and with an
    action."""
    steps = trace.frame_steps if trace.frames else np.arange(len(trace))
    return steps[steps < len(trace)]


def _rate(traces: Sequence[Trace]) -> float:
    strides = [int(np.median(np.diff(_steps(trace)))) for trace in traces if len(_steps(trace)) > 1]
    return traces[0].fps / max(1, int(np.median(strides)) if strides else 1)


def _features(traces: Sequence[Trace], images: bool, hold: bool) -> dict[str, Any]:
    if any(len(_steps(trace)) == 0 for trace in traces):
        raise UserError("an episode without a step (an action and a picture to go with it) cannot be written")
    described = [_shapes(trace) for trace in traces]
    for index, shapes in enumerate(described):
        if shapes != described[0]:
            raise UserError(
                f"all episodes of a dataset need the same keys and shapes: episode {index} has {shapes}, "
                f"episode 0 has {described[0]}; write them as separate datasets"
            )
    features: dict[str, Any] = {}
    for key, shape in described[0].items():
        if key.startswith(VIEW_PREFIX):
            names = ["height", "width", "channels"]
            features[key] = {"dtype": "image" if images else "video", "shape": shape, "names": names}
        else:
            dtype = "bool" if key == "next.success" else "float32"
            features[key] = {"dtype": dtype, "shape": shape, "names": None}
    if POINTS in features:
        features[POINTS]["names"] = _point_names(traces[0])
    if all(trace.reward is not None for trace in traces):
        features["next.reward"] = {"dtype": "float32", "shape": (1,), "names": None}
    if hold:
        if any(not trace.frames or trace.frame_steps[:1].tolist() != [0] for trace in traces):
            raise UserError("pictures can be held only from an episode's first step on; write it without hold")
        features[AGE] = {"dtype": "int64", "shape": (1,), "names": None}
    return features


def _point_names(trace: Trace) -> list[str]:
    told = trace.points or {}
    return [f"{view}.{k}.{axis}" for view in sorted(told) for k in range(told[view].shape[1]) for axis in "xy"]


def _shapes(trace: Trace) -> dict[str, tuple[int, ...]]:
    shapes = {f"{VIEW_PREFIX}{view}": tuple(frames.shape[1:]) for view, frames in trace.frames.items()}
    shapes["observation.state"] = (trace.state.shape[1],)
    shapes["action"] = (trace.action.shape[1],)
    if trace.success is not None:
        shapes["next.success"] = (1,)
    if trace.places is not None:
        shapes[PLACES] = (trace.places.shape[1],)
    if trace.points:
        shapes[POINTS] = (len(_point_names(trace)),)
    return shapes
