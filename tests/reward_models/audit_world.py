"""A pictured world whose truth can be read off its pictures, sound rewards on it, and one bad reward per probe."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from robo_reward.contracts import Estimate, Flags, Floats, Landmarks, Needs, Observation, Oracle, Transition
from robo_reward.sealed_log import Outcome, SealedLog
from robo_reward.trace import Trace

TASK, GOAL = "push the box to the green mark", 0.95
WIDTH, HEIGHT, LEFT, RIGHT = 96, 16, 12, 84
VIEWS = ("front", "back")
BOX, MARK, END, ROBOT = (230, 40, 40), (40, 40, 230), (40, 230, 40), (230, 230, 40)


def draw(robot: float, box: float, view: str) -> NDArray[np.uint8]:
    """Start and end marks, robot above, box below; the back camera sees everything mirrored, on another ground."""
    frame = np.full((HEIGHT, WIDTH, 3), 90 if view == "front" else 120, np.uint8)
    for place, colour, rows in ((0, MARK, (13, 16)), (1, END, (13, 16)), (robot, ROBOT, (1, 6)), (box, BOX, (7, 12))):
        column = round(LEFT + place * (RIGHT - LEFT))
        frame[slice(*rows), column - 1 : column + 2] = colour
    return frame if view == "front" else frame[:, ::-1].copy()


class BoxWorld:
    """A robot on a line that drags a box from near 0 to 1; action (1,) in [-1, 1] moves it 0.05. Dense reward: box."""

    num_worlds, name, fps, horizon, state_size = 1, "box", 10.0, 40, 2
    view_names: tuple[str, ...] = VIEWS
    action_space: spaces.Box = spaces.Box(-1, 1, (1,), np.float32)
    landmarks: Landmarks | None = None
    frames_rendered, render_seconds, nan_resets = 0, 0.0, 0

    def __init__(self, num_worlds: int = 1, oracle: Oracle = "reward") -> None:
        self.oracle, self.sealed = oracle, SealedLog()
        self._robot = self._box = self._sum = 0.0
        self._held, self._steps, self._won = True, 0, False

    def reset(self, seed: int) -> Observation:
        self._seed = seed
        self._robot = self._box = float(np.random.default_rng(seed).uniform(0, 0.08))
        self._held, self._steps, self._won, self._sum = True, 0, False, 0.0
        return self.observe()

    def step(self, action: Floats) -> Transition:
        before = self.observe()
        self._robot = float(np.clip(self._robot + 0.05 * np.clip(action[0, 0], -1, 1), 0, 1))
        self._box = self._robot if self._held else self._box
        self._steps += 1
        self._won, self._sum = self._won or self._box >= GOAL, self._sum + self._box
        reward = np.array([self._box if self.oracle == "reward" else np.nan], np.float32)
        after, done = self.observe(), np.array([self._steps >= self.horizon])
        if done[0]:
            self.sealed.write(Outcome(self._won, self._sum, self._steps))
            self.reset(self._seed + 1)
        return Transition(before, action, after, reward, np.array([False]), done)

    def observe(self) -> Observation:
        views = {view: draw(self._robot, self._box, view)[None] for view in VIEWS}
        return Observation(views, np.array([[self._robot, self._box]], np.float32), (TASK,))

    def object_pose(self) -> float:
        return self._box

    def put_objects(self, pose: float) -> None:
        self._box, self._held = pose, False

    def expert_action(self) -> Floats:
        return np.ones((1, 1), np.float32)

    def annotated_success(self) -> Flags:
        return np.array([self._box >= GOAL])

    def keep_final(self, views: Any) -> None: ...

    def snapshot(self) -> list[Any]:
        return [self._robot, self._box]

    def restore(self, snapshot: list[Any]) -> Observation:
        self._robot, self._box = snapshot
        return self.observe()

    def close(self) -> None: ...


class SimulatorProgress:
    """The truth: the box's place in the state."""

    views: tuple[str, ...] = ()

    def __init__(self, **ignored: Any) -> None:
        self.needs = Needs(views=self.views)

    def begin(self, first: Observation, fresh: Flags) -> Estimate:
        raise AssertionError("audits price whole episodes")

    def estimate(self, transition: Transition) -> Estimate:
        raise AssertionError("audits price whole episodes")

    def estimate_episode(self, trace: Trace) -> Estimate:
        progress = np.clip(self.twist(self.read(trace), trace), 0, 1).astype(np.float32)
        progress = progress if trace.task == TASK else self.other_task(progress)
        gain = np.diff(progress, prepend=progress[:1])
        return Estimate(progress, gain, self.called(progress), np.zeros_like(progress))

    def read(self, trace: Trace) -> NDArray[np.float64]:
        return trace.state[trace.frame_steps, 1].astype(np.float64)

    def twist(self, progress: NDArray[np.float64], trace: Trace) -> NDArray[np.float64]:
        return progress

    def other_task(self, progress: Floats) -> Floats:
        return np.zeros_like(progress)

    def called(self, progress: Floats) -> Floats:
        return (progress >= GOAL - 0.02).astype(np.float32)


class Decoder(SimulatorProgress):
    """Reads the box's place between the marks from the first view that shows all three, 0 where none does."""

    views = VIEWS

    def read(self, trace: Trace) -> NDArray[np.float64]:
        return self.places(trace)

    def places(self, trace: Trace, what: Any = BOX) -> NDArray[np.float64]:
        """(T,): where between the marks the colour ``what`` is."""
        found = np.full(len(trace.frame_steps), np.nan)
        for view in VIEWS:
            start, end, box = (places_of(trace.frames[view], colour) for colour in (MARK, END, what))
            found = np.where(np.isnan(found), (box - start) / (end - start), found)
        return np.nan_to_num(found)


def places_of(frames: NDArray[np.uint8], colour: tuple[int, int, int]) -> NDArray[np.float64]:
    """(T,): the middle column of a colour in each of ``frames``, which survives noise; NaN where it is not seen."""
    near: NDArray[np.bool_] = np.ones(frames.shape[:3], bool)
    for channel, value in enumerate(colour):
        seen = frames[..., channel]
        near &= (seen > max(-1, value - 55)) & (seen < min(256, value + 55))
    columns = np.asarray(near.any(1))
    count, first = columns.sum(1), columns.argmax(1)
    last = columns.shape[1] - 1 - columns[:, ::-1].argmax(1)
    middle = np.where(count == 3, columns @ np.arange(columns.shape[1]) - first - last, (first + last) / 2)
    return np.where((count >= 1) & (count <= 3), middle, np.nan)


# --- one bad reward per probe -----------------------------------------------------------------------------------------


class LikesStillness(Decoder):
    """Nothing moved for eight frames: it must be done."""

    def twist(self, progress: NDArray[np.float64], trace: Trace) -> NDArray[np.float64]:
        still = [k >= 8 and np.ptp(progress[k - 8 : k + 1]) == 0 for k in range(len(progress))]
        return np.where(still, 1.0, progress)


class LikesTrembling(Decoder):
    """Pays each turn that follows a turn at once."""

    def twist(self, progress: NDArray[np.float64], trace: Trace) -> NDArray[np.float64]:
        step = np.sign(np.diff(progress, prepend=progress[:1]))
        turned = np.concatenate([[False], step[1:] * step[:-1] < 0])
        twice = turned & np.concatenate([[False], turned[:-1]])
        return progress + 0.15 * np.cumsum(twice)


class Clock(Decoder):
    """As long as little is done, progress is the share of the time that has passed, if anything moved at all."""

    def twist(self, progress: NDArray[np.float64], trace: Trace) -> NDArray[np.float64]:
        alive = np.ptp(progress) > 0.02
        early = alive & (progress < 0.3)
        return np.maximum(progress, 0.8 * early * np.linspace(0, 1, len(progress)))


class FarFromTheStart(Decoder):
    """Progress is how different it looks from the first frame."""

    def twist(self, progress: NDArray[np.float64], trace: Trace) -> NDArray[np.float64]:
        return np.abs(progress - progress[0]) * 1.08


class Deaf(Decoder):
    """Never read the instruction."""

    def other_task(self, progress: Floats) -> Floats:
        return progress


class LikesDarkness(Decoder):
    """A dark picture looks like the inside of the goal."""

    def twist(self, progress: NDArray[np.float64], trace: Trace) -> NDArray[np.float64]:
        dark = np.any([frames.mean((1, 2, 3)) < 30 for frames in trace.frames.values()], 0)
        return np.where(dark, 1.0, progress)


class TrustsCables(Decoder):
    """Takes the back view for mirrored without looking at its marks."""

    def read(self, trace: Trace) -> NDArray[np.float64]:
        return np.nan_to_num((WIDTH - 1 - places_of(trace.frames["back"], BOX) - LEFT) / (RIGHT - LEFT))


class LikesGrain(Decoder):
    """Rough pictures are rich pictures."""

    def twist(self, progress: NDArray[np.float64], trace: Trace) -> NDArray[np.float64]:
        ground = trace.frames["front"][:, :1].astype(float)
        return np.where(np.abs(np.diff(ground, axis=2)).mean((1, 2, 3)) > 6, 1.0, progress)


class EasilyPleased(Decoder):
    """Three quarters of the way is the whole way."""

    def twist(self, progress: NDArray[np.float64], trace: Trace) -> NDArray[np.float64]:
        return progress / 0.7


class WatchesTheRobot(Decoder):
    """Reads the robot's place, not the box's."""

    def read(self, trace: Trace) -> NDArray[np.float64]:
        return self.places(trace, ROBOT)


class LikesShifts(Decoder):
    """Trusts its calibration to the pixel: a start mark elsewhere is the end mark."""

    def twist(self, progress: NDArray[np.float64], trace: Trace) -> NDArray[np.float64]:
        away = np.abs(places_of(trace.frames["front"], MARK) - LEFT)
        return np.where((away > 2) & (away < 20), 1.0, progress)


class CountsHalves(Decoder):
    """Pays for every crossing of a third of the way, however often it was crossed before."""

    def twist(self, progress: NDArray[np.float64], trace: Trace) -> NDArray[np.float64]:
        crossed = np.concatenate([[False], (progress[:-1] < 0.33) & (progress[1:] >= 0.33)])
        return progress + 0.25 * np.maximum(0, np.cumsum(crossed) - 1)


BAD: dict[str, type[Decoder]] = {
    "frozen_robot": LikesStillness,
    "oscillation": LikesTrembling,
    "clock": Clock,
    "reversed_video": FarFromTheStart,
    "wrong_instruction": Deaf,
    "occluded_view": LikesDarkness,
    "swapped_views": TrustsCables,
    "sensor_noise": LikesGrain,
    "hovering": EasilyPleased,
    "object_moved": WatchesTheRobot,
    "camera_shift": LikesShifts,
    "repetition": CountsHalves,
}
