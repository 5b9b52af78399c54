"""Whatever is asked for, every emitted goal is within position, velocity, acceleration and workspace limits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from robo_reward.errors import UserError
from robo_reward.real_robot import hostile_goals as arm
from robo_reward.real_robot.braking import Floats, fastest, path_to_rest, stopping_distance
from robo_reward.real_robot.limiter import Limiter
from robo_reward.real_robot.limits import LimitPlan, LimitSettings

EPS = arm.TOLERANCE


def test_thirty_thousand_hostile_goals() -> None:
    """benchmarks/arm_limits.py asks for a million."""
    rng = np.random.default_rng(0)
    limiter = arm.limiter(60)
    emitted = arm.run(limiter, arm.goals(rng, 60, 500))
    arm.check(emitted)
    assert np.ptp(emitted, axis=(0, 1)).min() > 30, "the arms moved, so the check had something to find"


@settings(max_examples=40, deadline=None)
@given(hnp.arrays(np.float64, (40, 1, 4), elements=st.floats(width=64)))
def test_any_floats_at_all(asked: Floats) -> None:
    arm.check(arm.run(arm.limiter(1), asked))


def test_reaches_a_goal_inside_exactly_and_without_overshoot() -> None:
    limiter = Limiter(arm.limits(), arm.PERIOD)
    limiter.start(np.array([[0.0, 0, 0, 50]]))
    goal = np.array([[60.0, -30.0, 10.0, 80.0]])
    emitted = arm.run(limiter, np.tile(goal, (150, 1, 1)))
    assert emitted[-1] == pytest.approx(goal)
    assert emitted[:, 0, 0].max() <= 60 + EPS
    # 60 deg at 60 deg/s and 300 deg/s^2: 1 s of travel and 0.2 s for both ramps, to a period or two
    arrival = int(np.argmax(emitted[:, 0, 0] > 59.99)) * arm.PERIOD
    assert arrival == pytest.approx(1.2, abs=0.05)


def test_none_brakes_to_rest_in_the_known_time() -> None:
    limiter = Limiter(arm.limits(), arm.PERIOD)
    limiter.start(np.array([[0.0, 0, 0, 50]]))
    arm.run(limiter, np.tile([[90.0, 0, 0, 50]], (30, 1, 1)))
    assert limiter.velocity[0, 0] == pytest.approx(60)
    for _ in range(10):  # 60 deg/s at 6 deg/s a period
        limiter.step(None)
    assert limiter.velocity[0, 0] == pytest.approx(0, abs=EPS)


def test_a_joint_in_the_margin_moves_inwards_only_and_slowly() -> None:
    limiter = Limiter(arm.limits(), arm.PERIOD)
    limiter.start(np.array([[109.0, 0, 0, 50]]))  # the limit is 105, the calibrated range ends at 110
    outwards = arm.run(limiter, np.tile([[200.0, 0, 0, 50]], (20, 1, 1)))
    assert outwards[:, 0, 0].max() <= 109 + EPS
    inwards = arm.run(limiter, np.tile([[0.0, 0, 0, 50]], (20, 1, 1)))[:, 0, 0]
    assert np.abs(np.diff(inwards)).max() / arm.PERIOD == pytest.approx(6, abs=EPS)  # a tenth of 60


def test_the_speed_share_slows_a_moving_arm_within_its_acceleration() -> None:
    limiter = Limiter(arm.limits(), arm.PERIOD)
    limiter.start(np.array([[-100.0, 0, 0, 50]]))
    goal = np.array([[100.0, 0, 0, 50]])
    arm.run(limiter, np.tile(goal, (30, 1, 1)))
    first = limiter.velocity[0, 0]
    limiter.step(goal, speed=0.25)
    assert limiter.velocity[0, 0] == pytest.approx(first - 6)
    for _ in range(20):
        limiter.step(goal, speed=0.25)
    assert limiter.velocity[0, 0] == pytest.approx(15)


def test_a_start_outside_range_or_workspace_is_refused_with_the_way_out() -> None:
    limiter = arm.limiter(1)
    with pytest.raises(UserError, match=r"joint 'pan' is at 120.0, outside its calibrated range .* by hand"):
        limiter.check_start(np.array([120.0, 0, 0, 50]))
    with pytest.raises(UserError, match="outside its workspace: the tip at"):
        limiter.check_start(np.array([0.0, 95, 0, 50]))


def test_a_start_outside_limits_that_a_person_set_is_refused_a_little_outside_is_not() -> None:
    own = LimitPlan(joints={"pan": LimitSettings(lower=-20.0, upper=20.0)}).limits(arm.NAMES, arm.RANGES)
    limiter = Limiter(own, arm.PERIOD)
    with pytest.raises(UserError, match=r"'pan' is at 40.0, outside its limits -20.0 to 20.0: .* limits.joints.pan"):
        limiter.check_start(np.array([40.0, 0, 0, 50]))
    limiter.check_start(np.array([24.0, 0, 0, 50]))  # as far as the margin: it moves inwards only


def test_limits_that_make_no_range_and_unknown_joints_are_refused() -> None:
    with pytest.raises(UserError, match="joint 'pan' may move from 120 to"):
        LimitPlan(joints={"pan": LimitSettings(lower=120.0)}).limits(arm.NAMES, arm.RANGES)
    with pytest.raises(UserError, match="did you mean 'elbow'"):
        LimitPlan(joints={"elbo": LimitSettings()}).limits(arm.NAMES, arm.RANGES)
    with pytest.raises(UserError, match="must all be above 0"):
        LimitPlan(velocity=0.0).limits(arm.NAMES, arm.RANGES)
    with pytest.raises(UserError, match="finite"):
        LimitPlan(velocity=float("nan")).limits(arm.NAMES, arm.RANGES)


@given(st.floats(0, 500), st.floats(10, 1000), st.floats(0.005, 0.1))
def test_fastest_inverts_stopping_distance(distance: float, deceleration: float, period: float) -> None:
    given_, hard = np.array(distance), np.array(deceleration)
    assert stopping_distance(fastest(given_, hard, period), hard, period) == pytest.approx(distance, abs=1e-6)


def test_the_path_to_rest_by_hand() -> None:
    # 10 deg/s, losing 4 deg/s each period of 0.1 s: speeds 6, 2, 0
    path = path_to_rest(np.array([[0.0]]), np.array([[-10.0]]), np.array([40.0]), 0.1, 3)
    assert path[0, :, 0] == pytest.approx([-0.6, -0.8, -0.8])
    assert stopping_distance(np.array(10.0), np.array(40.0), 0.1) == pytest.approx(1.8)  # (10 + 6 + 2) * 0.1
