"""Robustness curves by hand: schedules, directions, survival, F50 by bisection, and bad input."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robo_reward.errors import UserError
from robo_reward.evaluation import wilson
from robo_reward.line_world import LineWorld
from robo_reward.pushes.forces import check_time_to_push, chosen_bodies, disturbs, names_of, turned
from robo_reward.pushes.patterns import Kind, Schedule, directions
from robo_reward.pushes.sweep import Curve, Forces, Point, bisect, inside_band, point_of, remarks, sweep
from robo_reward.pushes.sweep_settings import fields_of, inherited_bound, numbers_of
from robo_reward.pushes.trial import PushTrials, Trial
from robo_reward.pushes.worst_case import Practice
from robo_reward.reward_models.disturber.curriculum import Curriculum

sys.path.append(str(Path(__file__).parent.parent / "reward_models" / "disturber"))
from pushed_point import PushedPoint, Still  # type: ignore[import-not-found]


class Threshold:
    """Trials in which episode k of 100 survives forces below ``centre`` + ``spread`` (k - 49.5) / 100."""

    def __init__(self, centre: float, spread: float) -> None:
        self.limits = centre + spread * (np.arange(100) - 49.5) / 100
        self.asked: list[float] = []

    def run(self, kind: Kind, newtons: float) -> Trial:
        self.asked.append(newtons)
        return Trial(newtons < self.limits, np.full(100, 0.1 + newtons / 1000), 0)


def test_schedules_by_hand() -> None:
    schedule = Schedule(settle=1.0, seconds=6.0, sudden=0.2, hertz=1.0)
    assert [schedule.share("constant", s) for s in (0.98, 1.0, 5.98)] == [0.0, 1.0, 1.0]
    assert sum(schedule.share("sudden", step / 50) for step in range(300)) == 10  # 0.2 s at 50 Hz
    assert schedule.share("periodic", 1.25) == pytest.approx(1.0)
    assert schedule.share("periodic", 1.75) == pytest.approx(-1.0)
    for wrong in ({"seconds": 1.0}, {"settle": -1.0}, {"sudden": 0.0}, {"hertz": 0.0}):
        with pytest.raises(UserError, match="disturbance"):
            Schedule(**wrong)


def test_schedules_that_would_push_nobody_are_refused() -> None:
    Schedule(hertz=24.9).check(50.0, ("periodic",))
    for hertz in (25.0, 30.0, 50.0):
        with pytest.raises(UserError, match=rf"hertz={hertz} must be below 25, half the world's 50 steps"):
            Schedule(hertz=hertz).check(50.0, ("constant", "periodic"))
        Schedule(hertz=hertz).check(50.0, ("constant",))
    for kind, times in (
        ("constant", {"settle": 0.0, "seconds": 0.005}),
        ("worst", {"settle": 1.0, "seconds": 1.005}),
        ("periodic", {"settle": 0.0, "seconds": 0.02}),  # one step, at which the swing begins
        ("sudden", {"settle": 0.01, "seconds": 1.0, "sudden": 0.005}),  # between two steps
    ):
        with pytest.raises(
            UserError, match=f"a {kind} push would act at no step: .*settle={times['settle']}, seconds="
        ):
            Schedule(**times).check(50.0, (kind,))  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [{"newtons": 0.0}, {"newtons": -5.0}, {"newtons": math.nan}, {"worlds": 0}])
def test_a_practice_without_force_or_worlds_is_refused(wrong: Any) -> None:
    ((name, value),) = wrong.items()
    with pytest.raises(UserError, match=rf"disturbance\.practice.*{name}={value}"):
        Practice(**wrong)


def test_what_a_sweeps_yaml_says_is_checked() -> None:
    assert numbers_of(50, "x") == (50.0,)
    assert numbers_of([0, 2.5], "x") == (0.0, 2.5)
    assert numbers_of(None, "x") == ()
    for wrong in ("many", ["1N"], True, {"a": 1}):
        with pytest.raises(UserError, match=r"disturbance\.forces=.* must be a list of numbers"):
            numbers_of(wrong, "disturbance.forces")
    assert fields_of({"steps": 5, "newtons": None}, Practice, "p") == {"steps": 5, "newtons": None}
    for group, match in (
        (None, "s=None must have settle, seconds, sudden, hertz"),
        ({"hert": 1.0}, "did you mean 'hertz'"),
        ({"hertz": "fast"}, r"s\.hertz=fast must be a number"),
        ({"hertz": None}, r"s\.hertz=None must be a number"),
    ):
        with pytest.raises(UserError, match=match):
            fields_of(group, Schedule, "s")


def test_one_body_may_be_named_without_a_list() -> None:
    assert names_of("trunk") == names_of(["trunk"]) == ("trunk",)
    assert names_of(None) is None


def test_a_sweep_inherits_the_bound_of_what_the_run_was_paid() -> None:
    bounded = {"hook": {"reward_bound": 20}}
    assert inherited_bound(bounded, {"used_env_reward": True, "transforms": []}) == 20.0
    # another reward than the one that the sweep's adversary is paid against
    assert inherited_bound(bounded, {"used_env_reward": False, "transforms": []}) is None
    assert inherited_bound(bounded, {"used_env_reward": True, "transforms": ["level"]}) is None
    for without in ({}, {"hook": None}, {"hook": {"reward_bound": None}}):
        assert inherited_bound(without, {"used_env_reward": True}) is None


def test_eight_directions_round_the_compass() -> None:
    found = directions(0, 16)
    assert np.allclose(np.linalg.norm(found, axis=1), 1)
    assert np.allclose(found[:8], found[8:])
    assert np.allclose(found[2], [0, 1, 0])
    assert np.allclose(found[:8].sum(0), 0)
    assert np.allclose(directions(10, 6), found[[2, 3, 4, 5, 6, 7]])


def test_forces_turn_with_the_axes_of_the_states() -> None:
    force: Any = np.arange(1.0, 13.0).reshape(2, 1, 6)
    facing: Any = SimpleNamespace(headings=lambda: np.array([0.0, np.pi / 2]))
    assert turned(force, facing)[0] == pytest.approx(force[0])
    # a quarter to the left: forward (x) becomes y, left (y) becomes -x; up stays up, of forces and of torques
    assert turned(force, facing)[1, 0] == pytest.approx([-8.0, 7.0, 9.0, -11.0, 10.0, 12.0])
    assert force[1, 0, 0] == 7.0
    assert turned(force, SimpleNamespace()) is force  # type: ignore[arg-type]


@settings(max_examples=30, deadline=None)
@given(st.floats(20, 180), st.floats(5, 60))
def test_bisection_finds_the_force_that_fells_half(centre: float, spread: float) -> None:
    curve, trials = Curve("sudden"), Threshold(centre, spread)
    bisect(trials, curve, most=250.0, resolution=4.0)  # type: ignore[arg-type]
    assert not curve.censored
    assert curve.f50 == pytest.approx(centre, abs=4.0)
    assert len(trials.asked) <= 2 + math.ceil(math.log2(250 / 4))
    low, high = curve.f50_ci95
    assert high is not None
    assert low <= centre <= high


def test_what_survives_everything_is_censored_and_what_falls_by_itself_is_zero() -> None:
    strong, weak = Curve("constant"), Curve("constant")
    bisect(Threshold(1000.0, 1.0), strong, 300.0, 5.0)  # type: ignore[arg-type]
    bisect(Threshold(-1.0, 1.0), weak, 300.0, 5.0)  # type: ignore[arg-type]
    assert (strong.f50, strong.censored, strong.f50_ci95) == (300.0, True, (300.0, None))
    assert (weak.f50, weak.censored, weak.hardest_survived) == (0.0, False, None)


def test_a_sweep_measures_each_force_once_and_uses_what_it_knows() -> None:
    trials = Threshold(70.0, 20.0)
    curve = sweep(trials, "constant", Forces((0.0, 50.0, 100.0), 400.0, 10.0))  # type: ignore[arg-type]
    assert len(trials.asked) == len(set(trials.asked))
    newtons = [point.newtons for point in curve.points]
    assert newtons == sorted(newtons)
    assert {0.0, 50.0, 100.0, 400.0} <= set(newtons)
    assert curve.f50 == pytest.approx(70.0, abs=10.0)


def test_a_point_has_its_bands() -> None:
    point = point_of(30.0, Trial(np.arange(100) < 75, np.r_[np.full(50, 0.1), np.full(48, 0.3), np.nan, np.nan], 2))
    assert point.survival == 0.75
    assert point.survival_ci95 == wilson(75, 100)
    known = np.r_[np.full(50, 0.1), np.full(48, 0.3)]
    assert point.error == pytest.approx(known.mean())
    assert point.error_ci95 is not None
    assert point.error_ci95[1] - known.mean() == pytest.approx(1.96 * known.std(ddof=1) / math.sqrt(98), rel=1e-3)
    assert point_of(1.0, Trial(np.ones(3, bool), np.full(3, np.nan), 0)).error is None


def test_bands_overlap_or_do_not() -> None:
    def curve(*survived: int) -> Curve:
        points = [Point(10.0 * k, 100, s, wilson(s, 100), None, None, 0) for k, s in enumerate(survived)]
        return Curve("sudden", points)

    found = inside_band(curve(100, 60, 20), curve(98, 55, 60))
    assert [(f, bool(same)) for f, same in found] == [(0.0, True), (10.0, True), (20.0, False)]


def test_bad_forces_are_refused() -> None:
    for grid, most, resolution in (((-1.0,), 10.0, 1.0), ((), 0.0, 1.0), ((), 10.0, 0.0), ((math.inf,), 10.0, 1.0)):
        with pytest.raises(UserError, match="disturbance"):
            Forces(grid, most, resolution)


def test_worlds_without_bodies_cannot_be_pushed() -> None:
    with pytest.raises(UserError, match="no bodies"):
        chosen_bodies(LineWorld(), None)


def test_too_many_bodies_must_be_named() -> None:
    world = LineWorld()
    world.bodies = tuple(f"part{i}" for i in range(9))  # type: ignore[attr-defined]
    world.apply_force = lambda force: None  # type: ignore[attr-defined]
    with pytest.raises(UserError, match=r"name some, hook\.bodies="):
        chosen_bodies(world, None)
    assert chosen_bodies(world, ("part3",)) == ("part3",)
    with pytest.raises(UserError, match="names 'part3' twice"):
        chosen_bodies(world, ("part3", "part3"))


def test_a_training_in_which_nobody_would_be_pushed_is_refused() -> None:
    disturber: Any = SimpleNamespace(curriculum=Curriculum(limit=5.0, warmup=500_000))
    with pytest.raises(
        UserError, match=r"hook\.curriculum\.warmup=500000 .* 500000\. Set hook\.curriculum\.warmup=20000"
    ):
        check_time_to_push(disturber, 500_000)
    check_time_to_push(disturber, 500_001)
    check_time_to_push(disturber, None)


def test_a_hook_is_a_disturber_or_a_stopper() -> None:
    home = "robo_reward.reward_models"
    assert disturbs({"_target_": f"{home}.disturber.random_pushes.RandomPushes"})
    assert not disturbs({"_target_": f"{home}.success_stop.load_success_stop"})
    assert not disturbs({"_target_": None})
    assert not disturbs(None)


def test_only_episodes_of_the_point_count_as_blown_up() -> None:
    world = PushedPoint(num_worlds=4, horizon=1000, breaks=1.0)
    trials = PushTrials(world, Still(), ("point",), Schedule(settle=0.0, seconds=1.0), seed=0, episodes=3)
    # the third is pushed sideways and survives, the fourth is no episode of the point; all go on being pushed
    trial = trials.run("constant", 5.0)
    assert trial.survived.tolist() == [False, False, True]
    assert trial.blown_up == 2


def curve_of(kind: Kind, f50: float, survived: int = 5) -> Curve:
    return Curve(kind, [Point(f50, 10, survived, (0.0, 1.0), None, None, 0)], f50)


def test_a_worst_case_that_other_pushes_outdo_is_told() -> None:
    assert (
        remarks([curve_of("constant", 90.0), curve_of("periodic", 80.0), curve_of("worst", 85.0)], "robot", 5.0) == []
    )
    (told,) = remarks([curve_of("constant", 90.0), curve_of("periodic", 80.0), curve_of("worst", 86.0)], "robot", 5.0)
    assert "periodic pushes fell half at 80 N" in told
    assert remarks([curve_of("worst", 81.0)], "robot", 5.0) == []


def test_that_nobody_ever_fails_is_told() -> None:
    (told,) = remarks([curve_of("constant", 400.0, 10), curve_of("worst", 400.0, 10)], "metaworld/reach", 5.0)
    assert "metaworld/reach" in told
    assert "nothing terminates" in told
