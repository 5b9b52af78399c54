"""What a training run leaves behind: summary, kept episodes, video and the report page."""

from __future__ import annotations

import sys

import numpy as np

from robo_reward.answer_counts import note_counts
from robo_reward.data.demonstrations import of_each_task
from robo_reward.errors import UserError
from robo_reward.naming import reward_name, snake_case
from robo_reward.provenance import oracle_before, starts_of
from robo_reward.reward_truth import told_apart
from robo_reward.rollout import rollout
from robo_reward.runs.summary import Summary
from robo_reward.seeding import derive_seed
from robo_reward.session import Session
from robo_reward.trace import Trace
from robo_reward.training import Job, Result
from robo_reward.walking import about_starts

KEPT = 20
"""Up to so many demonstrations stay with the run; of more, about as many in all, and one of each task at least."""


def describe(job: Job, session: Session, summary: Summary) -> None:
    """Fills in what is known before learning starts."""
    config = job.config
    summary.env = session.world.name
    summary.reward_model = reward_name(job.stack.model)
    summary.transforms = [snake_case(type(t).__name__) for t in job.stack.transforms]
    summary.base_reward = job.stack.base_reward
    summary.learner = getattr(job.learner, "name", type(job.learner).__name__.removesuffix("Learner").lower())
    summary.demos = len(job.demonstrations)
    # of the whole way to the policy: what its start was trained with counts too
    before = [oracle_before(start) for start in starts_of(config)]
    summary.used_env_reward = job.oracle == "reward" or any(reward for reward, _ in before)
    summary.used_env_success = job.oracle == "success" or any(success for _, success in before)
    summary.device = config.device
    budget = f", {config.rollouts or config.steps} {'rollouts' if config.rollouts else 'steps'}"
    print(
        f"{summary.env}: {summary.demos} demonstration(s), reward {summary.reward_model} = {summary.base_reward}, "
        f"learner {summary.learner}{budget if config.rollouts or config.steps else ''}",
        flush=True,
    )


def write_outputs(job: Job, session: Session, result: Result) -> None:
    """Summary first, then pictures: everything comes from verdicts that were sealed until now."""
    truths = [session.world.sealed.outcomes()[k].success for k in session.outcomes]
    _summarise(job, session, result, truths)
    kept = _kept_episodes(job, session, result)
    _write_episodes(job, kept)
    if job.config.report:
        _report(job, session, result, truths, kept)
    _say(job, result)


def _summarise(job: Job, session: Session, result: Result, truths: list[bool | None]) -> None:
    summary, world = job.run.summary, session.world
    evaluation = result.evaluation
    summary.rollouts, summary.env_steps = session.tally.rollouts, session.tally.env_steps
    summary.episodes, summary.updates = session.tally.rollouts, session.tally.updates
    summary.render_seconds, summary.frames_rendered = round(session.render_seconds, 3), session.frames_rendered
    summary.pricing_seconds = round(session.tally.pricing_seconds, 3)
    summary.success_rate, summary.success_ci95 = evaluation.success_rate, evaluation.ci95
    summary.success_episodes = evaluation.episodes
    summary.success_by_seed = [e.success_rate for e in result.by_seed]
    rates = {name: other.success_rate for name, other in result.controls.items()}
    summary.cloned_success_rate = rates.pop("cloned", None)
    summary.env_return = evaluation.env_return
    note_counts(summary, session.stack.model, before=session.tally.counts)
    summary.reward_audit = session.verdict  # type: ignore[assignment]
    prior = session.notes.get("prior", summary.learner)
    summary.policy = f"{prior} + learned correction" if session.notes.get("kept") == "learned" else str(prior)
    summary.notes = {
        **session.notes,
        **{f"{name}_success_rate": rate for name, rate in rates.items()},
        "horizon": world.horizon,
        "horizon_steps": job.horizon(),
        "evaluations": result.during,
        "demonstration_attempts_dropped": job.dropped,
        **session.audit,
        **_stops(session),
        **told_apart(session.earned, session.world.sealed),
        **about_starts(job.test_world, [e.successes for e in result.by_seed]),
    }
    summary.alarm = session.alarm.verdict()
    summary.nan_resets = session.nan_resets
    summary.stand_in_visuals = bool(getattr(world, "stand_in_visuals", False))
    _compare_with_truth(summary, job, session, truths)


def _stops(session: Session) -> dict[str, int | float | None]:
    """How many rollouts our own detector ended, and the share of them that were no successes; {} without a detector."""
    if session.stopper is None:
        return {}
    log = session.world.sealed.outcomes()
    known = [truth for k in session.stopped if (truth := log[k].success) is not None]
    return {
        "stopped_episodes": len(session.stopped),
        "false_stop_share": known.count(False) / len(known) if known else None,
    }


def _compare_with_truth(summary: Summary, job: Job, session: Session, truths: list[bool | None]) -> None:
    """How often the reward was fooled, and whether its returns order the episodes as the truth does."""
    own = truths[len(truths) - len(session.played) :]
    rows = [
        (called, row[3], truth)
        for called, row, truth in zip(job.called_success, session.played, own, strict=True)
        if truth is not None
    ]
    if not rows:
        return
    summary.false_success_share = float(np.mean([called and not truth for called, _, truth in rows]))
    returns, truth = np.asarray([r for _, r, _ in rows]), np.asarray([float(t) for _, _, t in rows])
    if returns.std() > 0 and truth.std() > 0:
        summary.learned_return_vs_success = float(np.corrcoef(returns, truth)[0, 1])


def _kept_episodes(job: Job, session: Session, result: Result) -> dict[str, Trace]:
    """The demonstration, and a success and a failure of the learner's own, if there were any."""
    kept: dict[str, Trace] = {}
    if job.demonstrations:
        kept["demonstration"] = job.demonstrations[0]
    log = session.world.sealed.outcomes()
    for trace, *_ in session.played:
        truth = log[int(trace.meta["outcome"])].success
        if truth is not None:
            kept["success" if truth else "failure"] = trace
    return kept


def _write_episodes(job: Job, kept: dict[str, Trace]) -> None:
    from robo_reward.data.dataset_source import open_dataset
    from robo_reward.data.datasets import write_dataset

    traces = [t for name, t in kept.items() if name != "demonstration" and t.frames]
    if traces and not (job.run.path / "episodes").exists():
        write_dataset(traces, job.run.path / "episodes")
    demonstrations, folder = _some([t for t in job.demonstrations if t.frames]), job.run.path / "demonstrations"
    if not demonstrations:
        return
    if not folder.exists():
        hold = any(len(trace.frame_steps) < len(trace) and trace.frame_steps[0] == 0 for trace in demonstrations)
        write_dataset(demonstrations, folder, hold=hold)
    # of what lies there: a run that is resumed may have written them before
    job.run.summary.notes["demonstrations_kept"] = len(open_dataset(folder).episodes)


def _some(demonstrations: list[Trace]) -> list[Trace]:
    """All of a few; of many the first of each task: encoding hundreds takes longer than learning from them."""
    if len(demonstrations) <= KEPT:
        return demonstrations
    tasks = [trace.task for trace in demonstrations]
    return [demonstrations[k] for k in of_each_task(tasks, max(1, KEPT // len(set(tasks))))]


def _report(job: Job, session: Session, result: Result, truths: list[bool | None], kept: dict[str, Trace]) -> None:
    from omegaconf import OmegaConf

    from robo_reward.report.pages import Curve, Episode, ReportData, pick_frames, write_report

    data = ReportData(summary=job.run.summary.as_json(), config=OmegaConf.to_yaml(job.config, resolve=True))
    data.evaluations = result.during
    own = truths[len(truths) - len(session.played) :]
    first = session.tally.rollouts - len(session.played)
    data.training_episodes = [
        Episode(first + k + 1, row[3], truth) for k, (row, truth) in enumerate(zip(session.played, own, strict=True))
    ]
    model = session.stack.model
    if job.learned:
        for name, trace in kept.items():
            thin = trace.every(model.needs.stride)
            seen = model.estimate_episode(thin)
            truth = None if name == "demonstration" else name == "success"
            curve = Curve(thin.frame_steps, seen.progress, seen.uncertainty, truth)
            data.curves = {**data.curves, name: curve}
            if model.needs.views:
                data.strips = {**data.strips, name: pick_frames(thin.frames[model.needs.views[0]], curve)}
    if job.config.video:
        data.videos = _videos(job, result)
    data.notes = _comparisons(job.run.summary)
    data.quality = [{"check": k.removeprefix("audit/"), "value": v} for k, v in session.audit.items()]
    write_report(job.run.path, data)


def _comparisons(summary: Summary) -> list[str]:
    """What the same evaluation episodes gave without learning from reward, in words."""
    words = {
        "prior": f"the prior alone ({summary.notes.get('prior')})",
        "learned": "the learned policy, which the judge did not keep",
        "corrected": "a clone of the demonstrations on shifted states with corrected actions",
    }
    rates = {name: summary.notes.get(f"{name}_success_rate") for name in words}
    return [f"On the same starts {words[k]} succeeds in {rate:.0%}." for k, rate in rates.items() if rate is not None]


def _videos(job: Job, result: Result) -> dict[str, bytes]:
    """Title -> mp4; none, with a warning, where nothing can be rendered: the run is done without it."""
    try:
        return {"The trained policy": _video(job, result)}
    except UserError as error:
        print(f"the report has no video (video=false asks for none): {error}", file=sys.stderr)
        return {}


def _video(job: Job, result: Result, episodes: int = 2, height: int = 240, width: int = 320) -> bytes:
    """Two fresh episodes in good quality, as mp4."""
    from robo_reward.data.video import encode_video

    world, frames = job.test_world, []
    picture = getattr(world, "picture", None)
    if picture is None or not world.view_names:
        return b""
    view = world.view_names[0]
    seed = derive_seed(job.config.seed, "video")
    for _ in rollout(
        world,
        result.policy,
        episodes,
        seed,
        # a world that is done has reset itself and shows the next episode
        on_step=lambda step: None if step.done[0] else frames.append(picture(0, view, height, width)),
    ):
        pass
    return encode_video(np.stack(frames), world.fps)


def _say(job: Job, result: Result) -> None:
    summary, evaluation = job.run.summary, result.evaluation
    if evaluation.success_rate is None:
        print(f"return {evaluation.env_return:.1f} over {evaluation.episodes} episodes")
    else:
        low, high = evaluation.ci95 or (0.0, 1.0)
        cloned = "" if summary.cloned_success_rate is None else f", cloned start {summary.cloned_success_rate:.2f}"
        audit = "" if summary.reward_audit is None else f"; audit {summary.reward_audit}"
        print(
            f"success {evaluation.success_rate:.2f} (95% {low:.2f}-{high:.2f}, {evaluation.episodes} episodes)"
            f"{cloned}{audit}"
        )
    if job.config.report:
        print(f"report: {job.run.path / 'report' / 'index.html'}", flush=True)
