"""Makes the README's picture from a real run: progress curves and the film strip of one of the policy's own episodes.

Run: python benchmarks/make_readme_picture.py RUN [docs/images/run.png]
"""

from __future__ import annotations

import io
import sys
from dataclasses import replace
from pathlib import Path

from PIL import Image

from robo_reward.build import load_reward_model
from robo_reward.data.datasets import read_dataset
from robo_reward.report.curve_sources import price
from robo_reward.report.pages import pick_frames
from robo_reward.report.plots import curves_figure, strip_figure, to_png
from robo_reward.runs import atomic


def picture(run: Path) -> bytes:
    """PNG: above the curves of demonstration and own episodes, below the frames of the one that got furthest."""
    model = load_reward_model(run)
    views = model.needs.views
    shown = read_dataset(run / "demonstrations", views)[0].every(model.needs.stride)
    traces = {"demonstration": shown}
    for number, trace in enumerate(read_dataset(run / "episodes", views, source="dataset")):
        # own episodes are stored at the frames that were priced, and their frame rate says how far apart those are
        apart = max(1, round(shown.fps / trace.fps))
        traces[f"own episode {number + 1}"] = trace if apart > 1 else trace.every(model.needs.stride)
    scale = {name: max(1, round(shown.fps / trace.fps)) for name, trace in traces.items()}
    priced = {name: price(model, trace) for name, trace in traces.items()}
    curves = {name: replace(curve, steps=curve.steps * scale[name]) for name, curve in priced.items()}
    best = max(list(traces)[1:], key=lambda name: curves[name].progress[-1])
    strip = pick_frames(traces[best].frames[views[0]], curves[best])
    figures = [curves_figure(curves), strip_figure(strip.frames, strip.progress, strip.steps)]
    return stack([to_png(figure) for figure in figures])


def stack(pngs: list[bytes]) -> bytes:
    """Pictures one below the other, as wide as the widest, on white."""
    images = [Image.open(io.BytesIO(png)).convert("RGB") for png in pngs]
    width = max(image.width for image in images)
    canvas = Image.new("RGB", (width, sum(image.height for image in images)), "white")
    top = 0
    for image in images:
        canvas.paste(image, ((width - image.width) // 2, top))
        top += image.height
    out = io.BytesIO()
    canvas.save(out, "png", optimize=True)
    return out.getvalue()


def main(words: list[str]) -> None:
    """Writes the picture; the run folder is the first word."""
    if not words:
        sys.exit("usage: python benchmarks/make_readme_picture.py RUN [PNG]")
    target = Path(words[1] if len(words) > 1 else "docs/images/run.png")
    target.parent.mkdir(parents=True, exist_ok=True)
    atomic.write_bytes(target, picture(Path(words[0])))
    print(target)


if __name__ == "__main__":
    main(sys.argv[1:])
