"""NORA-1.5's way: the world model beats standing still, energies by hand, better chunks are preferred, and the verb."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from line_env import NANO, make_policy  # type: ignore[import-not-found]

from robo_reward.errors import UserError
from robo_reward.line_world import LineWorld
from robo_reward.policies.vla.flow import flow_of
from robo_reward.policies.vla.frames import EpisodeFrames
from robo_reward.policies.vla.lerobot_policy import LeRobotPolicy
from robo_reward.policies.vla.training_data import shrinker
from robo_reward.policies.vla_learning.clipped_update import UpdateSettings
from robo_reward.policies.vla_learning.flow_sde import FlowNoise
from robo_reward.policies.vla_learning.goal_energy import EnergySettings, energies, preferred_pairs, recorded_hops
from robo_reward.policies.vla_learning.group_tuning import GroupSettings
from robo_reward.policies.vla_learning.latent_world import Hops, LatentWorld, WorldSettings, fit_world, normed
from robo_reward.policies.vla_learning.preferences import PreferenceSettings, PreferenceTuner
from robo_reward.rollout import rollout
from robo_reward.trace import Trace


class Wanders:
    """Now right, now left, by halves: what a world is learned from."""

    def __init__(self, seed: int, mean: float = 0.3) -> None:
        self._rng, self._mean = np.random.default_rng(seed), mean

    def act(self, observation: Any) -> Any:
        drawn = self._rng.normal(self._mean, 0.5, (len(observation.state), 1, 1))
        return np.clip(drawn, -1, 1).astype(np.float32)

    def reset(self, fresh: Any) -> None:
        """Nothing to forget."""

    def save(self, folder: Path) -> None:
        """Nothing to save."""


def episodes(count: int = 12) -> list[Trace]:
    return list(rollout(LineWorld(4, 12), Wanders(0), count, 0, views=("front",)))


def frames_for(policy: LeRobotPolicy, traces: list[Trace]) -> EpisodeFrames:
    frames = EpisodeFrames(["front"], shrinker(policy))
    frames.add(traces)
    return frames


def test_a_camera_that_is_called_image_is_seen() -> None:
    policy = make_policy(rename={"observation.image": "front"})
    traces = [replace(trace, frames={"observation.image": trace.frames["front"]}) for trace in episodes(1)]
    frames = EpisodeFrames(["observation.image"], shrinker(policy))
    frames.add(traces)
    decisions, _ = recorded_hops(policy, frames, 2, WorldSettings(ahead=2))
    assert decisions[0].seen["observation.images.front"].shape == (1, 3, 16, 16)


def test_moments_know_what_follows_them_and_where_they_should_lead() -> None:
    policy = make_policy()
    decisions, hops = recorded_hops(policy, frames_for(policy, episodes(2)), 2, WorldSettings(ahead=2))
    assert len(decisions) == 24  # two episodes of 12 steps
    assert hops.after[:12].tolist() == [*range(2, 12), -1, -1]
    assert hops.goal[:12].tolist() == [*range(4, 12), 11, 11, 11, 11]
    assert hops.after[12].item() == 14
    assert hops.latents.mean(-1).abs().max().item() < 1e-5
    _, whole = recorded_hops(policy, frames_for(policy, episodes(2)), 2, WorldSettings(ahead=None))
    assert whole.goal.tolist() == [11] * 12 + [23] * 12
    trace = episodes(2)[0]
    assert hops.chunks[3, :, 0].tolist() == pytest.approx((trace.action[3:5, 0] / 0.5).tolist(), abs=1e-5)


def test_a_recorded_decision_sees_what_the_policy_sees_when_it_acts() -> None:
    policy, traces = make_policy(), episodes(1)
    decisions, _ = recorded_hops(policy, frames_for(policy, traces), 2, WorldSettings())
    acting = policy.raw_batch({"front": traces[0].frames["front"][3:4]}, traces[0].state[3:4], [traces[0].task])
    acting = {k: policy.policy.shrink_picture(k, v) if "images" in k else v for k, v in acting.items()}
    assert set(decisions[3].seen) == set(acting)
    assert all(torch.equal(acting[key], value) for key, value in decisions[3].seen.items() if key != "task")


def test_the_world_model_is_better_than_a_world_that_stands_still() -> None:
    policy = make_policy()
    _, hops = recorded_hops(policy, frames_for(policy, episodes()), 2, WorldSettings())
    world = LatentWorld(hops.latents.shape[1], (2, 1))
    assert torch.allclose(world(hops.latents, hops.chunks), hops.latents, atol=1e-2), "it begins as that one"
    told = fit_world(world, hops, WorldSettings(steps=300), 0)
    assert told["world/loss"] < 0.4 * told["world/still"]


def test_energies_by_hand() -> None:
    latents = normed(torch.tensor([[0.0, 1.0], [1.0, 0.0]]))
    hops = Hops(latents, torch.zeros(2, 1, 1), torch.tensor([1, -1]), torch.tensor([1, 1]))
    still = LatentWorld(2, (1, 1), 4)  # as it begins
    chunks = torch.tensor([[[3.0], [9.0]], [[3.0], [9.0]]])
    found = energies(still, hops, [0, 1], chunks, 0.1)
    # the first is 2 away in both numbers, the second there; both chunks are 3 off, what is not executed counts not
    assert found.tolist() == pytest.approx([2.3, 0.3], abs=1e-3)


def test_preferred_chunks_go_where_the_goal_is_and_become_likelier() -> None:
    """Demonstrators that go right; the policy does not, so its chunks that do are the better ones."""
    torch.manual_seed(0)
    policy, traces = make_policy(), list(rollout(LineWorld(4, 12), Wanders(1, 0.6), 16, 3, views=("front",)))
    decisions, hops = recorded_hops(policy, frames_for(policy, traces), 2, WorldSettings(ahead=2))
    world = LatentWorld(hops.latents.shape[1], (2, 1))
    fit_world(world, hops, WorldSettings(steps=300), 0)
    settings = EnergySettings(deviation=0.0)
    pairs, said = preferred_pairs(policy, flow_of(policy), world, decisions, hops, settings, 0)
    assert said["pairs"] == len(pairs) == round(0.5 * sum(hops.goal != torch.arange(len(hops.goal))).item())
    better, worse = (torch.cat([pair[side].draw.chunk for pair in pairs]).mean().item() for side in (0, 1))
    assert better > worse + 0.3
    assert said["nearer"] > 0, "and nearer to what was demonstrated, which the energy was not told"
    tuner = PreferenceTuner(
        policy, GroupSettings(), UpdateSettings(lr=3e-3, batch=64, epochs=1), FlowNoise(), 0,
        preferences=PreferenceSettings(beta=20.0),
    )  # fmt: skip
    shown = LineWorld(32, 12).reset(5)
    before = policy.act(shown).mean()
    rows = [tuner.learn(pairs) for _ in range(12)]
    policy.reset(np.ones(32, bool))
    assert rows[-1]["preferred"] > 0.7
    assert policy.act(shown).mean() > before + 0.05


def test_what_cannot_be_learned_from_is_refused() -> None:
    policy = make_policy()
    _, hops = recorded_hops(policy, frames_for(policy, episodes(1)), 50, WorldSettings())
    with pytest.raises(UserError, match="no world can be learned"):
        fit_world(LatentWorld(hops.latents.shape[1], (2, 1)), hops, WorldSettings(), 0)
    for make in (lambda: WorldSettings(ahead=0), lambda: EnergySettings(samples=1), lambda: EnergySettings(keep=0)):
        with pytest.raises(UserError):
            make()
    assert NANO["chunk_size"] == 2
