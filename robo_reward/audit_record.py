"""The audit that lies beside a reward's weights: whether it is of these weights, and whether they may train."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from robo_reward.errors import UserError
from robo_reward.runs import atomic
from robo_reward.runs.summary import Audit

FILE = "audit.json"
PAGE = "audit.html"
WORDS = (FILE, PAGE, "split.json", "README.md")
"""Files that say something about a model and are no part of it."""
VERDICTS = ("pass", "care", "refuse")


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """``verdict`` of the audit; ``reasons`` in words; ``current``: the weights are those that were audited.

    ``short``: the short audit of its fit, not the report card. ``env``: the world of the report card, None for recorded
    episodes.
    """

    verdict: Audit
    reasons: tuple[str, ...]
    current: bool
    short: bool
    env: str | None

    def about(self) -> str:
        """For a line that tells the verdict."""
        if self.short:
            return "short audit of its fit"
        return "audit" if self.env is None else f"audit on {self.env}"


def weights_sha256(folder: Path) -> str:
    """SHA-256 (hex) over names and contents of all files of a saved reward model, its yaml included."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and not p.name.startswith(".")):
        name = path.relative_to(folder).as_posix()
        if name in WORDS:
            continue
        digest.update(f"{len(name)}:{name}:{path.stat().st_size}:".encode())
        with open(path, "rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def write_record(folder: Path, report: dict[str, Any]) -> None:
    """Writes ``audit.json`` beside the weights; ``report`` holds verdict, reasons and weights_sha256."""
    atomic.write_json(folder / FILE, report)


def write_short_record(folder: Path, report: Any, held_out: int) -> None:
    """What the short audit of a fit found, until ``robo-reward audit`` writes its own; ``report``: the auditor's."""
    reasons = [f"{name.removeprefix('audit/')} {report.values[name]:.2f} missed its bound" for name in report.failed]
    found = {"verdict": report.verdict, "reasons": reasons, "weights_sha256": weights_sha256(folder)}
    more = {"kind": "short", "held_out_demonstrations": held_out, "figures": dict(report.values)}
    write_record(folder, found | more)


def read_record(folder: Path) -> AuditRecord | None:
    """What ``audit.json`` in the folder of a reward model says; None where there is none.

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
    current = digest == weights_sha256(folder)
    return AuditRecord(
        cast(Audit, verdict), reasons, current, held.get("kind") == "short", None if env is None else str(env)
    )


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
