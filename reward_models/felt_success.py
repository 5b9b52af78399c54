"""What an arm felt of late, as evidence of success: fingers that carried something stayed apart, empty ones shut."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from robo_reward.errors import UserError
from robo_reward.networks import mlp
from robo_reward.reward_models.frames import settled_step, task_vector
from robo_reward.reward_models.instruction import SIZE as TASK_SIZE
from robo_reward.trace import Trace

LEAST_SPREAD = 1e-3
STEPS, BATCH, NOISE = 400, 64, 0.3
"""Updates, episodes' moments in one of them, and the noise on what was felt, in its own deviations."""


class FeltSuccess(nn.Module):
    """p(success) from the state vectors at the last ``looks`` priced frames (W = looks * S numbers) and the words.

    Demonstrated frames of success against the other frames of the demonstrations and those of failures. It sees where
    the arm is and what its joints tell of forces, never the simulator: a policy reads the same numbers.
    """

    def __init__(self, looks: int, states: int) -> None:
        super().__init__()
        if looks < 1:
            raise UserError(f"reward_model.feels={looks} must be 1 or more looks, or 0 to judge by pictures alone")
        self.looks = looks
        self.net = mlp(looks * states + TASK_SIZE, 1, 64, depth=2)
        self.register_buffer("mean", torch.zeros(looks * states))
        self.register_buffer("spread", torch.ones(looks * states))

    def fit(self, demonstrations: Sequence[Trace], failures: Sequence[Trace], settle: int, hard_after: int) -> float:
        """Trains anew; the last loss. Frames of ``failures`` that are replays count from step ``hard_after`` on."""
        good, bad = [], []
        for trace in demonstrations:
            felt, first = self.windows(trace), trace.success_step
            assert first is not None  # check_demonstrations ran before
            good.append(felt[trace.frame_steps >= settled_step(trace, settle)])
            bad.append(felt[trace.frame_steps < first])
        for trace in failures:
            late = trace.frame_steps >= (hard_after if trace.source == "replay" else 0)
            bad.append(self.windows(trace)[late])
        ends = sum(len(part) for part in bad[: len(demonstrations)])
        positive, early, failed = torch.cat(good), torch.cat(bad)[:ends], torch.cat(bad)[ends:]
        self._scale(torch.cat([positive, early, failed])[:, :-TASK_SIZE])
        optimizer = torch.optim.AdamW(self.net.parameters(), 2e-3, weight_decay=0.01)
        loss = torch.zeros(())
        pools = [(positive, 1.0), (early, 0.0), (failed, 0.0)] if len(failed) else [(positive, 1.0), (early, 0.0)]
        for _ in range(STEPS):
            each = []
            for pool, label in pools:
                logit = self._logit(pool[torch.randint(len(pool), (BATCH,))], NOISE)
                each.append(nn.functional.binary_cross_entropy_with_logits(logit, torch.full_like(logit, label)))
            loss = each[0] + torch.stack(each[1:]).mean()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        return float(loss.detach())

    def windows(self, trace: Trace) -> Tensor:
        """(F, W + 32): at each kept frame what was felt at it and before it, newest first, and the instruction."""
        states = torch.from_numpy(np.asarray(trace.state[trace.frame_steps], np.float32))
        rows = (torch.arange(len(states))[:, None] - torch.arange(self.looks)).clamp(min=0)
        return torch.cat([states[rows].flatten(1), task_vector(trace.task).expand(len(states), -1)], -1)

    @torch.no_grad()
    def probability(self, windows: Tensor) -> NDArray[np.float32]:
        """(F,) in [0, 1] of ``windows`` (F, W + 32)."""
        out: NDArray[np.float32] = torch.sigmoid(self._logit(windows, 0.0)).numpy()
        return out

    def _logit(self, windows: Tensor, noise: float) -> Tensor:
        felt = (windows[:, :-TASK_SIZE] - self.get_buffer("mean")) / self.get_buffer("spread")
        felt = felt.clamp(-5, 5)
        if noise:
            felt = felt + noise * torch.randn_like(felt)
        logit: Tensor = self.net(torch.cat([felt, windows[:, -TASK_SIZE:]], -1))[:, 0]
        return logit

    def _scale(self, felt: Tensor) -> None:
        self.get_buffer("mean").copy_(felt.mean(0))
        self.get_buffer("spread").copy_(felt.std(0).clamp(min=LEAST_SPREAD))


class Feeling:
    """The last states of every world while it is stepped, as ``FeltSuccess.windows`` would have them."""

    def __init__(self, looks: int) -> None:
        self._looks = looks
        self._held = torch.zeros(0, 0, 0)

    def begin(self, state: Any, fresh: NDArray[np.bool_]) -> None:
        """The worlds where ``fresh`` (N,) is True have felt nothing but their first state (N, S)."""
        first = torch.from_numpy(np.asarray(state, np.float32))[:, None].repeat(1, self._looks, 1)
        if len(self._held) != len(first):
            self._held = first
        self._held[torch.from_numpy(fresh)] = first[torch.from_numpy(fresh)]

    def look(self, state: Any, where: NDArray[np.bool_]) -> None:
        """Adds the states (N, S) of the worlds where ``where`` (N,) is True."""
        chosen = torch.from_numpy(where)
        newest = torch.from_numpy(np.asarray(state, np.float32))[chosen][:, None]
        self._held[chosen] = torch.cat([newest, self._held[chosen][:, :-1]], 1)

    def windows(self, task: Tensor) -> Tensor:
        """(N, W + 32), with the instructions (N, 32)."""
        return torch.cat([self._held.flatten(1), task], -1)
