"""The audit that lies beside a reward's weights: whether it is of these weights, and whether they may train."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from robo_reward.errors import UserError
from robo_reward.model_parts import parts_of
from robo_reward.runs import atomic
from robo_reward.runs.summary import Audit

FILE = "audit.json"
PAGE = "audit.html"
WORDS = (FILE, PAGE, "split.json", "README.md")
"""Files that say something about a model and are no part of it."""
WHOLE, SAMPLES, BLOCK = 1 << 28, 64, 1 << 20
"""Files elsewhere that a recipe names are read whole up to so many bytes; of larger ones so many blocks."""
VERDICTS = ("pass", "care", "refuse")


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """``verdict`` of the audit; ``reasons`` in words; ``current``: weights, class and named files are
    those that were audited.

    ``short``: the short audit of its fit, not the report card. ``env``: the world of the report card, None for recorded
    episodes. ``elsewhere``: addresses and names on the hub that the model asks, which no hash covers.
    """

    verdict: Audit
    reasons: tuple[str, ...]
    current: bool
    short: bool
    env: str | None
    elsewhere: tuple[str, ...] = ()

    def told(self) -> str:
        """The verdict, its reasons, and what it cannot be about, in lines."""
        lines = [f"{self.about()}: {self.verdict}", *self.reasons]
        if self.elsewhere:
            lines.append(f"what answers at {', '.join(self.elsewhere)} may have changed since: no hash covers it")
        return "\n  ".join(lines)

    def about(self) -> str:
        """For a line that tells the verdict."""
        if self.short:
            return "short audit of its fit"
        return "audit" if self.env is None else f"audit on {self.env}"


def weights_sha256(folder: Path) -> str:
    """SHA-256 (hex) over names and contents of all files of a saved reward model, its yaml included.

    The code of a class that is not ours, and files and folders on this machine that the yaml names, are part of it; of
    files there above ``WHOLE`` bytes, ``SAMPLES`` blocks. Without any of them it is the folder's alone.
    """
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and not p.name.startswith(".")):
        name = path.relative_to(folder).as_posix()
        if name not in WORDS:
            _add(digest, name, path, whole=True)
    for name, path in parts_of(folder).files(folder):
        if name.partition("/")[2] not in WORDS:
            _add(digest, name, path, whole=path.stat().st_size <= WHOLE)
    return digest.hexdigest()


def _add(digest: Any, name: str, path: Path, whole: bool) -> None:
    size = path.stat().st_size
    digest.update(f"{len(name)}:{name}:{size}:".encode())
    with open(path, "rb") as file:
        while whole and (block := file.read(BLOCK)):
            digest.update(block)
        for k in () if whole else range(SAMPLES):
            file.seek(k * (size - BLOCK) // (SAMPLES - 1))
            digest.update(file.read(BLOCK))


def write_record(folder: Path, report: dict[str, Any]) -> None:
    """Writes ``audit.json`` beside the weights; ``report`` holds verdict, reasons and weights_sha256."""
    atomic.write_json(folder / FILE, report)


def write_short_record(folder: Path, report: Any, held_out: int) -> None:
    """What the short audit of a fit found, until ``robo-reward audit`` writes its own; ``report``: the auditor's."""
    figures = known_numbers(report.values)
    reasons = []
    for name in report.failed:
        value = figures[name]
        said = "could not be measured" if value is None else f"{value:.2f} missed its bound"
        reasons.append(f"{name.removeprefix('audit/')} {said}")
    found = {"verdict": report.verdict, "reasons": reasons, "weights_sha256": weights_sha256(folder)}
    more = {"kind": "short", "held_out_demonstrations": held_out, "figures": figures}
    more["not_measured"] = [name for name, value in figures.items() if value is None]
    write_record(folder, found | more)


def known_numbers(values: Mapping[str, float | None]) -> dict[str, float | None]:
    """The same with None for what is no finite number: JSON has no other word for it."""
    return {name: value if value is not None and math.isfinite(value) else None for name, value in values.items()}


def read_record(folder: Path, sha256: str | None = None) -> AuditRecord | None:
    """What ``audit.json`` in the folder of a reward model says; None where there is none.

    ``sha256``: of the weights that it is asked about; None: those that lie there now.

    Raises:
        UserError: if the file is damaged.
    """
    path = folder / FILE
    if not path.exists() and not path.is_symlink():
        return None
    try:
        held = json.loads(path.read_text("utf-8"))
        verdict, reasons, digest = held["verdict"], tuple(str(r) for r in held["reasons"]), held["weights_sha256"]
    except (ValueError, KeyError, TypeError, OSError, RecursionError) as error:
        raise UserError(f"'{path}' is damaged ({error!r}): audit again with robo-reward audit") from error
    if verdict not in VERDICTS:
        raise UserError(f"'{path}' says verdict '{verdict}', which is none of {', '.join(VERDICTS)}: audit again")
    env = held.get("env")
    current = digest == (weights_sha256(folder) if sha256 is None else sha256)
    short, elsewhere = held.get("kind") == "short", tuple(parts_of(folder).elsewhere)
    return AuditRecord(cast(Audit, verdict), reasons, current, short, None if env is None else str(env), elsewhere)


def carry_record(source: Path, folder: Path) -> None:
    """Copies what an audit said of the model in ``source`` to a ``folder`` that holds the very same one."""
    if not (source / FILE).is_file():
        return
    try:
        record = read_record(source, weights_sha256(folder))
    except UserError:  # damaged: said where the model was read
        return
    if record is not None and record.current:
        atomic.write_text(folder / FILE, (source / FILE).read_text("utf-8"))


def check_accepted(
    verdict: str | None, reasons: tuple[str, ...], accepted: bool, what: str, folder: Path | None = None
) -> None:
    """Stops a training on a reward that the audit refuses, unless the user accepts it.

    ``folder``: of a run that has begun and can be resumed.

    Raises:
        UserError: with the reasons and the way out.
    """
    if verdict == "refuse" and not accepted:
        listed = "; ".join(reasons) or "see its audit.json"
        way = "" if folder is None else f"the same settings and run_dir='{folder}' resume=true "
        raise UserError(
            f"the audit refuses {what}: {listed}. Give more demonstrations or another reward model, "
            f"or train on it all the same with {way}accept_refused_reward=true"
        )
