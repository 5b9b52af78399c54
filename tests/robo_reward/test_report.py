"""The report shows what it is given, leaves out what it is not, and asks nobody on the network for anything."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from robo_reward.data.video import encode_video
from robo_reward.report import html as report_page
from robo_reward.report import plots
from robo_reward.report.pages import (
    Curve,
    Episode,
    ReportData,
    pick_frames,
    write_report,
)

VOID = {"meta", "link", "img", "br", "path", "use", "rect", "image"}


class Balance(HTMLParser):
    """Knows which elements are still open."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.outside: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        links = [value or "" for name, value in attrs if name in ("src", "href", "xlink:href")]
        self.outside += [link for link in links if not link.startswith(("data:", "#"))]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


def check(path: Path) -> str:
    """A well-formed page without outside requests; returns its text."""
    text = path.read_text("utf-8")
    balance = Balance()
    balance.feed(text)
    assert balance.open == []
    assert balance.outside == []
    assert "@import" not in text
    assert not re.search(r"url\((?!#|\"?data:)", text)
    return text


def curve(count: int, end: float, success: bool | None) -> Curve:
    progress = np.linspace(0, end, count, dtype=np.float32)
    return Curve(np.arange(count) * 3, progress, np.full(count, 0.1, np.float32), success)


@pytest.fixture
def frames() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (10, 32, 32, 3), dtype=np.uint8)


def full(frames: np.ndarray) -> ReportData:
    good = curve(10, 0.95, True)
    return ReportData(
        summary={
            "verb": "train", "status": "done", "env": "metaworld/drawer-open", "success_rate": 0.98,
            "success_episodes": 50, "success_ci95": (0.895, 0.9965), "cloned_success_rate": 0.24,
            "rollouts": 150, "demos": 1, "wall_seconds": 256.0, "env_return": None, "reward_audit": "care",
            "used_env_reward": False, "used_env_success": False, "false_success_share": 0.04,
        },
        evaluations=[(0, 0.2), (150, 0.98)],
        training_episodes=[Episode(i, float(i), i > 40) for i in range(80)],
        curves={"success": good, "failure": curve(6, 0.3, False)},
        strips={"success": pick_frames(frames, good, 4)},
        videos={"the policy <1>": encode_video(frames, 10)},
        metrics={"losses": {"critic": [(1, 2.0), (2, float("nan")), (3, 1.0)]}},
        quality=[{"class": "held out", "n": 50, "voc": 0.981}, {"class": "random", "mae": 0.11}],
        notes=["a note & more"],
        config="seed: 0\n",
    )  # fmt: skip


def test_full_report(tmp_path: Path, frames: np.ndarray) -> None:
    text = check(write_report(tmp_path, full(frames)))
    for said in (
        '98<small>%', "49 of 50 fresh episodes", "89.5 to 99.7%", "cloned start 24%", "oracle-free",
        "reward audit: care", "1 demonstration<", "150 rollouts", "4.3 min", "In 4% of the training episodes",
        "a note &amp; more", "the policy &lt;1&gt;", "0.981", "seed: 0",
    ):  # fmt: skip
        assert said in text, said
    assert text.count("<svg") == 4
    assert text.count("data:video/mp4") == 1
    assert "environment return" not in text  # null is not shown as a number
    assert [p.name for p in (tmp_path / "report").iterdir()] == ["index.html"]


def test_empty_report_omits_every_section(tmp_path: Path) -> None:
    text = check(write_report(tmp_path / "run7", ReportData()))
    assert "run7" in text
    assert "No success rate" in text
    assert "<svg" not in text
    assert "<h2>" not in text


def test_oracle_and_unfinished_runs_say_so(tmp_path: Path) -> None:
    summary = {"used_env_reward": True, "used_env_success": False, "status": "interrupted", "success_rate": 0.5}
    text = check(write_report(tmp_path, ReportData(summary=summary | {"success_episodes": 8, "alarm": True})))
    assert "oracle: trained on the simulator&#x27;s reward" in text
    assert "oracle-free" not in text
    for said in ("run interrupted", "hacking alarm", "Only 8 evaluation episodes", "unfinished run"):
        assert said in text


def test_the_same_data_give_the_same_page(tmp_path: Path, frames: np.ndarray) -> None:
    data = full(frames)
    first = write_report(tmp_path / "a", data).read_bytes()
    assert write_report(tmp_path / "b", data).read_bytes() == first


def test_pictures_repaint_and_stand_alone(frames: np.ndarray) -> None:
    figure = plots.curves_figure({"success": curve(5, 1, True)})
    inline, alone = plots.to_svg(figure, inline=True), plots.to_svg(figure)
    assert inline.startswith("<svg")
    assert "var(--good, #17895a)" in inline
    assert "var(" not in alone
    assert plots.to_png(figure)[:8] == b"\x89PNG\r\n\x1a\n"
    assert plots.to_png(plots.strip_figure(frames[:3], [0, 0.5, 1], [0, 1, 2]), dpi=50)[:4] == b"\x89PNG"


def test_running_mean_by_hand() -> None:
    values = np.array([1.0, 0.0, 1.0, 1.0])
    np.testing.assert_allclose(plots._running_mean(values, 2), [1, 0.5, 0.5, 1])


def test_pick_frames_keeps_both_ends(frames: np.ndarray) -> None:
    strip = pick_frames(frames, curve(10, 0.9, None), 4)
    assert list(strip.steps) == [0, 9, 18, 27]
    assert len(pick_frames(frames, curve(10, 0.9, None), 50).frames) == 10


def test_the_pages_policy_forbids_every_outside_request(tmp_path: Path) -> None:
    text = check(write_report(tmp_path, ReportData()))
    assert "default-src 'none'" in text
    assert "http:" not in text
    assert "https:" not in text


def test_json_in_a_script_cannot_end_it() -> None:
    text = report_page.script_json({"a": "</script>\u2028"})
    assert "<" not in text
    assert json.loads(text) == {"a": "</script>\u2028"}


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, ""), (True, "yes"), (12345, "12\u202f345"), (0.5, "0.5"), (0.98765, "0.988"), ((1, 2.5), "1, 2.5")],
)
def test_show(value: object, text: str) -> None:
    assert report_page.show(value) == text
