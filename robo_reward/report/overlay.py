"""A video with the progress curves drawn beside the frames, growing as the episode goes on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from robo_reward.report.curve import Curve, scaled_to
from robo_reward.report.plots import COLORS, CYCLE

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

Frames = NDArray[np.uint8]
HEIGHT = 360
LEFT, RIGHT, LINE = 34, 16, 20
HOPS = (HEIGHT - 34, 16)
"""The middle row of the first model's hops, and how many rows a whole hop takes."""


def overlay(frames: Frames, steps: NDArray[np.int64], curves: Mapping[str, Curve]) -> Frames:
    """Frames (F, H, W, 3) uint8, scaled to 360 rows, each beside a square panel with the curves up to it.

    ``steps`` (F,): the step that each frame shows. The curves grow from priced frame to priced frame; rings on them are
    milestones, the bars at the bottom the first model's hops.
    """
    from PIL import Image, ImageDraw

    shown = scaled_to(frames, HEIGHT)
    width = shown.shape[2]
    pictures = []
    for step, frame in zip(steps, shown, strict=True):
        canvas = Image.new("RGB", (width + HEIGHT, HEIGHT), "white")
        panel = Image.new("RGB", (HEIGHT, HEIGHT), "white")
        # mode RGBA blends: one model's band leaves the other's line to be seen
        _Panel(ImageDraw.Draw(panel, "RGBA"), steps, len(curves)).draw(curves, int(step))
        canvas.paste(panel, (width, 0))
        canvas.paste(Image.fromarray(frame), (0, 0))
        pictures.append(np.asarray(canvas))
    return np.stack(pictures)


class _Panel:
    """A square plot of progress over steps; the legend above takes one line a model."""

    def __init__(self, draw: ImageDraw, steps: NDArray[np.int64], models: int) -> None:
        self._draw = draw
        self._first, self._last = float(steps[0]), float(max(steps[-1], steps[0] + 1))
        self._top, self._bottom = 16 + LINE * (models + 1), HOPS[0] - HOPS[1] - 12

    def draw(self, curves: Mapping[str, Curve], step: int) -> None:
        for value in (0.0, 0.5, 1.0):
            y = self._y(value)
            self._draw.line([(LEFT, y), (HEIGHT - RIGHT, y)], fill=COLORS["line"])
            self._draw.text((8, y - 6), f"{value:g}", fill=COLORS["muted"])
        self._text(8, f"step {step}", COLORS["muted"])
        named = list(enumerate(curves.items()))
        for index, (name, curve) in reversed(named):  # the first model lies on top
            self._curve(curve, step, COLORS[CYCLE[index % len(CYCLE)]])
            value = curve.progress[int(curve.row_at(np.array([step]))[0])]
            self._text(8 + LINE * (index + 1), f"{value:.2f}  {name}", COLORS[CYCLE[index % len(CYCLE)]])
        self._hops(next(iter(curves.values())), step)

    def _curve(self, curve: Curve, step: int, color: str) -> None:
        shown = slice(0, max(1, int(np.searchsorted(curve.steps, step, side="right"))))
        x = [self._x(float(s)) for s in curve.steps[shown]]
        progress = curve.progress[shown]
        if curve.uncertainty is not None and len(x) > 1:
            low = [self._y(float(v)) for v in np.clip(progress - curve.uncertainty[shown], 0, 1)]
            high = [self._y(float(v)) for v in np.clip(progress + curve.uncertainty[shown], 0, 1)]
            outline = [*zip(x, low, strict=True), *zip(x[::-1], high[::-1], strict=True)]
            self._draw.polygon(outline, fill=f"{color}2e")
        line = [(a, self._y(float(v))) for a, v in zip(x, progress, strict=True)]
        if len(line) > 1:
            self._draw.line(line, fill=color, width=3, joint="curve")
        for (a, b), at in zip(line, curve.steps[shown], strict=True):
            if at in curve.milestones:
                self._draw.ellipse([a - 4, b - 4, a + 4, b + 4], fill="white", outline=color, width=2)
        a, b = line[-1]
        self._draw.ellipse([a - 5, b - 5, a + 5, b + 5], fill=color)

    def _hops(self, curve: Curve, step: int) -> None:
        if curve.gain is None:
            return
        middle, scale = HOPS
        self._draw.line([(LEFT, middle), (HEIGHT - RIGHT, middle)], fill=COLORS["line"])
        for at, hop in zip(curve.steps, curve.gain, strict=True):
            if at <= step and hop:
                x, color = self._x(float(at)), COLORS["good" if hop > 0 else "bad"]
                self._draw.line([(x, middle), (x, middle - scale * float(hop))], fill=color, width=3)

    def _text(self, y: int, text: str, color: str) -> None:
        from PIL import ImageFont

        self._draw.text((LEFT, y), text[:40], fill=color, font=ImageFont.load_default(15))

    def _x(self, step: float) -> float:
        return LEFT + (step - self._first) / (self._last - self._first) * (HEIGHT - LEFT - RIGHT)

    def _y(self, progress: float) -> float:
        return self._bottom - progress * (self._bottom - self._top)
