"""Makes a whole robo-reward model of a network that LeRobot's trainer trained: detector and memory included."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf

from robo_reward.build import save_reward_model
from robo_reward.data.datasets import read_dataset
from robo_reward.fitting.episodes import Episode, stopped_copies
from robo_reward.fitting.splits import FILE
from robo_reward.reward_models.frames import check_demonstrations
from robo_reward.reward_models.progress import ProgressModel
from robo_reward.reward_models.progress_net import ProgressNet
from robo_reward.runs import atomic
from robo_reward.seeding import derive_rng
from robo_reward.trace import Trace

TARGET = "robo_reward.reward_models.progress.ProgressModel"


class TrainedElsewhere(ProgressModel):
    """A progress model that gets its network instead of training it."""

    def adopt(self, net: ProgressNet, demonstrations: list[Trace], negatives: list[Trace], shift: int) -> None:
        """Takes ``net``, remembers the demonstrations and fits the success detector against the negatives."""
        check_demonstrations(demonstrations, self.needs.stride)
        self._build(demonstrations[0])
        self.net.load_state_dict(net.state_dict())
        self._remember_demonstrations(demonstrations, shift)
        self._fit_success(negatives, seed=0)


def save_for_robo_reward(
    net: ProgressNet, config: Any, meta: Any, trained: Sequence[dict[str, Any]], folder: Path
) -> None:
    """Writes model.yaml, weights and split.json into ``folder``, as ``robo-reward fit`` does.

    ``config``: a ProgressConfig; ``meta``: LeRobot's metadata of the dataset; ``trained``: the episodes that it
    was trained on, as rows of ``split.json``: all that is remembered, and all that counts as fitted.
    """
    places = np.unique(np.linspace(0, len(trained) - 1, config.references).round().astype(int))
    chosen = [int(trained[place]["number"]) for place in places]
    traces = read_dataset(meta.root, config.views, chosen)
    episodes = [Episode(trace, meta.repo_id, k) for k, trace in zip(chosen, traces, strict=True)]
    stopped = stopped_copies(episodes, max(8, len(episodes)), derive_rng(0, "stopped"))
    settings = {name: getattr(config, name) for name in ("views", "stride", "head", "members", "encoder", "settle")}
    model = TrainedElsewhere(**settings)
    model.adopt(net, traces, [e.trace for e in stopped], config.shift)
    save_reward_model(model, OmegaConf.create({"_target_": TARGET, **settings}), folder)
    split = {"demonstrations": {"fitted": list(trained), "held_out": []}, "negatives": {"fitted": [], "held_out": []}}
    atomic.write_json(folder / FILE, split)
