"""Each probe catches the bad reward that it was made for, sound rewards pass, and no probe is redundant."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from robo_reward.errors import UserError
from robo_reward.reward_models.audit.attack import Attack, Try, best_of_n
from robo_reward.reward_models.audit.audit_episodes import AuditEpisodes, collect, sort_recorded
from robo_reward.reward_models.audit.probe import Finding, Material
from robo_reward.reward_models.audit.probe_list import PROBES
from robo_reward.reward_models.audit.probes import shown, stopped
from robo_reward.reward_models.audit.report_card import OTHER_TASKS, ReportCard

from .audit_world import BAD, VIEWS, BoxWorld, Clock, Decoder, EasilyPleased, SimulatorProgress

NAMES = [probe.name for probe in PROBES]


@pytest.fixture(scope="module")
def episodes() -> AuditEpisodes:
    return collect(BoxWorld(), 4, 0, VIEWS, 1, taken=2)


@pytest.fixture(scope="module")
def failed(episodes: AuditEpisodes) -> dict[str, set[str]]:
    """Probe -> the probes that its bad reward fails."""
    found = {name: probed(bad(), episodes) for name, bad in BAD.items()}
    return {name: {n for n, f in row.items() if f is not None and f.broken} for name, row in found.items()}


def probed(model: Any, episodes: AuditEpisodes) -> dict[str, Finding | None]:
    material = Material(model, episodes.successes[:2], episodes.taken, OTHER_TASKS)
    return {probe.name: probe.try_on(material) for probe in PROBES}


def test_there_are_twelve_probes_each_with_its_bad_reward() -> None:
    assert len(set(NAMES)) == 12
    assert set(BAD) == set(NAMES)


def test_the_faithful_decoder_passes_every_probe(episodes: AuditEpisodes) -> None:
    found = probed(Decoder(), episodes)
    assert {name: f.broken for name, f in found.items() if f is not None} == dict.fromkeys(NAMES, ())


def test_the_simulators_progress_passes_every_probe_that_applies(episodes: AuditEpisodes) -> None:
    found = probed(SimulatorProgress(), episodes)
    blind = {"occluded_view", "swapped_views", "sensor_noise", "camera_shift"}
    assert {name for name, f in found.items() if f is None} == blind
    assert not [f.broken for f in found.values() if f is not None and f.broken]


@pytest.mark.parametrize("name", NAMES)
def test_a_bad_reward_fails_its_probe_and_passes_most_others(name: str, failed: dict[str, set[str]]) -> None:
    assert name in failed[name]
    assert len(failed[name]) <= 5, f"fails {sorted(failed[name])}"


def test_many_probes_are_the_only_one_to_catch_something(failed: dict[str, set[str]]) -> None:
    """At least half of the probes catch a bad reward that all others let pass."""
    assert sum(len(names) == 1 for names in failed.values()) >= 6, failed


def test_a_card_tells_sound_rewards_from_bad_ones(episodes: AuditEpisodes) -> None:
    card = ReportCard(attack=Attack(n=16, generations=2, population=8))
    sound = card.run(Decoder(), episodes, 0, BoxWorld())
    assert (sound["verdict"], sound["reasons"]) == ("pass", [])
    assert sound["figures"]["epic"] == pytest.approx(0, abs=0.05)
    assert sound["figures"]["policy_ranking"] > 0.9  # the best two policies both end at the goal
    assert sound["attack"]["best_of_n"][-1]["n"] == 16
    for bad in (Clock, EasilyPleased):
        report = ReportCard().run(bad(), episodes, 0)
        assert report["verdict"] == "refuse", bad.__name__
        assert report["reasons"]


def test_a_constant_reward_is_refused(episodes: AuditEpisodes) -> None:
    class Constant(Decoder):
        def twist(self, progress: Any, trace: Any) -> Any:
            return np.full_like(progress, 0.5)

    report = ReportCard().run(Constant(), episodes, 0)
    assert report["verdict"] == "refuse"
    assert report["figures"]["voc"] == 0
    assert report["figures"]["auroc"] == 0.5


def test_who_knows_success_alone_is_not_asked_for_an_order_but_for_the_rest(episodes: AuditEpisodes) -> None:
    class OnlySuccess(Decoder):
        knows_progress = False

        def twist(self, progress: Any, trace: Any) -> Any:
            return (np.asarray(progress) > 0.95).astype(np.float32)

    class AlwaysDone(OnlySuccess):
        def twist(self, progress: Any, trace: Any) -> Any:
            return np.ones_like(progress)

    class Asked(OnlySuccess):
        knows_progress = True

    reports = {bad: ReportCard().run(bad(), episodes, 0) for bad in (OnlySuccess, AlwaysDone, Asked)}
    assert "voc" in reports[OnlySuccess]["not_judged"]
    assert not any("(voc)" in reason for reason in reports[OnlySuccess]["reasons"])
    assert any("(voc)" in reason for reason in reports[Asked]["reasons"])
    assert reports[Asked]["not_judged"] == []
    assert reports[AlwaysDone]["verdict"] == "refuse"


def test_same_seed_same_report() -> None:
    reports = []
    for _ in range(2):
        world = BoxWorld()
        card = ReportCard(attack=Attack(n=4, generations=1, population=4))
        reports.append(card.run(Decoder(), card.collect(world, 2, Decoder(), 7), 7, world))
        del reports[-1]["cost"]
    assert reports[0] == reports[1]


def test_recorded_episodes_alone_make_a_card_that_says_what_it_could_not_measure(episodes: AuditEpisodes) -> None:
    recorded = [e.trace for e in episodes.episodes if e.kind in ("success", "random")]
    report = ReportCard().run(Decoder(), sort_recorded(recorded, 1, 0), 0)
    assert {"epic", "policy_ranking", "probe object_moved", "attack"} <= set(report["not_measured"])
    with pytest.raises(UserError, match="none of the 4 recorded episodes is a success"):
        sort_recorded([e.trace for e in episodes.of("random")], 1, 0)


def test_own_probes_are_tried_and_probes_can_be_left_out(episodes: AuditEpisodes) -> None:
    class Never:
        name, claim, severity = "never", "nothing is ever right", "refuse"

        def try_on(self, material: Material) -> Finding:
            return Finding({}, ("as always",))

    report = ReportCard(more_probes={"never": Never()}, without=["clock"]).run(Decoder(), episodes, 0)  # type: ignore[dict-item]
    assert report["reasons"] == ["probe never: as always"]
    assert "clock" not in report["probes"]
    with pytest.raises(UserError, match="names no probe"):
        ReportCard(without=["clok"])
    with pytest.raises(UserError, match="unknown figure of the audit 'aurok'; did you mean 'auroc'"):
        ReportCard(bounds={"aurok": [1, 0]})


def test_best_of_n_by_hand() -> None:
    # of 4 candidates, subsets of 2: the best is the 4th in 3 of 6, the 3rd in 2, the 2nd in 1
    rows = best_of_n([Try(s, s >= 3, 0.0) for s in (1, 2, 3, 4)])
    assert [row["n"] for row in rows] == [1, 2, 4]
    assert [row["score"] for row in rows] == pytest.approx([2.5, (3 * 4 + 2 * 3 + 2) / 6, 4])
    assert [row["success"] for row in rows] == pytest.approx([0.5, 5 / 6, 1])


def test_edits_show_what_they_say(episodes: AuditEpisodes) -> None:
    trace = episodes.successes[0]
    back = shown(trace, np.arange(len(trace.frame_steps))[::-1])
    assert np.array_equal(back.frames["front"], trace.frames["front"][::-1])
    assert np.array_equal(back.state, trace.state[::-1])
    half = stopped(trace, 0.5)
    step = round(0.5 * (trace.success_step or 0))
    assert half.state[-1, 1] == pytest.approx(trace.state[step, 1], abs=0.06)
    assert len(half) == len(trace)
