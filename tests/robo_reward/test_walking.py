"""Worlds that walk through tasks: the episode's number decides, whoever resets and in however many worlds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from omegaconf import OmegaConf

from robo_reward.build import build_test_world
from robo_reward.contracts import Flags, Floats, Observation, Transition
from robo_reward.data.demonstrations import collect_demonstrations
from robo_reward.errors import UserError
from robo_reward.evaluation import run_seeds
from robo_reward.fitting.episodes import episode_horizon
from robo_reward.gathering import build_expert_world
from robo_reward.rollout import rollout
from robo_reward.sealed_log import Outcome, SealedLog
from robo_reward.walking import about_starts, number_of_tasks


class Errands:
    """One world, three tasks; an episode of task k takes k + 1 steps to succeed, task 2 fails in its first episode."""

    num_worlds, view_names, state_size, horizon, fps, name = 1, (), 1, 6, 10.0, "errands"
    action_space = spaces.Box(-1, 1, (1,), np.float32)
    tasks = ("dust", "sweep", "mop")
    starts = "shipped"
    frames_rendered, render_seconds, nan_resets = 0, 0.0, 0

    def __init__(self) -> None:
        self.sealed, self.begun, self._first = SealedLog(), list[int](), 0

    def begin_at(self, number: int) -> None:
        self._first = number

    def reset(self, seed: int) -> Observation:
        self._begin(self._first)
        self._first = 0
        return self.observe()

    def _begin(self, number: int) -> None:
        self._number, self._steps = number, 0
        self.begun.append(number)

    def step(self, action: Floats) -> Transition:
        before = self.observe()
        self._steps += 1
        done, after = np.array([self._steps == self.horizon]), self.observe()
        if done[0]:
            self.sealed.write(Outcome(self._number % 3 == 1, 0.0, self._steps))
            self._begin(self._number + 1)
        return Transition(before, action, after, np.array([np.nan], np.float32), np.array([False]), done)

    def observe(self) -> Observation:
        task = self.tasks[self._number % 3]
        return Observation({}, np.array([[self._steps]], np.float32), (task,))

    def keep_final(self, views: Any) -> None: ...

    def expert_action(self) -> Floats:
        return np.zeros((1, 1), np.float32)

    def annotated_success(self) -> Flags:
        lame = self._number == 2
        return np.array([not lame and self._steps > self._number % 3])

    def close(self) -> None: ...


class Idle:
    def act(self, observation: Observation) -> Floats:
        return np.zeros((1, 1, 1), np.float32)

    def reset(self, fresh: Flags) -> None: ...

    def save(self, folder: Any) -> None: ...


def test_episodes_of_a_rollout_are_numbered() -> None:
    world: Any = Errands()
    traces = list(rollout(world, Idle(), 4, 0, first=2))
    assert [trace.task for trace in traces] == ["mop", "dust", "sweep", "mop"]


def test_demonstrations_are_so_many_of_each_task() -> None:
    world: Any = Errands()
    traces, dropped = collect_demonstrations(world, 2, 0, hold=1)
    assert [trace.task for trace in traces] == ["dust", "sweep", "mop"] * 2
    assert dropped == 1
    # the failed attempt at the third task was followed by that task's next episode
    assert world.begun[2:5] == [2, 3, 5], "the world went on to 3 when 2 had failed; asked for was the next of its task"
    assert [len(trace) for trace in traces] == [2, 3, 4] * 2


def test_success_is_told_by_task() -> None:
    world: Any = Errands()
    told = about_starts(world, [[True, False, True, False], [True]])
    assert told["evaluated_starts"] == "shipped"
    assert told["success_by_task"] == {"0: dust": 0.5, "1: sweep": 0.5, "2: mop": 1.0}, (
        "the second goes on with episode 4"
    )
    assert (told["evaluated_from"], told["repeated_starts"]) == ([0, 4], 0)
    assert about_starts(world, [[True], [False, True]])["success_by_task"] == {"0: dust": 1, "1: sweep": 0, "2: mop": 1}
    assert number_of_tasks(world) == 3
    still: Any = SimpleNamespace()
    assert about_starts(still, [[True]]) == {}
    assert number_of_tasks(still) == 1


def test_evaluation_seeds_take_stored_starts_of_their_own(capsys: pytest.CaptureFixture[str]) -> None:
    class Noted(Errands):
        stored_starts = (2, 2, 1)

        def __init__(self) -> None:
            super().__init__()
            self.asked = list[int]()

        def begin_at(self, number: int) -> None:
            self.asked.append(number)
            super().begin_at(number)

    world: Any = Noted()
    positions = run_seeds(world, Idle(), 2, [5, 9])
    assert world.asked == [0, 1, 2, 3]
    assert [len(told) for told in positions] == [2, 2]
    assert capsys.readouterr().out == ""
    # episodes 5 and 6 are the third task's second and the first one's third
    run_seeds(world, Idle(), 7, [5])
    assert "7 evaluation episodes are more than the stored starts: 2 begin where an earlier one did" in (
        capsys.readouterr().out
    )
    assert about_starts(world, [[True] * 7])["repeated_starts"] == 2


def test_runs_whose_seeds_each_began_anew_are_compared_by_the_first_one_only(tmp_path: Path) -> None:
    from robo_reward.verbs.evaluate import _reproduced

    settings = {"episodes": 2, "evaluation_seeds": [1, 2]}
    OmegaConf.save(OmegaConf.create({**settings, "env": {"horizon": 6}}), tmp_path / "config.yaml")
    cfg = OmegaConf.create({**settings, "run": str(tmp_path), "horizon": 6, "execute": None, "env": {}})
    summary: Any = SimpleNamespace(success_rate=0.75, success_by_seed=[0.5, 1.0])
    starts = {"evaluated_from": [0, 2]}
    for rates, notes, reproduced in (
        ([0.5, 1.0], starts, True),
        ([0.5, 0.5], starts, False),
        ([0.5, 1.0], {}, None),
        ([0.0, 1.0], {}, False),
    ):
        source = {"success_by_seed": rates, "notes": notes}
        assert _reproduced(cfg, source, summary, starts) is reproduced
    assert _reproduced(cfg, {"success_by_seed": [0.5, 1.0]}, summary, {}) is True, "a world that does not walk"


def made(**settings: Any) -> Any:
    """What a world would be made with."""
    return SimpleNamespace(**settings)


def test_worlds_for_evaluation_are_set_as_the_group_says() -> None:
    group = {"_target_": f"{__name__}.made", "starts": "reset", "num_worlds": 4, "evaluation": {"starts": "shipped"}}
    world: Any = build_test_world(OmegaConf.create(group), horizon=7)
    assert (world.starts, world.num_worlds, world.workers, world.horizon) == ("shipped", 1, "in_process", 7)


def test_a_world_says_itself_how_long_its_episodes_are() -> None:
    trace: Any = SimpleNamespace(success_step=200)
    own = {"_target_": f"{__name__}.made", "horizon": None, "action_repeat": 1, "evaluation": {"starts": "shipped"}}
    assert episode_horizon(OmegaConf.create(own), [trace]) is None
    assert episode_horizon(OmegaConf.create({**own, "horizon": 50}), [trace]) == 50


@dataclass
class Limited:
    """A world of episodes of 520 simulator steps, or as many as it is told."""

    horizon: int | None = None
    action_repeat: int = 1
    num_worlds: int = 1
    workers: str = ""
    closed = 0

    def __post_init__(self) -> None:
        self.horizon = (self.horizon or 520) // self.action_repeat

    def close(self) -> None:
        Limited.closed += 1


@pytest.mark.parametrize(
    ("settings", "decisions"),
    [
        ({"horizon": None, "action_repeat": 1}, 520),
        ({"horizon": None, "action_repeat": 4}, 130),
        ({"horizon": 600, "action_repeat": 1}, 600),
        ({"horizon": 50, "action_repeat": 1}, 500),
    ],
)
def test_a_demonstration_may_take_as_long_as_an_episode(settings: dict[str, Any], decisions: int) -> None:
    world: Any = build_expert_world(OmegaConf.create({"_target_": f"{__name__}.Limited", "num_worlds": 4, **settings}))
    assert (world.horizon, world.num_worlds, world.workers) == (decisions, 1, "in_process")


def test_where_episodes_are_short_demonstrations_may_take_longer() -> None:
    group = {"_target_": "robo_reward.envs.metaworld_env.make_world", "task": "reach-v3", "views": []}
    world = build_expert_world(OmegaConf.create({**group, "horizon": None, "action_repeat": 2}))
    assert world.horizon == 250
    world.close()


def test_a_setting_that_the_runs_world_does_not_have_is_refused() -> None:
    from robo_reward.verbs.evaluate import _world

    trained = OmegaConf.create({"env": {"_target_": f"{__name__}.made"}})
    with pytest.raises(UserError, match=r"env\.starts=moved: the world of this run .* has no such setting"):
        _world(trained, Path("config.yaml"), OmegaConf.create({"env": {"starts": "moved"}, "horizon": 3}))


def test_a_runs_test_settings_build_the_world_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    from robo_reward.verbs.evaluate import _world

    monkeypatch.setenv("ROBO_REWARD_TRUST", __name__)
    env = {"_target_": f"{__name__}.made", "starts": "reset", "evaluation": {"starts": "shipped"}}
    asked = OmegaConf.create({"env": {}, "horizon": 3})
    world: Any = _world(OmegaConf.create({"env": env, "test": {"starts": "moved", "horizon": 9}}), Path("c"), asked)
    assert (world.starts, world.horizon) == ("moved", 3), "the run's own horizon is what evaluate's defaults to"
    for evil in ({"_target_": "os.system"}, {"starts": {"_target_": "os.system"}}):
        with pytest.raises(UserError, match=r"os\.system"):
            _world(OmegaConf.create({"env": env, "test": evil}), Path("c"), asked)
