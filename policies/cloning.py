"""Behaviour cloning of demonstrations from states: plain, or on shifted states with corrected actions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from robo_reward.contracts import Flags, Floats, Landmarks, Observation
from robo_reward.networks import mlp
from robo_reward.trace import Trace


@dataclass(frozen=True, slots=True)
class CloneSettings:
    """``noise``: added to normalised states. ``shift``: spread in metres of the hand's shift, 0 for plain cloning.

    ``correction``: share of a shift that the corrected action undoes. ``drop``: states that are left out, by index.
    """

    steps: int = 600
    batch: int = 128
    learning_rate: float = 1e-3
    noise: float = 0.02
    shift: float = 0.0
    correction: float = 0.5
    copies: int = 20
    drop: tuple[int, ...] = ()


class Clone:
    """A deterministic policy cloned from demonstrations; as a prior it has no memory and no context."""

    context_size = 0

    def __init__(self, states: int, actions: int, settings: CloneSettings) -> None:
        self.settings = settings
        keep = torch.ones(states)
        keep[list(settings.drop)] = 0.0
        self._keep, self._actions = keep, actions
        self._mean, self._std = torch.zeros(states), torch.ones(states)
        self.net = mlp(states, actions)

    def fit(self, state: NDArray[np.float32], action: NDArray[np.float32]) -> float:
        """Regresses actions (T, A) on states (T, S); returns the last loss."""
        s = self.settings
        x = torch.from_numpy(state)
        self._mean, self._std = x.mean(0), x.std(0).clamp(min=0.1)
        x, target = self._normalise(x), torch.from_numpy(action).clamp(-0.98, 0.98)
        optimizer = torch.optim.Adam(self.net.parameters(), s.learning_rate)
        loss = torch.zeros(())
        for _ in range(s.steps):
            index = torch.randint(0, len(x), (s.batch,))
            noisy = x[index] + s.noise * torch.randn(s.batch, x.shape[1])
            loss = nn.functional.mse_loss(torch.tanh(self.net(noisy * self._keep)), target[index])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        return float(loss.detach())

    @torch.no_grad()
    def propose(self, state: Floats) -> tuple[Floats, Floats]:
        """Actions (N, A) for states (N, S), and an empty context (N, 0)."""
        x = self._normalise(torch.from_numpy(state)).clamp(-5, 5)
        return torch.tanh(self.net(x * self._keep)).numpy(), np.zeros((len(state), 0), np.float32)

    def act(self, observation: Observation) -> Floats:
        """A chunk (N, 1, A) of one action."""
        return self.propose(observation.state)[0][:, None]

    def reset(self, fresh: Flags) -> None:
        """Nothing to forget."""

    def save(self, folder: Path) -> None:
        """Writes everything that is needed to act alike; ``saved_policy.load_clone`` reads it."""
        from robo_reward.policies.saved_policy import save_clone

        save_clone(self, folder, len(self._mean), self._actions)

    def state(self) -> dict[str, object]:
        """Weights and normalisation."""
        return {"net": self.net.state_dict(), "mean": self._mean, "std": self._std, "keep": self._keep}

    def load_state(self, state: dict[str, object]) -> None:
        """Takes back what ``state`` gave."""
        self.net.load_state_dict(state["net"])  # type: ignore[arg-type]
        self._mean, self._std = torch.as_tensor(state["mean"]), torch.as_tensor(state["std"])
        self._keep = torch.as_tensor(state["keep"])

    def _normalise(self, x: Tensor) -> Tensor:
        return (x - self._mean) / self._std


def clone_demonstrations(
    demonstrations: Sequence[Trace],
    settings: CloneSettings,
    landmarks: Landmarks | None = None,
    undo: NDArray[np.float64] | None = None,
    rng: np.random.Generator | None = None,
) -> Clone:
    """A clone of the demonstrations; with ``settings.shift`` also of states in which the hand is somewhere near.

    Shifted states are what one demonstration lacks: how to come back to its path. The hand is moved by up to N(0,
    shift) times a uniform draw, everything in the state that depends on it moves along, and the action undoes a share
    of it.
    """
    state = np.concatenate([d.state[:-1] for d in demonstrations])
    action = np.concatenate([d.action for d in demonstrations])
    clone = Clone(state.shape[1], action.shape[1], settings)
    if settings.shift and landmarks is not None and undo is not None and rng is not None:
        shifted, corrected = _shifted(state, action, settings, landmarks, undo, rng)
        repeats = max(settings.copies // 2, 1)
        state = np.concatenate([np.repeat(state, repeats, 0), shifted])
        action = np.concatenate([np.repeat(action, repeats, 0), corrected])
    clone.fit(state, action)
    return clone


def _shifted(
    state: NDArray[np.float32],
    action: NDArray[np.float32],
    settings: CloneSettings,
    landmarks: Landmarks,
    undo: NDArray[np.float64],
    rng: np.random.Generator,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    state, action = np.repeat(state, settings.copies, 0), np.repeat(action, settings.copies, 0)
    shift = rng.normal(0, settings.shift, (len(state), 3)) * rng.random((len(state), 1))
    moved = landmarks.shift_hand(state, shift)
    corrected = np.clip(action - settings.correction * shift @ undo.T, -1, 1)
    return moved, corrected.astype(np.float32)
