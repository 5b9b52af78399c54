"""Of a large dataset only the demonstrations that are wanted are decoded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from omegaconf import OmegaConf

from robo_reward.contract_tests import moving_square
from robo_reward.data import datasets
from robo_reward.data.datasets import write_dataset
from robo_reward.errors import UserError
from robo_reward.gathering import gather_demonstrations
from robo_reward.verbs.fit import _demonstrations


def test_only_the_wanted_episodes_are_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = moving_square(0, 4)
    many = [replace(one, task=task) for task in ("left", "left", "right", "left", "right")]
    write_dataset(many, tmp_path / "data", images=True)
    monkeypatch.setattr(datasets, "MAX_FRAME_BYTES", 3 * one.frames["front"].nbytes)
    settings: dict[str, Any] = {"data": str(tmp_path / "data"), "demos": 1, "env": {}}
    traces, dropped = gather_demonstrations(OmegaConf.create(settings), ("front",), "none")
    assert ([trace.task for trace in traces], dropped) == (["left", "right"], 0)
    model: Any = SimpleNamespace(needs=SimpleNamespace(views=("front",)))
    fitted = _demonstrations(OmegaConf.create({"demos": 2}), model, [settings["data"]])
    assert [(episode.trace.task, episode.number) for episode in fitted] == [("left", 0), ("left", 1)]
    with pytest.raises(UserError, match=r"of 5 episode\(s\)"):
        gather_demonstrations(OmegaConf.create(settings | {"demos": None}), ("front",), "none")
