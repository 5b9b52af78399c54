"""PPO of a VLA over its chunks: episodes from starts of their own, a value head, GAE, the clipped update of GRPO."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from robo_reward.errors import UserError, unknown_name
from robo_reward.playground import Playground
from robo_reward.policies.vla.lerobot_policy import LeRobotPolicy
from robo_reward.policies.vla_learning.chunk_advantages import chunk_rewards, gae
from robo_reward.policies.vla_learning.clipped_update import UpdateSettings
from robo_reward.policies.vla_learning.exploring import Decision
from robo_reward.policies.vla_learning.flow_sde import FlowNoise
from robo_reward.policies.vla_learning.group_advantages import EpisodePricer, Pays
from robo_reward.policies.vla_learning.group_tuning import Group, GroupSettings, GroupTuner
from robo_reward.policies.vla_learning.step_discounts import check_no_step_discount
from robo_reward.policies.vla_learning.value_head import ValueHead, context_features
from robo_reward.rollout import Stopper
from robo_reward.seeding import derive_seed
from robo_reward.trace import Trace

Credit = Literal["steps", "end"]
CREDITS: tuple[Credit, ...] = ("steps", "end")


@dataclass(frozen=True, slots=True)
class PpoSettings:
    """``episodes`` an update. ``credit``: a chunk earns the rewards of the ``steps`` that it executed, or the last one
    of an episode earns at its ``end`` one number for all of it, told as ``pays`` says (``EpisodePricer``).

    ``gamma`` a decision, ``decay`` the lambda of GAE. ``value_lr``, ``value_epochs``: of the value head; ``warm``: the
    first updates fit it alone, so that an ignorant one does not lead the policy astray.
    """

    episodes: int = 16
    credit: Credit = "steps"
    pays: Pays = "auto"
    gamma: float = 0.99
    decay: float = 0.95
    value_lr: float = 1e-3
    value_epochs: int = 8
    warm: int = 1

    def __post_init__(self) -> None:
        if self.credit not in CREDITS:
            raise unknown_name("learner.ppo.credit", self.credit, CREDITS)
        if self.episodes < 2 or self.value_epochs < 1 or self.warm < 0:
            raise UserError(
                f"ppo.episodes={self.episodes} must be 2 or more, value_epochs={self.value_epochs} 1 or more, "
                f"warm={self.warm} 0 or more"
            )
        if not (0 < self.gamma <= 1 and 0 <= self.decay <= 1 and self.value_lr > 0):
            raise UserError(
                f"ppo.gamma={self.gamma} must be above 0 and at most 1, decay={self.decay} within 0 and 1, "
                f"value_lr={self.value_lr} above 0"
            )


class PpoTuner(GroupTuner):
    """As ``GroupTuner``, but episodes begin where they like and a value head says what was to be expected of them."""

    def __init__(
        self,
        policy: LeRobotPolicy,
        group: GroupSettings,
        update: UpdateSettings,
        noise: FlowNoise,
        seed: int,
        ppo: PpoSettings | None = None,
    ) -> None:
        self.ppo = ppo or PpoSettings()
        if group.offset:
            raise UserError(f"group.offset={group.offset:g}: learner=vla_ppo plays no groups, and learns from ratios")
        one = GroupSettings(1, self.ppo.episodes, 1, 0.0, self.ppo.pays, group.temperature)
        super().__init__(policy, one, update, noise, seed)
        self._value: ValueHead | None = None
        self._optimizer: torch.optim.Optimizer | None = None
        self._horizon = 1

    def play(self, ground: Playground, stopper: Stopper | None = None) -> Group:
        """``episodes`` episodes, each from its own start; the tasks of a world take turns."""
        group = Group(self.played)
        self._horizon = ground.world.horizon
        self.played += 1
        count = self.ppo.episodes
        for first in range(0, count, ground.world.num_worlds):
            wanted = min(ground.world.num_worlds, count - first)
            self.explorer.begin(derive_seed(self.seed, "explore", group.number, first))
            start = derive_seed(ground.session.seed, "own starts", group.number, first)
            traces = ground.fresh(self.explorer, start, wanted, group.number * count + first, stopper)
            group.traces += traces
            group.decisions += [self.explorer.take(world)[0] for world in range(wanted)]
        return group

    def gather(self, ground: Playground, stopper: Stopper | None = None) -> tuple[list[Group], list[Group]]:
        """One wave of episodes with the rewards of their steps; nothing is skipped."""
        if self.ppo.credit != "end":
            check_no_step_discount(ground.session.stack, "vla_ppo")
        group = self.play(ground, stopper)
        with ground.session.pricing():
            if self.ppo.credit == "end":
                rewards, traces = EpisodePricer(ground.session.stack, self.ppo.pays).price([group.traces])
                group.rewards, group.traces = rewards[0], traces[0]
            else:
                group.traces = ground.session.stack.price_group(group.traces)
                group.rewards = np.asarray([float(_rewards(t).sum()) for t in group.traces])
        if not np.isfinite(group.rewards).all():
            raise UserError("the reward of an episode is not finite: no policy can learn from it")
        ground.pay(group.traces, group.rewards.tolist())
        return [group], [group]

    def improve(self, kept: list[Group]) -> dict[str, float]:
        """Advantages by the value head as it was, the head's fit to the returns, and one clipped update."""
        episodes = [(d, self._earned(t, d, float(r))) for g in kept for t, d, r in _rows(g)]
        decisions = [decision for row, _ in episodes for decision in row]
        features = context_features(self.policy, decisions)
        over = torch.as_tensor(np.concatenate([_over(row, self._horizon) for row, _ in episodes]), dtype=torch.float32)
        head = self._head(features.shape[1])
        with torch.no_grad():
            values = head(features, over).double().numpy()
        advantages, returns = self._credited([earned for _, earned in episodes], values)
        explained = 1 - float(np.var(returns - values) / max(float(np.var(returns)), 1e-12))
        loss = self._fit(features, over, torch.as_tensor(returns, dtype=torch.float32))
        metrics = {"value_loss": loss, "explained": explained}
        self.remember(decisions)
        if self.updates <= self.ppo.warm:
            return metrics
        scaled = torch.as_tensor((advantages - advantages.mean()) / (advantages.std() + 1e-8), dtype=torch.float32)
        return metrics | self.update.run(decisions, scaled, derive_seed(self.seed, "update", self.updates))

    def state(self) -> dict[str, Any]:
        """As of ``GroupTuner``, with the value head."""
        if self._value is None or self._optimizer is None:
            return super().state() | {"value": None}
        # copied: Adam goes on writing into the tensors that it hands out
        held = {"weights": dict(self._value.state_dict()), "optimizer": self._optimizer.state_dict()}
        return super().state() | {"value": copy.deepcopy(held)}

    def load(self, state: Mapping[str, Any]) -> None:
        """Takes back what ``state`` gave."""
        super().load(state)
        if state["value"] is not None:
            weights = state["value"]["weights"]
            self._head(int(weights["norm.weight"].shape[0])).load_state_dict(weights)
            assert self._optimizer is not None
            self._optimizer.load_state_dict(copy.deepcopy(state["value"]["optimizer"]))

    def _earned(self, trace: Trace, decisions: Sequence[Decision], episode: float) -> NDArray[np.float64]:
        """(D,) what each decision earned."""
        if self.ppo.credit == "end":
            return np.append(np.zeros(len(decisions) - 1), episode)
        return chunk_rewards(_rewards(trace), [d.executed for d in decisions])

    def _credited(
        self, earned: Sequence[NDArray[np.float64]], values: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        ends = np.cumsum([len(part) for part in earned])[:-1]
        pairs = zip(earned, np.split(values, ends), strict=True)
        rows = [gae(part, worth, self.ppo.gamma, self.ppo.decay) for part, worth in pairs]
        return np.concatenate([row[0] for row in rows]), np.concatenate([row[1] for row in rows])

    def _head(self, features: int) -> ValueHead:
        if self._value is None:
            with torch.random.fork_rng([]):
                torch.manual_seed(derive_seed(self.seed, "value head"))
                self._value = ValueHead(features)
            self._optimizer = torch.optim.Adam(self._value.parameters(), self.ppo.value_lr)
        return self._value

    def _fit(self, features: Tensor, over: Tensor, returns: Tensor) -> float:
        """Some epochs of squared error; the last epoch's mean."""
        head, optimizer = self._head(features.shape[1]), self._optimizer
        assert optimizer is not None
        generator = torch.Generator().manual_seed(derive_seed(self.seed, "value", self.updates))
        total = 0.0
        for _ in range(self.ppo.value_epochs):
            total = 0.0
            for chosen in torch.randperm(len(returns), generator=generator).split(64):
                loss = (head(features[chosen], over[chosen]) - returns[chosen]).square().mean()
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                nn.utils.clip_grad_norm_(head.parameters(), 1.0)
                optimizer.step()
                total += float(loss.detach()) * len(chosen) / len(returns)
        return total


def _rows(group: Group) -> list[tuple[Trace, list[Decision], float]]:
    """Each episode with the decisions of it that were executed, and its reward."""
    made = [[d for d in row if d.executed > 0] for row in group.decisions]
    return list(zip(group.traces, made, group.rewards.tolist(), strict=True))


def _rewards(trace: Trace) -> NDArray[np.float64]:
    assert trace.reward is not None
    return trace.reward.astype(np.float64)


def _over(decisions: Sequence[Decision], horizon: int) -> NDArray[np.float64]:
    """(D,) share of the episode's time that was over when each was made."""
    executed = np.asarray([d.executed for d in decisions])
    return np.asarray((np.cumsum(executed) - executed) / horizon, np.float64)
