"""A policy that an arm can be deployed with: cameras and joints in, joint goals near the joints out."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from robo_reward.contracts import Flags, Floats, Observation
from robo_reward.policies.anchored_policy import AnchoredPolicy, Mode
from robo_reward.policies.on_arm.sight import Sight, SightSettings
from robo_reward.policies.soft_actor_critic import SacSettings, SoftActorCritic
from robo_reward.runs import atomic
from robo_reward.runs.checkpoint import load_state, save_state

NAME = "policy"


class SightedPolicy:
    """goal = joints + ``reach`` (J,) times an action in [-1, 1], which is what people did there plus a correction.

    A goal lies at most ``reach`` (LeRobot's units) from where the joint is read to be, whatever the networks say.
    """

    def __init__(self, sight: Sight, inner: AnchoredPolicy, reach: Floats) -> None:
        self.sight, self.inner, self.reach = sight, inner, np.asarray(reach, np.float32)

    @property
    def mode(self) -> Mode:
        """How it acts: "prior" is imitation alone, "average" corrected as it is evaluated."""
        return self.inner.mode

    def act(self, observation: Observation) -> Floats:
        """(N, 1, J) joint goals in LeRobot's units."""
        seen = Observation({}, self.sight.features(observation.views, observation.state), observation.task)
        return (observation.state[:, None] + self.reach * self.inner.act(seen)).astype(np.float32)

    def reset(self, fresh: Flags) -> None:
        """Forgets nothing but what the prior remembers."""
        self.inner.reset(fresh)

    def practise(self, seed: int, mode: Mode = "sample") -> None:
        """The next episodes explore as ``mode`` says; "average" acts as it is evaluated."""
        torch.manual_seed(seed % 2**63)
        self.inner.start(mode, np.random.default_rng(seed))

    def save(self, folder: Path) -> None:
        """Writes what ``load_sighted`` needs to act alike."""
        sight, agent = self.sight, self.inner.agent
        state = {
            "views": list(sight.views),
            "joints": len(sight.mean),
            "sight": asdict(sight.settings),
            "net": sight.state_dict(),
            "sac": asdict(agent.settings),
            "agent": agent.state(),
            "scale": self.inner.scale,
            "reach": self.reach,
            "mode": "prior" if self.inner.mode == "prior" else "average",
        }
        save_state(folder, NAME, state)
        target = f"{load_sighted.__module__}.{load_sighted.__name__}"
        atomic.write_text(folder / "policy.yaml", f"_target_: {target}\n")


def make_policy(sight: Sight, agent: SoftActorCritic, scale: float, reach: Floats) -> SightedPolicy:
    """Puts the parts together."""
    return SightedPolicy(sight, AnchoredPolicy(sight, agent, scale, 0, np.random.default_rng(0)), reach)


def load_sighted(folder: Path) -> SightedPolicy:
    """Reads what ``SightedPolicy.save`` wrote."""
    state = load_state(Path(folder), NAME)
    joints = int(state["joints"])
    sight = Sight(state["views"], joints, joints, SightSettings(**state["sight"]))
    sight.load_state_dict(state["net"])
    agent = SoftActorCritic(sight.size + joints, joints, SacSettings(**state["sac"]), timid=True)
    agent.load(state["agent"])
    policy = make_policy(sight.eval(), agent, state["scale"], state["reach"])
    policy.inner.start(state["mode"], np.random.default_rng(0))
    return policy
