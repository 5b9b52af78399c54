"""What ``summary.json`` says about a run: every key always present, null where it is undefined."""

from __future__ import annotations

import dataclasses
import math
import subprocess
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

Status = Literal["done", "interrupted", "failed"]
Audit = Literal["pass", "care", "refuse"]

_REPORTED = (
    "torch", "mujoco", "gymnasium", "stable-baselines3", "lerobot", "metaworld", "robo-reward",
)  # fmt: skip


@dataclass(slots=True)
class Summary:
    """The verb fills in what it knows; seconds are of this run including the parts before a resume."""

    verb: str
    status: Status | None = None
    seed: int | None = None
    env: str | None = None
    reward_model: str | None = None
    reward_audit: Audit | None = None
    transforms: list[str] | None = None
    base_reward: str | None = None
    policy: str | None = None
    learner: str | None = None
    demos: int | None = None
    rollouts: int | None = None
    env_steps: int | None = None
    episodes: int | None = None
    updates: int | None = None
    wall_seconds: float | None = None
    cpu_seconds: float | None = None
    render_seconds: float | None = None
    pricing_seconds: float | None = None
    frames_rendered: int | None = None
    success_rate: float | None = None
    success_by_seed: list[float | None] | None = None
    success_episodes: int | None = None
    success_ci95: tuple[float, float] | None = None
    cloned_success_rate: float | None = None
    env_return: float | None = None
    false_success_share: float | None = None
    alarm: bool | str | None = None
    learned_return_vs_success: float | None = None
    used_env_reward: bool | None = None
    used_env_success: bool | None = None
    stand_in_visuals: bool | None = None
    parse_failures: int | None = None
    fallbacks: int | None = None
    nan_resets: int | None = None
    device: str | None = None
    notes: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str | None] = field(default_factory=dict)
    git_commit: str | None = None

    def as_json(self) -> dict[str, Any]:
        """All keys in their order; numbers that are not finite become null."""
        return {key: _finite(value) for key, value in dataclasses.asdict(self).items()}


def installed_versions() -> dict[str, str | None]:
    """Package -> version of what is installed, null for what is not; ``python`` first."""
    import platform

    found: dict[str, str | None] = {"python": platform.python_version()}
    for name in _REPORTED:
        try:
            found[name.replace("-", "_")] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name.replace("-", "_")] = None
    return found


def git_commit() -> str | None:
    """The commit of the checkout that this package runs from; None where it is not run from one."""
    package = Path(__file__).resolve().parent
    try:
        # A virtual environment may lie inside somebody else's repository: ours must track this very file.
        _git(package, "ls-files", "--error-unmatch", Path(__file__).name)
        return _git(package, "rev-parse", "HEAD")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(folder: Path, *args: str) -> str:
    done = subprocess.run(["git", "-C", str(folder), *args], capture_output=True, text=True, check=True, timeout=10)
    return done.stdout.strip()


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(held) for key, held in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(held) for held in value]
    # numpy scalars: JSON knows only Python's own numbers
    return _finite(value.item()) if hasattr(value, "item") else value
