"""The verdict: what counts, what is told and not counted, and how bad a finding is."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from robo_reward.contract_tests import moving_square
from robo_reward.contracts import Estimate, Flags, Needs, Observation, Transition
from robo_reward.errors import UserError
from robo_reward.report.audit_page import audit_page
from robo_reward.reward_models.audit.audit_episodes import collect
from robo_reward.reward_models.audit.probe import Finding, Material
from robo_reward.reward_models.audit.probe_list import PROBES, TakenObject
from robo_reward.reward_models.audit.report_card import ReportCard
from robo_reward.reward_models.audit.verdict import BOUNDS, adjusted, judge
from robo_reward.runs.summary import Audit
from robo_reward.trace import Trace

from .audit_world import BoxWorld, SimulatorProgress

SOUND = {name: bound.care for name, bound in BOUNDS.items()}
CARE = {"voc": 0.8, "auroc": 0.9, "epic": 0.65, "mae_macro": 0.9, "policy_ranking": 0.3}
Broken = dict[str, tuple[Audit, Sequence[str]]]


def test_five_reasons_for_care_refuse_and_those_apart_are_told_but_not_counted() -> None:
    assert judge(SOUND, {}, BOUNDS) == ("pass", [])
    assert judge(SOUND | CARE, {}, BOUNDS)[0] == "refuse"
    four = SOUND | {k: v for k, v in CARE.items() if k != "epic"}
    apart: Broken = {"wrong_instruction": ("care", ["it is deaf"])}
    verdict, reasons = judge(four | {"gain_drift": 6.0}, apart, BOUNDS)
    assert verdict == "care"
    assert len(reasons) == 6
    assert judge(four, {**apart, "camera_shift": ("care", ["it shakes"])}, BOUNDS)[0] == "refuse"
    assert judge(SOUND, apart, BOUNDS)[0] == "care"


def test_what_is_told_and_not_judged_is_no_fifth_reason() -> None:
    four = SOUND | {k: v for k, v in CARE.items() if k != "epic"}
    silent = four | {"success_auroc": None, "calibration_error": None}
    verdict, reasons = judge(silent, {"sensor_noise": ("pass", ["it shakes"])}, BOUNDS)  # type: ignore[dict-item]
    assert (verdict, len(reasons)) == ("care", 6)
    assert any("calls nothing a success" in reason for reason in reasons)
    assert judge(silent | {"epic": 0.65}, {}, BOUNDS)[0] == "refuse"


@pytest.mark.parametrize(
    ("pair", "said"),
    [
        (0.9, "must be two numbers"),
        ("0.9", "must be two numbers"),
        ([0.9], "must be two numbers"),
        ([None, 1], "must be two numbers"),
        ([math.nan, 0.8], "REFUSE, must not be above the first"),
        ([0.8, 0.9], "REFUSE, must not be above the first"),
    ],
)
def test_bounds_of_ones_own_are_two_numbers_in_order(pair: Any, said: str) -> None:
    assert adjusted({"auroc": [0.99, 0.98]})["auroc"].miss(0.985) == "care"
    with pytest.raises(UserError, match=said):
        adjusted({"auroc": pair})
    with pytest.raises(UserError, match="must not be below the first"):
        adjusted({"epic": [0.7, 0.6]})


class Scripted:
    """Progress and success probability as told for each episode by its fps, a name for it."""

    def __init__(self, told: dict[float, tuple[list[float], list[float]]]) -> None:
        self.needs, self._told = Needs(views=(), episode=True), told

    def estimate_episode(self, trace: Trace) -> Estimate:
        progress, success = (np.asarray(v, np.float32) for v in self._told[trace.fps])
        return Estimate(progress, np.zeros_like(progress), success, np.zeros_like(progress))

    def begin(self, first: Observation, fresh: Flags) -> Estimate:
        raise AssertionError

    def estimate(self, transition: Transition) -> Estimate:
        raise AssertionError


@pytest.mark.parametrize(
    ("progress", "success", "broken", "severity"),
    [
        (0.1, 0.0, 0, "care"),  # nothing is broken: never looked at
        (0.1, 1.0, 1, "care"),  # the detector is fooled, the reward is not
        (0.9, 1.0, 2, None),  # both are: as bad as the probe says
        (0.9, 0.0, 1, None),
    ],
)
def test_a_taken_object_that_only_the_detector_overlooks_is_a_reason_for_care(
    progress: float, success: float, broken: int, severity: str | None
) -> None:
    trace = moving_square(0)
    count, step = len(trace.frame_steps), int(trace.frame_steps[-4])
    won = np.arange(len(trace.state)) >= step - 1
    trace = replace(trace, success=won, fps=5.0)
    after = trace.frame_steps > step
    told = np.where(after, progress, 1.0).tolist(), np.where(after, success, 1.0).tolist()
    assert after.sum() == 3 < count
    found = TakenObject().try_on(Material(Scripted({5.0: told}), [], [(trace, step)]))
    assert found is not None
    assert (len(found.broken), found.severity) == (broken, severity)


def test_two_probes_may_not_share_a_name() -> None:
    with pytest.raises(UserError, match="called as another is"):
        ReportCard(more_probes={"mine": TakenObject()})


class Own:
    """A probe of one's own, as given."""

    def __init__(self, severity: Any = "care", values: Any = None, broken: Any = ("bad",), said: Any = None) -> None:
        self.name, self.claim, self.severity = "spin", "turning is no progress", severity
        self._found = Finding({"a": 1.0} if values is None else values, broken, said)

    def try_on(self, material: Material) -> Finding:
        if self._found.broken == ("none",):
            raise ZeroDivisionError("nothing turns")
        return self._found


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (Own(severity="warn"), r"card\.more_probes\.spin \(Own\): severity='warn' must be one of told, care, refuse"),
        (Own(severity=None), "severity=None must be"),
        (object(), r"card\.more_probes\.spin \(object\): name=None must be words"),
    ],
)
def test_a_probe_that_is_none_is_told_before_any_work(wrong: Any, said: str) -> None:
    with pytest.raises(UserError, match=said):
        ReportCard(more_probes={"spin": wrong})


@pytest.mark.parametrize(
    ("own", "said"),
    [
        (Own(values={"a": "text"}), r"values\['a'\]='text' must be one number"),
        (Own(values={"a": np.array([1.0, 2.0])}), "must be one number"),
        (Own(values=[1.0]), "must be numbers by name"),
        (Own(broken="bad"), "must be a tuple of sentences"),
        (Own(said="warn"), "severity='warn' must be None or one of told, care, refuse"),
        (Own(broken=("none",)), "it raised ZeroDivisionError: nothing turns"),
    ],
)
def test_a_slip_in_a_probe_of_ones_own_costs_that_probe_alone(own: Any, said: str) -> None:
    report = carded(own)
    assert report["verdict"] == "care"
    assert [bool(re.search(f"probe spin of card.more_probes.*{said}", r)) for r in report["reasons"]] == [True]
    assert report["probes"]["spin"]["passed"] is None
    assert "probe spin" in report["not_measured"]
    assert report["figures"]["voc"] > 0.9
    assert "could not be judged" in audit_page(report | {"weights_sha256": "x"}, "mine")


@pytest.mark.parametrize("value", [1, np.float32(2), np.nan, True])
def test_any_number_is_a_value_of_a_probe(value: Any) -> None:
    report = carded(Own(values={"a": value}))
    assert report["reasons"] == ["probe spin: bad"]
    json.dumps(report, allow_nan=False)
    audit_page(report | {"weights_sha256": "x"}, "mine")


def carded(own: Any) -> dict[str, Any]:
    episodes = collect(BoxWorld(), 2, 0, (), 1, taken=0)
    without = [p.name for p in PROBES]
    return ReportCard(more_probes={"spin": own}, without=without).run(SimulatorProgress(), episodes, 0)
