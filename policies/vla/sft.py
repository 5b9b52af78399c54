"""Supervised fine-tuning of any LeRobot policy on demonstrations: ``learner=sft``. Nothing of a simulator is asked."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any, cast

import numpy as np
import torch

from robo_reward.contracts import World
from robo_reward.data.dataset_source import open_dataset
from robo_reward.data.recording import Recording
from robo_reward.errors import UserError, unknown_name
from robo_reward.policies.vla import training_data as data_of
from robo_reward.policies.vla.acting import acting_batches, check_asked, check_streamed, learn_to_act, number_of
from robo_reward.policies.vla.features import DataFacts, check_sizes, facts_of_world
from robo_reward.policies.vla.frames import EpisodeFrames
from robo_reward.policies.vla.lerobot_policy import LeRobotPolicy
from robo_reward.policies.vla.optimisation import AveragedWeights, Optimisation, Schedule, build_optimisation
from robo_reward.policies.vla.policy_settings import check_told
from robo_reward.policies.vla.progress_weights import progress_weights
from robo_reward.policies.vla.recipe import PolicyRecipe
from robo_reward.policies.vla.still_scenes import StillScenes
from robo_reward.ranks import Ranks
from robo_reward.seeding import derive_seed
from robo_reward.session import Session


class SftLearner:
    """Imitates ``data`` (a LeRobotDataset), or demonstrations that the run's scripted expert gave.

    ``updates`` of ``batch`` samples; ``lr`` None: the policy's own; ``ema``: decay of the averaged weights that act
    and are saved. Datasets of fewer than ``cache_gb`` decoded gigabytes are kept in memory, others are streamed by
    ``workers``. ``rabc``: a progress file; samples are weighed by the progress within their chunk (RA-BC, LeRobot's
    own weights), fully from ``kappa`` on. ``batch`` is shared among the processes of a launcher (``Ranks``).
    ``scenes``, ``scenes_share``: as ``StillScenes`` says; nothing of them is imitated; not with ``rabc``.
    ``acting_updates``: then so many of the actions alone, by true places; None: half of ``updates`` where that can be.
    Every update seeds itself, so a resumed run goes the way of the unbroken one.
    """

    name = "sft"
    needs_reward = False
    takes_stopper = False
    moments = 1
    """How many steps the policy looks at, the present one among them."""

    def __init__(
        self,
        data: str | None = None,
        demos: int | None = None,
        updates: int = 3000,
        batch: int = 64,
        lr: float | None = None,
        schedule: Schedule = "policy",
        warmup: int = 100,
        ema: float = 0.995,
        cache_gb: float = 4.0,
        workers: int = 2,
        rabc: str | None = None,
        kappa: float = 0.01,
        scenes: str | int | None = None,
        scenes_share: float | None = 0.6,
        acting_updates: int | None = None,
        log_every: int = 100,
        evaluate_every: int | None = None,
        checkpoint_every: int = 1000,
        device: str = "cpu",
        seed: int = 0,
    ) -> None:
        """Raises UserError for numbers out of range, and for ``rabc`` without ``data`` or with ``scenes``."""
        told: dict[str, Any] = {"updates": updates, "batch": batch, "log_every": log_every, "workers": workers}
        told |= {"checkpoint_every": checkpoint_every, "warmup": warmup, "acting_updates": acting_updates}
        for key, value in told.items():
            least = 0 if key in ("workers", "warmup", "acting_updates") else 1
            whole = isinstance(value, int) and not isinstance(value, bool)
            if not (whole and value >= least) and (key, value) != ("acting_updates", None):
                raise UserError(f"learner.{key}={value} must be {least} or more, and whole, as 10")
        if not 0 <= ema < 1:
            raise UserError(f"learner.ema={ema} must be 0 (none) or a decay below 1")
        if schedule not in ("policy", "cosine", "constant"):
            raise unknown_name("learner.schedule", schedule, ("policy", "cosine", "constant"))
        if rabc is not None and data is None:
            raise UserError("learner.rabc weighs the frames of a dataset: give it with data=DATASET")
        if rabc is not None and scenes is not None:  # their progress is unknown, and weights are shares of a batch
            raise UserError(f"learner.rabc weighs by progress, learner.scenes={scenes} has none: set one to null")
        self._data, self._demos, self._updates, self._batch = data, demos, updates, batch
        self._lr, self._ema, self._cache_gb, self._workers = lr, ema, cache_gb, workers
        self._schedule: Schedule = schedule
        self._warmup, self._rabc, self._kappa, self._log_every = warmup, rabc, kappa, log_every
        self._scenes, self._acting_updates = StillScenes(scenes, scenes_share, batch), acting_updates
        self._evaluate_every, self._checkpoint_every = evaluate_every, checkpoint_every
        self._device, self._seed = device, seed
        self.suits: Callable[[LeRobotPolicy], None] = lambda _: None  # before training; may refuse
        self._recipe: PolicyRecipe | None = None
        self._settings: Any = None
        self._told: dict[str, float] = {}
        self._acting: data_of.Batches | None = None

    @property
    def needs_demonstrations(self) -> bool:
        """Demonstrations are collected where no dataset is given; a dataset is read here."""
        return self._data is None

    @property
    def single_world(self) -> bool:
        """Scenes that the run's own world shows are drawn in one."""
        return self._scenes.drawn

    def take_policy(self, recipe: Any) -> None:
        """The policy that is trained.

        Raises:
            UserError: its settings do not go together, or not with the scenes.
        """
        config = recipe.settings()
        self._recipe, self._settings, self.moments = recipe, config, len(data_of.deltas(config)[0]) or 1
        self._scenes = self._scenes.seen_by(config)
        check_asked(self._acting_updates, config, self._rabc is not None)

    def check_world(self, world: World, recording: Recording | None = None) -> None:
        """Raises UserError where the world cannot show scenes, has not the state that settings name, or demonstrations
        of this ``recording`` would not tell what they are to teach."""
        self._scenes.check_world(world)
        known = self._scenes.given is not None or getattr(self._recipe, "path", None) is not None
        check_told(self._settings, world, None if self._data else recording, known, self._acting_updates)

    def check_ranks(self, ranks: Ranks) -> None:
        """Raises UserError where several processes have no dataset in common, or cannot share a batch."""
        ranks.check_training(self._batch, self._data)

    def policy_views(self, available: Sequence[str]) -> Sequence[str]:
        """Which of the available views of a world the policy looks at; UserError for a ``policy.rename`` of others."""
        assert self._recipe is not None
        if self._data is None:
            self._recipe.check_names(available)
        return self._recipe.views_of(available)

    def learn(self, session: Session) -> LeRobotPolicy:
        """Trains for ``updates`` and returns the policy with its averaged weights.

        Raises:
            UserError: policy, data and world do not fit, the loss is not finite, or the GPU's memory does not suffice.
        """
        session.counts_updates = True
        policy, batches = self.prepare(session)
        self.suits(policy)
        steps = build_optimisation(policy.module, policy.config, self._updates, self._lr, self._schedule, self._warmup)
        average = AveragedWeights(policy.module, self._ema) if self._ema else None
        steps.ranks = session.ranks
        first = self._restore(session, policy, steps, average)
        session.ranks.agree(policy.module)
        try:
            self._train(session, policy, batches, steps, average, first)
        except torch.OutOfMemoryError as error:
            raise UserError(
                f"the GPU's memory does not suffice: lower learner.batch={self._batch}, train adapters only "
                "(policy.lora=8) or use policy.dtype=bfloat16"
            ) from error
        if average is not None:
            average.apply()
        if self._acting is not None and session.notes["acting_updates"]:
            how = (session.notes["acting_updates"], self._lr, self._ema, self._seed, session.ranks)
            session.log(learn_to_act(policy, self._acting, *how))
        policy.policy.eval()
        return policy

    # --- set-up ------------------------------------------------------------------------------------------------------

    def prepare(self, session: Session) -> tuple[LeRobotPolicy, data_of.Batches]:
        """The policy, built to fit data and world, and what it is trained on."""
        assert self._recipe is not None
        torch.manual_seed(derive_seed(self._seed, "sft weights"))
        choose, world = self._recipe.views_of, session.world
        if self._data is None:
            facts = data_of.facts_of_traces(session.demonstrations, choose)
        else:
            self._recipe.check_names([*world.view_names, *open_dataset(self._data).image_keys()])
            facts = data_of.facts_of_dataset(self._data, choose)
        low, high = (bound.astype(np.float32) for bound in (world.action_space.low, world.action_space.high))
        policy = self._recipe.build(facts, low, high, self._device, self._seed)
        shown = facts_of_world(world, session.picture_size)
        policy.names.views_of(policy.config, list(shown.views))
        check_sizes(policy.config, shown, policy.names)
        batches, samples = self._batches(session, policy, facts)
        trained = sum(p.numel() for p in policy.module.parameters() if p.requires_grad)
        session.notes |= {
            "acting_updates": number_of(policy, self._acting_updates, self._updates, self._acting),
            "prior": policy.config.type,
            "parameters": sum(p.numel() for p in policy.module.parameters()),
            "trained_parameters": trained,
            "samples": samples,
            "blind": bool(getattr(policy.config, "blind", False)),
            "dataset": self._data,
        }
        held = "streamed" if samples is None else f"{samples} samples in memory"
        print(f"policy {policy.config.type}: {trained:,} trained parameters, {held}", flush=True)
        return policy, batches

    def _batches(self, session: Session, policy: LeRobotPolicy, facts: DataFacts) -> tuple[data_of.Batches, int | None]:
        views = list(policy.names.views_of(policy.config, list(facts.views)))
        if self._data is None:
            frames = EpisodeFrames(views, data_of.shrinker(policy))
            frames.add(session.demonstrations)
        elif data_of.decoded_gigabytes(self._data, views, policy, self._demos) <= self._cache_gb:
            frames = data_of.frames_of_dataset(self._data, views, policy, self._demos)
        else:
            for key, asked in (("learner.scenes", self._scenes.given), ("demos", self._demos)):
                if asked is not None:
                    raise UserError(f"{key}={asked} and a streamed dataset: raise learner.cache_gb={self._cache_gb}")
            check_streamed(policy, self._acting_updates if self._rabc is None else 0, self._cache_gb)
            told = (self._data, policy, self._batch, self._seed, self._workers, session.ranks)
            return data_of.streamed_batches(*told), None
        if views:
            self._scenes.add(frames, views, policy, session.world, self._seed)
        how = (self._batch, self._seed, session.ranks)
        if self._rabc is None:
            self._acting = acting_batches(frames, policy, self._acting_updates, *how)
        return data_of.batches_in_memory(frames, policy, *how, self._scenes.share), len(frames)

    def _restore(
        self, session: Session, policy: LeRobotPolicy, steps: Optimisation, average: AveragedWeights | None
    ) -> int:
        """The update at which training goes on."""
        state = session.restored
        if state is None:
            return 0
        policy.module.load_state_dict(state["module"])
        steps.load(state["steps"])
        if average is not None:
            average.load(state["average"])
        return int(state["update"])

    # --- training ----------------------------------------------------------------------------------------------------

    def _train(
        self,
        session: Session,
        policy: LeRobotPolicy,
        batches: data_of.Batches,
        steps: Optimisation,
        average: AveragedWeights | None,
        first: int,
    ) -> None:
        weigher = None if self._rabc is None else progress_weights(self._rabc, self._kappa, policy)
        losses, since = list[float](), time.perf_counter()
        for update, raw in enumerate(batches(first, self._updates), first + 1):
            torch.manual_seed(derive_seed(self._seed, "sft update", update, *session.ranks.own))
            policy.module.train()
            loss = self._loss(policy, raw, weigher)
            losses.append(loss.item())
            if not math.isfinite(losses[-1]):
                raise UserError(f"the loss of update {update} is not finite: lower learner.lr (now {steps.lr:g})")
            norm = steps.step(loss)
            if average is not None:
                average.update()
            session.tally.updates = update
            if update % self._log_every == 0 or update == self._updates:
                rate = len(losses) * self._batch / (time.perf_counter() - since)
                mean = session.ranks.mean(sum(losses) / len(losses), policy.device)
                row = {"sft/loss": mean, "sft/lr": steps.lr, "sft/gradient": norm}
                session.log({**row, **self._told, "timing/samples_per_second": rate})
                print(f"update {update}/{self._updates}  loss {row['sft/loss']:.4f}  {rate:.0f} samples/s", flush=True)
                losses, since = [], time.perf_counter()
            self._pause(session, policy, steps, average, update)

    def _loss(self, policy: LeRobotPolicy, raw: dict[str, Any], weigher: Any) -> torch.Tensor:
        batch = policy.training_batch(raw)
        with policy.autocast():
            if weigher is None:
                loss, told = policy.module(batch)[:2]
                self._told = {f"sft/{key}": part for key, part in (told or {}).items() if isinstance(part, float)}
                return cast(torch.Tensor, loss)
            each = policy.module(batch, reduction="none")[0]
        weights = weigher.compute_batch_weights(raw)[0].to(each.device)
        weighed: torch.Tensor = (each.float() * weights).mean()
        return weighed

    def _pause(
        self, session: Session, policy: LeRobotPolicy, steps: Optimisation, average: AveragedWeights | None, update: int
    ) -> None:
        """Evaluates (sealed) and saves, when it is time and something follows."""
        if not session.ranks.first or (update == self._updates and not session.notes["acting_updates"]):
            return
        if self._evaluate_every and update % self._evaluate_every == 0 and session.evaluate is not None:
            with average.applied() if average is not None else nullcontext():
                session.evaluate(policy, update)
        if update % self._checkpoint_every == 0 or update == self._updates:
            state = {
                "update": update,
                "module": dict(policy.module.state_dict()),
                "steps": steps.state(),
                "average": None if average is None else average.state(),
            }
            session.checkpoint(state)
