"""What a run of learning on an arm amounts to: success before and after, and how much of it people did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from robo_reward.arm.episode import ArmEpisode
from robo_reward.evaluation import wilson

if TYPE_CHECKING:
    from robo_reward.runs.folder import RunFolder


def summarise(
    folder: RunFolder,
    cfg: Any,
    episodes: Sequence[ArmEpisode],
    before: Sequence[bool],
    after: Sequence[bool],
    found: Mapping[str, Sequence[bool]],
) -> None:
    """Fills the summary with verdicts of evaluation: ``before``, ``after`` (the policy that is kept), ``found``: of all
    that was practised, imitated ("prior") and corrected ("average").
    """
    from robo_reward.naming import snake_case

    summary = folder.summary
    summary.env, summary.device = f"{cfg.robot['_target_'].rpartition('.')[2]}/{cfg.arm.name}", "cpu"
    summary.learner = str(cfg.learner["_target_"]).rpartition(".")[2]
    summary.learner, summary.policy = snake_case(summary.learner), "sighted"
    summary.reward_model = snake_case(str(cfg.reward_model["_target_"]).rpartition(".")[2])
    summary.rollouts, summary.episodes = len(episodes), len(episodes)
    summary.env_steps = sum(len(episode.trace) for episode in episodes)
    summary.used_env_reward = summary.used_env_success = False
    if after:
        summary.success_rate, summary.success_ci95 = _share(after), wilson(sum(after), len(after))
        summary.success_episodes, summary.cloned_success_rate = len(after), _share(before)
    summary.notes = {
        "arm": str(cfg.arm.name),
        "before": _told(before),
        "after": _told(after),
        "imitation_alone": _told(found["prior"]),
        "corrected": _told(found.get("average", ())),
        "demonstrations_by": cfg.data or cfg.arm.teleop,
        "interventions": [episode.interventions for episode in episodes],
        "steps_by_hand": [int(episode.by_hand.sum()) for episode in episodes],
        "interventions_total": sum(episode.interventions for episode in episodes),
        "seconds_by_hand": round(sum(int(episode.by_hand.sum()) for episode in episodes) / float(cfg.arm.fps), 1),
        "seconds_of_practice": round(sum(len(episode.trace) for episode in episodes) / float(cfg.arm.fps), 1),
    }
    told = {"before": before, "after": after, "imitation": found["prior"], "corrected": found.get("average", ())}
    for name, verdicts in told.items():
        if verdicts:
            low, high = wilson(sum(verdicts), len(verdicts))
            print(f"{name}: success {_share(verdicts):.2f} (95% {low:.2f}-{high:.2f}, {len(verdicts)} episodes)")
    print(f"interventions: {summary.notes['interventions_total']}, {summary.notes['seconds_by_hand']:.0f} s by hand")


def _share(verdicts: Sequence[bool]) -> float | None:
    return sum(verdicts) / len(verdicts) if verdicts else None


def _told(verdicts: Sequence[bool]) -> dict[str, Any]:
    return {
        "success_rate": _share(verdicts),
        "episodes": len(verdicts),
        "ci95": list(wilson(sum(verdicts), len(verdicts))) if verdicts else None,
    }
