"""The World contract: laziness, last frames, sealed success, and one run wherever its worlds live."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robo_reward.contracts import Floats, Transition, World
from robo_reward.envs.mjcf_env import make_world
from robo_reward.envs.vector_world import VectorWorld
from robo_reward.errors import UserError
from robo_reward.sealed_log import SealedError
from robo_reward.views import StaleView, pin

HERE = Path(__file__).parent
VIEWS = ("front", "above")
CAMERAS = {"front": {"pos": [0, -2, 0.5], "target": [0, 0, 0.1]}, "above": {"pos": [0.1, 0, 2]}}


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(sys, "path", [*sys.path, str(HERE)])
    monkeypatch.setenv("PYTHONPATH", str(HERE))
    from slider_task import SLIDER  # type: ignore[import-not-found]

    xml = tmp_path / "slider.xml"
    xml.write_text(SLIDER)
    return partial(
        make_world,
        str(xml),
        views=VIEWS,
        cameras=CAMERAS,
        height=24,
        width=32,
        horizon=8,
        action_repeat=2,
        reset_noise=0.3,
        success="slider_task:success",
        reward="slider_task:reward",
    )


@pytest.fixture
def world(make: Any) -> Iterator[VectorWorld]:
    made = make(num_worlds=3)
    yield made
    made.close()


def actions(count: int, worlds: int = 3) -> Floats:
    return np.random.default_rng(0).uniform(-1, 1, (count, worlds, 1)).astype(np.float32)


def test_it_is_a_world(world: VectorWorld) -> None:
    assert isinstance(world, World)
    first = world.reset(0)
    assert first.state.shape == (3, world.state_size) == (3, 5)
    assert first.state.dtype == np.float32
    assert len(first.task) == 3
    assert (world.horizon, world.fps) == (4, 10.0)
    assert world.observe() is first
    with pytest.raises(ValueError, match="actions must be"):
        world.step(np.zeros((2, 1), np.float32))
    with pytest.raises(ValueError, match="finite"):
        world.step(np.full((3, 1), np.nan, np.float32))


def test_nothing_renders_until_read_and_then_once(world: VectorWorld) -> None:
    first = world.reset(0)
    world.step(actions(1)[0])
    assert world.frames_rendered == 0
    now = world.observe()
    assert now.views["front"].shape == (3, 24, 32, 3)
    assert now.views["front"] is now.views["front"]
    assert world.frames_rendered == 3
    assert world.render_seconds > 0
    with pytest.raises(StaleView):
        first.views["front"]


def test_a_transitions_after_is_the_next_before(world: VectorWorld) -> None:
    world.reset(0)
    one = world.step(actions(1)[0])
    shown = one.after.views["front"]
    two = world.step(actions(2)[1])
    assert two.before is one.after
    assert two.before.views["front"] is shown


def test_after_an_episodes_end_the_last_frame_is_shown_and_the_reset_one_is_next(world: VectorWorld) -> None:
    world.reset(0)
    world.keep_final(["front"])
    for step in range(4):
        transition = world.step(np.ones((3, 1), np.float32))
        assert transition.truncated.tolist() == [step == 3] * 3
    assert not transition.terminated.any()
    now = world.observe()
    assert (transition.after.state[:, 0] > now.state[:, 0]).all()  # pushed right, then put back

    def middle(frames: Any) -> Any:
        red = (frames[..., 0] > 60) & (frames[..., 1] < 40)
        return np.array([np.argwhere(r)[:, 1].mean() for r in red])

    assert (middle(transition.after.views["front"]) > middle(now.views["front"])).all()
    with pytest.raises(StaleView, match=r"keep_final\(\['above'\]\)"):
        transition.after.views["above"]
    assert now.views["above"].shape == (3, 24, 32, 3)


def test_reset_frames_are_not_rendered_for_the_last_ones(world: VectorWorld) -> None:
    world.reset(0)
    world.keep_final(["front"])
    for _ in range(4):
        transition = world.step(np.ones((3, 1), np.float32))
    rendered = world.frames_rendered
    assert rendered == 3
    assert transition.after.views["front"].any()
    assert world.frames_rendered == rendered


def run(world: VectorWorld, eager: bool, steps: int = 9) -> list[Any]:
    """Everything that a run shows, frame by frame."""
    first = world.reset(7)
    world.keep_final(VIEWS)
    pinned = pin(first.views, VIEWS)
    shown: list[Any] = [first.state, pinned["front"].copy(), pinned["above"].copy()]
    for k, action in enumerate(actions(steps)):
        transition: Transition = world.step(action)
        if eager:
            pin(transition.after.views, VIEWS)
            pin(world.observe().views, VIEWS)
        if eager or k % 3 == 0 or transition.done.any():
            shown_now = [*pin(transition.after.views, VIEWS).values(), *pin(world.observe().views, VIEWS).values()]
        else:
            shown_now = [None] * 4
        shown += [transition.after.state, transition.truncated, transition.env_reward, *shown_now]
    return shown


def test_every_mode_shows_the_same_run_frame_by_frame(make: Any) -> None:
    """In-process and lazy, in-process and eager, in subprocesses and lazy."""
    runs, logs = [], []
    for workers, eager in (("in_process", True), ("in_process", False), ("subprocess", False)):
        world = make(num_worlds=3, workers=workers, oracle="reward")
        runs.append(run(world, eager))
        world.sealed.unseal()
        logs.append(world.sealed.outcomes())
        if not eager:
            assert world.frames_rendered < 3 * 2 * (10 + 2)
        world.close()
    for lazy in runs[1:]:
        assert len(lazy) == len(runs[0])
        for expected, got in zip(runs[0], lazy, strict=True):
            if got is not None:
                np.testing.assert_array_equal(got, expected)
    assert sum(x is None for x in runs[2]) == sum(x is None for x in runs[1]) > 0
    assert logs[0] == logs[1] == logs[2]
    assert len(logs[0]) == 6


def test_seeds_name_runs_and_neighbours_share_no_episode(world: VectorWorld) -> None:
    def starts(seed: int) -> list[float]:
        found = [*world.reset(seed).state[:, 0]]
        for _ in range(8):
            if world.step(np.zeros((3, 1), np.float32)).done.all():
                found += [*world.observe().state[:, 0]]
        return [float(x) for x in found]

    zero, one = starts(0), starts(1)
    assert starts(0) == zero
    assert len({*zero, *one}) == 18


def test_success_and_reward_are_masked_and_go_to_the_sealed_log(make: Any) -> None:
    push = np.array([[1.0], [-1.0]], np.float32)
    results = {}
    for oracle in ("none", "reward", "success"):
        world = make(num_worlds=2, horizon=60, oracle=oracle)
        world.reset(0)
        results[oracle] = np.array([world.step(push).env_reward for _ in range(30)])
        with pytest.raises(SealedError):
            world.sealed.outcomes()
        world.sealed.unseal()
        good, bad = world.sealed.outcomes()
        assert (good.success, bad.success) == (True, False)
        assert good.length == bad.length == 30
        if oracle == "reward":
            np.testing.assert_allclose([good.env_return, bad.env_return], results["reward"].sum(0), rtol=1e-5)
        world.close()
    assert np.isnan(results["none"]).all()
    assert set(results["success"][:, 0]) == {0.0, 1.0}
    assert set(results["success"][:, 1]) == {0.0}


def test_a_snapshot_continues_exactly(world: VectorWorld) -> None:
    world.reset(0)
    world.step(actions(1)[0])
    saved = world.snapshot()
    ahead = [world.step(a) for a in actions(5)]
    again = world.restore(saved)
    np.testing.assert_array_equal(again.state, ahead[0].before.state)
    for action, expected in zip(actions(5), ahead, strict=True):
        got = world.step(action)
        np.testing.assert_array_equal(got.after.state, expected.after.state)
        np.testing.assert_array_equal(got.done, expected.done)
    world.sealed.unseal()
    outcomes = world.sealed.outcomes()
    assert outcomes[:3] == outcomes[3:]


def test_a_picture_of_any_size(world: VectorWorld) -> None:
    world.reset(0)
    assert world.picture(1, "front", 120, 160).shape == (120, 160, 3)
    assert world.frames_rendered == 1


def test_a_simulation_that_blows_up_ends_its_episode_and_is_counted(make: Any, tmp_path: Path) -> None:
    from slider_task import SLIDER

    (tmp_path / "wild.xml").write_text(SLIDER.replace('joint="rail"', 'joint="rail" gear="1e12"'))
    world = make_world(str(tmp_path / "wild.xml"), horizon=50)
    world.reset(0)
    transition = world.step(np.ones((1, 1), np.float32))
    assert transition.truncated[0]
    assert not transition.terminated[0]
    assert world.nan_resets == 1
    assert np.isfinite(transition.after.state).all()
    with pytest.raises(UserError, match="unstable in 20 episodes in a row"):
        for _ in range(30):
            world.step(np.ones((1, 1), np.float32))
    assert world.nan_resets == 19
    world.close()


def test_a_dead_worker_is_a_clear_error(make: Any) -> None:
    world = make(num_worlds=1, workers="subprocess")
    world.reset(0)
    world._vec.processes[0].kill()
    with pytest.raises(UserError, match="workers=in_process"):
        world.step(np.zeros((1, 1), np.float32))
    with pytest.raises(UserError, match="did you mean 'subprocess'"):
        make(workers="subproces")


def test_outcomes_have_no_success_where_a_task_has_no_test(make: Any) -> None:
    world = make(success=None)
    world.reset(0)
    for _ in range(4):
        world.step(np.zeros((1, 1), np.float32))
    world.sealed.unseal()
    (outcome,) = world.sealed.outcomes()
    assert (outcome.success, outcome.length) == (None, 4)
    world.close()


@pytest.mark.parametrize("workers", ["in_process", "subprocess"])
def test_an_ended_episode_is_sealed_and_its_world_goes_on_as_if_time_were_up(make: Any, workers: str) -> None:
    world, other = make(num_worlds=2, workers=workers), make(num_worlds=2)
    try:
        for each in (world, other):
            each.reset(5)
        world.step(actions(1, 2)[0])
        ended = world.end(np.array([True, False]))
        for step in actions(4, 2):
            timed_out = other.step(step)
        assert timed_out.truncated.all()
        assert np.array_equal(ended.state[0], other.observe().state[0]), "the next episode is the same"
        assert world.observe() is ended
        assert ended.views["front"].shape == (2, 24, 32, 3)
        last = world.step(actions(1, 2)[0])
        assert last.before is ended
        for step in actions(2, 2):
            last = world.step(step)
        assert last.truncated.tolist() == [False, True], "only the other world's time is up"
        world.sealed.unseal()
        assert [o.length for o in world.sealed.outcomes()] == [1, 4]
    finally:
        world.close()
        other.close()
