"""The sample-efficient default: SAC around a prior, with demonstrations in the buffer and rewards that are repriced."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from robo_reward.bounds import check_numbers
from robo_reward.contracts import Floats, LearnedRewardModel, Policy
from robo_reward.errors import UserError
from robo_reward.policies.anchored_policy import AnchoredPolicy, Mode
from robo_reward.policies.audition import Audition, chance_better
from robo_reward.policies.cloning import Clone
from robo_reward.policies.episode_buffer import EpisodeBuffer, add_episode, mix
from robo_reward.policies.priors import checked_names, make_priors
from robo_reward.policies.rlpd_state import Played, Training
from robo_reward.policies.soft_actor_critic import SacSettings, SoftActorCritic
from robo_reward.seeding import derive_rng, derive_seed, seed_everything
from robo_reward.session import Session
from robo_reward.trace import Trace


class RlpdLearner:
    """Learns from few rollouts, in whole episodes, each of them repeatable from (seed, rollout number).

    1. The priors that the demonstrations allow each act for ``audition`` episodes; the judge, then the learned
       reward, picks one.
    2. SAC learns a correction to it: after every episode ``updates_per_step`` critic updates per step, every second one
       with an actor update, on batches of own and demonstrated transitions (share ``demonstration_share``).
    3. Every ``refit_every`` rollouts the success detector is refitted against the policy's episodes, and everything
       that is stored is repriced.
    4. The last ``trial`` rollouts show the learned policy as it will be evaluated, without updates. The judge, which is
       no part of the reward, compares them with the prior's own episodes: the learned policy is kept unless the prior
       is the better one with a posterior chance of at least ``confidence``.
    """

    def __init__(
        self,
        priors: Sequence[str] = ("warp", "clone"),
        audition: int = 4,
        scale: float = 0.4,
        batch: int = 128,
        demonstration_share: float = 0.25,
        updates_per_step: int = 1,
        offset_rollouts: int = 10,
        trial: int = 10,
        confidence: float = 0.8,
        refit_every: int = 5,
        evaluate_every: int = 30,
        checkpoint_every: int = 25,
        capacity: int = 100_000,
        sac: SacSettings | None = None,
    ) -> None:
        each = {"refit_every": refit_every, "evaluate_every": evaluate_every, "checkpoint_every": checkpoint_every}
        each |= {"batch": batch, "capacity": capacity, "updates_per_step": updates_per_step}
        check_numbers("learner=rlpd", least=1, whole=True, **each)
        counts = {"audition": audition, "offset_rollouts": offset_rollouts, "trial": trial}
        check_numbers("learner=rlpd", least=0, whole=True, **counts)
        check_numbers("learner=rlpd", least=0, most=1, confidence=confidence, demonstration_share=demonstration_share)
        check_numbers("learner=rlpd", least=0, most=2, scale=scale)
        self._prior_names, self._audition, self._scale = checked_names(priors), audition, scale
        self._batch, self._share, self._updates_per_step = batch, demonstration_share, updates_per_step
        self._offset_rollouts, self._trial, self._confidence = offset_rollouts, trial, confidence
        self._refit_every, self._evaluate_every = refit_every, evaluate_every
        self._checkpoint_every, self._capacity = checkpoint_every, capacity
        self._sac = sac or SacSettings()
        self._policy: AnchoredPolicy | None = None

    prices_demonstrations = True
    single_world = True  # episodes are stepped one at a time, so that each is repeatable on its own
    unit_actions = True  # tanh squashes what is cloned and what is corrected

    def learn(self, session: Session) -> AnchoredPolicy:
        """Trains until the session's budget is spent and returns the policy that is to be evaluated.

        Raises:
            UserError: without demonstrations.
        """
        if not session.demonstrations:
            raise UserError("learner=rlpd starts from demonstrations: set demos=1 or data=DATASET, or use learner=ppo")
        training = self._begin(session)
        if session.restored is not None:
            self._restore(session, training, session.restored)
        while session.left():
            self._play(session, training)
            count = session.tally.rollouts
            if count % self._refit_every == 0:
                self._refit(session, training)
            if session.evaluate is not None and count % self._evaluate_every == 0:
                training.policy.start("average", derive_rng(session.seed, "evaluate", count))
                session.evaluate(training.policy, count)
            if count % self._checkpoint_every == 0 and session.left():
                session.checkpoint(training.dump())
        return self._conclude(session, training)

    def controls(self, session: Session) -> dict[str, Policy]:
        """What to compare with after training: clones of the same demonstrations, and prior or learned policy alone.

        ``cloned`` plainly; ``corrected`` on shifted states, the best cloning that one demonstration allows.
        """
        landmarks, random = session.world.landmarks, [t for t in session.experience if t.source == "random"]
        clones = make_priors(("clone", "corrected"), session.demonstrations, random, landmarks, session.seed)
        named = {"cloned": clones["clone"], "corrected": clones.get("corrected")}
        compared: dict[str, Policy] = {name: clone for name, clone in named.items() if isinstance(clone, Clone)}
        if self._policy is not None:
            other = copy.copy(self._policy)
            dropped = self._policy.mode == "prior"
            other.start("average" if dropped else "prior", derive_rng(session.seed, "control"))
            compared["learned" if dropped else "prior"] = other
        return compared

    # --- set-up ------------------------------------------------------------------------------------------------------

    def _begin(self, session: Session) -> Training:
        demonstrations = session.demonstrations
        random = [t for t in session.experience if t.source == "random"]
        priors = make_priors(self._prior_names, demonstrations, random, session.world.landmarks, session.seed)
        context = max(p.context_size for p in priors.values())
        states, actions = session.world.state_size, session.world.action_space.shape[0]
        width = states + context + actions
        seed_everything(session.seed, "agent")
        agent = SoftActorCritic(width, actions, self._sac, timid=True)
        first = next(iter(priors.values()))
        policy = AnchoredPolicy(first, agent, self._scale, context, derive_rng(session.seed, "policy"))
        own = EpisodeBuffer(self._capacity, width, actions)
        demonstrated = EpisodeBuffer(sum(len(d) for d in demonstrations), width, actions)
        audition = Audition(list(priors), self._audition)
        training = Training(priors, audition, policy, own, demonstrated)
        if not audition.episodes:
            self._choose(session, training, audition.winner())
        return training

    def _choose(self, session: Session, training: Training, name: str) -> None:
        """Settles on a prior: only now can corrections be told, of the demonstrations and of its own episodes."""
        training.prior = name
        training.policy.prior = training.priors[name]
        # leaving a prior that succeeds costs; leaving one that fails as often is what learning is for
        training.policy.agent.anchor = self._sac.anchor * max(0.0, 2 * training.audition.share(name) - 1)
        for demonstration in session.demonstrations:
            features, corrections = training.policy.follow(demonstration)
            reward = self._price(session, demonstration)
            add_episode(training.demonstrated, features, corrections, reward, session.stack.prices_ends)
        for played in training.played:
            if played.kind == f"prior:{name}":
                self._store(session, training, played)

    # --- one rollout -------------------------------------------------------------------------------------------------

    def _play(self, session: Session, training: Training) -> None:
        number = session.tally.rollouts
        seed_everything(session.seed, "rollout", number)
        mode, prior = self._turn(session, training)
        training.policy.prior = training.priors[prior]
        training.policy.start(mode, derive_rng(session.seed, "explore", number))
        seed = derive_seed(session.seed, "world", number)
        trace = next(iter(session.episodes(training.policy, 1, seed)))
        judged = session.judge.judge(trace) if session.judge is not None else float("nan")
        kind = f"prior:{prior}" if mode == "prior" else mode
        features, correction = training.policy.walked()
        played = Played(trace, kind, judged, features, correction, self._price(session, trace))
        training.played.append(played)
        if training.prior is None:
            self._listen(session, training, prior, played)
        else:
            self._store(session, training, played)
            if mode != "trial":
                self._update(session, training, len(trace))
        alarm = session.alarm.hear(played.mean_reward, judged)
        session.log(
            {
                "rollout/alarm": alarm is not None,
                "rollout/kind": kind,
                "rollout/reward": played.mean_reward,
                "rollout/judged": None if np.isnan(judged) else judged,
            }
        )

    def _turn(self, session: Session, training: Training) -> tuple[Mode, str]:
        """How the next episode acts, and around which prior."""
        if training.prior is None:
            candidate = training.audition.next()
            assert candidate is not None  # _listen settles on a prior after the last one
            return "prior", candidate
        turn = sum(not p.kind.startswith("prior:") for p in training.played)
        budget = session.budget.rollouts
        if budget is not None and budget - session.tally.rollouts <= self._trial:
            return "trial", training.prior
        if len(training.played) % 12 == 11:
            return "prior", training.prior
        if turn < self._offset_rollouts:
            return "offset", training.prior
        return ("average" if turn % 3 == 2 else "sample"), training.prior

    def _listen(self, session: Session, training: Training, prior: str, played: Played) -> None:
        training.audition.hear(prior, played.judged, played.mean_reward)
        if training.audition.next() is None:
            winner = training.audition.winner()
            self._choose(session, training, winner)
            scores = {f"audition/{n}": training.audition.score(n) for n in training.audition.candidates}
            session.log({**scores, "audition/winner": winner})

    def _store(self, session: Session, training: Training, played: Played) -> None:
        """Puts an episode into the buffer, with the step that ends it if nothing is earned after that."""
        ended = played.trace.terminated or session.stack.prices_ends
        played.slot = training.own.episodes
        add_episode(training.own, played.features, played.correction, played.reward, ended)

    def _update(self, session: Session, training: Training, steps: int) -> None:
        agent, losses = training.policy.agent, []
        demonstrated = round(self._batch * self._share)
        for step in range(steps * self._updates_per_step):
            batch = mix(training.own.sample(self._batch - demonstrated), training.demonstrated.sample(demonstrated))
            losses.append(agent.update_critic(batch))
            if step % 2 == 0:
                agent.update_actor(batch)
        session.tally.updates = agent.updates
        session.log(
            {"loss/critic": float(np.mean(losses)), "sac/temperature": float(agent.log_temperature.detach().exp())}
        )

    # --- rewards -----------------------------------------------------------------------------------------------------

    def _price(self, session: Session, trace: Trace) -> Floats:
        with session.pricing():
            thin = trace.every(session.stack.model.needs.stride) if trace.source == "demonstration" else trace
            estimate = session.stack.model.estimate_episode(thin)
            return session.stack.reward_of(thin, estimate)

    def _refit(self, session: Session, training: Training) -> None:
        """The detector learns what the policy's episodes look like; then all stored rewards follow it."""
        model = session.stack.model
        if training.prior is None or not isinstance(model, LearnedRewardModel):
            return
        with session.pricing():
            episodes = [*session.experience, *(p.trace for p in training.played)]
            losses = model.refit(episodes, derive_seed(session.seed, "refit", session.tally.rollouts))
        session.log(dict(losses))
        self._reprice(session, training)

    def _reprice(self, session: Session, training: Training) -> None:
        for played in training.played:
            played.reward = self._price(session, played.trace)
            if played.slot is not None:
                training.own.reprice(played.slot, played.reward)
        for number, demonstration in enumerate(session.demonstrations):
            training.demonstrated.reprice(number, self._price(session, demonstration))

    # --- the end and the way back ------------------------------------------------------------------------------------

    def _conclude(self, session: Session, training: Training) -> AnchoredPolicy:
        """Keeps the learned policy unless the judge trusts the prior more."""
        if training.prior is None:
            self._choose(session, training, training.audition.winner())
        assert training.prior is not None
        training.policy.prior = training.priors[training.prior]
        judged = [p for p in training.played if not np.isnan(p.judged)]  # none without a judge
        learned = [p.judged >= 0.5 for p in judged if p.kind == "trial"]
        anchor = [p.judged >= 0.5 for p in judged if p.kind == f"prior:{training.prior}"]
        trained = training.policy.agent.updates > 0
        keep = trained and (not learned or not anchor or chance_better(anchor, learned) < self._confidence)
        training.policy.start("average" if keep else "prior", derive_rng(session.seed, "final"))
        session.notes |= {
            "prior": training.prior,
            "kept": "learned" if keep else "prior",
            "judged_learned": float(np.mean(learned)) if learned else None,
            "judged_prior": float(np.mean(anchor)) if anchor else None,
        }
        session.played = [(p.trace, p.kind, p.judged, p.mean_reward) for p in training.played]
        self._policy = training.policy
        return training.policy

    def _restore(self, session: Session, training: Training, saved: dict[str, Any]) -> None:
        """Rebuilds what a checkpoint left out: buffers and rewards follow from the stored episodes."""
        traces = session.stored_episodes()
        for trace, row in zip(traces, saved["played"], strict=True):
            played = Played(trace, row["kind"], row["judged"], row["features"], row["correction"])
            played.reward = self._price(session, trace)
            training.played.append(played)
        training.audition.verdicts = {k: [(a, b) for a, b in v] for k, v in saved["verdicts"].items()}
        if saved["prior"] is not None and training.prior is None:
            self._settle(session, training, saved["prior"])
        elif training.prior is not None:  # there was no audition: it was chosen before the first episode
            for played in training.played:
                self._store(session, training, played)
        training.policy.agent.load(saved["agent"])
        torch.manual_seed(derive_seed(session.seed, "restored"))

    def _settle(self, session: Session, training: Training, prior: str) -> None:
        """Refills the buffers in the order in which the unbroken run filled them."""
        auditioned = len(training.audition.candidates) * training.audition.episodes
        later = training.played[auditioned:]
        training.played = training.played[:auditioned]
        self._choose(session, training, prior)
        for played in later:
            self._store(session, training, played)
            training.played.append(played)
