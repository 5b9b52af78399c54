"""The shell of a report: one self-contained HTML page with its style, and the small pieces that fill it."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping, Sequence
from html import escape
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray


def asset(name: str) -> str:
    """The text of one of this package's own style sheets and scripts."""
    return (resources.files("robo_reward.report") / "assets" / name).read_text("utf-8")


def page(title: str, body: str, style: str = "", script: str = "", wide: bool = False) -> str:
    """A whole page that can ask nobody for anything: the policy in its head forbids every outside request.

    ``style`` and ``script`` are added to the common style; ``wide`` takes the whole window.
    """
    # The empty icon keeps browsers from asking a server for one.
    policy = "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{escape(title)}</title><link rel="icon" href="data:,"><style>{asset("report.css")}{style}</style>'
        f"</head>\n<body><main{' class="wide"' if wide else ''}>\n{body}\n</main>"
        f"{f'<script>{script}</script>' if script else ''}</body></html>\n"
    )


def script_json(value: object) -> str:
    """JSON that may stand inside a script element whatever its texts say."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def card(title: str, content: str, note: str = "", full: bool = False) -> str:
    """A section; ``note`` says how to read it."""
    kind = "card full" if full else "card"
    lead = f'<p class="muted">{escape(note)}</p>' if note else ""
    return f'<section class="{kind}"><h2>{escape(title)}</h2>{lead}{content}</section>'


def badge(text: str, state: str = "") -> str:
    """A small label; ``state`` is good, care, bad or empty."""
    return f'<span class="badge {state}">{escape(text)}</span>'


def numbers(values: Mapping[str, str]) -> str:
    """Key numbers as tiles."""
    tiles = "".join(f"<div><dt>{escape(k)}</dt><dd>{escape(v)}</dd></div>" for k, v in values.items())
    return f'<dl class="card full numbers">{tiles}</dl>'


def strip(frames: NDArray[np.uint8], progress: Sequence[float], steps: Sequence[int]) -> str:
    """A film strip: frames (F, H, W, 3) uint8, each with its progress as a bar, its value and its step."""
    cells = []
    for frame, value, step in zip(frames, progress, steps, strict=True):
        share = 100 * min(max(float(value), 0.0), 1.0)
        cells.append(
            f'<figure><img alt="step {step}" src="{png_url(frame)}">'
            f'<div class="bar"><i style="width:{share:.1f}%"></i></div>'
            f"<figcaption><b>{value:.2f}</b><span>step {step}</span></figcaption></figure>"
        )
    return f'<div class="strip">{"".join(cells)}</div>'


def videos(clips: Mapping[str, bytes]) -> str:
    """Videos (mp4 bytes), looping and silent."""
    cells = "".join(
        f'<figure><video controls loop muted playsinline preload="auto" aria-label="{escape(name)}" '
        f'src="data:video/mp4;base64,{base64.b64encode(clip).decode()}"></video>'
        f"<figcaption>{escape(name)}</figcaption></figure>"
        for name, clip in clips.items()
    )
    return f'<div class="videos">{cells}</div>'


def table(rows: Sequence[Mapping[str, object]]) -> str:
    """Rows with the columns of all of them; numbers to the right, an empty cell where a row lacks a value."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    numeric = {c for c in columns if all(_is_number(row.get(c)) or row.get(c) is None for row in rows)}
    kind = {c: ' class="n"' if c in numeric else "" for c in columns}
    head = "".join(f"<th{kind[c]}>{escape(label(c))}</th>" for c in columns)
    lines = [
        "<tr>" + "".join(f"<td{kind[c]}>{escape(show(row.get(c)))}</td>" for c in columns) + "</tr>" for row in rows
    ]
    body = "".join(lines)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def folded(title: str, text: str) -> str:
    """Text that opens on a click."""
    return f"<details><summary>{escape(title)}</summary><pre>{escape(text)}</pre></details>"


def label(key: str) -> str:
    """A key as words."""
    return key.replace("_", " ")


def show(value: Any) -> str:
    """A value as a reader wants it: three digits, thousands apart, nothing for None."""
    if value is None:
        return ""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, int | np.integer):
        return f"{value:,}".replace(",", "\u202f")
    if isinstance(value, float | np.floating):
        value = float(value)
        return f"{value:.3f}".rstrip("0").rstrip(".") if abs(value) < 100 else show(round(value))
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {show(v)}" for k, v in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(show(v) for v in value)
    return str(value)


def seconds(value: float) -> str:
    """A duration in words."""
    if value < 90:
        return f"{value:.0f} s"
    return f"{value / 60:.1f} min" if value < 5400 else f"{value / 3600:.1f} h"


def png_url(frame: NDArray[np.uint8]) -> str:
    """A frame (H, W, 3) uint8 as a data URL."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, format="PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)
