"""train: env + reward + policy + learner -> a trained policy, its report, and why one can believe it."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from robo_reward.run import RunFolder, is_finished


def run(config: DictConfig) -> None:
    """Trains as configured and fills the run folder."""
    import torch

    from robo_reward.progress_display import ProgressDisplay
    from robo_reward.training import Job
    from robo_reward.training_report import describe, write_outputs

    if config.resume and config.run_dir is not None and is_finished(Path(config.run_dir)):
        print(f"'{config.run_dir}' is finished: there is nothing to resume (give another run_dir to train again)")
        return
    torch.set_num_threads(config.threads)
    name = f"{config.env.get('task') or config.env.get('id') or 'mjcf'}"
    with RunFolder.create("train", name, config, config.run_dir, config.resume) as folder:
        job = Job(config, folder)
        print(f"run folder: {folder.path}", flush=True)
        job.gather_demonstrations()
        session = job.open_session()
        try:
            describe(job, session, folder.summary)
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
            job.close(session)
    # only now: until the summary is written, a resume needs them
    session.forget_episodes()
