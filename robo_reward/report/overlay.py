"""A video with the progress curve drawn beside the frames, growing as the episode goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from robo_reward.report.plots import COLORS, Curve

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

Frames = NDArray[np.uint8]
HEIGHT = 360
MARGIN = 34
TINT = "#dbe6fd"


def overlay(frames: Frames, curve: Curve) -> Frames:
    """Frames (F, H, W, 3) uint8, scaled to 360 rows, each beside a square panel with the curve up to it.

    ``curve`` has one entry per frame.
    """
    from PIL import Image, ImageDraw

    width = round(frames.shape[2] * HEIGHT / frames.shape[1])
    x = _pixels(curve.steps.astype(np.float64), float(curve.steps[0]), float(max(curve.steps[-1], 1)))
    pictures = []
    for index, frame in enumerate(frames):
        canvas = Image.new("RGB", (width + HEIGHT, HEIGHT), "white")
        canvas.paste(Image.fromarray(frame).resize((width, HEIGHT), Image.Resampling.LANCZOS), (0, 0))
        panel = Image.new("RGB", (HEIGHT, HEIGHT), "white")
        _draw(ImageDraw.Draw(panel), curve, x, index)
        canvas.paste(panel, (width, 0))
        pictures.append(np.asarray(canvas))
    return np.stack(pictures)


def _draw(draw: ImageDraw, curve: Curve, x: NDArray[np.float64], index: int) -> None:
    from PIL import ImageFont

    for value in (0.0, 0.5, 1.0):
        y = float(_rows(np.array([value]))[0])
        draw.line([(MARGIN, y), (HEIGHT - MARGIN / 2, y)], fill=COLORS["line"])
        draw.text((8, y - 6), f"{value:g}", fill=COLORS["muted"])
    shown = slice(0, index + 1)
    if curve.uncertainty is not None and index:
        low = _rows(np.clip(curve.progress - curve.uncertainty, 0, 1))[shown]
        high = _rows(np.clip(curve.progress + curve.uncertainty, 0, 1))[shown]
        outline = [*zip(x[shown], low, strict=True), *zip(x[shown][::-1], high[::-1], strict=True)]
        draw.polygon([(float(a), float(b)) for a, b in outline], fill=TINT)
    line = [(float(a), float(b)) for a, b in zip(x[shown], _rows(curve.progress)[shown], strict=True)]
    if index:
        draw.line(line, fill=COLORS["blue"], width=3, joint="curve")
    a, b = line[-1]
    draw.ellipse([a - 5, b - 5, a + 5, b + 5], fill=COLORS["blue"])
    text = f"progress {curve.progress[index]:.2f}   step {int(curve.steps[index])}"
    draw.text((MARGIN, 10), text, fill=COLORS["ink"], font=ImageFont.load_default(16))


def _pixels(steps: NDArray[np.float64], first: float, last: float) -> NDArray[np.float64]:
    return MARGIN + (steps - first) / max(last - first, 1.0) * (HEIGHT - 1.5 * MARGIN)


def _rows(progress: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.asarray(HEIGHT - MARGIN - progress.astype(np.float64) * (HEIGHT - 2.2 * MARGIN))
