"""Trained policies on disk: weights as safetensors, and a yaml that says what loads them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from robo_reward.contracts import Landmarks
from robo_reward.policies.anchored_policy import AnchoredPolicy
from robo_reward.policies.cloning import Clone, CloneSettings
from robo_reward.policies.priors import Prior
from robo_reward.policies.soft_actor_critic import SacSettings, SoftActorCritic
from robo_reward.policies.warp_plan import WarpPlan
from robo_reward.policies.warped_replay import TrackSettings, WarpedReplay
from robo_reward.runs import atomic
from robo_reward.runs.checkpoint import load_state, save_state

NAME = "policy"


def save_anchored(policy: AnchoredPolicy, folder: Path, states: int, actions: int) -> None:
    """Writes everything that ``load_anchored`` needs to act as ``policy`` does now, without a demonstration at hand."""
    state = {
        "states": states,
        "actions": actions,
        "scale": policy.scale,
        "context": policy.context,
        "mode": "prior" if policy.mode == "prior" else "average",
        "prior": dump_prior(policy.prior),
        "sac": asdict(policy.agent.settings),
        "agent": policy.agent.state(),
    }
    save_state(folder, NAME, state)
    target = f"{load_anchored.__module__}.{load_anchored.__name__}"
    atomic.write_text(folder / "policy.yaml", f"_target_: {target}\n")


def load_anchored(folder: Path) -> AnchoredPolicy:
    """Reads what ``save_anchored`` wrote."""
    state = load_state(Path(folder), NAME)
    width = state["states"] + state["context"] + state["actions"]
    agent = SoftActorCritic(width, state["actions"], SacSettings(**state["sac"]), timid=True)
    agent.load(state["agent"])
    prior = load_prior(state["prior"], state["states"], state["actions"])
    policy = AnchoredPolicy(prior, agent, state["scale"], state["context"], np.random.default_rng(0))
    policy.start(state["mode"], np.random.default_rng(0))
    return policy


def save_clone(clone: Clone, folder: Path, states: int, actions: int) -> None:
    """Writes a clone as a policy of its own."""
    save_state(folder, NAME, {"states": states, "actions": actions, "prior": dump_prior(clone)})
    target = f"{load_clone.__module__}.{load_clone.__name__}"
    atomic.write_text(folder / "policy.yaml", f"_target_: {target}\n")


def load_clone(folder: Path) -> Clone:
    """Reads what ``save_clone`` wrote."""
    state = load_state(Path(folder), NAME)
    prior = load_prior(state["prior"], state["states"], state["actions"])
    assert isinstance(prior, Clone)
    return prior


def dump_prior(prior: Prior) -> dict[str, Any]:
    """A prior as nested dicts of arrays and numbers."""
    if isinstance(prior, Clone):
        return {"kind": "clone", "clone": prior.state(), "settings": asdict(prior.settings)}
    assert isinstance(prior, WarpedReplay)
    return {
        "kind": "warp",
        "plan": asdict(prior.plan),
        "landmarks": asdict(prior.landmarks),
        "undo": prior.undo,
        "settings": asdict(prior.settings),
    }


def load_prior(state: dict[str, Any], states: int, actions: int) -> Prior:
    """Takes back what ``dump_prior`` gave."""
    if state["kind"] == "clone":
        clone = Clone(states, actions, CloneSettings(**state["settings"]))
        clone.load_state(state["clone"])
        return clone
    landmarks, plan = Landmarks(**state["landmarks"]), WarpPlan(**state["plan"])
    return WarpedReplay(plan, landmarks, state["undo"], TrackSettings(**state["settings"]))
