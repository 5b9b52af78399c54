"""Mirrors a run's metrics to Weights & Biases: ``wandb=online``, or ``wandb=offline`` for ``wandb sync`` later."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from robo_reward.errors import MissingExtra, UserError
from robo_reward.runs import atomic
from robo_reward.runs.metrics import Value

MODES = ("offline", "online")
PROJECT = "robo-reward"
"""Where runs go unless WANDB_PROJECT says otherwise; WANDB_ENTITY and the like are W&B's own."""


class WandbMirror:
    """One W&B run a run folder, in ``<run folder>/wandb/``; its id is kept there, so that a resumed run goes on in it.

    ``mode``: offline or online. Rows carry their step in ``step``, the x axis of all charts: after a resume from a
    checkpoint they may repeat steps that W&B has seen, which its own counter would refuse.
    """

    def __init__(self, folder: Path, mode: str, config: Mapping[str, Any]) -> None:
        """
        Raises:
            UserError: an unknown mode, or ``online`` without being logged in.
            MissingExtra: the package ``wandb`` is absent.
        """
        if mode not in MODES:
            raise UserError(f"wandb={mode} must be null, {' or '.join(MODES)}")
        try:
            import wandb
        except ImportError as error:
            raise MissingExtra("wandb", "wandb", f"wandb={mode}") from error
        if mode == "online" and not wandb.api.api_key:
            raise UserError(
                "wandb=online needs you to be logged in: run 'wandb login', set WANDB_API_KEY, or use wandb=offline"
            )
        self._folder, self._mode, self._config = folder, mode, dict(config)
        self._run: Any = None

    def scalars(self, step: int, row: Mapping[str, Value]) -> None:
        """Mirrors the numbers of a metrics row. UserError if W&B cannot be reached when the run begins there."""
        if self._run is None:
            self._run = self._start()
        self._run.log({k: v for k, v in row.items() if isinstance(v, int | float)} | {"step": step})

    def restart(self, step: int) -> None:
        """Nothing to do: the run of the kept id is taken up again, and rows say their step."""

    def close(self) -> None:
        """Ends the W&B run; a second call does nothing."""
        if self._run is not None:
            self._run.finish()
            self._run = None

    def _start(self) -> Any:
        import wandb

        kept = self._folder / "wandb" / "id"
        if not kept.exists():
            kept.parent.mkdir(exist_ok=True)
            atomic.write_text(kept, wandb.util.generate_id())
        quiet = wandb.Settings(silent=True, console="off", disable_git=True)
        try:
            run = wandb.init(
                project=os.environ.get("WANDB_PROJECT", PROJECT),
                dir=self._folder,
                id=kept.read_text("utf-8"),
                name=self._folder.name,
                config=self._config,
                mode="online" if self._mode == "online" else "offline",  # a literal, as its types ask
                resume="allow" if self._mode == "online" else None,
                settings=quiet,
            )
        except wandb.Error as error:
            raise UserError(f"Weights & Biases does not take the run ({error}); wandb=offline keeps it here") from error
        run.define_metric("*", step_metric="step")
        return run
