"""``hook=disturber``: an adversary that learns where and when to push, under the H-infinity constraint.

After "Learning H-Infinity Locomotion Control" (arXiv 2404.14405), whose figure is confirmed and whose formulas are not.
Confirmed: state-conditioned force in the same simulator step; cost C = r_max - r_task; a cost value beside the overall
value; the disturber ascends its objective, the policy L_PPO + lambda L_Hinf; lambda <- lambda - alpha L_Hinf.

Reconstructed here:

- Axes. The force is chosen in the axes of the states that it is chosen by: of a robot that does not see where it is
  heading, relative to its heading. In the world's axes no such adversary could push anybody sideways.
- Units. c = C / r_max and f = |d| / limit, so that ``eta`` has no dimension: the share of the task's reward that may be
  lost per step under a force at the limit. Per newton it is eta r_max / limit. Above 1 it leaves room for falls, each
  of which costs 1 / (1 - gamma) steps; where no policy can keep it, lambda grows to its bound and tracking is given up.
- The disturber maximises E sum gamma^t (c - eta f) with PPO; its advantage is A_cost - eta A_force from its critic's
  two heads. The overall value stays the learner's own critic.
- The policy's part: the gradient of lambda L_Hinf = lambda E[eta f - ratio A_cost] enters through PPO's advantages,
  (A / std(A) - lambda A_cost / std(A_cost)) / (1 + lambda), both less their means, and so also under PPO's clip; A_cost
  is generalised, not one step. The division (Ray et al. 2019, "Benchmarking safe exploration") keeps a large lambda
  from drowning what is learned in the worlds that nobody pushes.
- lambda's step uses the condition itself, mean(eta f - c), over what was collected: under a good critic the mean of
  C + gamma V(s') - V(s) is 0 whatever the cost, and would let lambda fall for ever.
- Worlds that nobody pushes (``unpushed``) have a critic of their own, and their advantages a spread of their own
  (``calm_critic.py``, ``policy_turn.py``).
- Falls cost the full bound for 1 / (1 - gamma) further steps (``task_cost.py``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robo_reward.contracts import Observation, Oracle, Step, World
from robo_reward.errors import UserError, unknown_name
from robo_reward.pushes.collected import Collected
from robo_reward.pushes.forces import names_of, turned
from robo_reward.reward_models.disturber.adversary_nets import AdversaryNets
from robo_reward.reward_models.disturber.adversary_update import Batch, UpdateSettings, update
from robo_reward.reward_models.disturber.ball_gaussian import squash
from robo_reward.reward_models.disturber.calm_critic import CalmCritic
from robo_reward.reward_models.disturber.curriculum import Curriculum
from robo_reward.reward_models.disturber.experience import Experience, advantages
from robo_reward.reward_models.disturber.force_space import ForceSpace, force_space, pushed_worlds
from robo_reward.reward_models.disturber.multiplier import DualSettings, Multiplier
from robo_reward.reward_models.disturber.nan_watch import NanWatch
from robo_reward.reward_models.disturber.policy_turn import towards
from robo_reward.reward_models.disturber.task_cost import TaskCost
from robo_reward.runs.checkpoint import save_state
from robo_reward.seeding import derive_seed

Constraint = Literal["ratio", "force", "none"]
CONSTRAINTS: tuple[Constraint, ...] = ("ratio", "force", "none")


class LearnedDisturber:
    """``constraint``: "ratio" is H-infinity: cost per force at most ``eta``, kept by the policy through lambda.

    "force" is a weaker rival: the adversary maximises cost under a mean force of ``mean_force`` of the limit at most,
    kept by the adversary through a multiplier of its own. "none": it maximises cost up to the curriculum's bound.
    """

    def __init__(
        self,
        curriculum: Curriculum,
        update: UpdateSettings | None = None,
        dual: DualSettings | None = None,
        bodies: str | Sequence[str] | None = None,
        constraint: Constraint = "ratio",
        eta: float = 1.0,
        mean_force: float = 0.5,
        vertical: bool = True,
        lever: float = 0.0,
        unpushed: float = 0.0,
        reward_bound: float | None = None,
        fall_steps: float | None = None,
        max_nan_resets: int | None = None,
    ) -> None:
        """``unpushed``: share of the worlds that nobody pushes; neither constraint nor adversary count them.
        ``max_nan_resets``: with more blown-up simulations the run ends; None goes on and counts them.
        """
        if constraint not in CONSTRAINTS:
            raise unknown_name("hook.constraint", constraint, CONSTRAINTS)
        if not 0.0 < eta < np.inf:
            raise UserError(f"hook.eta={eta} must be above 0: the share of the task's reward lost at the force's limit")
        if not 0.0 < mean_force <= 1.0:
            raise UserError(f"hook.mean_force={mean_force} must be a share of the limit, above 0 and at most 1")
        self.curriculum, self._settings, self._dual = curriculum, update or UpdateSettings(), dual or DualSettings()
        self._bodies = names_of(bodies)
        self.constraint, self.eta, self._mean_force = constraint, eta, mean_force
        self._vertical, self._lever, self._unpushed = vertical, lever, unpushed
        self.cost, self._watch = TaskCost(reward_bound, fall_steps), NanWatch(max_nan_resets)
        self.multiplier = Multiplier(self._dual)
        self.steps, self._asked, self._explore = 0, 0, True
        self._held: float | None = None
        self._seen, self._pending = Experience(), dict[str, NDArray[Any]]()
        self._generator = torch.Generator()

    # --- the contract ------------------------------------------------------------------------------------------------

    def bind(self, world: World, oracle: Oracle) -> None:
        """Builds the networks for this world's states and bodies."""
        self.space: ForceSpace = force_space(world, self._bodies, self._vertical, self._lever)
        self._world = world
        self._chosen = pushed_worlds(world, self._unpushed)
        self.cost.bind(world, oracle)
        self._watch.bind(world)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(0, "disturber's networks"))
            self.nets = AdversaryNets(
                world.state_size, self.space.size, self._settings.layers, self._settings.initial_std
            )
            self.calm = CalmCritic(world.state_size, self.cost.bound)
        self._optimizer = torch.optim.Adam(self.nets.parameters(), self._settings.learning_rate)

    def check_discount(self, gamma: float) -> None:
        """UserError for a ``gamma`` that would scale all costs to 0."""
        self.cost.check_discount(gamma)

    def begin(self, seed: int) -> None:
        """Drops what was collected; draws follow from ``seed``."""
        self._generator.manual_seed(seed)
        self._seen.clear()
        self._asked = 0

    def hold(self, newtons: float, explore: bool, world: World | None = None) -> None:
        """From now on the bound is ``newtons``, without curriculum; ``explore`` draws forces, else the means push."""
        self._held, self._explore = newtons, explore
        self._world = world or self._world

    @property
    def bound(self) -> float:
        """Newtons that the force's magnitude cannot exceed now."""
        return self.curriculum.bound(self.steps) if self._held is None else self._held

    def force(self, observation: Observation) -> NDArray[np.float64]:
        """(N, B, 6) drawn for the states that are seen; zeros during the warm-up."""
        states = torch.as_tensor(observation.state)
        with torch.no_grad():
            forces = self.nets.forces(states)
            raw = forces.displaced(self._noise(len(states))) if self._explore else forces.mean
            unit = squash(raw) * torch.as_tensor(self._pushed(len(raw)))[:, None]
            log_prob = forces.log_prob(raw)
        magnitude = unit.norm(dim=1).double().numpy() * (self.bound / self.curriculum.limit)
        self._pending = {
            "before": observation.state,
            "raw": raw.numpy(),
            "log_prob": log_prob.numpy(),
            "force": magnitude,
        }
        return turned(self.space.wrench(unit.numpy(), self.bound), self._world)

    def on_step(self, step: Step) -> None:
        """Keeps what came of the last force."""
        cost, broken = self.cost.of(step)
        seen = self._seen
        for name, value in self._pending.items():
            getattr(seen, name).append(value)
        seen.after.append(step.transition.after.state)
        seen.paid.append(np.asarray(step.reward, np.float64) / self.cost.bound)
        seen.cost.append(cost)
        seen.terminated.append(step.transition.terminated)
        seen.done.append(step.transition.done | broken)
        self.steps += len(cost)
        self._watch.check()

    def on_rollout(self, rollout: Collected) -> Mapping[str, float]:
        """Updates critics, forces and lambda, and turns the policy's advantages; UserError for a gamma of 1."""
        advantage, gamma = rollout.advantage, rollout.gamma
        self.check_discount(gamma)
        if len(self._seen) != len(advantage):
            raise ValueError(f"the disturber saw {len(self._seen)} steps, the learner {len(advantage)}")
        pushed = self._pushed(advantage.shape[1])
        everything, self._seen = self._seen, self._seen.of(pushed)
        active = float(np.max(self._seen.force)) > 0.0
        terminated, done = np.asarray(self._seen.terminated), np.asarray(self._seen.done)
        cost, force = self.cost.with_falls(self._seen.cost, terminated, gamma), np.asarray(self._seen.force)
        gains = self._advantages(cost, force, terminated, done, gamma)
        slack = self._slack(cost, force)
        walked = self.calm.judge(everything, rollout, pushed, active, self._generator)
        if active and self.constraint == "ratio" and self.multiplier.value > 0.0:
            towards(advantage, gains[..., 0], self.multiplier.value, pushed)
        self._learn(gains, active, gamma)
        metrics = self._metrics(cost, force, terminated, slack) | walked
        if active:
            self.multiplier.step(slack)
            under, size = force > 0.0, advantage.size
            self.steps = self.curriculum.counted(self.steps, size, int(terminated[under].sum()), int(under.sum()))
        self._seen.clear()
        return metrics

    def dump(self) -> dict[str, Any]:
        """Networks, optimizer, multiplier, how far the curriculum is, and what was counted."""
        return {
            "nets": dict(self.nets.state_dict()),
            "optimizer": self._optimizer.state_dict(),
            "calm": self.calm.dump(),
            "multiplier": self.multiplier.value,
            "steps": self.steps,
            "nan_resets": self._watch.count,
            "above_bound": self.cost.above,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Takes back what ``dump`` gave."""
        self.nets.load_state_dict(state["nets"])
        self._optimizer.load_state_dict(state["optimizer"])
        if "calm" in state:  # else it follows the learner's critic first, as any that has learned nothing
            self.calm.restore(state["calm"])
        self.multiplier.value, self.steps = float(state["multiplier"]), int(state["steps"])
        self._watch.resume(int(state.get("nan_resets", 0)))
        self.cost.above = int(state.get("above_bound", 0))

    def save(self, folder: Path) -> None:
        """Writes the same as safetensors and JSON."""
        save_state(folder, "disturber", self.dump())

    # --- inside ------------------------------------------------------------------------------------------------------

    def _pushed(self, worlds: int) -> NDArray[np.bool_]:
        """(N,) where forces act: an adversary that is held at one bound pushes everybody, in other worlds, too."""
        return self._chosen if self._held is None else np.ones(worlds, np.bool_)

    def _noise(self, worlds: int) -> Tensor:
        """(N, D) the same for ``hold`` decisions."""
        if self._asked % self._settings.hold == 0:
            self._held_noise = torch.randn((worlds, self.space.size), generator=self._generator)
        self._asked += 1
        return self._held_noise

    def _advantages(self, cost: Any, force: Any, terminated: Any, done: Any, gamma: float) -> NDArray[np.float64]:
        """(T, N, 2) of cost and force, in the critic's scale."""
        with torch.no_grad():
            now, then = (
                self.nets.values(torch.as_tensor(np.stack(states)).flatten(0, 1)).double().numpy()
                for states in (self._seen.before, self._seen.after)
            )
        shape = (*cost.shape, 2)
        now, then, scale = now.reshape(shape), then.reshape(shape), 1.0 - gamma
        decay = self._settings.gae_lambda
        found = [
            advantages(scale * paid, now[..., head], then[..., head], terminated, done, gamma, decay)
            for head, paid in enumerate((cost, force))
        ]
        self._now = now
        return np.stack(found, axis=-1)

    def _slack(self, cost: Any, force: Any) -> float:
        """>= 0 where the constraint holds."""
        if self.constraint == "ratio":
            return float(self.eta * force.mean() - cost.mean())
        if self.constraint == "force":
            return float(self._mean_force * self.bound / self.curriculum.limit - force.mean())
        return 0.0

    def _learn(self, gains: NDArray[np.float64], active: bool, gamma: float) -> None:
        price = {"ratio": self.eta, "force": self.multiplier.value, "none": 0.0}[self.constraint]
        states = torch.as_tensor(np.stack(self._seen.before)).flatten(0, 1)
        own = torch.as_tensor(gains[..., 0] - price * gains[..., 1], dtype=torch.float32).flatten()
        batch = Batch(
            states=states,
            raw=torch.as_tensor(np.stack(self._seen.raw)).flatten(0, 1),
            log_prob=torch.as_tensor(np.stack(self._seen.log_prob)).flatten(),
            advantage=own if active else None,
            target=torch.as_tensor(gains + self._now, dtype=torch.float32).flatten(0, 1),
        )
        update(self.nets, self._optimizer, batch, self._settings, self._generator)
        self.nets.scale.learn(states)

    def _metrics(self, cost: Any, force: Any, terminated: Any, slack: float) -> dict[str, float]:
        limit = self.curriculum.limit
        newtons = float(force.mean()) * limit
        ratio = float(cost.mean() / force.mean()) if newtons > 0 else None
        measured = {} if ratio is None else {"ratio": ratio, "ratio_per_newton": ratio * self.cost.bound / limit}
        return {
            **measured,
            "cost": float(cost.mean()),
            "force_newtons": newtons,
            "bound_newtons": self.bound,
            "eta": self.eta,
            "lambda": self.multiplier.value,
            "slack": slack,
            "falls": float(terminated.sum()),
            "std": float(self.nets.log_std.detach().exp().mean()),
            "above_bound": float(self.cost.above),
        }
