"""Everything of an SB3 algorithm that a resumed run needs, as nested tensors: never SB3's own zip, which pickles."""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.buffers import ReplayBuffer

ROWS = ("observations", "next_observations", "actions", "rewards", "dones", "timeouts")


def dump_algorithm(model: PPO | SAC) -> dict[str, Any]:
    """Networks, optimizers, step counter; of SAC also temperature and replay buffer."""
    state: dict[str, Any] = {"steps": model.num_timesteps, "parameters": model.get_parameters()}
    if isinstance(model, SAC):
        assert model.replay_buffer is not None
        state["temperature"] = None if model.log_ent_coef is None else model.log_ent_coef.detach()
        state["buffer"] = _dump_buffer(model.replay_buffer)
    return state


def restore_algorithm(model: PPO | SAC, state: dict[str, Any]) -> None:
    """Takes back what ``dump_algorithm`` gave."""
    model.num_timesteps = state["steps"]
    model.set_parameters(state["parameters"], exact_match=True, device=model.device)
    if isinstance(model, SAC):
        assert model.replay_buffer is not None
        if model.log_ent_coef is not None:
            with torch.no_grad():
                model.log_ent_coef.copy_(state["temperature"])
        _restore_buffer(model.replay_buffer, state["buffer"])


def _dump_buffer(buffer: ReplayBuffer) -> dict[str, Any]:
    filled = buffer.buffer_size if buffer.full else buffer.pos
    return {"position": buffer.pos, "full": buffer.full, "rows": {k: getattr(buffer, k)[:filled] for k in ROWS}}


def _restore_buffer(buffer: ReplayBuffer, state: dict[str, Any]) -> None:
    buffer.pos, buffer.full = state["position"], state["full"]
    for name, rows in state["rows"].items():
        held: NDArray[Any] = getattr(buffer, name)
        held[: len(rows)] = rows
