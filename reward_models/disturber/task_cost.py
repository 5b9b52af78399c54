"""What a disturber is paid for and a robust policy avoids: the task reward that was not obtained."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from robo_reward.contracts import Flags, Oracle, Step, World
from robo_reward.errors import UserError
from robo_reward.pushes.forces import BlowUps

Array = NDArray[np.float64]


class TaskCost:
    """C = r_max - r_task, as a share of r_max: 0 where the task is done perfectly, 1 where nothing is paid.

    The task reward is the world's own ``task_reward``, without regularisation, where the run's reward is the
    simulator's; otherwise the reward that the policy is paid, so that no oracle leaks into an oracle-free run.
    A fall costs ``fall_steps`` further steps of the full bound: an episode's end must not save the policy the rest of
    the cost, nor the disturber's earnings. A simulation that blew up costs nothing.
    """

    def __init__(self, reward_bound: float | None, fall_steps: float | None) -> None:
        """``reward_bound``: r_max per step; None takes the world's. ``fall_steps`` None: 1 / (1 - gamma)."""
        if reward_bound is not None and not 0.0 < reward_bound < np.inf:
            raise UserError(f"hook.reward_bound={reward_bound} must be above 0: the most that the task pays in a step")
        if fall_steps is not None and not 0.0 <= fall_steps < np.inf:
            raise UserError(f"hook.fall_steps={fall_steps} must be 0 or more steps of full cost; null: 1 / (1 - gamma)")
        self._given, self.fall_steps = reward_bound, fall_steps
        self.bound, self.above, self._own = 0.0, 0, False

    def bind(self, world: World, oracle: Oracle) -> None:
        """UserError for a world without a bound, or with one that is not above 0, where none was given."""
        self._world = world
        self._own = oracle == "reward" and hasattr(world, "task_reward")
        bound = self._given
        if bound is None and self._own:
            bound = getattr(world, "task_reward_bound", None)
        if bound is None:
            raise UserError(
                f"nobody knows how much '{world.name}' can pay in one step, so that the cost of a push is unknown: set "
                "hook.reward_bound (in a sweep disturbance.adversary.reward_bound) to the most that the task's reward "
                "can be in one decision"
            )
        if not 0.0 < bound < np.inf:
            raise UserError(
                f"'{world.name}' says task_reward_bound={bound}: a task that cannot pay costs nobody anything. It "
                "must be above 0 and finite: mend the task's reward (of env=quadruped env.reward.velocity or turn), or "
                "set hook.reward_bound"
            )
        self.bound, self._blow_ups = float(bound), BlowUps(world)

    def check_discount(self, gamma: float) -> None:
        """UserError for a ``gamma`` that would scale all costs to 0."""
        if not 0.0 <= gamma < 1.0:
            raise UserError(
                f"learner.gamma={gamma} must be 0 or more and below 1 with an adversary that learns: its costs are "
                "scaled by 1 - gamma. Set learner.gamma=0.99, or use hook=random_pushes or hook=none"
            )

    def with_falls(self, cost: Sequence[Array], terminated: Flags, gamma: float) -> Array:
        """(T, N) costs (N,) of T steps, with what the falls among them, ``terminated`` (T, N), cost."""
        fall = 1.0 / (1.0 - gamma) if self.fall_steps is None else self.fall_steps
        return np.asarray(cost) + fall * terminated

    def of(self, step: Step) -> tuple[Array, Flags]:
        """(N,) cost without falls, and (N,) True where the simulation blew up."""
        paid = np.asarray(getattr(self._world, "task_reward") if self._own else step.reward, np.float64)  # noqa: B009
        broken = self._blow_ups.of(step.transition)
        cost = np.where(broken, 0.0, 1.0 - paid / self.bound)
        above = int((cost < -1e-6).sum())
        if above and not self.above:
            warnings.warn(
                f"the task paid {float(paid.max()):.4g} in one step, above hook.reward_bound={self.bound:.4g}: its "
                "cost counts as 0; the bound should be higher",
                stacklevel=2,
            )
        self.above += above
        return np.maximum(cost, 0.0), broken
