"""Our steps are the published environment's: the same states and verdicts after the same actions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from robo_reward.envs.libero.catalogue import shipped_states
from robo_reward.envs.libero.sim import IDLE, SETTLE_STEPS, LiberoSim

TOLERANCE = 1e-12
SimOf = Callable[[str, int], LiberoSim]


def published(sim: LiberoSim, seed: int, state: Any) -> Any:
    """hf-libero's environment, reset and set as LeRobot does it."""
    from libero.libero.envs.env_wrapper import ControlEnv  # type: ignore[import-untyped]

    file = str(sim.task.bddl_file)
    env = ControlEnv(bddl_file_name=file, use_camera_obs=False, has_offscreen_renderer=False)
    env.reset()
    env.seed(seed)
    env.reset()
    env.set_init_state(state)
    return env


@pytest.mark.parametrize(("suite", "number", "steps"), [("libero_object", 0, 60), ("libero_goal", 7, 30)])
def test_states_and_verdicts_are_equal(sim_of: SimOf, suite: str, number: int, steps: int) -> None:
    sim = sim_of(suite, number)
    state = shipped_states(sim.task)[1]
    env = published(sim, 5, state)
    sim.reset(5, state)
    theirs = env.sim.data._data
    np.testing.assert_array_equal(env.sim.model._model.body_pos, sim.model.body_pos)  # fixtures stand alike
    rng = np.random.default_rng(0)
    actions = [*[IDLE] * 3, *rng.uniform(-1.2, 1.2, (steps, 7))]  # beyond the bounds both clip alike
    actions[10][3:6] = 0  # no turn: the orientation goal stays
    for action in actions:
        done = env.step(action)[2]
        sim.step(action)
        np.testing.assert_allclose(sim.data.qpos, theirs.qpos, rtol=0, atol=TOLERANCE)
        np.testing.assert_allclose(sim.data.qvel, theirs.qvel, rtol=0, atol=100 * TOLERANCE)
        assert sim.success() == bool(done)
    env.close()


def test_verdicts_are_equal_where_the_goal_is_reached(sim_of: SimOf) -> None:
    """The stove's knob is turned by hand in both, for random actions reach no goal."""
    sim = sim_of("libero_goal", 7)
    state = shipped_states(sim.task)[0]
    env = published(sim, 2, state)
    sim.reset(2, state)
    assert not sim.success()
    knob = sim.model.joint("flat_stove_1_button").qposadr[0]
    for data in (env.sim.data._data, sim.data):
        data.qpos[knob] = 1.0
    sim.refresh()
    env.step(IDLE)
    sim.step(IDLE)
    assert sim.success()
    assert env.check_success()
    env.close()


def test_resets_repeat_bit_for_bit(sim_of: SimOf) -> None:
    """Neither the controller nor the gripper remembers the last episode."""
    sim = sim_of("libero_object", 0)
    actions = np.random.default_rng(1).uniform(-1, 1, (15, 7))
    ends = []
    for _ in range(2):
        sim.reset(7)
        sim.settle(SETTLE_STEPS)
        for action in actions:
            sim.step(action)
        ends.append(sim.state())
    np.testing.assert_array_equal(ends[0], ends[1])
    sim.reset(8)
    assert np.abs(sim.data.qpos - ends[0][1 : 1 + sim.model.nq]).max() > 0.01


def test_seeding_leaves_numpys_generator_alone(sim_of: SimOf) -> None:
    sim = sim_of("libero_object", 0)
    np.random.seed(3)  # noqa: NPY002
    wanted = np.random.random()  # noqa: NPY002
    np.random.seed(3)  # noqa: NPY002
    sim.reset(11)
    assert np.random.random() == wanted  # noqa: NPY002


def test_contacts_are_robosuites(sim_of: SimOf) -> None:
    """The quick test and robosuite's own agree on every pair of objects, touching or not."""
    from robosuite.environments.base import MujocoEnv  # type: ignore[import-untyped]

    sim = sim_of("libero_goal", 7)
    sim.reset(0, shipped_states(sim.task)[0])
    sim.settle()
    env = sim.robosuite
    things = [*env.objects_dict.values(), *env.fixtures_dict.values()]
    found = [(env.check_contact(a, b), MujocoEnv.check_contact(env, a, b)) for a in things for b in things]
    found += [(env.check_contact(a), MujocoEnv.check_contact(env, a)) for a in things]
    assert [quick for quick, _ in found] == [slow for _, slow in found]
    assert any(quick for quick, _ in found)
    assert not all(quick for quick, _ in found)
