"""Priced episodes whose pictures say their own number, and a headless Chromium to look at pages with."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from robo_reward.report.curve import Curve, PricedEpisode

FRAMES, APART = 21, 3
"""The last frame is one step after the one before, as it is when an episode's length is no multiple of the stride."""


def steps() -> np.ndarray:
    return np.append(np.arange(FRAMES - 1) * APART, (FRAMES - 2) * APART + 1)


def brightness(frame: int) -> int:
    """Every frame another one, far enough apart to survive H.264."""
    return 30 + 10 * frame


def curve(seed: int, end: float, success: bool | None, stride: int = 1) -> Curve:
    """A noisy climb to ``end``; with ``stride`` priced at every stride-th frame and the last."""
    rng = np.random.default_rng(seed)
    rows = np.unique(np.append(np.arange(0, FRAMES, stride), FRAMES - 1))
    progress = np.clip(np.linspace(0, end, FRAMES) ** 1.3 + rng.normal(0, 0.03, FRAMES), 0, 1)[rows]
    progress = progress.astype(np.float32)
    gain = np.diff(progress, prepend=progress[:1]).astype(np.float32)
    band = rng.uniform(0.02, 0.09, len(rows)).astype(np.float32)
    at = steps()[rows]
    return Curve(at, progress, band, success, gain, (progress**4).astype(np.float32), at[4::4])


def episode(index: int, ends: dict[str, float], success: bool | None) -> PricedEpisode:
    """Two views; the second model, where there is one, prices every second frame."""
    views = {}
    for name, width in (("corner", 64), ("gripper", 48)):
        views[name] = np.stack([np.full((48, width, 3), brightness(k), np.uint8) for k in range(FRAMES)])
    curves = {name: curve(97 * index + k, end, success, 1 + k % 2) for k, (name, end) in enumerate(ends.items())}
    reached = int(steps()[16]) if success else None
    return PricedEpisode(
        f"episode {index}", "open the <drawer> & close it", 30.0, steps(), views, curves, index, success, reached
    )


@pytest.fixture
def make_episode() -> Callable[..., PricedEpisode]:
    return episode


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Debian's Chromium without a window."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("no chromium on this machine (apt-get install chromium)")
    with sync_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield launched
        launched.close()
