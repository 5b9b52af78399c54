"""The report card of a reward model: figures, twelve probes, an attack, the cost, and a verdict in words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from robo_reward.contracts import Estimate, RewardModel, World
from robo_reward.errors import UserError
from robo_reward.estimate_check import ContractBroken
from robo_reward.naming import reward_name
from robo_reward.reward_models.audit.asked import Asked
from robo_reward.reward_models.audit.attack import Attack
from robo_reward.reward_models.audit.audit_episodes import AuditEpisode, AuditEpisodes, Kind, collect, sort_recorded
from robo_reward.reward_models.audit.consistency import repeated_difference, stepped_difference
from robo_reward.reward_models.audit.cost import measure_cost
from robo_reward.reward_models.audit.figures import GAMMA, end_score, figures
from robo_reward.reward_models.audit.metrics import success_threshold, value_order_correlation
from robo_reward.reward_models.audit.own_probes import check_probe, tried
from robo_reward.reward_models.audit.probe import LEAST_WAY, Finding, Material, Probe, Severity, success_frame
from robo_reward.reward_models.audit.probe_list import PROBES
from robo_reward.reward_models.audit.probes import shown
from robo_reward.reward_models.audit.true_way import rises
from robo_reward.reward_models.audit.verdict import ORDER, SUCCESS, adjusted, judge
from robo_reward.runs.summary import Audit
from robo_reward.trace import Trace

OTHER_TASKS = ("water the plant on the balcony", "put the red apple into the fridge", "fold the towel")
"""Instructions of no robot task here, for a model whose own tasks are not known."""
HOLD, LAST = 8, 3
"""Decisions that a success goes on, and at least so many priced frames: what an episode ends at is their mean."""


class ReportCard:
    """Audits a fitted reward model on episodes that it has not seen.

    ``probe_episodes``: successes that the probes are made of. ``more_probes``: name -> a probe of one's own.
    ``without``: names of probes to leave out. ``bounds``: figure -> [care, refuse]. ``attack``: None goes without.
    """

    def __init__(
        self,
        probe_episodes: int = 5,
        more_probes: Mapping[str, Probe] | None = None,
        without: Sequence[str] = (),
        bounds: Mapping[str, Sequence[float]] | None = None,
        attack: Attack | None = None,
    ) -> None:
        for key, probe in (more_probes or {}).items():
            check_probe(key, probe)
        added = tuple((more_probes or {}).values())
        self._own = frozenset(p.name for p in added)
        self.probes = tuple(p for p in (*PROBES, *added) if p.name not in without)
        self._without = tuple(without)
        known = {p.name for p in (*PROBES, *added)}
        if len(known) < len(PROBES) + len(added):
            raise UserError(
                f"a probe of card.more_probes is called as another is; there are {', '.join(sorted(known))}"
            )
        if not set(without) <= known:
            raise UserError(f"card.without={list(without)} names no probe; there are {', '.join(sorted(known))}")
        self._bounds = adjusted(bounds or {})
        self._count, self._attack = probe_episodes, attack

    def collect(self, world: World, episodes: int, model: RewardModel, seed: int) -> AuditEpisodes:
        """Episodes of a world with an expert; its reward and success are used for the audit alone."""
        hold = max(HOLD, LAST * model.needs.stride)
        return collect(world, episodes, seed, model.needs.views, model.needs.stride, hold)

    def sort(self, traces: Sequence[Trace], model: RewardModel, seed: int) -> AuditEpisodes:
        """Recorded episodes with their annotation."""
        return sort_recorded(traces, model.needs.stride, seed)

    def run(
        self,
        model: RewardModel,
        episodes: AuditEpisodes,
        seed: int,
        world: World | None = None,
        other_tasks: Sequence[str] | None = None,
    ) -> dict[str, Any]:
        """The content of ``audit.json``: plain numbers, words and lists; null where nothing was measured.

        ``other_tasks``: instructions of other tasks that the model should tell apart; None: some that it need not know.

        Raises:
            UserError: if the model passes the simulator's reward on, or estimates nothing.
        """
        if not getattr(model, "prices", True):
            raise UserError(f"reward_model={reward_name(model)} has no opinion: there is nothing to audit")
        try:
            return self._measured(Asked(model), episodes, seed, world, other_tasks)
        except ContractBroken as error:
            return self._without_figures(str(error), episodes, seed)

    def _measured(
        self,
        model: RewardModel,
        episodes: AuditEpisodes,
        seed: int,
        world: World | None,
        other_tasks: Sequence[str] | None,
    ) -> dict[str, Any]:
        priced = [(e, model.estimate_episode(e.trace)) for e in episodes.episodes]
        if model.needs.oracle != "none" and all(np.ptp(e.progress) == 0 for _, e in priced):
            raise UserError("this reward model passes the simulator's own signal on and estimates nothing to audit")
        thin = episodes.successes[: self._count]
        values = figures(priced, [self._reversed(model, trace) for trace in episodes.successes])
        examples = _examples(priced)
        values["stepped_difference"] = stepped_difference(model, [trace for trace, _ in examples])
        own = {trace.task for trace in episodes.successes}
        known = [t for t in other_tasks or OTHER_TASKS if t not in own]
        material = Material(model, thin, episodes.taken[: self._count], known[:3], seed, other_tasks is not None)
        found, slips = self._tried(material)
        attack = self._attacked(
            model, world, episodes, [end_score(a, e) for a, e in priced if a.kind == "success"], seed
        )
        values["false_success"] = None if attack is None else attack["false_success"]
        drifts = [f.values["drift"] for f in found.values() if f is not None and "drift" in f.values]
        values["gain_drift"] = max(drifts, default=None)
        values["repeated_difference"] = repeated_difference(model, examples)
        broken: dict[str, tuple[Severity, tuple[str, ...]]] = {
            p.name: (f.severity or p.severity, f.broken) for p in self.probes if (f := found[p.name]) is not None
        }
        spared = _spared(model, episodes)
        judged = {name: value for name, value in values.items() if name not in spared}
        verdict, reasons = judge(judged, _severe(broken), self._bounds)
        unknown = [*_unknown(episodes, material), *slips]
        verdict, reasons = "care" if unknown and verdict == "pass" else verdict, reasons + unknown
        report: dict[str, Any] = _plain(
            {
                "verdict": verdict,
                "reasons": reasons,
                "seed": seed,
                "figures": values,
                "not_judged": [name for name in spared if values.get(name) is not None],
                "bounds": self._told_bounds(),
                "probes": {p.name: _row(p, found[p.name]) for p in self.probes},
                "attack": attack,
                "cost": measure_cost(model, thin[0]),
                "episodes": _counts(episodes),
                "not_measured": self._missing(values, found, episodes, attack),
                "distance": "progress of the state reached against the simulator's reward; EPIC: Pearson distance, "
                f"both as rewards of that state; STARC: L2 norm, gamma {GAMMA}, minimal canonicalisation on potentials "
                "linear in the state; coverage: the transitions to the priced frames of the policies of known quality",
            }
        )
        return report

    def _without_figures(self, reason: str, episodes: AuditEpisodes, seed: int) -> dict[str, Any]:
        """Of a model that breaks the contract: what it says has no meaning, so nothing is measured."""
        return {
            "verdict": "refuse",
            "reasons": [reason],
            "seed": seed,
            "figures": {},
            "not_judged": [],
            "bounds": _plain(self._told_bounds()),
            "probes": {p.name: _row(p, None) for p in self.probes},
            "attack": None,
            "cost": None,
            "episodes": _counts(episodes),
            "not_measured": ["everything: what the model says breaks the contract", *episodes.notes],
            "distance": None,
        }

    def _told_bounds(self) -> dict[str, Any]:
        """Figure -> [care, refuse, whether it must be at least that]."""
        return {name: [b.care, b.refuse, b.least] for name, b in self._bounds.items()}

    def _tried(self, material: Material) -> tuple[dict[str, Finding | None], list[str]]:
        """Findings by probe, and what is wrong with probes of one's own; a fault in ours is raised."""
        found, slips = dict[str, Finding | None](), list[str]()
        for probe in self.probes:
            if probe.name not in self._own:
                found[probe.name] = probe.try_on(material)
                continue
            found[probe.name], slip = tried(probe, material)
            slips += [slip] if slip else []
        return found, slips

    def _reversed(self, model: RewardModel, trace: Trace) -> float:
        index = np.arange(success_frame(trace) + 1)[::-1]
        return value_order_correlation(model.estimate_episode(shown(trace, index)).progress)

    def _attacked(
        self, model: RewardModel, world: World | None, episodes: AuditEpisodes, scores: Sequence[float], seed: int
    ) -> dict[str, Any] | None:
        if self._attack is None or world is None:
            return None
        found = self._attack.run(model, world, episodes.successes, success_threshold(scores), seed)
        return found | {"settings": asdict(self._attack)}

    def _missing(
        self,
        values: Mapping[str, float | None],
        found: Mapping[str, Finding | None],
        episodes: AuditEpisodes,
        attack: Mapping[str, Any] | None,
    ) -> list[str]:
        rows = [name for name, value in values.items() if value is None and name != "false_success"]
        rows += [f"probe {name}" for name, finding in found.items() if finding is None]
        rows += [f"probe {name} (left out by card.without)" for name in self._without]
        return [*rows, *([] if attack else ["attack"]), *episodes.notes]


def _examples(priced: Sequence[tuple[AuditEpisode, Estimate]]) -> list[tuple[Trace, Estimate]]:
    """The first episode of each kind, a success before all others."""
    kinds = dict.fromkeys(["success", *(episode.kind for episode, _ in priced)])
    return [next((e.trace, said) for e, said in priced if e.kind == kind) for kind in kinds]


def _spared(model: RewardModel, episodes: AuditEpisodes) -> tuple[str, ...]:
    """The figures that are told and not judged: what the model does not claim, what the episodes cannot show, and the
    distance to a simulator's reward that pays for change, which is none of the state.
    """
    progress = () if getattr(model, "knows_progress", True) else ORDER
    shown = SUCCESS if episodes.end_at_success else ()
    apart = () if rises(episodes.successes) else ("epic",)
    return tuple(dict.fromkeys((*progress, *shown, *apart)))


def _unknown(episodes: AuditEpisodes, material: Material) -> list[str]:
    """Why these episodes cannot tell what they should, each a reason for care."""
    found = []
    if episodes.end_at_success:
        found.append("the episodes end with their first success: what is said of success was not judged")
    if all(len(e.trace.frame_steps) < 2 for e in episodes.episodes):
        found.append(
            f"the episodes are shorter than the stride, {material.model.needs.stride}: a single frame of each "
            "is priced, and nothing along them could be measured"
        )
    elif not material.pairs():
        found.append(
            f"no success is as late as the {LEAST_WAY + 1}th priced frame, so that most probes could not be tried: "
            "give longer episodes, or a reward with a smaller stride"
        )
    return found


def _severe(broken: Mapping[str, tuple[Severity, tuple[str, ...]]]) -> dict[str, tuple[Audit, Sequence[str]]]:
    """As verdicts."""
    return {name: ("pass" if severity == "told" else severity, words) for name, (severity, words) in broken.items()}


def _row(probe: Probe, finding: Finding | None) -> dict[str, Any]:
    row: dict[str, Any] = {"claim": probe.claim, "severity": probe.severity}
    if finding is None:
        return row | {"passed": None, "values": {}, "broken": []}
    row["severity"] = finding.severity or probe.severity
    return row | {"passed": not finding.broken, "values": finding.values, "broken": list(finding.broken)}


def _counts(episodes: AuditEpisodes) -> dict[str, dict[str, int]]:
    kinds: dict[Kind, Any] = dict.fromkeys(e.kind for e in episodes.episodes)
    return {
        kind: {"episodes": len(rows), "succeeded": sum(e.succeeded for e in rows)}
        for kind in kinds
        if (rows := episodes.of(kind))
    }


def _plain(value: Any) -> Any:
    """JSON's own types; numbers that are not finite become null."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return int(value) if isinstance(value, np.integer) else value
