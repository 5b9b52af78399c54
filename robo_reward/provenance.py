"""Whether the simulator's own reward or success is in a policy that a run goes on from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from robo_reward.runs.folder import read_summary

UP = 3
"""How many folders a policy lies below its run at most: RUN/policy/base/pretrained_model (learner=dsrl) has three."""


def oracle_before(path: str | None) -> tuple[bool, bool]:
    """(reward, success): what the run in which the policy ``path`` lies says it used; False of what lies in no run.

    A run notes its own start's word along with its own, so that the whole way to a policy is told by its last run.

    Raises:
        UserError: the summary there is damaged.
    """
    said = _run_of(path)
    return bool(said.get("used_env_reward")), bool(said.get("used_env_success"))


def _run_of(path: str | None) -> dict[str, Any]:
    if path is None or not Path(path).exists():
        return {}
    start = Path(path).resolve()
    for folder in (start, *start.parents[:UP]):
        if (folder / "summary.json").is_file() and (folder / "config.yaml").is_file():
            return read_summary(folder)
    return {}
