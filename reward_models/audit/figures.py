"""The figures of the report card that need no probe: order, detection, calibration, ranking, distance."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from robo_reward.contracts import Estimate
from robo_reward.reward_models.audit.audit_episodes import AuditEpisode
from robo_reward.reward_models.audit.early import early_figures, until_success
from robo_reward.reward_models.audit.metrics import (
    auroc,
    concordance,
    expected_calibration_error,
    false_positive_rate,
    label_errors,
    mean_or_none,
    negative_rate,
    policy_ranking,
    progress_label,
    value_order_correlation,
)
from robo_reward.reward_models.audit.probe import success_frame
from robo_reward.reward_models.audit.reward_distance import sampled_epic, sampled_starc

GAMMA = 0.99
Priced = tuple[AuditEpisode, Estimate]
Floats64 = NDArray[np.float64]


def figures(priced: Sequence[Priced], reversed_orders: Sequence[float]) -> dict[str, float | None]:
    """Every figure by name; None where it could not be measured, as all are of single frames.

    ``reversed_orders``: VOC of the reversed successes, -1 where progress is undone exactly. Failures are random,
    perturbed and recorded episodes that failed; near misses have an AUROC of their own.
    """
    won = [p for p in priced if p[0].kind == "success"]
    lost = [p for p in priced if not p[0].succeeded and p[0].kind != "near_miss"]
    idle = [p for p in lost if p[0].kind == "random"]
    near = [p for p in priced if p[0].kind == "near_miss"]
    final = {name: [final_progress(a, e) for a, e in rows] for name, rows in _named(won, lost, idle, near)}
    found = {
        "voc": mean_or_none([value_order_correlation(until_success(a.trace, e)) for a, e in won]),
        "concordance": mean_or_none([concordance(until_success(a.trace, e)) for a, e in won]),
        "voc_reversed": mean_or_none(reversed_orders),
        "negative_rate": negative_rate(_gains(won)),
        "negative_rate_failures": negative_rate(_gains(lost)),
        "net_gain": mean_or_none([float(_gains([one]).sum()) for one in won]),
        "auroc": _known(auroc(final["won"], final["lost"])),
        "auroc_near_misses": _known(auroc(final["won"], final["near"])),
        "false_positive_rate": false_positive_rate(final["won"], final["lost"]),
        "success_progress": mean_or_none(final["won"]),
        "failure_progress": mean_or_none(
            [max(0.0, f - _done(a)) for f, (a, _) in zip(final["idle"], idle, strict=True)]
        ),
        "near_miss_error": mean_or_none([abs(f - a.progress) for f, (a, _) in zip(final["near"], near, strict=True)]),
        **early_figures(won, near),
        **_rated(priced),
        **_success_figures(priced),
        "policy_ranking": _ranking(priced),
        **_distances(priced),
    }
    return found if any(len(e.progress) > 1 for _, e in priced) else dict.fromkeys(found)


def final_progress(episode: AuditEpisode, said: Estimate) -> float:
    """The mean progress of the last three priced frames, of a success of those of them that show it."""
    return float(said.progress[_last(episode)].mean())


def end_score(episode: AuditEpisode, said: Estimate) -> float:
    """What an episode is worth to the reward: its mean match where it matches episodes, else its final progress."""
    return final_progress(episode, said) if said.match is None else float(said.match.mean())


def _last(episode: AuditEpisode) -> NDArray[np.int64]:
    """A recorded success may end with its first successful frame, or be undone again."""
    frames, trace = np.arange(len(episode.trace.frame_steps)), episode.trace
    shown = frames if trace.success is None else frames[trace.success[trace.frame_steps]]
    return (shown if episode.succeeded and len(shown) else frames)[-3:]


def _done(episode: AuditEpisode) -> float:
    """What an episode truly ended at, 0 where nobody knows."""
    return episode.progress if math.isfinite(episode.progress) else 0.0


def _named(*groups: list[Priced]) -> list[tuple[str, list[Priced]]]:
    return list(zip(("won", "lost", "idle", "near"), groups, strict=True))


def _gains(rows: Sequence[Priced]) -> Floats64:
    """Until the first successful frame: at rest gains are noise around 0."""
    parts = [e.gain[1 : success_frame(a.trace) + 1].astype(np.float64) for a, e in rows]
    return np.concatenate(parts) if parts else np.zeros(0)


def _rated(priced: Sequence[Priced]) -> dict[str, float | None]:
    known = [(a, e) for a, e in priced if math.isfinite(a.progress)]
    return label_errors(
        [final_progress(a, e) for a, e in known], [progress_label(a.progress, a.succeeded) for a, _ in known]
    )


def _success_figures(priced: Sequence[Priced]) -> dict[str, float | None]:
    """By the last success probability; None of a model that gives 0 throughout: it knows of no success."""
    if all((e.success == 0).all() for _, e in priced):
        return {"success_auroc": None, "calibration_error": None}
    said, won = _verdicts(priced)
    rows = list(zip(said, won, strict=True))
    separated = _known(auroc([p for p, w in rows if w], [p for p, w in rows if not w]))
    return {"success_auroc": separated, "calibration_error": expected_calibration_error(said, won)}


def _verdicts(priced: Sequence[Priced]) -> tuple[list[float], list[bool]]:
    """The success probability at the end, and whether the episode's last state is a success."""
    rows = [
        (float(e.success[-1]), a.succeeded if a.trace.success is None else bool(a.trace.success[-1])) for a, e in priced
    ]
    return [p for p, _ in rows], [t for _, t in rows]


def _ranking(priced: Sequence[Priced]) -> float | None:
    """By mean final progress; quality is the simulator's mean return where there is one, else the success rate."""
    names = dict.fromkeys(a.policy for a, _ in priced if a.policy)
    said, true = dict[str, float](), dict[str, float]()
    for name in names:
        rows = [(a, e) for a, e in priced if a.policy == name]
        said[name] = float(np.mean([end_score(a, e) for a, e in rows]))
        backs = [a.trace.env_reward for a, _ in rows]
        paid = [float(b.sum()) for b in backs if b is not None]
        true[name] = float(np.mean(paid if len(paid) == len(rows) else [a.succeeded for a, _ in rows]))
    return policy_ranking(said, true) if names else None


def _distances(priced: Sequence[Priced]) -> dict[str, float | None]:
    """EPIC and STARC of the reward "progress of the state reached" to the simulator's, over all priced frames.

    None without the simulator's reward and of episodes without a priced frame after the first; STARC of no more
    transitions than the state has directions, too.
    """
    rows = [(a.trace, e) for a, e in priced if a.trace.env_reward is not None and a.policy]
    if not any((trace.frame_steps > 0).any() for trace, _ in rows):
        return {"epic": None, "starc": None}
    said, true, before, after = list[Floats64](), list[Floats64](), list[Floats64](), list[Floats64]()
    for trace, e in rows:
        kept = np.flatnonzero(trace.frame_steps > 0)
        steps = trace.frame_steps[kept]
        assert trace.env_reward is not None  # asked above
        said.append(e.progress[kept].astype(np.float64))
        true.append(trace.env_reward[steps - 1].astype(np.float64))
        before.append(trace.state[steps - 1].astype(np.float64))
        after.append(trace.state[steps].astype(np.float64))
    one, other, states, reached = (np.concatenate(rows) for rows in (said, true, before, after))
    starc = sampled_starc(one, other, states, reached, GAMMA)
    return {"epic": _known(sampled_epic(one, other)), "starc": _known(starc)}


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None
