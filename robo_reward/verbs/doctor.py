"""Prints what works on this machine and how to mend what does not."""

from __future__ import annotations

import dataclasses
import json
import textwrap
from typing import TYPE_CHECKING, Any

from robo_reward.errors import UserError
from robo_reward.machine_checks import Finding, check_all

if TYPE_CHECKING:
    from omegaconf import DictConfig


def run(cfg: DictConfig) -> None:
    """Checks everything and prints one line each.

    Raises:
        UserError: a check failed, so that runs will fail too; the message counts them.
    """
    if not 8 <= cfg.width <= 4096:
        raise UserError(f"width={cfg.width} is not between 8 and 4096 pixels")
    findings = check_all(int(cfg.width)) if cfg.robot.get("_target_") is None else _arm(cfg)
    if cfg.json:
        print(json.dumps([dataclasses.asdict(finding) for finding in findings], indent=2))
    else:
        print("\n".join(as_text(finding) for finding in findings))
    failed = [finding.name for finding in findings if finding.state == "fail"]
    if failed:
        raise UserError(f"{len(failed)} of {len(findings)} checks failed: {', '.join(failed)}")


def _arm(cfg: DictConfig) -> list[Finding]:
    """The robot's own checks, in place of the machine's."""
    from omegaconf import OmegaConf

    from robo_reward.build import build

    settings: Any = OmegaConf.to_container(cfg.robot, resolve=True)
    if "plant" in settings and settings["plant"].get("task") is None:
        settings["plant"]["task"] = "reach"
    found: list[Finding] = build(cfg.arm_checks)(build(settings), hands=bool(cfg.hands))
    return found


def as_text(finding: Finding) -> str:
    """One finding as lines for a terminal."""
    lines = f"{finding.state:<5} {finding.name:<11} {finding.text}"
    if not finding.mend:
        return lines
    mend = textwrap.fill(f"to mend: {finding.mend}", 100, initial_indent=" " * 18, subsequent_indent=" " * 18)
    return f"{lines}\n{mend}"
