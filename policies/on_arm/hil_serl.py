"""Human-in-the-loop RL on an arm: imitation of a person plus SAC corrections by a reward from pictures (HIL-SERL)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robo_reward.arm.episode import ArmEpisode
from robo_reward.contracts import Floats, LearnedRewardModel
from robo_reward.errors import UserError
from robo_reward.policies.anchored_policy import Mode
from robo_reward.policies.episode_buffer import EpisodeBuffer, mix
from robo_reward.policies.on_arm.sight import Sight, SightSettings
from robo_reward.policies.on_arm.sighted_policy import SightedPolicy, make_policy
from robo_reward.policies.soft_actor_critic import SacSettings, SoftActorCritic
from robo_reward.reward_stack import RewardStack
from robo_reward.seeding import derive_seed, seed_everything
from robo_reward.trace import Trace

SLICE = 50
"""Updates between two looks at what the arm has sent."""
ROUND: tuple[Mode, ...] = ("sample", "average", "sample", "prior")
JUDGED = 10
"""Last episodes of each kind that decide whether the corrections are kept."""
CONFIRMED = 3
"""Interventions that a person ended in success before the reward is fitted anew on them."""


class HilSerl:
    """Luo et al. 2024 (arXiv 2410.21845) on our parts: episodes in, a better policy out, whenever it is asked for.

    What a person does, demonstrations and interventions, is imitated by a network that sees (``Sight``) and lies in the
    demonstrated half of every batch; SAC corrects it (RLPD, Ball et al. 2023) by the reward of the run's stack, which
    reads pictures. Interventions that the person ended in success are examples for the reward, too; what nobody
    labelled is not.

    ``reach`` (one number, or one a joint): units between a joint and its goal at most. ``scale``: how far the policy
    may leave what people did, in units of action. ``updates_per_step``: critic updates per step of the arm.
    ``sight_updates`` at the start, ``refresh_updates`` more for every intervention; ``refit_every`` confirmed
    interventions the reward is fitted anew. Corrections that do worse than imitation are not kept (``better``).
    ``correct`` false: no SAC, imitation alone (HG-DAgger), to compare with.
    """

    name = "hil_serl"

    def __init__(
        self,
        reach: float | Sequence[float] = 6.0,
        scale: float = 0.3,
        batch: int = 128,
        demonstration_share: float = 0.5,
        updates_per_step: float = 1.0,
        offset_episodes: int = 3,
        sight_updates: int = 800,
        refresh_updates: int = 60,
        refit_every: int = 5,
        correct: bool = True,
        capacity: int = 200_000,
        sac: SacSettings | None = None,
        sight: SightSettings | None = None,
    ) -> None:
        """UserError for numbers out of range."""
        if not (0 <= demonstration_share < 1 and 0 <= scale <= 2 and updates_per_step >= 0 and refit_every >= 1):
            raise UserError(
                f"learner.demonstration_share={demonstration_share} must be in [0, 1), scale={scale} in [0, 2], "
                f"updates_per_step={updates_per_step} at least 0, refit_every={refit_every} at least 1"
            )
        self._reach, self._scale, self._batch, self._share = reach, scale, batch, demonstration_share
        self._updates_per_step, self._offset_episodes = updates_per_step, offset_episodes
        self._sight_updates, self._refresh_updates, self._refit_every = sight_updates, refresh_updates, refit_every
        self._correct, self._capacity = correct, capacity
        self._sac, self._sight_settings = sac or SacSettings(), sight or SightSettings()
        self.owed = 0.0
        """Critic updates that the steps so far allow and that were not made."""
        self._owed_sight = 0
        self._fitted_on = 0
        self._stale = True
        self._features: WeakKeyDictionary[ArmEpisode, Floats] = WeakKeyDictionary()
        self._rewards: WeakKeyDictionary[ArmEpisode, Floats] = WeakKeyDictionary()

    # --- what the loop calls -----------------------------------------------------------------------------------------

    def begin(self, demonstrations: Sequence[ArmEpisode], stack: RewardStack, seed: int) -> None:
        """Takes the demonstrations; nothing is learned yet. UserError without any."""
        if not demonstrations:
            raise UserError("learner=hil_serl starts from demonstrations: data=DATASET, or demos=10 of an emulated arm")
        first = demonstrations[0].trace
        self._stack, self._seed, self.demonstrations = stack, seed, list(demonstrations)
        self.heard: list[ArmEpisode] = []
        joints = first.state.shape[1]
        self._bounds = np.broadcast_to(np.asarray(self._reach, np.float32), (joints,)).copy()
        seed_everything(seed, "hil_serl")
        self.sight = Sight(list(first.frames), joints, joints, self._sight_settings)
        self.sight.measure(np.concatenate([d.trace.state for d in demonstrations]))
        self.agent = SoftActorCritic(self.sight.size + joints, joints, self._sac, timid=True)
        self.policy: SightedPolicy = make_policy(self.sight, self.agent, self._scale, self._bounds)
        self.policy.inner.start("prior", np.random.default_rng(0))

    def prepare(self) -> Mapping[str, float]:
        """Imitates the demonstrations and fits the reward on them, where it is one to fit."""
        loss = self._imitate(self._sight_updates)
        return {"sight/loss": loss, **self._fit_reward()}

    def hear(self, episode: ArmEpisode) -> None:
        """Takes an episode of practice."""
        self.heard.append(episode)
        self.owed += len(episode.trace) * self._updates_per_step * self._correct
        self._owed_sight += self._refresh_updates * episode.interventions
        self._stale = True

    def work(self) -> Mapping[str, float] | None:
        """A second's work or so, None where nothing is left to do until the next episode."""
        if self._owed_sight:
            updates, self._owed_sight = self._owed_sight, 0
            self._stale = True
            self._features.clear()
            return {"sight/loss": self._imitate(updates)}
        if len(self._confirmed()) - self._fitted_on >= (self._refit_every if self._fitted_on else CONFIRMED):
            self._stale = True
            return self._fit_reward()
        if self.owed < 1 or not self.heard:
            return None
        if self._stale:
            self._fill()
        return self._update(min(SLICE, int(self.owed)))

    @property
    def corrects(self) -> bool:
        """Whether there are corrections to compare with imitation."""
        return self._correct

    def mode(self, number: int) -> Mode:
        """How practice episode ``number`` acts: exploring, or as one of the two that are compared."""
        if not self._correct:
            return "prior"
        return "offset" if number < self._offset_episodes else ROUND[number % len(ROUND)]

    def acting(self, mode: Mode) -> SightedPolicy:
        """The policy as it is now, to act as ``mode`` says; "average": corrected, unless imitation does better."""
        chosen = self.better() if mode == "average" else mode
        self.policy.inner.start(chosen, np.random.default_rng(0))
        return self.policy

    def better(self) -> Mode:
        """Corrected or not, by the last episodes of each: the reward a step where nobody had to take over, else 0.

        A person who takes over has judged; without one the reward alone does, which may be fooled.
        """
        means: dict[Mode, float] = {}
        for mode in ("average", "prior"):
            played = [e for k, e in enumerate(self.heard) if self.mode(k) == mode][-JUDGED:]
            scores = [0.0 if e.interventions else self.reward_of(e) for e in played]
            means[mode] = float(np.mean(scores)) if scores else 0.0
        return "average" if self._correct and means["average"] >= means["prior"] else "prior"

    def state(self) -> dict[str, Any]:
        """What a resumed run needs besides the episodes."""
        counts = {"owed": self.owed, "owed_sight": self._owed_sight, "fitted_on": self._fitted_on}
        return {"sight": self.sight.state(), "agent": self.agent.state(), "heard": len(self.heard), **counts}

    def load(self, state: Mapping[str, Any], episodes: Sequence[ArmEpisode]) -> None:
        """Takes back what ``state`` gave, after ``begin``; episodes that came later are heard anew."""
        self.sight.load(state["sight"])
        self.agent.load(state["agent"])
        known = int(state["heard"])
        self.heard = list(episodes[:known])
        self.owed, self._owed_sight = float(state["owed"]), int(state["owed_sight"])
        self._fitted_on, self._stale = int(state["fitted_on"]), True
        for episode in episodes[known:]:
            self.hear(episode)

    # --- imitation ---------------------------------------------------------------------------------------------------

    def _imitate(self, updates: int) -> float:
        """Continues on all that people did."""
        seed_everything(self._seed, "imitate", len(self.heard))
        everything = [*((d, slice(0, len(d.trace))) for d in self.demonstrations)]
        everything += [(episode, led) for episode in self.heard for led in episode.led()]
        pictures = {view: _stacked([e.trace.frames[view][led] for e, led in everything]) for view in self.sight.views}
        joints = torch.from_numpy(np.concatenate([e.trace.state[led] for e, led in everything]))
        action = torch.from_numpy(np.concatenate([self._action(e)[led] for e, led in everything]))
        return self.sight.fit(pictures, joints, action, updates)

    def _action(self, episode: ArmEpisode) -> Floats:
        """(T, J) in [-1, 1]: how far from the joints the goals that were asked for lay."""
        away = (episode.asked - episode.trace.state[:-1]) / self._bounds
        return np.asarray(np.clip(away, -1, 1), np.float32)

    # --- reward ------------------------------------------------------------------------------------------------------

    def _confirmed(self) -> list[Trace]:
        """Episodes up to where a person said that it is done."""
        return [confirmed(e.trace) for e in self.heard if e.trace.success is not None and e.trace.success.any()]

    def _fit_reward(self) -> dict[str, float]:
        model, own = self._stack.model, self._confirmed()
        self._fitted_on = len(own)
        self._rewards.clear()
        if not isinstance(model, LearnedRewardModel):
            return {}
        stride = model.needs.stride
        shown = [d.trace.every(stride) for d in self.demonstrations]
        return dict(model.fit([*shown, *(t.every(stride) for t in own)], [], derive_seed(self._seed, "reward")))

    def _price(self, episode: ArmEpisode) -> Floats:
        if episode not in self._rewards:
            paid = self._stack.price(episode.trace.every(self._stack.model.needs.stride)).reward
            assert paid is not None
            self._rewards[episode] = paid
        return self._rewards[episode]

    def reward_of(self, episode: ArmEpisode) -> float:
        """The mean reward a step, by the reward as it is now."""
        return float(self._price(episode).mean())

    # --- corrections -------------------------------------------------------------------------------------------------

    def _fill(self) -> None:
        """Both buffers anew: features, what was imitated and rewards may all have changed."""
        width, joints = self.agent.states, self.agent.actions
        self._own = EpisodeBuffer(self._capacity, width, joints)
        self._demonstrated = EpisodeBuffer(self._capacity, width, joints)
        for episode in self.demonstrations:
            self._store(self._demonstrated, episode, slice(0, len(episode.trace)))
        for episode in self.heard:
            self._store(self._own, episode, slice(0, len(episode.trace)))
            for led in episode.led():  # HIL-SERL: what a person did belongs to both
                self._store(self._demonstrated, episode, led)
        self._stale = False

    def _store(self, buffer: EpisodeBuffer, episode: ArmEpisode, part: slice) -> None:
        if episode not in self._features:
            self._features[episode] = self.sight.features(episode.trace.frames, episode.trace.state)
        seen = self._features[episode][part.start : part.stop + 1]
        proposed = self.sight.propose(seen)[0]
        correction = self.policy.inner.correction(self._action(episode)[part], proposed[:-1])
        features = np.concatenate([seen, proposed], 1)
        ended = self._stack.prices_ends and part.stop == len(episode.trace)  # else time was up: the value goes on
        buffer.add(features, correction.astype(np.float32), self._price(episode)[part], ended)

    def _update(self, updates: int) -> dict[str, float]:
        demonstrated, losses = round(self._batch * self._share), []
        for step in range(updates):
            batch = mix(self._own.sample(self._batch - demonstrated), self._demonstrated.sample(demonstrated))
            losses.append(self.agent.update_critic(batch))
            if step % 2 == 0:
                self.agent.update_actor(batch)
        self.owed -= updates
        return {"loss/critic": float(np.mean(losses)), "sac/updates": float(self.agent.updates)}


def confirmed(trace: Trace) -> Trace:
    """The trace up to the last step that a person called a success."""
    assert trace.success is not None
    return replace(trace.cut(max(1, int(np.flatnonzero(trace.success)[-1]))), source="demonstration")


def _stacked(parts: Sequence[NDArray[np.uint8]]) -> Tensor:
    """(T, 3, H, W) uint8."""
    return torch.from_numpy(np.concatenate(parts)).permute(0, 3, 1, 2).contiguous()
