"""``learner=dsrl``: SAC over the initial noise of a frozen flow policy, a decision a chunk (Wagenmaker et al. 2025)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from robo_reward.contracts import Floats, Policy
from robo_reward.errors import UserError
from robo_reward.playground import Playground
from robo_reward.policies.soft_actor_critic import Batch, SacSettings, SoftActorCritic
from robo_reward.policies.vla.lerobot_policy import LeRobotPolicy
from robo_reward.policies.vla_learning.exploring import Decision, ExploringPolicy, gathered
from robo_reward.policies.vla_learning.given_policy import GivenPolicy
from robo_reward.policies.vla_learning.grpo import built_policy
from robo_reward.policies.vla_learning.steering import NoiseSteering, SteeredPolicy, features_of
from robo_reward.policies.vla_learning.step_discounts import check_no_step_discount
from robo_reward.seeding import derive_rng, derive_seed, seed_everything
from robo_reward.session import Session

Rows = dict[str, NDArray[np.float32]]


class DsrlLearner(GivenPolicy):
    """The cheapest way to go on with a frozen VLA: nothing of it is changed, a small actor chooses its noise.

    ``warmup`` episodes of random noise first; then ``ratio`` updates of ``batch`` decisions for every decision that was
    made. ``reach``: noise is chosen within [-reach, reach]. A decision's reward is the sum of its steps' rewards;
    ``sac.gamma`` discounts decisions. Budget: ``rollouts`` or ``steps``; where ``steps`` are over within the warm-up,
    the updates come at the end, by what was gathered.
    """

    name = "dsrl"
    needs_demonstrations = False

    def __init__(
        self,
        warmup: int = 8,
        ratio: float = 4.0,
        batch: int = 128,
        reach: float = 1.5,
        sac: SacSettings | None = None,
        checkpoint_every: int = 50,
        device: str = "cpu",
        seed: int = 0,
    ) -> None:
        """Raises UserError for numbers out of range."""
        if warmup < 1 or batch < 1 or ratio <= 0 or reach <= 0 or checkpoint_every < 1:
            raise UserError(
                f"learner.warmup={warmup}, batch={batch} and checkpoint_every={checkpoint_every} must be 1 or more, "
                f"ratio={ratio} and reach={reach} above 0"
            )
        self._warmup, self._ratio, self._batch, self._reach = warmup, ratio, batch, reach
        self._sac, self._checkpoint_every = sac or SacSettings(anchor=0.0), checkpoint_every
        self._device, self._seed = device, seed

    def learn(self, session: Session) -> Policy:
        """Steers until the budget is spent.

        Raises:
            UserError: no trained flow policy, a budget without an end or over within the warm-up, or episodes of one
                decision each.
        """
        if session.budget.rollouts is None and session.budget.steps is None:
            raise UserError("learner=dsrl learns as long as it may: set rollouts or steps")
        if session.budget.rollouts is not None and session.budget.rollouts <= self._warmup:
            raise UserError(f"rollouts={session.budget.rollouts} must be more than learner.warmup={self._warmup}")
        if session.budget.steps is not None and session.budget.steps <= self._warmup:
            raise UserError(
                f"steps={session.budget.steps} are over before learner.warmup={self._warmup} episodes are (about "
                f"{self._warmup * session.world.horizon} steps): set steps higher, or warmup lower"
            )
        check_no_step_discount(session.stack, self.name)
        policy = built_policy(self._recipe, session, self._device, self._seed, self.name)
        session.notes |= {"prior": policy.config.type, "start": self._recipe.path}
        steering, rows = NoiseSteering(policy, self._reach), Rows()
        explorer, ground = ExploringPolicy(policy, steering), Playground(session)
        if session.restored is not None:
            self._restore(session.restored, steering, rows)
        next_save = session.tally.rollouts + self._checkpoint_every
        while session.left():
            self._wave(session, ground, policy, steering, explorer, rows)
            if session.tally.rollouts >= next_save and session.left():
                session.checkpoint(self._state(steering, rows))
                next_save += self._checkpoint_every
        if steering.agent is None:
            made = len(rows["reward"])
            print(f"the budget ended within learner.warmup={self._warmup} episodes: {made} decisions are learned from")
            self._update(session, steering, rows, max(1, round(self._ratio * made)))
        return SteeredPolicy(policy, steering)

    def _wave(
        self,
        session: Session,
        ground: Playground,
        policy: LeRobotPolicy,
        steering: NoiseSteering,
        explorer: ExploringPolicy,
        rows: Rows,
    ) -> None:
        """An episode in every world, and the updates that it pays for."""
        number = session.tally.rollouts
        steering.mode = "uniform" if number < self._warmup else "sample"
        explorer.begin(derive_seed(self._seed, "explore", number))
        seed = derive_seed(self._seed, "world", number)
        world = session.world
        count = world.num_worlds if session.budget.rollouts is None else min(
            world.num_worlds, session.budget.rollouts - number
        )  # fmt: skip
        traces = ground.fresh(explorer, seed, count, number, session.stopper)
        made = 0
        for index, trace in enumerate(traces):
            with session.pricing():
                priced = session.stack.price(trace)
            assert priced.reward is not None
            decisions = explorer.take(index)[0]
            ended = priced.terminated or session.stack.prices_ends
            _append(rows, rows_of(policy, steering, decisions, priced.reward, ended))
            made += len(decisions)
            session.played.append((priced, self.name, float("nan"), float(priced.reward.mean())))
        del session.played[:-32]
        if session.tally.rollouts >= self._warmup:
            self._update(session, steering, rows, max(1, round(self._ratio * made)))
        rewards = [float(row[0].reward.sum()) for row in session.played[-count:] if row[0].reward is not None]
        session.log({"dsrl/reward": float(np.mean(rewards)), "dsrl/decisions": float(len(rows["reward"]))})

    def _update(self, session: Session, steering: NoiseSteering, rows: Rows, updates: int) -> None:
        number = session.tally.rollouts
        if not len(rows["reward"]):
            raise UserError(
                "no episode had a second decision, so nothing can be told of what one leads to: set a lower "
                "policy.n_action_steps, or a longer env.horizon"
            )
        seed_everything(self._seed, "dsrl", number)
        if steering.agent is None:
            steering.agent = SoftActorCritic(rows["state"].shape[1], steering.size, self._sac, timid=True)
        rng, losses = derive_rng(self._seed, "batches", number), []
        for k in range(updates):
            chosen = rng.integers(0, len(rows["reward"]), self._batch)
            batch = Batch(**{key: torch.from_numpy(value[chosen]) for key, value in rows.items()})
            losses.append(steering.agent.update_critic(batch))
            if k % 2 == 0:
                steering.agent.update_actor(batch)
        session.tally.updates += updates
        session.log({"dsrl/critic": float(np.mean(losses))})

    def _state(self, steering: NoiseSteering, rows: Rows) -> dict[str, Any]:
        agent = steering.agent
        return {"rows": dict(rows), "agent": None if agent is None else agent.state()}

    def _restore(self, state: Any, steering: NoiseSteering, rows: Rows) -> None:
        rows.update(state["rows"])
        if state["agent"] is not None:
            steering.agent = SoftActorCritic(rows["state"].shape[1], steering.size, self._sac, timid=True)
            steering.agent.load(state["agent"])


def rows_of(
    policy: LeRobotPolicy, steering: NoiseSteering, decisions: Sequence[Decision], reward: Floats, ended: bool
) -> Rows:
    """An episode's decisions as transitions, of the rewards (T,) of its steps; the last one, whose next state nobody
    decided in, ends only if nothing is earned after it (``ended``), and else is left out: its value could not be
    bootstrapped."""
    features = features_of(policy, steering, gathered(decisions))
    ends = np.cumsum([d.executed for d in decisions])
    rewards = np.array([part.sum() for part in np.split(reward, ends[:-1])], np.float32)
    choices = np.stack([d.draw.trail[0, 0, 0].numpy() for d in decisions]).astype(np.float32)
    kept = len(decisions) if ended else len(decisions) - 1
    after = np.concatenate([features[1:], features[-1:]])
    terminal: Floats = np.zeros(len(decisions), np.float32)
    terminal[-1] = float(ended)
    rows: Rows = {"state": features, "action": choices, "reward": rewards, "after": after, "terminal": terminal}
    return {key: value[:kept] for key, value in rows.items()}


def _append(rows: Rows, new: Rows) -> None:
    for key, value in new.items():
        rows[key] = np.concatenate([rows[key], value]) if key in rows else value
