"""Group-relative tuning of a VLA: groups of episodes from one start, priced, gated, and one clipped update."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from robo_reward.chain_check import check_normalised_advantage
from robo_reward.errors import UserError, unknown_name
from robo_reward.playground import Playground
from robo_reward.policies.vla.lerobot_policy import LeRobotPolicy
from robo_reward.policies.vla_learning.clipped_update import ClippedUpdate, UpdateSettings, Way
from robo_reward.policies.vla_learning.exploring import Decision, ExploringPolicy
from robo_reward.policies.vla_learning.flow_sde import FlowNoise
from robo_reward.policies.vla_learning.group_advantages import EpisodePricer, Pays, group_advantages, spread_of
from robo_reward.policies.vla_learning.imitating_update import ImitatingUpdate
from robo_reward.policies.vla_learning.likelihood import likelihood_of
from robo_reward.policies.vla_learning.outcome_critic import CriticSettings, OutcomeCritic
from robo_reward.policies.vla_learning.sensed_offset import SensedOffset
from robo_reward.policies.vla_learning.shift_update import ShiftUpdate
from robo_reward.policies.vla_learning.task_focus import TaskFocus
from robo_reward.rollout import Stopper
from robo_reward.seeding import derive_seed
from robo_reward.trace import Trace
from robo_reward.walking import number_of_tasks

KINDS: dict[Way, type[ClippedUpdate]] = {"clipped": ClippedUpdate, "shift": ShiftUpdate, "imitate": ImitatingUpdate}


@dataclass(frozen=True, slots=True)
class GroupSettings:
    """``groups`` kept groups an update, of ``size`` episodes each from one start; at most ``most`` are played for them.

    Groups whose rewards lie less than ``min_spread`` apart are skipped and counted. ``pays``: how an episode's reward
    is told from its steps (``EpisodePricer``). ``critic``: an episode's decisions share its reward by what each of them
    changed (``OutcomeCritic``), over all groups that were played; None: they all have the episode's advantage.
    ``focus``: of several tasks those whose groups lately told something are played more often (``TaskFocus``).
    ``offset``: the later half of a group's episodes sense the numbers ``offset_of`` of their state displaced by up to
    so much, in its units (``SensedOffset``).
    """

    groups: int = 4
    size: int = 8
    most: int = 8
    min_spread: float = 0.05
    pays: Pays = "auto"
    temperature: float = 1.6
    critic: CriticSettings | None = None
    """Or a mapping of its numbers, as the command line gives it."""
    focus: bool = False
    offset: float = 0.0
    offset_of: Sequence[int] = (0, 1)

    def __post_init__(self) -> None:
        if self.size < 2:
            raise UserError(f"group.size={self.size}: a group compares episodes, so it needs 2 or more")
        if self.groups < 1 or self.most < self.groups:
            raise UserError(f"group.groups={self.groups} must be 1 or more and group.most={self.most} no less than it")
        if self.min_spread < 0:
            raise UserError(f"group.min_spread={self.min_spread} must be 0 or more")
        if self.critic is not None and not isinstance(self.critic, CriticSettings):
            object.__setattr__(self, "critic", _critic(self.critic))
        SensedOffset(self.offset, self.offset_of, 0)


def _critic(given: Any) -> CriticSettings:
    known = [field.name for field in fields(CriticSettings)]
    if not isinstance(given, Mapping):
        raise UserError(f"group.critic={given} must be null or settings of it, e.g. {{folds: 4, decay: 0.7}}")
    for key in given:
        if key not in known:
            raise unknown_name("setting of group.critic", str(key), known)
    return CriticSettings(**given)


@dataclass(slots=True)
class Group:
    """The episodes of one start: their traces, what was decided in them, what they earned."""

    number: int
    start: int = 0
    traces: list[Trace] = field(default_factory=list)
    decisions: list[list[Decision]] = field(default_factory=list)
    rewards: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))


class GroupTuner:
    """Tunes ``policy`` round by round. Everything that is drawn follows from ``seed`` and the number of the group."""

    def __init__(
        self,
        policy: LeRobotPolicy,
        group: GroupSettings,
        update: UpdateSettings,
        noise: FlowNoise,
        seed: int,
    ) -> None:
        """Raises UserError for a policy whose chunks have no likelihood, and for noise that the update cannot use."""
        self.policy, self.settings, self.seed = policy, group, seed
        self.likelihood = likelihood_of(policy, noise, group.temperature, seed)
        self.update = KINDS[update.way](policy, self.likelihood, update)
        if self.by_ratios and not self.likelihood.tells:
            raise UserError(
                f"noise.kind={noise.kind} noise.level={noise.level:g}: no step of the sampler is random, and "
                f"update.way={update.way} learns from the log-probabilities of random steps: set noise.level above 0 "
                "(0.5 is usual), noise.kind=sde where the policy takes a single step, or update.way=imitate"
            )
        if self.by_ratios and group.offset:
            raise UserError(
                f"group.offset={group.offset:g}: what is decided from displaced states has no log-probability given "
                f"the true ones, and update.way={update.way} learns from these: group.offset=0, or update.way=imitate"
            )
        self.explorer = ExploringPolicy(policy, self.likelihood)
        self._offset = SensedOffset(group.offset, group.offset_of, seed)
        self._offset.check(policy)
        self.focus = TaskFocus(group.focus)
        self.critic = None if group.critic is None else OutcomeCritic(policy, group.critic, seed)
        self.played = self.skipped = self.updates = 0
        self.first = self.values()
        self._recent: list[Decision] = []
        self._drifted = 0.0
        """The drift that a checkpoint told, until there are decisions to tell it by."""
        self.last: list[Group] = []

    @property
    def by_ratios(self) -> bool:
        """Whether it learns from log-probabilities."""
        return self.update.by_ratios

    def round(self, ground: Playground, stopper: Stopper | None = None) -> dict[str, float]:
        """Plays groups, prices them and makes one update; metrics. Without a group that differs nothing is changed."""
        check_normalised_advantage(ground.session.stack.transforms)
        kept, all_played = self.gather(ground, stopper)
        rewards = np.concatenate([g.rewards for g in all_played])
        metrics = {
            "reward": float(rewards.mean()),
            "spread": float(np.mean([spread_of(g.rewards) for g in all_played])),
            "length": float(np.mean([len(t) for g in all_played for t in g.traces])),
            "groups": float(len(kept)),
            "skipped": float(len(all_played) - len(kept)),
        }
        self.last = all_played
        self.updates += 1
        if not kept:
            return metrics
        return metrics | self.improve(kept)

    def improve(self, kept: list[Group]) -> dict[str, float]:
        """One clipped update by groups that differ."""
        decisions, advantages = flattened(kept) if self.critic is None else credited(kept, self.critic)
        self.remember(decisions)
        seed = derive_seed(self.seed, "update", self.updates)
        return self.update.run(decisions, advantages, seed)

    def gather(self, ground: Playground, stopper: Stopper | None = None) -> tuple[list[Group], list[Group]]:
        """The groups that differ, and all that were played for them (dynamic sampling)."""
        wanted, most = self.settings.groups, self.settings.most
        pricer = EpisodePricer(ground.session.stack, self.settings.pays)
        played: list[Group] = []
        kept: list[Group] = []
        while len(kept) < wanted and len(played) < most and (not played or ground.session.left()):
            for _ in range(min(wanted - len(kept), most - len(played))):
                if played and not ground.session.left():
                    break
                played.append(self.play(ground, stopper))
            # where groups are priced by each other, the new ones change what the earlier ones earned
            waiting = played if pricer.together else [g for g in played if not len(g.rewards)]
            with ground.session.pricing():
                rewards, traces = pricer.price([g.traces for g in waiting])
            for group, earned, priced in zip(waiting, rewards, traces, strict=True):
                group.rewards, group.traces = earned, priced
            kept = self._telling(played)
        self.skipped += len(played) - len(kept)
        for group in played:
            told = spread_of(group.rewards) > self.settings.min_spread
            self.focus.hear(group.start, number_of_tasks(ground.world), told)
            ground.pay(group.traces, group.rewards.tolist())
        return kept, played

    def _telling(self, played: list[Group]) -> list[Group]:
        """The groups that say anything: those with spread, or with a critic all, if there is spread among them."""
        least = self.settings.min_spread
        if self.critic is None:
            return [g for g in played if spread_of(g.rewards) > least]
        return played if spread_of(np.concatenate([g.rewards for g in played])) > least else []

    def play(self, ground: Playground, stopper: Stopper | None = None) -> Group:
        """The next group."""
        group = Group(self.played, self.focus.next(self.played, number_of_tasks(ground.world)))
        self.played += 1
        start = ground.start(group.start)
        off = self._offset.of_group(group.number, self.settings.size)
        self.explorer.begin(derive_seed(self.seed, "explore", group.number), off)
        for traces in ground.waves(self.explorer, start, self.settings.size, stopper):
            for world, trace in enumerate(traces):
                group.traces.append(trace)
                group.decisions.append(self.explorer.take(world)[0])
            done = len(group.traces)
            left = None if off is None else off.after(done)
            self.explorer.begin(derive_seed(self.seed, "explore", group.number, done), left)
        return group

    @torch.no_grad()
    def drift(self) -> float:
        """About KL(present || as tuning began), in nats a random step, over decisions of the last update.

        NaN where no step is random: it cannot be told.
        """
        if not self.likelihood.tells:
            return math.nan
        if not self._recent:
            return self._drifted
        now = self.values()
        self.put(self.first)
        first, random = self.update.log_ratio(self._recent)
        self.put(now)
        gained = (self.update.log_ratio(self._recent)[0] - first)[random]
        # Schulman's second estimator: never negative, and unlike the third it does not explode far away
        return float(0.5 * gained.square().mean())

    def state(self) -> dict[str, Any]:
        """What a resumed run or a rollback needs."""
        return {
            "weights": self.values(),
            "first": dict(self.first),
            "update": self.update.state(),
            "counts": [self.played, self.skipped, self.updates],
            "critic": {} if self.critic is None else self.critic.state(),
            "focus": self.focus.state(),
            "drift": self.drift() if self.likelihood.tells else 0.0,
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Takes back what ``state`` gave."""
        self.put(state["weights"])
        self.first = dict(state["first"])
        self.update.load(state["update"])
        if self.critic is not None and state["critic"]:
            self.critic.load(state["critic"])
        if "focus" in state:
            self.focus.load(state["focus"])
        self.played, self.skipped, self.updates = (int(n) for n in state["counts"])
        self._drifted = float(state.get("drift", 0.0))

    def go_back(self, state: Mapping[str, Any]) -> None:
        """Takes back weights and optimiser, but goes on counting: a rollback does not repeat its episodes."""
        counts, focus = (self.played, self.skipped, self.updates), self.focus.state()
        self.load(state)
        self.played, self.skipped, self.updates = counts
        self.focus.load(focus)

    def remember(self, decisions: Sequence[Decision]) -> None:
        """Keeps some of them for measuring drift: of those that were decided from what they tell."""
        true = [d for d in decisions if not d.displaced]
        self._recent = true[:: max(1, len(true) // 64)]

    def values(self) -> dict[str, torch.Tensor]:
        """Copies of the trained weights."""
        return {name: p.detach().clone() for name, p in self.update.weights.items()}

    @torch.no_grad()
    def put(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Gives the policy such weights."""
        for name, parameter in self.update.weights.items():
            parameter.copy_(weights[name])


def flattened(groups: list[Group]) -> tuple[list[Decision], torch.Tensor]:
    """All decisions of some groups, each with its episode's advantage within its group, (B,)."""
    decisions, advantages = list[Decision](), list[float]()
    for group in groups:
        for episode, advantage in zip(group.decisions, group_advantages(group.rewards), strict=True):
            kept = [d for d in episode if d.executed > 0]
            decisions += kept
            advantages += [float(advantage)] * len(kept)
    return decisions, torch.tensor(advantages)


def credited(groups: list[Group], critic: OutcomeCritic) -> tuple[list[Decision], torch.Tensor]:
    """The same, each with what it changed itself."""
    episodes = [[d for d in episode if d.executed > 0] for group in groups for episode in group.decisions]
    rewards = np.concatenate([group.rewards for group in groups])
    advantages = np.concatenate(critic.credit(episodes, rewards))
    return [d for episode in episodes for d in episode], torch.from_numpy(advantages).float()
