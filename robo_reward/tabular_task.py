"""Random tabular tasks with an exact solver, priced by the real stack: whether a chain of transforms moves the optimum.

``regret(task, rewards_of(task, []), rewards_of(task, [mine]))`` over many ``random_task(seed, gamma)`` tells it of
one's own transform too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from robo_reward.contracts import Estimate, Flags, Floats, Needs, Observation, Oracle, Transition
from robo_reward.reward_stack import RewardStack
from robo_reward.trace import Trace
from robo_reward.transform_kinds import Transform

Table = NDArray[np.float64]


@dataclass(frozen=True)
class Task:
    """S states and A actions: ``reach`` and ``reward`` (S, A, S), the discount, and what a model says of each state.

    ``ends`` (S,): states in which an episode terminates; ``progress``, ``success``, ``uncertainty`` (S,) in [0, 1].
    """

    reach: Table
    reward: Table
    gamma: float
    ends: NDArray[np.bool_]
    progress: Table
    success: Table
    uncertainty: Table


def random_task(seed: int, gamma: float, states: int = 5, actions: int = 3) -> Task:
    """Sparse random transitions and rewards; about a fifth of the states end an episode, state 0 never does."""
    rng = np.random.default_rng(seed)
    reach = rng.random((states, actions, states)) * (rng.random((states, actions, states)) < 0.5)
    reach[..., 0] += 1e-3
    ends = rng.random(states) < 0.2
    ends[0] = False
    says = rng.random((3, states))
    reward = rng.normal(size=(states, actions, states))
    return Task(reach / reach.sum(2, keepdims=True), reward, gamma, ends, says[0], says[1], 0.5 * says[2])


def in_chunks(task: Task) -> Task:
    """The task of a policy that commits itself to two actions at a time: A * A actions, discount gamma^2."""
    one, goes_on = task.reach, ~task.ends
    first = (one * task.reward).sum(2)
    stops = one * task.ends
    two = np.einsum("sam,m,mbt->sabt", one, goes_on, one) + stops[:, :, None, :]
    earned = first[:, :, None] + task.gamma * np.einsum("sam,m,mb->sab", one, goes_on, first)
    states = len(one)
    reach = two.reshape(states, -1, states)
    reward = np.broadcast_to(earned.reshape(states, -1, 1), reach.shape).copy()
    return replace(task, reach=reach, reward=reward, gamma=task.gamma**2)


class StateReward:
    """A reward model that reads its estimates off the state's number; passes the task's own reward on if asked."""

    spread_of = 5

    def __init__(self, task: Task, oracle: Oracle = "reward") -> None:
        self.needs, self._task = Needs(oracle=oracle), task

    def begin(self, first: Observation, fresh: Flags) -> Estimate:
        """(N,) of the first states."""
        return self.of(first.state)

    def estimate(self, transition: Transition) -> Estimate:
        """(N,) of the states after the step."""
        return self.of(transition.after.state)

    def estimate_episode(self, trace: Trace) -> Estimate:
        """(F,) of the kept states."""
        return self.of(trace.state[trace.frame_steps])

    def of(self, state: Floats) -> Estimate:
        """Estimates (N,) of states (N, 1) that hold their own number."""
        at, task = state[:, 0].astype(int), self._task
        told = (task.progress, np.zeros_like(task.progress), task.success, task.uncertainty, 2 * task.progress - 1)
        return Estimate(*(values[at].astype(np.float32) for values in told))


def rewards_of(task: Task, chain: Sequence[Transform], oracle: Oracle = "reward", truncated: bool = False) -> Table:
    """(S, A, S) as the real stack pays them: every transition of the task is one world's first step."""
    shape = task.reach.shape
    before, action, after = (index.ravel() for index in np.indices(shape))
    pricing = RewardStack(StateReward(task, oracle), chain)
    seen = [Observation({}, at[:, None].astype(np.float32), ("any",) * len(at)) for at in (before, after)]
    pricing.begin(seen[0], np.ones(len(before), bool))
    ended = task.ends[after]
    own = task.reward.ravel().astype(np.float32)
    cut = ~ended & truncated
    step = Transition(seen[0], action[:, None].astype(np.float32), seen[1], own, ended, cut)
    return pricing.step(step).reward.reshape(shape).astype(np.float64)


def values_of(task: Task, reward: Table, policy: NDArray[np.int64]) -> Table:
    """(S,) of a deterministic policy, exactly."""
    rows = np.arange(len(policy))
    reach = task.reach[rows, policy]
    earned = (reach * reward[rows, policy]).sum(1)
    return np.asarray(np.linalg.solve(np.eye(len(rows)) - task.gamma * reach * ~task.ends, earned))


def q_of(task: Task, reward: Table, values: Table) -> Table:
    """(S, A)."""
    return np.asarray((task.reach * (reward + task.gamma * ~task.ends * values)).sum(2))


def solve(task: Task, reward: Table) -> tuple[Table, NDArray[np.int64]]:
    """The optimal Q (S, A) and a greedy policy, by policy iteration."""
    policy: NDArray[np.int64] = np.zeros(len(reward), np.int64)
    for _ in range(1000):
        q = q_of(task, reward, values_of(task, reward, policy))
        better = q.argmax(1)
        keep = np.isclose(q[np.arange(len(q)), policy], q.max(1), rtol=0, atol=1e-10)
        better = np.where(keep, policy, better)
        if (better == policy).all():
            return q, policy
        policy = better
    raise AssertionError("policy iteration did not end")


def regret(task: Task, base: Table, shaped: Table) -> float:
    """What the policy that is best under ``shaped`` loses under ``base``, at its worst state."""
    best = solve(task, base)[0].max(1)
    return float((best - values_of(task, base, solve(task, shaped)[1])).max())


def wander(task: Task, seed: int, steps: int) -> Trace:
    """A random episode of at most ``steps`` steps, its own rewards kept, a frame at every state."""
    rng = np.random.default_rng(seed)
    states, actions, earned = [0], list[int](), list[float]()
    while len(actions) < steps and not (actions and task.ends[states[-1]]):
        action = int(rng.integers(task.reach.shape[1]))
        after = int(rng.choice(len(task.ends), p=task.reach[states[-1], action]))
        earned.append(task.reward[states[-1], action, after])
        states.append(after)
        actions.append(action)
    ended = bool(task.ends[states[-1]])
    return Trace(
        task="any",
        state=np.asarray(states, np.float32)[:, None],
        action=np.asarray(actions, np.float32)[:, None],
        frames={},
        frame_steps=np.arange(len(states)),
        fps=10.0,
        source="policy",
        terminated=ended,
        truncated=not ended,
        env_reward=np.asarray(earned, np.float32),
    )
