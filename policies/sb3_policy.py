"""A trained Stable-Baselines3 network behind the Policy contract, and its way to the disk and back."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from stable_baselines3.sac.policies import SACPolicy

from robo_reward.contracts import Flags, Floats, Observation
from robo_reward.errors import UserError, unknown_name
from robo_reward.runs import atomic
from robo_reward.runs.checkpoint import load_state, save_state

Algorithm = Literal["ppo", "sac"]
ALGORITHMS: tuple[Algorithm, ...] = ("ppo", "sac")
ACTIVATIONS: dict[str, type[torch.nn.Module]] = {"tanh": torch.nn.Tanh, "relu": torch.nn.ReLU, "elu": torch.nn.ELU}
NAME = "policy"


@dataclass(frozen=True, slots=True)
class Sb3Network:
    """What the networks of actor and critic look like: hidden ``layers`` and their ``activation``."""

    algorithm: Algorithm
    layers: tuple[int, ...]
    activation: str

    def __post_init__(self) -> None:
        if self.algorithm not in ALGORITHMS:
            raise unknown_name("algorithm", self.algorithm, ALGORITHMS)
        if self.activation not in ACTIVATIONS:
            raise unknown_name("activation", self.activation, ACTIVATIONS)

    def keywords(self) -> dict[str, Any]:
        """SB3's ``policy_kwargs``."""
        return {"net_arch": list(self.layers), "activation_fn": ACTIVATIONS[self.activation]}


class Sb3Policy:
    """Acts deterministically (PPO's mean, SAC's squashed mean) within the action bounds; it has no memory."""

    def __init__(self, net: BasePolicy, network: Sb3Network) -> None:
        self.net, self.network = net, network

    def act(self, observation: Observation) -> Floats:
        """A chunk (N, 1, A) of one action from the states (N, S)."""
        action = self.net.predict(observation.state, deterministic=True)[0]
        return np.asarray(action, np.float32)[:, None]

    def reset(self, fresh: Flags) -> None:
        """Nothing to forget."""

    def save(self, folder: Path) -> None:
        """Writes weights and bounds as safetensors and a yaml that says what loads them."""
        space = self.net.action_space
        assert isinstance(space, spaces.Box)
        assert self.net.observation_space.shape is not None
        state = {
            "network": asdict(self.network),
            "states": int(self.net.observation_space.shape[0]),
            "low": space.low,
            "high": space.high,
            "weights": dict(self.net.state_dict()),
        }
        save_state(folder, NAME, state)
        target = f"{load_sb3.__module__}.{load_sb3.__name__}"
        atomic.write_text(folder / "policy.yaml", f"_target_: {target}\n")


def load_sb3(folder: Path) -> Sb3Policy:
    """Reads what ``Sb3Policy.save`` wrote.

    Raises:
        UserError: if a file is missing or damaged.
    """
    state = load_state(Path(folder), NAME)
    saved: dict[str, Any] = state["network"]
    network = Sb3Network(saved["algorithm"], tuple(saved["layers"]), saved["activation"])
    net = make_net(network, state["states"], spaces.Box(state["low"], state["high"], dtype=np.float32))
    net.load_state_dict(state["weights"])
    net.set_training_mode(False)
    return Sb3Policy(net, network)


def start_from(folder: Path, net: BasePolicy, network: Sb3Network) -> None:
    """Puts the weights of a saved policy into an untrained network of the same kind.

    Raises:
        UserError: if there is none, or it has another architecture, other states or other actions.
    """
    place = folder / NAME if (folder / NAME).is_dir() else folder
    state = load_state(place, NAME)
    saved = state["network"]
    if (saved["algorithm"], tuple(saved["layers"]), saved["activation"]) != (
        network.algorithm,
        network.layers,
        network.activation,
    ):
        raise UserError(f"learner.start='{folder}' holds a network {saved}, the learner has {asdict(network)}")
    try:
        net.load_state_dict(state["weights"])
    except RuntimeError as error:
        raise UserError(
            f"learner.start='{folder}' does not fit this world: {' '.join(str(error).split())[:300]}"
        ) from None


def make_net(network: Sb3Network, states: int, action_space: spaces.Box) -> BasePolicy:
    """An untrained network as SB3 itself would build it."""
    observations = spaces.Box(-np.inf, np.inf, (states,), np.float32)
    keywords = network.keywords()
    if network.algorithm == "ppo":
        return ActorCriticPolicy(observations, action_space, _no_schedule, **keywords)
    return SACPolicy(observations, action_space, _no_schedule, **keywords)


def _no_schedule(_: float) -> float:
    return 0.0
