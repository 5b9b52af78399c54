"""Train runs made by hand, in a moment: a policy whose action is the same whatever it sees."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces

from robo_reward.runs import atomic

ENV: dict[str, Any] = {
    "_target_": "robo_reward.envs.so101_env.make_world",
    "task": "reach",
    "num_worlds": 1,
    "workers": "in_process",
    "views": ["front", "wrist"],
    "height": 48,
    "width": 64,
    "horizon": None,
    "action_repeat": 1,
    "profile": "fast",
    "oracle": "none",
    "features": "joints",
    "control": "steps",
    "speed": 60.0,
    "fps": 30.0,
}


def make_run(folder: Path, action: Sequence[float] = (0.3, 0, 0, 0, 0, 0), **env: Any) -> Path:
    """A folder that deploy takes for a finished train run; its policy says ``action`` (6,), always."""
    import torch
    from omegaconf import OmegaConf

    from robo_reward.policies.sb3_policy import Sb3Network, Sb3Policy, make_net

    network = Sb3Network("ppo", (4,), "tanh")
    net: Any = make_net(network, 6, spaces.Box(-1.0, 1.0, (6,), np.float32))
    with torch.no_grad():
        net.action_net.weight.zero_()
        net.action_net.bias.copy_(torch.tensor(action, dtype=torch.float32))
    Sb3Policy(net, network).save(folder / "policy")
    settings = {"env": {**ENV, **env}, "transform": {"chain": []}, "reward_model": {}}
    atomic.write_text(folder / "config.yaml", OmegaConf.to_yaml(OmegaConf.create(settings)))
    atomic.write_json(folder / "summary.json", {"verb": "train", "status": "done"})
    return folder
