"""Whether a run that is gone on with is asked for what it was made with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from robo_reward.errors import UserError

MAY_CHANGE = (
    "resume", "run_dir", "rollouts", "steps", "device", "video", "report", "wandb", "accept_refused_reward",
)  # fmt: skip
"""Config keys in which a resumed run may differ from the one it resumes."""
ABSENT = "absent"


def resolved(config: Any) -> dict[str, Any]:
    """A config as plain values, its interpolations resolved."""
    from omegaconf import OmegaConf

    if OmegaConf.is_config(config):
        config = OmegaConf.to_container(config, resolve=True)
    return dict(config)


def check_same(path: Path, config: Mapping[str, Any] | Any) -> None:
    """Refuses to go on with a run that was made with another config.

    Raises:
        UserError: that names all such keys and both values of each.
    """
    differ = [d for d in _differences(path, config) if d[0].split(".")[0] not in MAY_CHANGE]
    if differ:
        told = ", ".join(f"{key}={old} (now {new})" for key, old, new in differ)
        value = "value" if len(differ) == 1 else "values"
        # settings that there were not yet; of another class all are others
        added = [f"~{key}" for key, old, _ in differ if old == ABSENT]
        more = f" ({' '.join(added)})" if added and not any(key.endswith("_target_") for key, _, _ in differ) else ""
        raise UserError(
            f"the run in '{path}' was made with {told}; resume it with the old {value}{more} or give another run_dir"
        )


def tell_finished(path: Path, config: Mapping[str, Any] | Any) -> None:
    """Prints that a finished run is left as it is, and what was asked for in vain. UserError as ``check_same``."""
    check_same(path, config)
    asked = [f"{key}={old}, not {new}" for key, old, new in _differences(path, config) if key in ("rollouts", "steps")]
    made = f" (it was made with {'; '.join(asked)})" if asked else ""
    print(f"'{path}' is finished{made}: there is nothing to resume; another run_dir begins a new run")


def _differences(path: Path, config: Mapping[str, Any] | Any) -> list[tuple[str, Any, Any]]:
    """(key, value there, value now) of all that differs; what is ``ABSENT`` counts as null."""
    from omegaconf import OmegaConf

    there, here = OmegaConf.load(path / "config.yaml"), OmegaConf.create(resolved(config))
    old, new = _flat(OmegaConf.to_container(there)), _flat(OmegaConf.to_container(here))
    keys = sorted(old.keys() | new.keys())
    return [(key, old.get(key, ABSENT), new.get(key, ABSENT)) for key in keys if old.get(key) != new.get(key)]


def _flat(value: Any, key: str = "") -> dict[str, Any]:
    if not isinstance(value, dict) or not value:
        return {key: value}
    return {k: v for name, held in value.items() for k, v in _flat(held, f"{key}.{name}" if key else str(name)).items()}
