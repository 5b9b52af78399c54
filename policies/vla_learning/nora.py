"""NORA-1.5's post-training: a world model and demonstrations say which chunks are better, DPO makes them likelier."""

from __future__ import annotations

import time
from typing import Any

from robo_reward.contracts import Policy
from robo_reward.data.dataset_source import open_dataset
from robo_reward.errors import UserError
from robo_reward.policies.vla import training_data as data_of
from robo_reward.policies.vla.flow import flow_of
from robo_reward.policies.vla.frames import EpisodeFrames
from robo_reward.policies.vla.lerobot_policy import LeRobotPolicy
from robo_reward.policies.vla_learning.clipped_update import UpdateSettings
from robo_reward.policies.vla_learning.flow_sde import FlowNoise
from robo_reward.policies.vla_learning.given_policy import GivenPolicy
from robo_reward.policies.vla_learning.goal_energy import EnergySettings, preferred_pairs, recorded_hops
from robo_reward.policies.vla_learning.group_tuning import GroupSettings
from robo_reward.policies.vla_learning.grpo import built_policy
from robo_reward.policies.vla_learning.latent_world import LatentWorld, WorldSettings, fit_world
from robo_reward.policies.vla_learning.preferences import PreferenceSettings, PreferenceTuner
from robo_reward.seeding import derive_seed, seed_everything
from robo_reward.session import Session


class NoraLearner(GivenPolicy):
    """Tunes a trained flow policy on ``data`` (or demonstrations collected on the spot) without a single rollout.

    A small world model of the policy's own latents is fitted to the demonstrations; at every recorded moment some
    chunks of the policy are compared by goal energy and deviation from the demonstrated one; the best and the worst
    make a pair for DPO with shared noise (arXiv 2511.14659). ``updates``: passes over the pairs, which stay those of
    the beginning.
    """

    name = "nora"
    needs_reward = False
    takes_stopper = False

    def __init__(
        self,
        data: str | None = None,
        demos: int | None = None,
        updates: int = 4,
        world: WorldSettings | None = None,
        energy: EnergySettings | None = None,
        update: UpdateSettings | None = None,
        preferences: PreferenceSettings | None = None,
        device: str = "cpu",
        seed: int = 0,
    ) -> None:
        """Raises UserError for fewer than 1 update."""
        if updates < 1:
            raise UserError(f"learner.updates={updates} must be 1 or more")
        self._data, self._demos, self._updates = data, demos, updates
        self._world, self._energy = world or WorldSettings(), energy or EnergySettings()
        self._update = update or UpdateSettings(epochs=1, train="head")
        self._preferences, self._device, self._seed = preferences, device, seed

    @property
    def needs_demonstrations(self) -> bool:
        """Demonstrations are collected where no dataset is given; a dataset is read here."""
        return self._data is None

    def learn(self, session: Session) -> Policy:
        """Fits the world, makes the pairs, learns from them.

        Raises:
            UserError: there is no trained policy, it is no flow, or the demonstrations do not fit it.
        """
        session.counts_updates = True
        seed_everything(self._seed, "nora")
        shown = () if self._data is None else tuple(open_dataset(self._data).image_keys())
        policy = built_policy(self._recipe, session, self._device, self._seed, self.name, shown)
        tuner = PreferenceTuner(
            policy, GroupSettings(), self._update, FlowNoise(), self._seed, preferences=self._preferences
        )
        pairs, said = self._pairs(policy, self._frames(policy, session))
        session.notes |= {"prior": policy.config.type, "start": self._recipe.path, **said}
        session.log({f"nora/{key.removeprefix('world/')}": value for key, value in said.items()})
        print(
            f"world model: error {said['world/loss']:.3f}, {said['world/still']:.3f} if nothing moved; "
            f"{said['pairs']:.0f} pairs, the better chunk {said['nearer']:.3f} nearer to the demonstrated one",
            flush=True,
        )
        for update in range(self._updates):
            since = time.perf_counter()
            tuner.updates += 1
            row = {f"nora/{key}": value for key, value in tuner.learn(pairs).items() if key != "pairs"}
            session.tally.updates += 1
            session.log({**row, "timing/update": time.perf_counter() - since})
            print(f"update {update + 1}/{self._updates}  preferred {row['nora/preferred']:.2f}", flush=True)
        policy.policy.eval()
        return policy

    def _frames(self, policy: LeRobotPolicy, session: Session) -> EpisodeFrames:
        if self._data is None:
            frames = EpisodeFrames(
                list(self.policy_views(list(session.demonstrations[0].frames))), data_of.shrinker(policy)
            )
            frames.add(session.demonstrations)
            return frames
        known = data_of.facts_of_dataset(self._data, self.policy_views).views
        views = list(policy.names.views_of(policy.config, list(known)))
        return data_of.frames_of_dataset(self._data, views, policy, self._demos)

    def _pairs(self, policy: LeRobotPolicy, frames: EpisodeFrames) -> tuple[list[Any], dict[str, float]]:
        executed = policy.execute or int(getattr(policy.config, "n_action_steps", 1))
        decisions, hops = recorded_hops(policy, frames, executed, self._world)
        size = (hops.chunks.shape[1], hops.chunks.shape[2])
        world = LatentWorld(hops.latents.shape[1], size, self._world.hidden)
        fitted = fit_world(world, hops, self._world, derive_seed(self._seed, "world model"))
        seed = derive_seed(self._seed, "candidates")
        pairs, said = preferred_pairs(policy, flow_of(policy), world, decisions, hops, self._energy, seed)
        return pairs, {**fitted, **said}
