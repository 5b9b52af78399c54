"""The shell of a report: one self-contained HTML page with its style, and the small pieces that fill it."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

STYLE = """
:root { color-scheme: light dark; --paper:#f6f7f9; --card:#fff; --ink:#1f2429; --muted:#5f6873;
  --line:#dfe3e8; --blue:#2f6fed; --good:#17895a; --bad:#cf4a2f; --gold:#a8730a; --violet:#7a4fd0;
  --tint:#eef3fe; }
@media (prefers-color-scheme: dark) { :root { --paper:#14171b; --card:#1c2025; --ink:#e8ebee;
  --muted:#9aa4af; --line:#323941; --blue:#7ea6ff; --good:#4cc38f; --bad:#f0806a; --gold:#dfb04c;
  --violet:#b194f5; --tint:#222b3b; } }
* { box-sizing: border-box; }
body { margin:0; background:var(--paper); color:var(--ink); font:16px/1.5 system-ui,'Liberation Sans',sans-serif; }
main { max-width:1080px; margin:0 auto; padding:44px 24px 72px; }
h1 { font-size:1.05rem; font-weight:600; margin:0; overflow-wrap:anywhere; }
h2 { font-size:1.02rem; margin:0 0 4px; font-weight:600; }
p { margin:0; }
.muted { color:var(--muted); }
.small { font-size:.86rem; }
.verdict { display:flex; flex-wrap:wrap; gap:10px 40px; align-items:flex-end; margin:22px 0 18px; }
.rate { font-size:clamp(3.4rem,11vw,5.6rem); line-height:.95; font-weight:650; letter-spacing:-.045em;
  font-variant-numeric:tabular-nums; }
.rate small { font-size:.42em; font-weight:500; letter-spacing:-.02em; margin-left:.06em;
  color:var(--muted); }
.beside { flex:1 1 300px; max-width:480px; padding-bottom:6px; }
.scale { position:relative; height:10px; border-radius:5px; background:var(--line); margin:10px 0 7px; }
.scale i { position:absolute; display:block; }

.ci { top:0; height:10px; border-radius:5px; background:var(--blue); opacity:.38; }
.point { top:-3px; width:4px; margin-left:-2px; height:16px; border-radius:2px; background:var(--blue); }
.start { top:-3px; width:2px; margin-left:-1px; height:16px; background:var(--muted); }
.badges { display:flex; flex-wrap:wrap; gap:8px; }
.badge { border:1px solid var(--line); background:var(--card); border-radius:99px; padding:3px 12px;
  font-size:.86rem; }
.badge b { font-weight:600; }
.badge::before { content:""; display:inline-block; width:8px; height:8px; margin-right:8px;
  border-radius:50%; background:var(--muted); vertical-align:.06em; }
.good::before { background:var(--good); }
.care::before { background:var(--gold); }
.bad::before { background:var(--bad); }
.grid { display:grid; grid-template-columns:repeat(auto-fit,minmax(min(100%,430px),1fr)); gap:18px;
  margin-top:18px; }
.card { background:var(--card); border:1px solid var(--line); border-radius:12px; padding:18px 20px;
  min-width:0; }
.full { grid-column:1/-1; }
.card > p.muted { font-size:.88rem; margin-bottom:10px; }
.card svg { display:block; width:100%; height:auto; font-family:inherit; }
.card.numbers { display:grid; grid-template-columns:repeat(auto-fill,minmax(148px,1fr)); gap:1px; padding:0;
  overflow:hidden; background:var(--card); }
.numbers div { padding:13px 20px; box-shadow:0 0 0 1px var(--line); }
.numbers dt { color:var(--muted); font-size:.82rem; }
.numbers dd { margin:1px 0 0; font-size:1.16rem; font-weight:600; font-variant-numeric:tabular-nums;
  overflow-wrap:anywhere; }
dl { margin:0; }
.strip { display:flex; gap:8px; overflow-x:auto; padding-bottom:6px; margin:4px 0 14px; }
.strip:last-child { margin-bottom:0; }
.strip figure { margin:0; flex:1 0 92px; max-width:170px; }
.strip img { display:block; width:100%; border-radius:5px; image-rendering:auto; }
.bar { height:5px; border-radius:3px; background:var(--line); margin:7px 0 3px; }
.bar i { display:block; height:5px; border-radius:3px; background:var(--blue); }
figcaption { font-size:.78rem; color:var(--muted); display:flex; justify-content:space-between;
  font-variant-numeric:tabular-nums; }
figcaption b { color:var(--ink); font-weight:600; }
.videos { display:grid; grid-template-columns:repeat(auto-fit,minmax(min(100%,150px),1fr)); gap:14px; }
video { display:block; width:100%; border-radius:8px; background:#000; }
.videos figure { margin:0; }
.videos figcaption { margin-top:5px; font-size:.86rem; }
.scroll { overflow-x:auto; }
table { border-collapse:collapse; width:100%; font-size:.9rem; font-variant-numeric:tabular-nums; }
th { text-align:left; font-weight:500; color:var(--muted); font-size:.82rem; white-space:nowrap; }
th, td { padding:7px 18px 7px 0; border-bottom:1px solid var(--line); }
tr:last-child td { border-bottom:0; }
th.n, td.n { text-align:right; }
ul { margin:6px 0 0; padding-left:1.15em; }
li { margin:3px 0; }
details { margin-top:8px; }
summary { cursor:pointer; color:var(--muted); font-size:.9rem; }
pre { overflow-x:auto; font-size:.8rem; line-height:1.45; margin:10px 0 0; }
@media (max-width:560px) { main { padding:26px 14px 48px; } .card { padding:15px 15px; } .numbers {
  grid-template-columns:1fr 1fr; } .numbers div { padding:11px 15px; } }
@media print { body { background:#fff; } .card { break-inside:avoid; } details { display:none; } }
.none { margin:14px 0 16px; }
"""


def page(title: str, body: str) -> str:
    """A whole page without any outside request."""
    # The empty icon keeps browsers from asking a server for one.
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{escape(title)}</title><link rel="icon" href="data:,"><style>{STYLE}</style></head>\n'
        f"<body><main>\n{body}\n</main></body></html>\n"
    )


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
