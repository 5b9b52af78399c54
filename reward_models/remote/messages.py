"""What goes over the wire in our words: observations, transitions, traces and estimates as named arrays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

import numpy as np

from robo_reward.contracts import Estimate, Flags, Floats, Frames, Needs, Observation, Transition
from robo_reward.errors import UserError
from robo_reward.reward_models.remote.wire import Arrays, Message, WireError
from robo_reward.trace import Trace

VIEW = "view/"


class Unsent(Mapping[str, Frames]):
    """Stands for frames that are not sent: those before a step, which a local model cannot rely on either."""

    def __getitem__(self, key: str) -> Frames:
        raise UserError(f"frames before a step are not sent to a reward server; view '{key}' cannot be read")

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def pack_begin(first: Observation, fresh: Flags, views: Sequence[str], fewer: bool = False) -> Message:
    """``RewardModel.begin`` as a message; only the views that the model reads are read and sent.

    ``fewer``: it does without some of them, here and in the other messages. UserError for one that is missing.
    """
    arrays = {**_views(first.views, views, fewer), "state": first.state, "fresh": np.asarray(fresh, bool)}
    return Message("begin", {"task": list(first.task)}, arrays)


def unpack_begin(message: Message) -> tuple[Observation, Flags]:
    """Takes back what ``pack_begin`` gave."""
    arrays = _need(message, "state", "fresh")
    return Observation(_frames(message), arrays["state"], _task(message)), arrays["fresh"].astype(bool)


def pack_step(transition: Transition, look: Flags, views: Sequence[str], fewer: bool = False) -> Message:
    """``LooksApart.estimate_where`` as a message, without the frames before the step."""
    arrays = {
        "look": np.asarray(look, bool),
        **_views(transition.after.views, views, fewer),
        "before": transition.before.state,
        "after": transition.after.state,
        "action": transition.action,
        "env_reward": transition.env_reward,
        "terminated": transition.terminated,
        "truncated": transition.truncated,
    }
    return Message("estimate", {"task": list(transition.after.task)}, arrays)


def unpack_step(message: Message) -> tuple[Transition, Flags]:
    """Takes back what ``pack_step`` gave."""
    a = _need(message, "look", "before", "after", "action", "env_reward", "terminated", "truncated")
    task = _task(message)
    before, after = Observation(Unsent(), a["before"], task), Observation(_frames(message), a["after"], task)
    ends = a["terminated"].astype(bool), a["truncated"].astype(bool)
    return Transition(before, a["action"], after, a["env_reward"], *ends), a["look"].astype(bool)


def pack_trace(trace: Trace, views: Sequence[str], fewer: bool = False) -> Message:
    """``RewardModel.estimate_episode`` as a message."""
    arrays = {**_views(trace.frames, views, fewer), "state": trace.state, "action": trace.action}
    arrays["frame_steps"] = trace.frame_steps
    for name in ("success", "env_reward"):
        value = getattr(trace, name)
        if value is not None:
            arrays[name] = value
    told: dict[str, Any] = {name: getattr(trace, name) for name in ("task", "source", "terminated", "truncated")}
    told |= {"fps": float(trace.fps), "meta": {k: float(v) for k, v in trace.meta.items()}}
    return Message("estimate_episode", told, arrays)


def unpack_trace(message: Message) -> Trace:
    """Takes back what ``pack_trace`` gave. Raises WireError for what is no episode."""
    arrays = dict(_need(message, "state", "action", "frame_steps"))
    told = message.fields
    try:
        return Trace(
            task=str(told["task"]),
            state=arrays["state"],
            action=arrays["action"],
            frames=_frames(message),
            frame_steps=arrays["frame_steps"],
            fps=float(told["fps"]),
            source=told["source"],
            terminated=bool(told["terminated"]),
            truncated=bool(told["truncated"]),
            success=arrays.get("success"),
            env_reward=arrays.get("env_reward"),
            meta=dict(told["meta"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise WireError(f"this is no episode: {error}") from error


def pack_group(traces: Sequence[Trace], success: Flags | None, views: Sequence[str], fewer: bool = False) -> Message:
    """``GroupRewardModel.estimate_group`` as a message: each episode's arrays under its number."""
    packed = [pack_trace(trace, views, fewer) for trace in traces]
    arrays = {f"{k}/{name}": array for k, one in enumerate(packed) for name, array in one.arrays.items()}
    if success is not None:
        arrays["succeeded"] = np.asarray(success, bool)
    return Message("estimate_group", {"episodes": [dict(one.fields) for one in packed]}, arrays)


def unpack_group(message: Message) -> tuple[list[Trace], Flags | None]:
    """Takes back what ``pack_group`` gave; errors as ``unpack_trace``."""
    told = message.fields.get("episodes")
    if not isinstance(told, list) or not all(isinstance(one, dict) for one in told):
        raise WireError("a message 'estimate_group' does not say which episodes it is about")
    held: list[Arrays] = [{} for _ in told]
    for name, array in message.arrays.items():
        number, _, rest = name.partition("/")
        if number.isdecimal() and int(number) < len(held):
            held[int(number)][rest] = array
    traces = [unpack_trace(Message(message.kind, one, arrays)) for one, arrays in zip(told, held, strict=True)]
    success = message.arrays.get("succeeded")
    return traces, None if success is None else success.astype(bool)


def pack_rewards(rewards: Floats) -> Message:
    """The answer for a group."""
    return Message("answer", {}, {"rewards": np.asarray(rewards, np.float32)})


def unpack_rewards(message: Message, count: int) -> Floats:
    """Rewards of ``count`` episodes. Raises WireError for another length, and for values that are not finite."""
    rewards: Floats = _need(message, "rewards")["rewards"]
    if rewards.shape != (count,) or not np.isfinite(rewards).all():
        raise WireError(f"the server's rewards have the shape {rewards.shape} for {count} episodes, or are not finite")
    return rewards


def pack_estimate(estimate: Estimate) -> Message:
    """The answer for steps or an episode."""
    held = {f.name: getattr(estimate, f.name) for f in fields(estimate)}
    return Message("answer", {}, {k: np.asarray(v, np.float32) for k, v in held.items() if v is not None})


def unpack_estimate(message: Message, count: int) -> Estimate:
    """An answer of ``count`` rows. Raises WireError for another length, and for values that are not finite."""
    arrays = _need(message, "progress", "gain", "success", "uncertainty")
    for name, value in message.arrays.items():
        if value.shape != (count,) or not np.isfinite(value).all():
            raise WireError(f"the server's '{name}' has the shape {value.shape} for {count} frames, or is not finite")
    return Estimate(**{f.name: arrays.get(f.name) for f in fields(Estimate)})  # type: ignore[arg-type]


def pack_needs(needs: Needs) -> dict[str, Any]:
    """For the header of a greeting."""
    return {**asdict(needs), "views": list(needs.views)}


def unpack_needs(told: Any) -> Needs:
    """Takes back what ``pack_needs`` gave."""
    try:
        views = tuple(str(view) for view in told["views"])
        return Needs(views, int(told["stride"]), bool(told["episode"]), told["oracle"])
    except (KeyError, TypeError, ValueError) as error:
        raise WireError(f"the server does not say what it needs: {error!r}") from error


def _views(views: Mapping[str, Frames], names: Sequence[str], fewer: bool) -> Arrays:
    missing = [name for name in names if name not in views]
    if missing and (not fewer or len(missing) == len(names)):
        raise UserError(
            f"the served reward model reads the view '{missing[0]}', these pictures are of {sorted(views)}: "
            f"set env.views={list(names)}"
        )
    return {VIEW + name: views[name] for name in names if name in views}


def _frames(message: Message) -> dict[str, Frames]:
    return {name.removeprefix(VIEW): array for name, array in message.arrays.items() if name.startswith(VIEW)}


def _task(message: Message) -> tuple[str, ...]:
    return tuple(str(task) for task in message.fields.get("task", ()))


def _need(message: Message, *names: str) -> Mapping[str, Any]:
    missing = [name for name in names if name not in message.arrays]
    if missing:
        raise WireError(f"a message '{message.kind}' lacks {', '.join(missing)}")
    return message.arrays
