"""The main job in its stages: demonstrations, experience, reward, audit, learning, evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol, runtime_checkable

from robo_reward.audit_record import check_accepted, known_numbers
from robo_reward.bounds import check_enough_worlds, check_unit_actions, check_views
from robo_reward.build import build, build_stack, build_test_world, build_world, save_reward_model
from robo_reward.chain_check import check_learners_discount
from robo_reward.contracts import Budget, Estimate, LearnedRewardModel, Oracle, Policy, World
from robo_reward.demonstration_sizes import check_demonstration_sizes
from robo_reward.errors import UserError
from robo_reward.evaluation import Evaluation, judge_episodes, merge, run_episodes, run_seeds
from robo_reward.explorers import RandomPolicy, ReplayPolicy
from robo_reward.fitting.episodes import HOLLOW_NOISE, check_lengths, episode_horizon
from robo_reward.gathering import build_learner, check_world, discount_of, gather_demonstrations
from robo_reward.growing import Growth, begin
from robo_reward.picture_sizes import check_picture_sizes, picture_size
from robo_reward.pushes.forces import check_time_to_push
from robo_reward.ranks import Ranks
from robo_reward.reward_audits import audits_of, check_audits, tell_audits
from robo_reward.runs.folder import RunFolder
from robo_reward.seeding import derive_rng, derive_seed
from robo_reward.session import Saveable, Session
from robo_reward.stopping import build_disturber, build_stopper
from robo_reward.trace import Source, Trace
from robo_reward.traits import is_unfitted


def called_success(estimate: Estimate) -> bool:
    """Whether a reward calls the episode a success: two priced frames in a row with a probability of at least 0.5."""
    p = estimate.success
    return bool(((p[1:] >= 0.5) & (p[:-1] >= 0.5)).any())


@runtime_checkable
class Fittable(Protocol):
    """A judge that is trained on what the reward was trained on, apart from it."""

    def fit(self, demonstrations: Sequence[Trace], negatives: Sequence[Trace], seed: int) -> Mapping[str, float]: ...


@dataclass(slots=True)
class Result:
    """What the stages after learning found out; the report and the summary are made of it.

    ``controls``: the same episodes with what the run started from (``cloned``, ``prior``) and with what was not kept.
    """

    policy: Policy
    evaluation: Evaluation
    by_seed: list[Evaluation]
    controls: dict[str, Evaluation]
    during: list[tuple[int, float]] = field(default_factory=list)


class Job:
    """One training run. Each stage is a method; ``run`` in ``verbs/train.py`` calls them in order."""

    def __init__(self, config: Any, run: RunFolder, ranks: Ranks | None = None) -> None:
        """UserError for settings that do not go together, and for several processes of a learner that wants one."""
        self.config, self.run, self.ranks = config, run, ranks or Ranks()
        self.stack = build_stack(config)
        self.learner = build_learner(config, self.stack.model)
        check_learners_discount(self.stack.transforms, discount_of(config))
        if self.ranks.count > 1:
            if not hasattr(self.learner, "check_ranks"):
                raise UserError(f"{self.ranks.count} processes were started, but only learner=sft trains in several")
            self.learner.check_ranks(self.ranks)
        self.oracle: Oracle = self.stack.model.needs.oracle
        self.learned = isinstance(self.stack.model, LearnedRewardModel)
        self.unfitted = is_unfitted(self.stack.model, config.reward_model)
        # a judge is fitted on demonstrations, which plain RL and a fitted reward do without
        judged = config.judge.get("_target_") and self.wants_demonstrations
        self.judge = build(config.judge) if judged else None
        self.stopper = build_stopper(config, self.stack, self.learner)
        self.disturber = build_disturber(config, self.learner)
        self.demonstrations: list[Trace] = []
        self.dropped = 0
        worlds = config.env.get("num_worlds") or 1
        if worlds > 1 and getattr(self.learner, "single_world", False):
            raise UserError(
                f"env.num_worlds={worlds}: this learner works in one world at a time (rearranged scenes are drawn in "
                "one; a dataset of them, scenes=FOLDER, goes with any number): set env.num_worlds=1"
            )
        self.called_success: list[bool] = []
        self._growth: Growth | None = None
        self._recorded: str | None = None

    # --- before learning ---------------------------------------------------------------------------------------------

    def gather_demonstrations(self) -> None:
        """From ``data``, or by the scripted expert; none if neither the reward nor the learner wants any."""
        if self.wants_demonstrations:
            gathered = gather_demonstrations(self.config, self.views(), self.oracle, self.learner)
            self.demonstrations, self.dropped = gathered
            if self.unfitted:
                check_lengths(self.demonstrations, self.stack.model.needs.stride)

    @property
    def wants_demonstrations(self) -> bool:
        """Whether the learner or a reward that is yet to be fitted asks for any."""
        return bool(getattr(self.learner, "needs_demonstrations", True)) or self.unfitted

    def horizon(self) -> int | None:
        """The training horizon in simulator steps: as configured, else ``episode_horizon``; None: the world's own."""
        return episode_horizon(self.config.env, self.demonstrations)

    def views(self) -> tuple[str, ...]:
        """The views that reward and judge read."""
        judged = self.judge.needs.views if self.judge is not None else ()
        return tuple(dict.fromkeys((*self.stack.model.needs.views, *judged)))

    def open_session(self) -> Session:
        """The world and everything the learner gets."""
        config = self.config
        readers = {"the reward": self.stack.model, "success_stop": self.stopper}
        check_picture_sizes(config.env, self.demonstrations, self.views(), readers)
        horizon = self.horizon()
        more = {} if horizon is None else {"horizon": horizon}
        world = build_world(config.env, oracle=self.oracle, **more)
        check_enough_worlds(world)
        check_views(world, self.views())
        check_world(self.learner, world)
        if getattr(self.learner, "unit_actions", False):
            check_unit_actions(world)
        by_state = self.unfitted and not self.stack.model.needs.views
        check_demonstration_sizes(world, self.demonstrations, self.learner, config.negatives, states=by_state)
        if self.disturber is not None:
            self.disturber.bind(world, self.oracle)
            check_time_to_push(self.disturber, config.steps)
        session = Session(
            world=world,
            stack=self.stack,
            demonstrations=self.demonstrations,
            budget=Budget(config.rollouts, config.steps),
            run=self.run,
            seed=config.seed,
            judge=self.judge,
            stopper=self.stopper,
            disturber=self.disturber,
            ranks=self.ranks,
            picture_size=picture_size(config.env),
        )
        self._test_world = build_test_world(config.env, **more)
        session.test_world = self._test_world
        session.evaluate = partial(self._evaluate_quietly, session)
        return session

    def gain_experience(self, session: Session) -> None:
        """Random episodes, noisy and hollow replays: the negatives, and what tells how actions move the robot."""
        wanted = self.config.negatives
        if not self.demonstrations:
            return
        rng = derive_rng(self.config.seed, "experience")
        explorers: list[tuple[Source, str, Policy, int]] = [
            ("random", "random", RandomPolicy(session.world.action_space, rng), wanted.random),
            ("replay", "replay", ReplayPolicy(self.demonstrations, rng), wanted.replay),
            ("replay", "hollow", ReplayPolicy(self.demonstrations, rng, HOLLOW_NOISE, 0.0), wanted.get("hollow", 0)),
        ]
        for source, kind, policy, count in explorers:
            for number in range(count):
                if session.left():
                    seed = derive_seed(self.config.seed, "world", kind, number)
                    session.experience += list(session.episodes(policy, 1, seed, source))

    def fit(self, session: Session) -> None:
        """Fits reward and judge on the demonstrations and the experience, each fourth episode of it held out.

        A reward that the short audit refuses is fitted once more from another seed; the second verdict holds.

        Raises:
            UserError: if the audit refuses that one too and ``accept_refused_reward`` is off.
        """
        held_out = session.experience[3::4] if len(session.experience) >= 8 else []
        fitted_on = [t for t in session.experience if all(t is not h for h in held_out)]
        unseen = held_out or session.experience
        self._fit_reward(session, fitted_on, self.config.seed)
        if isinstance(self.judge, Fittable) and self.demonstrations:
            session.log(dict(self.judge.fit(self.demonstrations, fitted_on, self.config.seed)))
        verdict, missed = self._audit(session, unseen)
        if verdict == "refuse" and self.unfitted:
            print(f"the audit refuses the reward ({', '.join(missed)}): it is fitted once more", flush=True)
            self._fit_reward(session, fitted_on, derive_seed(self.config.seed, "second fit"))
            verdict, missed = self._audit(session, unseen)
        accepted = self.config.accept_refused_reward
        check_accepted(verdict, missed, accepted, "the reward that was just fitted", self.run.path)

    def _fit_reward(self, session: Session, negatives: Sequence[Trace], seed: int) -> None:
        if self.unfitted:
            assert isinstance(self.stack.model, LearnedRewardModel)
            session.log(dict(self.stack.model.fit(self.demonstrations, negatives, seed)))
            save_reward_model(self.stack.model, self.config.reward_model, self.run.path / "reward_model_first")

    def _audit(self, session: Session, held_out: Sequence[Trace]) -> tuple[str | None, tuple[str, ...]]:
        """The short audit's verdict, None where there is none, and what was missed.

        What an earlier audit refused (``read_audit``) stays refused on record.
        """
        auditor = build(self.config.audit) if self.config.audit.get("_target_") else None
        if auditor is None or not self.learned or not self.demonstrations:
            return None, ()
        report = auditor.run(self.stack.model, self.demonstrations, held_out)
        session.audit = known_numbers(report.values)
        session.verdict = "refuse" if self._recorded == "refuse" else report.verdict
        session.log({**session.audit, "audit/verdict": report.verdict})
        missed = tuple(f"{name.removeprefix('audit/')} {report.values[name]:.2f}" for name in report.failed)
        return report.verdict, missed

    def read_audit(self, session: Session) -> None:
        """Takes the verdict that lies beside a fitted reward's weights, if it is of these weights, and its parts'.

        Raises:
            UserError: if the audit refuses the reward, a member of it or what a server prices with, and
                ``accept_refused_reward`` is off.
        """
        audits = audits_of(self.stack.model, self.config.reward_model)
        unpriced = self.oracle != "none" or not getattr(self.stack.model, "prices", True)
        if not audits and (self.unfitted or unpriced):
            return
        session.verdict, note = tell_audits(audits, session.world.name, fitted=not self.unfitted)
        self._recorded = session.verdict
        if note is not None:
            session.notes["audit_of_reward"] = note
        check_audits(audits, self.config.accept_refused_reward)

    # --- learning and after ------------------------------------------------------------------------------------------

    def learn(self, session: Session) -> Policy:
        """Runs the learner and saves what came of it; the policy will not be updated any more."""
        policy: Policy = self.learner.learn(session)
        policy.save(self.run.path / "policy")
        if self.disturber is not None:
            self.disturber.save(self.run.path / "disturber")
        self.called_success = [called_success(self.stack.model.estimate_episode(row[0])) for row in session.played]
        judge = self.judge
        if isinstance(judge, Saveable):
            save_reward_model(judge, self.config.judge, self.run.path / "judge")
        if self.learned and self.unfitted and self.judge is not None:
            self._growth = begin(session, self.judge, self._recipe(), self.config.hold, self.config.threads)
        return policy

    def evaluate(self, policy: Policy, session: Session) -> Result:
        """Fresh episodes for every evaluation seed, and as many for the cloned start of the same run.

        Their verdicts are read when nothing is left to be updated: neither the policy nor the reward that is kept.
        """
        seeds = list(self.config.evaluation_seeds)
        runs = run_seeds(self._test_world, policy, self.config.episodes, seeds)
        controls = getattr(self.learner, "controls", None)
        others = controls(session) if controls is not None and self.demonstrations else {}
        compared = {name: self._play(other, seeds[0]) for name, other in others.items()}  # the first seed's episodes
        self._keep_reward(session)
        for world in (session.world, self._test_world):
            world.sealed.unseal()
        by_seed = [judge_episodes(self._test_world, positions) for positions in runs]
        controlled = {name: judge_episodes(self._test_world, positions) for name, positions in compared.items()}
        rates = [(rollouts, judge_episodes(self._test_world, positions)) for rollouts, positions in session.during]
        during = [(rollouts, seen.success_rate) for rollouts, seen in rates if seen.success_rate is not None]
        return Result(policy, merge(by_seed), by_seed, controlled, during)

    def _recipe(self) -> dict[str, Any]:
        from omegaconf import OmegaConf

        recipe: Any = OmegaConf.to_container(self.config.reward_model, resolve=True)
        return dict(recipe)

    def _keep_reward(self, session: Session) -> None:
        """The grown reward, or the one that trained where none could be grown."""
        if self._growth is not None:
            session.log(self._growth.finish(self.stack.model))
        if self.learned:
            save_reward_model(self.stack.model, self.config.reward_model, self.run.path / "reward_model")

    @property
    def test_world(self) -> World:
        """The world in which policies are evaluated; its sealed log is its own."""
        return self._test_world

    def close(self, session: Session) -> None:
        """Frees both worlds, and ends what is still being fitted."""
        if self._growth is not None:
            self._growth.close()
        session.world.close()
        self._test_world.close()

    def _evaluate_quietly(self, session: Session, policy: Policy, rollouts: int) -> None:
        """During training: runs episodes whose verdicts stay sealed until the end."""
        seed = derive_seed(self.config.seed, "during")
        count = self.config.evaluate_every_episodes
        session.during.append((rollouts, run_episodes(self._test_world, policy, count, seed)[1]))

    def _play(self, policy: Policy, seed: int) -> list[int]:
        """Evaluation episodes; where their verdicts are in the test world's sealed log."""
        return run_episodes(self._test_world, policy, self.config.episodes, seed)[1]
