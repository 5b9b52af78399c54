"""Where the table is in the way of a goal, the arm moves on along it as far as it may, and stays within every limit."""

from __future__ import annotations

import numpy as np
import pytest

from robo_reward.real_robot.braking import Floats
from robo_reward.real_robot.limiter import Limiter
from robo_reward.real_robot.limits import LimitPlan
from robo_reward.real_robot.mujoco_workspace import MujocoWorkspace, WorkspacePlan, load_workspace

NAMES = ("shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll", "gripper")
RANGES = np.array([[-110.0, 110], [-100, 100], [-96.8, 96.8], [-95, 95], [-157, 163], [0, 100]])
PERIOD = 0.02
# a hand behind a cube, just above the table, as in two episodes of pushing in which the arm came to a stop for good
LOW = np.array([-23.3, -6.7, 38.9, 57.5, -2.0, 2.0])


@pytest.fixture(scope="module")
def workspace() -> MujocoWorkspace:
    plan = WorkspacePlan("robo_reward.envs:assets/so101/so101.xml", low=(-0.4, -0.4, 0.0), high=(0.45, 0.4, 0.5))
    return load_workspace(plan, NAMES)


def driven(workspace: MujocoWorkspace, start: Floats, goal: Floats, periods: int) -> Floats:
    """The goals (T, J) that are emitted on the way from a pose to a goal."""
    limiter = Limiter(LimitPlan().limits(NAMES, RANGES), PERIOD, workspace)
    limiter.check_start(start)
    limiter.start(start[None])
    return np.array([start, *(limiter.step(goal[None])[0] for _ in range(periods))])


def within(workspace: MujocoWorkspace, emitted: Floats) -> None:
    steps = np.diff(emitted, axis=0)
    assert np.abs(steps).max() <= 60 * PERIOD + 1e-9
    assert np.abs(np.diff(steps, axis=0)).max() <= 300 * PERIOD**2 + 1e-9
    assert workspace.allows(emitted[None], PERIOD).all()


def test_a_goal_to_which_a_straight_way_leads_is_reached(workspace: MujocoWorkspace) -> None:
    goal = np.array([-15.6, 1.3, 29.3, 57.4, -2.3, 2.0])
    straight = np.linspace(LOW, goal, 400, dtype=np.float64)
    assert workspace.allows(straight[None], PERIOD).all(), "nothing is in the way, if the joints move together"
    emitted = driven(workspace, LOW, goal, 150)
    within(workspace, emitted)
    assert emitted[-1] == pytest.approx(goal, abs=0.1)


def test_towards_a_goal_below_the_table_it_slides_above_it(workspace: MujocoWorkspace) -> None:
    goal = np.array([-10.0, 1.5, 33.8, 56.0, -2.3, 2.0])
    assert "touch" in workspace.reason(goal)
    emitted = driven(workspace, LOW, goal, 150)
    within(workspace, emitted)
    assert emitted[-1, 0] == pytest.approx(-10.0, abs=0.5), "turning is not in the table's way"


def test_random_goals_around_the_table(workspace: MujocoWorkspace) -> None:
    rng = np.random.default_rng(0)
    limiter = Limiter(LimitPlan().limits(NAMES, RANGES), PERIOD, workspace)
    limiter.check_start(LOW)
    limiter.start(LOW[None])
    emitted, blocked = [LOW], 0
    for _ in range(40):
        goal = LOW + rng.uniform(-25, 25, 6)
        for _ in range(20):
            emitted.append(limiter.step(goal[None])[0])
            blocked += int(limiter.blocked[0])
    within(workspace, np.array(emitted))
    assert 50 < blocked < 790, "the workspace was in the way, and not always"


def test_an_arm_that_lies_on_the_table_is_not_dragged_along_it(workspace: MujocoWorkspace) -> None:
    # folded, where deploy began without going to a start pose: turning drew 1.5 A until the torque was cut
    folded = np.array([0.0, -99.2, 89.5, 77.8, 0.0, 5.1])
    workspace.begin(folded)
    assert workspace.rests(folded[None]).all()
    emitted = driven(workspace, folded, np.array([18.0, -95.0, 89.5, 77.8, 0.0, 5.1]), 100)
    assert workspace.reason(emitted[-1]) == ""
    assert np.abs(emitted[:, 0]).max() < 8.0, "as far as it may while it lies where it lay, no further"
    workspace.begin(LOW)
