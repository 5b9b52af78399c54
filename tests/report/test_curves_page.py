"""The page in a real browser: one cursor for video, curves and numbers; sorting; keys; silence on the network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from robo_reward.report.curve import PricedEpisode
from robo_reward.report.curve_outputs import write_outputs
from robo_reward.report.curves_page import player_script
from robo_reward.report.html import asset

BRIGHTNESS = """() => { const v = document.querySelector('video'), c = document.createElement('canvas');
  c.width = c.height = 1; const x = c.getContext('2d'); x.drawImage(v, 0, 0, 1, 1);
  return x.getImageData(0, 0, 1, 1).data[0]; }"""
SETTLED = "() => { const v = document.querySelector('video'); return v.readyState >= 2 && !v.seeking; }"
READ = """() => [...document.querySelectorAll('#models tbody tr')].map(row =>
  [row.dataset.model, ...[...row.querySelectorAll('[data-key]')]
  .map(cell => [cell.dataset.key, cell.dataset.value, cell.textContent])])"""


class Look:
    """A page and what it did."""

    def __init__(self, page: Any, episodes: list[PricedEpisode]) -> None:
        self.page, self.episodes = page, episodes
        self.requests: list[str] = []
        self.complaints: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def settle(self) -> None:
        self.page.wait_for_function(SETTLED)

    def step(self) -> int:
        return int(self.page.get_attribute("#cursor", "data-step"))

    def video_frame(self) -> int:
        """Which frame the video really shows, by its brightness."""
        self.settle()
        self.page.wait_for_timeout(60)  # the seek is over when the picture is decoded, not when it is painted
        return round((self.page.evaluate(BRIGHTNESS) - 30) / 10)

    def names(self) -> list[str]:
        return [
            text for text in self.page.locator("#episodes li span").evaluate_all("x => x.map(e => e.firstChild.data)")
        ]

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)


@pytest.fixture
def look(browser: Any, tmp_path: Path, make_episode: Callable[..., PricedEpisode]) -> Iterator[Look]:
    episodes = [
        make_episode(0, {"progress": 0.9, "step_prm": 0.95}, True),
        make_episode(1, {"progress": 0.3, "step_prm": 0.2}, False),
        make_episode(2, {"progress": 0.95, "step_prm": 0.1}, False),
        make_episode(3, {"progress": 0.6, "step_prm": 0.62}, None),
    ]
    write_outputs(tmp_path, ["html", "parquet"], "drawer", "two models", episodes)
    context = browser.new_context(viewport={"width": 1440, "height": 900}, offline=True)
    seen = Look(context.new_page(), episodes)
    seen.page.goto((tmp_path / "index.html").as_uri())
    yield seen
    context.close()


def test_one_cursor_moves_video_plot_and_numbers(look: Look, tmp_path: Path) -> None:
    steps = look.episodes[0].steps
    assert (look.step(), look.video_frame()) == (0, 0)
    for frame in (7, 19, 20, 4):  # the slider
        look.page.evaluate(
            "k => { const s = document.getElementById('scrub'); s.value = k; s.dispatchEvent(new Event('input')); }",
            frame,
        )
        assert look.step() == steps[frame]
        assert look.video_frame() == frame
    box = look.page.locator("#plot").bounding_box()
    left, right = box["x"] + 38, box["x"] + box["width"] - 14
    for frame in (12, 20, 3):  # a drag in the plot
        x = left + (right - left) * steps[frame] / steps[-1]
        look.page.mouse.move(x, box["y"] + 80)
        look.page.mouse.down()
        assert look.step() == steps[frame]
        look.page.mouse.up()
        assert look.video_frame() == frame
    # the video itself is moved: the plot and the numbers follow
    look.page.evaluate("t => { document.querySelector('video').currentTime = t; }", 9.5 / 10)
    look.page.wait_for_function(f"() => document.getElementById('cursor').dataset.step === '{steps[9]}'")
    assert look.video_frame() == 9
    assert f"step {steps[9]} ·" in look.page.inner_text("#clock")


def test_the_numbers_are_the_parquets(look: Look, tmp_path: Path) -> None:
    table = pq.read_table(tmp_path / "curves.parquet").to_pylist()
    names = {"progress": "progress", "gain": "gain", "claimed": "claimed_success", "uncertainty": "uncertainty"}
    compared = 0
    for frame in range(21):
        step = look.step()
        for model, *cells in look.page.evaluate(READ):
            name = ["progress", "step_prm"][int(model)]
            rows = [r for r in table if r["episode"] == "episode 0" and r["model"] == name and r["step"] <= step]
            for key, value, text in cells:
                if key == "step":
                    assert int(value) == rows[-1]["step"]
                    continue
                truth = rows[-1][names[key]]
                assert np.float32(value) == np.float32(truth), (frame, name, key)
                assert abs(float(text.replace("\u2212", "-")) - truth) <= 0.0005 + 1e-9
                compared += 1
        look.press("ArrowRight")
    assert compared == 21 * 2 * 4


def test_the_numbers_stay_while_models_are_hidden_shown_and_brought_to_the_front(look: Look) -> None:
    look.press("ArrowRight")
    before = look.page.evaluate(READ)
    assert all(text for _, *cells in before for _, _, text in cells)
    for key in ("2", "2"):  # hidden, and shown again
        look.press(key)
        assert look.page.evaluate(READ) == before
    for row in (1, 0):
        look.page.locator("#models tbody tr").nth(row).locator("td").nth(1).click()
        assert look.page.evaluate(READ) == before


def test_sorting(look: Look) -> None:
    def order(key: Callable[[PricedEpisode], Any], reverse: bool) -> list[str]:
        return [e.name for e in sorted(look.episodes, key=key, reverse=reverse)]

    assert look.names() == ["episode 0", "episode 1", "episode 2", "episode 3"]
    look.page.select_option("#sort", label="final progress")
    assert look.names() == order(lambda e: e.final, True)
    look.page.click("#turn")
    assert look.names() == order(lambda e: e.final, False)
    look.page.select_option("#sort", label="disagreement")
    assert look.names() == order(lambda e: e.disagreement, True)
    assert look.names()[0] == "episode 2"
    look.page.select_option("#sort", label="gap to the truth")
    assert look.names()[-1] == "episode 3"  # nobody knows how it ended
    assert look.names()[:3] == [n for n in order(lambda e: -1 if e.miss is None else e.miss, True) if n != "episode 3"]


def test_keyboard(look: Look) -> None:
    steps = look.episodes[0].steps
    look.press("ArrowRight", "ArrowRight")
    assert look.step() == steps[2]
    look.press("Shift+ArrowRight", "ArrowLeft")
    assert look.step() == steps[11]
    look.press("End", "ArrowRight")
    assert (look.step(), look.video_frame()) == (steps[-1], 20)
    look.press("Home")
    assert (look.step(), look.video_frame()) == (0, 0)
    look.press("ArrowDown", "ArrowDown", "ArrowUp")
    assert look.page.inner_text("#name") == "episode 1"
    assert look.page.inner_text("#truth") == "failure"
    look.press("2")
    assert look.page.locator("#plot .curve").count() == 1
    look.press("2")
    assert look.page.locator("#plot .curve").count() == 2


def test_space_plays_to_the_end_and_stops(look: Look) -> None:
    look.settle()
    look.page.focus("#play")  # a focused button must not be pressed a second time by the same key
    look.press("Shift+ArrowRight", "Space")
    look.page.wait_for_function("() => !document.querySelector('video').paused")
    look.page.wait_for_function("() => document.querySelector('video').ended", timeout=8000)
    assert look.step() == look.episodes[0].steps[-1]
    look.press("Space")
    look.page.wait_for_function(
        "() => Number(document.getElementById('cursor').dataset.step) > 3 && !document.querySelector('video').ended"
    )
    look.press("Space")
    frame, shown = look.page.evaluate("() => [Number(document.getElementById('scrub').value)]")[0], look.video_frame()
    assert frame == shown


def test_marks_and_colours(look: Look) -> None:
    good = look.page.locator("#plot .reached-line")
    assert good.count() == 1
    assert look.page.locator("#plot .milestone").count() == 5 + 2
    assert look.page.locator("#plot .up, #plot .down").count() >= 15
    end = "() => getComputedStyle(document.querySelector('#plot .end')).fill"
    assert look.page.evaluate(end) == "rgb(23, 137, 90)"
    look.press("ArrowDown")
    assert look.page.evaluate(end) == "rgb(207, 74, 47)"
    assert good.count() == 0
    look.page.emulate_media(color_scheme="dark")
    assert look.page.evaluate(end) == "rgb(240, 128, 106)"
    assert look.page.evaluate("() => getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 27)"
    assert look.page.locator("#task").inner_text() == "open the <drawer> & close it"


def test_nothing_leaves_the_file(look: Look, tmp_path: Path) -> None:
    look.press("ArrowDown", "Space")
    look.page.wait_for_timeout(300)
    outside = [url for url in look.requests if not url.startswith(("data:", (tmp_path / "index.html").as_uri()))]
    assert outside == []
    assert look.complaints == []


@pytest.mark.parametrize("width", [360, 768, 1440])
def test_fits_the_window(look: Look, width: int) -> None:
    look.page.set_viewport_size({"width": width, "height": 800})
    look.page.wait_for_timeout(100)
    assert look.page.evaluate("() => document.documentElement.scrollWidth") <= width
    for part in ("#plot", "#video", "#scrub", "#play"):
        box = look.page.locator(part).bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width


def test_one_episode_without_pictures(browser: Any, tmp_path: Path, make_episode: Callable[..., PricedEpisode]) -> None:
    from dataclasses import replace

    only = replace(make_episode(0, {"progress": 0.7}, True), views={})
    write_outputs(tmp_path, ["html"], "states", "", [only])
    page = browser.new_page()
    look = Look(page, [only])
    page.goto((tmp_path / "index.html").as_uri())
    assert not page.is_visible("#list")
    assert not page.is_visible("#video")
    look.press("Space")
    page.wait_for_function(f"() => document.getElementById('cursor').dataset.step === '{only.steps[-1]}'", timeout=8000)
    assert look.complaints == []
    page.close()


def test_our_own_code_stays_small() -> None:
    styles = [asset(name) for name in ("curves.css", "curves.html", "report.css")]
    assert sum(map(len, styles)) + len(player_script()) < 60_000
