"""train: env + reward + policy + learner -> a trained policy, its report, and why one can believe it."""

from __future__ import annotations

import os
from contextlib import redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory

from omegaconf import DictConfig

from robo_reward.bounds import check_bounds, check_device, check_seeds
from robo_reward.default_views import name_views
from robo_reward.naming import world_name
from robo_reward.ranks import Ranks, ranks_of
from robo_reward.runs.folder import RunFolder, is_finished, latest_checkpoint
from robo_reward.runs.same_config import tell_finished

LEAST = {
    "seed": 0,
    "threads": 1,
    "demos": 1,
    "hold": 0,
    "rollouts": 1,
    "steps": 1,
    "negatives.random": 0,
    "negatives.replay": 0,
    "negatives.hollow": 0,
    "episodes": 1,
    "evaluate_every_episodes": 1,
    "env.num_worlds": 1,
    "env.horizon": 1,
    "env.action_repeat": 1,
    "reward_model.fit.steps": 1,
    "judge.steps": 1,
    "learner.batch": 1,
    "learner.audition": 0,
    "learner.trial": 0,
    "learner.refit_every": 1,
    "learner.evaluate_every": 1,
    "learner.checkpoint_every": 1,
}
"""The least that a number may be."""


def run(config: DictConfig) -> None:
    """Trains as configured and fills the run folder.

    Raises:
        UserError: a number out of range, no list of evaluation seeds, a run folder that is taken, or what a stage says.
    """
    if config.get("arm") is not None or config.robot.get("_target_") is not None:
        from robo_reward.arm.training import train_on_arm

        train_on_arm(config)
        return
    check_bounds(config, LEAST)
    check_seeds(config.evaluation_seeds)
    check_device(config)
    import torch

    name_views(config)
    if config.resume and config.run_dir is not None and is_finished(Path(config.run_dir)):
        tell_finished(Path(config.run_dir), config)
        return
    torch.set_num_threads(config.threads)
    ranks = ranks_of()
    config.device = ranks.device(config.device)
    with ranks.joined(config.device):
        if ranks.first:
            _own(config, ranks)
        else:
            _lend(config, ranks)


def _own(config: DictConfig, ranks: Ranks) -> None:
    """The run itself."""
    from robo_reward.answer_counts import note_counts
    from robo_reward.report.training_report import describe, write_outputs
    from robo_reward.runs.progress_display import ProgressDisplay
    from robo_reward.training import Job

    with RunFolder.create("train", world_name(config.env), config, config.run_dir, config.resume) as folder:
        job = Job(config, folder, ranks)
        job.gather_demonstrations()
        session = job.open_session()
        # not before: a setting that demonstrations or worlds refuse takes the new folder with it
        print(f"run folder: {folder.path}", flush=True)
        try:
            describe(job, session, folder.summary)
            job.read_audit(session)
            latest = folder.latest_checkpoint()
            if latest is not None:
                session.restore(latest)
            display = ProgressDisplay(config.rollouts, session.tally.rollouts)
            session.hooks = [display]
            if latest is None:
                job.gain_experience(session)
                job.fit(session)
            policy = job.learn(session)
            display.close()
            result = job.evaluate(policy, session)
            write_outputs(job, session, result)
        finally:
            note_counts(folder.summary, session.stack.model, before=session.tally.counts)
            job.close(session)
    # only now: until the summary is written, a resume needs them
    session.forget_episodes()


def _lend(config: DictConfig, ranks: Ranks) -> None:
    """Another process of the same run: it trains along from the same checkpoint, says nothing and keeps nothing."""
    from robo_reward.training import Job

    latest = latest_checkpoint(Path(config.run_dir)) if config.resume and config.run_dir is not None else None
    with TemporaryDirectory() as scratch, open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
        config.wandb = None
        with RunFolder.create("train", "lent", config, Path(scratch) / "run", tensorboard=False) as folder:
            job = Job(config, folder, ranks)
            job.gather_demonstrations()
            session = job.open_session()
            try:
                if latest is not None:
                    session.restore(latest)
                job.learn(session)
            finally:
                job.close(session)
