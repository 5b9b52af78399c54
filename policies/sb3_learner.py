"""PPO and SAC from Stable-Baselines3, through its own extension points: no algorithm is forked here."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stable_baselines3 import PPO, SAC
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger

from robo_reward.errors import UserError
from robo_reward.policies.sb3_buffers import DeferredReplayBuffer, DeferredRolloutBuffer
from robo_reward.policies.sb3_disturbed import Disturbed
from robo_reward.policies.sb3_pace import Staggered, SteadyRate
from robo_reward.policies.sb3_policy import Algorithm, Sb3Network, Sb3Policy, start_from
from robo_reward.policies.sb3_settings import check_rollout, check_settings
from robo_reward.policies.sb3_state import dump_algorithm, restore_algorithm
from robo_reward.policies.sb3_watch import EpisodeBook, SessionWriter, Watch
from robo_reward.rewarded_env import Pricing, RewardedEnv
from robo_reward.seeding import derive_seed, seed_everything
from robo_reward.session import Session

LOG_EVERY = 1000
"""Environment steps between two rows of SAC's metrics; PPO writes one per iteration."""


@dataclass(slots=True)
class _Running:
    """What one call of ``learn`` works with."""

    model: PPO | SAC
    env: RewardedEnv
    book: EpisodeBook
    watch: Watch


class Sb3Learner:
    """Plain deep RL on the world's states: no demonstrations, many steps.

    Training runs in segments of about ``checkpoint_every`` environment steps (whole PPO iterations, whole episodes of
    fixed length). After each one the policy is evaluated, a checkpoint is written, the worlds start anew and every
    generator is reseeded: so a resumed run goes the way of the unbroken one. ``pricing``: see ``RewardedEnv``.
    ``remember``: how many of the last episodes are kept for the report, with the frames that the reward reads.
    ``initial_std``: what an untrained PPO policy's actions vary by. ``settings``: SB3's own arguments, see
    ``sb3_settings.py``.
    ``start``: the folder of a train run whose policy this one goes on from. ``stagger`` and ``desired_kl``: see
    ``sb3_pace.py``, for PPO only.
    """

    needs_demonstrations = False

    def __init__(
        self,
        algorithm: Algorithm = "ppo",
        layers: Sequence[int] = (64, 64),
        activation: str = "tanh",
        initial_std: float = 1.0,
        start: str | None = None,
        stagger: bool = False,
        desired_kl: float | None = None,
        pricing: Pricing = "auto",
        checkpoint_every: int = 50_000,
        remember: int = 100,
        device: str = "cpu",
        **settings: Any,
    ) -> None:
        """Raises UserError for an unknown algorithm, activation or setting."""
        self._network = Sb3Network(algorithm, tuple(int(size) for size in layers), activation)
        if not 0.0 < initial_std < math.inf:
            raise UserError(f"learner.initial_std={initial_std} must be above 0: it is what PPO's actions vary by")
        self._initial_std, self._begins_with = initial_std, start
        if desired_kl is not None and not 0.0 < desired_kl < math.inf:
            raise UserError(f"learner.desired_kl={desired_kl} must be above 0, or null for a constant learning rate")
        if algorithm != "ppo" and (stagger or desired_kl is not None):
            raise UserError(f"learner.stagger and learner.desired_kl are settings of learner=ppo, not of {algorithm}")
        self._stagger, self._desired_kl = stagger, desired_kl
        self.takes_disturber = algorithm == "ppo"
        self._settings = check_settings(algorithm, settings)
        if checkpoint_every < 1 or remember < 1:
            raise UserError(
                f"learner.checkpoint_every={checkpoint_every} and learner.remember={remember} must be 1 or more"
            )
        self.name = algorithm
        self._device = device
        self._pricing: Pricing = pricing
        self._checkpoint_every, self._remember = checkpoint_every, remember

    def learn(self, session: Session) -> Sb3Policy:
        """Trains until the session's budget is spent; PPO begins no iteration that would not fit into ``steps``.

        Raises:
            UserError: without a budget, with one too small to learn anything, or where rewards would come too late.
        """
        running = self._start(session)
        policy = Sb3Policy(running.model.policy, self._network)
        steps = self._segment(session, running.model)
        while steps > 0:
            self._train(session, running, steps)
            steps = self._segment(session, running.model)
            if steps > 0:
                self._pause(session, running, policy)
        self._conclude(session, running)
        policy.net.set_training_mode(False)
        return policy

    # --- set-up ------------------------------------------------------------------------------------------------------

    def _start(self, session: Session) -> _Running:
        book = EpisodeBook(self._remember)
        env = RewardedEnv(
            session.world,
            session.stack,
            session.seed,
            (book, *session.hooks),
            pricing=self._pricing,
            keep_views=session.views,
            # what the simulator pays anyway takes no time to price, but reading a process's clock twice a step does
            clock=session.pricing if session.stack.model.needs.oracle == "none" else nullcontext,
            stopper=session.stopper,
            disturber=session.disturber,
        )
        seed_everything(session.seed, "agent")
        model = self._build(env)
        self._check(session, model, env)
        if session.restored is not None:
            restore_algorithm(model, session.restored["algorithm"])
            if session.disturber is not None:
                session.disturber.restore(session.restored["disturber"])
            env.unfinished = session.restored["unfinished"]
        elif self._begins_with is not None:
            start_from(Path(self._begins_with), model.policy, self._network)
        model.set_logger(Logger(None, [SessionWriter(session, book, session.tally.updates)]))
        return _Running(model, env, book, Watch(session, None if isinstance(model, PPO) else LOG_EVERY))

    def _build(self, env: RewardedEnv) -> PPO | SAC:
        more: dict[str, Any] = {"policy_kwargs": self._network.keywords(), "device": self._device, **self._settings}
        deferred = {"take_priced": env.take_priced} if env.deferred else {}
        if self._network.algorithm == "ppo":
            # whole episodes rarely divide into SB3's minibatches; a smaller last one is harmless
            warnings.filterwarnings("ignore", message="You have specified a mini-batch size")
            more["policy_kwargs"]["log_std_init"] = math.log(self._initial_std)
            if deferred:
                more |= {"rollout_buffer_class": DeferredRolloutBuffer, "rollout_buffer_kwargs": deferred}
            check_rollout(self._settings, env.num_envs)
            return PPO("MlpPolicy", env, **more)
        if deferred:
            more |= {"replay_buffer_class": DeferredReplayBuffer, "replay_buffer_kwargs": deferred}
        return SAC("MlpPolicy", env, **more)

    def _check(self, session: Session, model: PPO | SAC, env: RewardedEnv) -> None:
        budget, horizon, worlds = session.budget, session.world.horizon, session.world.num_worlds
        if self._stagger and env.deferred:
            raise UserError(
                "learner.stagger=true cuts episodes short, and this reward prices whole ones: set it to false"
            )
        if budget.rollouts is None and budget.steps is None:
            raise UserError(f"learner={self._network.algorithm} has no budget: set steps=500000 or rollouts=1000")
        if isinstance(model, SAC):
            if env.deferred and model.learning_starts < horizon * worlds:
                raise UserError(
                    f"learner.learning_starts={model.learning_starts}, but no step has a reward before the first "
                    f"episodes are over: set it to {horizon * worlds} ({worlds} worlds x {horizon} decisions) or more"
                )
            self._check_budget(session, model.learning_starts + 1, "learner.learning_starts")
            return
        if env.deferred and model.n_steps % horizon:
            fits = horizon * max(1, round(model.n_steps / horizon))
            raise UserError(
                f"learner.n_steps={model.n_steps} is no multiple of the episode's {horizon} decisions, which this "
                f"reward prices as a whole: set learner.n_steps={fits}"
            )
        self._check_budget(session, model.n_steps * worlds, "learner.n_steps")

    def _check_budget(self, session: Session, needed: int, setting: str) -> None:
        """Refuses a budget in which no update is made; ``needed``: steps until the first, lowered by ``setting``."""
        budget, tally, horizon = session.budget, session.tally, session.world.horizon
        if session.restored is not None:
            return
        left = [] if budget.steps is None else [(budget.steps - tally.env_steps, f"steps={budget.steps}")]
        if budget.rollouts is not None:
            most = (budget.rollouts - tally.rollouts) * horizon
            left.append((most, f"rollouts={budget.rollouts} (of at most {horizon} steps each)"))
        steps, named = min(left)
        if steps < needed:
            raise UserError(
                f"{named}, of which {tally.rollouts} rollouts and {tally.env_steps} steps are spent, leave no room for "
                f"one update, which needs {needed} steps in {session.world.num_worlds} worlds: set it higher or "
                f"{setting} lower"
            )

    # --- training ----------------------------------------------------------------------------------------------------

    def _segment(self, session: Session, model: PPO | SAC) -> int:
        """Environment steps of the next segment; 0 at the end."""
        worlds = session.world.num_worlds
        unit = worlds * (model.n_steps if isinstance(model, PPO) else session.world.horizon)
        steps = unit * math.ceil(self._checkpoint_every / unit)
        if not session.left():
            return 0
        if session.budget.steps is not None:
            atom = unit if isinstance(model, PPO) else worlds
            steps = min(steps, (session.budget.steps - session.tally.env_steps) // atom * atom)
        return steps

    def _train(self, session: Session, running: _Running, steps: int) -> None:
        model = running.model
        model.set_env(running.env)  # forces a reset
        if isinstance(model, SAC) and isinstance(model.replay_buffer, DeferredReplayBuffer):
            model.replay_buffer.forget_waiting()
        model.set_random_seed(derive_seed(session.seed, "segment", session.tally.env_steps))
        model.learn(steps, self._callbacks(session, running), log_interval=None, reset_num_timesteps=False)  # type: ignore[arg-type]
        running.env.take_priced()  # episodes that ended after the last update
        running.watch.flush()

    def _callbacks(self, session: Session, running: _Running) -> list[BaseCallback]:
        """What the disturber learned is recorded, and the last update's KL read, before the watch writes a row."""
        found: list[BaseCallback] = []
        if session.disturber is not None:
            session.disturber.begin(derive_seed(session.seed, "disturber", session.tally.env_steps))
            found.append(Disturbed(session.disturber))
        if self._stagger:
            found.append(Staggered(session.world))
        if self._desired_kl is not None:
            found.append(SteadyRate(self._desired_kl))
        return [*found, running.watch]

    def _pause(self, session: Session, running: _Running, policy: Sb3Policy) -> None:
        tally = session.tally
        if session.evaluate is not None:
            policy.net.set_training_mode(False)
            session.evaluate(policy, tally.rollouts)
        if tally.rollouts > running.watch.saved:  # checkpoints are named by rollouts
            running.watch.saved = tally.rollouts
            unfinished = running.env.unfinished + running.env.in_progress
            pushes = None if session.disturber is None else session.disturber.dump()
            session.checkpoint(
                {"algorithm": dump_algorithm(running.model), "unfinished": unfinished, "disturber": pushes}
            )

    def _conclude(self, session: Session, running: _Running) -> None:
        """Leaves the last episodes, with the judge's verdicts, for the report."""
        judge = session.judge
        for trace in running.book.last:
            assert trace.reward is not None
            judged = judge.judge(trace) if judge is not None else math.nan
            session.played.append((trace, "policy", judged, float(trace.reward.mean())))
        session.notes["unfinished_episodes"] = running.env.unfinished + running.env.in_progress
