"""Demonstrations: who acts, when an episode ends, what is dropped, and what lands on the disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from omegaconf import DictConfig, OmegaConf

from robo_reward import cli
from robo_reward.data import teleop
from robo_reward.data.datasets import read_dataset
from robo_reward.data.demonstrations import collect_demonstrations
from robo_reward.data.recording import Recording
from robo_reward.errors import Interrupted, UserError
from robo_reward.verbs import collect


@pytest.fixture
def paper(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    import paper_world

    return paper_world


def settings(folder: Path, **changes: Any) -> DictConfig:
    here = OmegaConf.load(Path(__file__).parents[2] / "configs" / "collect.yaml")
    env = {"_target_": "paper_world.PaperWorld"}
    merged = OmegaConf.merge(here, {"env": env, "data_dir": str(folder), "demos": 2}, changes)
    assert isinstance(merged, DictConfig)
    del merged["defaults"]
    return merged


def test_an_episode_ends_hold_decisions_after_success(paper: Any) -> None:
    (trace,), dropped = collect_demonstrations(paper.PaperWorld(), 1, seed=0, hold=3)
    assert dropped == 0
    assert (len(trace), trace.success_step, trace.source) == (8, 5, "demonstration")
    assert trace.state[:, 0].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8]
    assert trace.frames["top"].shape == (9, 48, 48, 3)
    assert trace.frames["top"][:, 0, 0, 0].tolist() == [0, 20, 40, 60, 80, 100, 120, 140, 160]
    assert trace.frame_steps.tolist() == list(range(9))


def test_the_step_that_resets_the_world_is_left_out(paper: Any) -> None:
    (trace,), _ = collect_demonstrations(paper.PaperWorld(), 1, seed=0, hold=99, views=["front"])
    assert len(trace) == paper.PaperWorld.horizon - 1
    assert trace.state[-1, 0] == 11
    assert list(trace.frames) == ["front"]


def test_failures_are_dropped_and_counted(paper: Any) -> None:
    told: list[bool] = []
    world = paper.PaperWorld(lame=2)
    traces, dropped = collect_demonstrations(world, 3, 0, on_episode=lambda t: told.append(t is not None))
    assert (len(traces), dropped) == (3, 2)
    assert told == [True, False, True, False, True]
    assert len(set(world.seeds)) == 5
    with pytest.raises(UserError, match="only 0 of 10 attempts"):
        collect_demonstrations(paper.PaperWorld(lame=1), 2, 0)


def test_noise_is_seeded_bounded_and_recorded(paper: Any) -> None:
    def collected(seed: int) -> np.ndarray:
        return collect_demonstrations(paper.PaperWorld(), 1, seed, noise=0.3)[0][0].action

    assert (np.abs(collected(0)) <= 1).all()
    assert not np.array_equal(collected(0)[:, 0], np.ones(len(collected(0))))
    np.testing.assert_array_equal(collected(0), collected(0))
    assert not np.array_equal(collected(0)[:5], collected(1)[:5])


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"count": 0}, "demos=0"), ({"hold": -1}, "hold=-1"), ({"noise": 2.0}, "noise=2"), ({"views": ["fron"]}, "front")],
)
def test_bad_numbers(paper: Any, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        collect_demonstrations(paper.PaperWorld(), **(dict[str, Any](count=1, seed=0) | changes))


def test_the_verb_writes_a_dataset(paper: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    collect.run(settings(tmp_path / "line", hold=2))
    assert "2 demonstrations of 'go right', 14 steps, front, top" in capsys.readouterr().out
    traces = read_dataset(tmp_path / "line")
    assert [(len(t), t.success_step, t.task, t.fps) for t in traces] == [(6, 5, "go right", 10.0)] * 2
    with pytest.raises(UserError, match="exists already"):
        collect.run(settings(tmp_path / "line"))


def test_the_command_line_names_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["collect", f"data_dir={tmp_path}"]) == 2
    assert "exists already" in capsys.readouterr().err


class Hands:
    """Keys that are held, and events that come one per tick."""

    def __init__(self, pygame: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.held: set[int] = set()
        self.events: list[list[int]] = []
        self._pygame = pygame
        monkeypatch.setattr(pygame.key, "get_pressed", self._pressed)
        monkeypatch.setattr(pygame.event, "get", self._next)

    def _pressed(self) -> Any:
        held = self.held

        class Pressed:
            def __getitem__(self, key: int) -> bool:
                return key in held

        return Pressed()

    def _next(self) -> list[Any]:
        keys = self.events.pop(0) if self.events else []
        return [self._pygame.event.Event(self._pygame.KEYDOWN, key=key) for key in keys]


@pytest.fixture
def hands(monkeypatch: pytest.MonkeyPatch) -> Hands:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    pygame = pytest.importorskip("pygame", reason="pip install 'robo-reward[teleop]'")
    pygame.init()
    return Hands(pygame, monkeypatch)


def steered(latch: bool = True) -> teleop.Teleop:
    low, high = np.array([-1, -2], np.float32), np.array([1, 2], np.float32)
    return teleop.Teleop("keyboard", "front", 200, low, high, latch)


def test_keys_become_actions(paper: Any, hands: Hands) -> None:
    import pygame

    world = paper.PaperWorld()
    world.reset(0)
    hands.held = {pygame.K_d}
    hands.events = [[], [pygame.K_SPACE], [], [pygame.K_RETURN], [pygame.K_BACKSPACE], [pygame.K_ESCAPE]]
    with steered() as hand:
        assert hand.act(world).tolist() == [[1, -2]]  # D pushes action 0 up; the gripper is open
        assert hand.act(world).tolist() == [[1, 2]]
        assert hand.act(world).tolist() == [[1, 2]]  # and stays closed
        assert not hand.succeeded(world)
        hand.act(world)
        assert hand.succeeded(world)
        assert not hand.gave_up()
        hand.act(world)
        assert hand.gave_up()
        with pytest.raises(Interrupted):
            hand.act(world)
    with steered(latch=False) as hand:
        hands.held = {pygame.K_a, pygame.K_w}
        assert hand.act(world).tolist() == [[-1, 2]]


@pytest.mark.parametrize("device", ["keyboard", "gamepad"])
def test_teleop_without_a_screen_is_refused_at_once(device: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    for name in ("SDL_VIDEODRIVER", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    one = np.ones(1, np.float32)
    said = f"teleop={device} needs a screen, and neither DISPLAY nor WAYLAND_DISPLAY is set.*the scripted expert"
    with pytest.raises(UserError, match=said), teleop.Teleop(device, "front", 10, -one, one):
        pass


def test_a_driver_without_a_screen_is_refused_unless_it_was_chosen(
    hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    with steered():
        pass
    hands._pygame.display.init()  # with the driver that the fixture chose, as SDL does where a screen does not answer
    monkeypatch.delenv("SDL_VIDEODRIVER")
    monkeypatch.setenv("DISPLAY", ":99")
    monkeypatch.setattr(hands._pygame, "init", lambda: None)
    with pytest.raises(UserError, match="its driver is 'dummy'"), steered():
        pass


def test_the_keys_are_told(hands: Hands, capsys: pytest.CaptureFixture[str]) -> None:
    with steered():
        told = capsys.readouterr().err
    assert "push an action down/up: 0 A/D\n" in told
    assert "SPACE flips action 1" in told
    assert "ENTER: the task is done" in told
    assert teleop.guide(9, latch=False)[:2] == [
        "keys, held, push an action down/up: 0 A/D, 1 S/W, 2 F/R, 3 Q/E, 4 J/L, 5 K/I",
        "actions 6 to 8 have no keys and stay in the middle",
    ]
    assert teleop.guide(8, latch=True)[1] == "action 6 has no keys and stays in the middle"
    assert not any("no keys" in line for line in teleop.guide(7, latch=True))
    assert "action 4 has no axis" in teleop.guide(6, latch=True, axes=4)[1]


def test_a_person_collects(paper: Any, hands: Hands, tmp_path: Path) -> None:
    import pygame

    hands.held, hands.events = {pygame.K_d}, [[], [pygame.K_BACKSPACE]]
    collect.run(settings(tmp_path / "hand", demos=1, hold=1, teleop="keyboard", latch=False))
    (trace,) = read_dataset(tmp_path / "hand")
    assert trace.success_step == 5


@pytest.mark.parametrize("hold", [0, 2])
def test_what_a_person_calls_done_stays_done_until_the_attempt_ends(paper: Any, hands: Hands, hold: int) -> None:
    import pygame

    class Untold(paper.PaperWorld):  # type: ignore[misc]
        def annotated_success(self) -> Any:
            raise UserError("no success test")

    hands.events = [[], [], [], [pygame.K_RETURN], *[[]] * (hold + 2), [pygame.K_RETURN]]
    with steered(latch=False) as hand:
        traces, dropped = collect_demonstrations(Untold(), 2, seed=0, hold=hold, demonstrator=hand)
    assert dropped == 0
    assert [trace.success_step for trace in traces] == [4, 3]
    assert all(trace.success is not None and trace.success[trace.success_step or 0 :].all() for trace in traces)


def test_a_person_who_stops_early_keeps_what_was_demonstrated(
    paper: Any, hands: Hands, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import pygame

    hands.held, hands.events = {pygame.K_d}, [*[[]] * 8, [pygame.K_ESCAPE]]
    by_hand = {"demos": 3, "hold": 1, "teleop": "keyboard", "latch": False}
    with pytest.raises(Interrupted, match="stopped"):
        collect.run(settings(tmp_path / "hand", **by_hand))
    (trace,) = read_dataset(tmp_path / "hand")
    assert trace.success_step == 5
    assert f"{tmp_path / 'hand'}: 1 demonstration of " in capsys.readouterr().out
    hands.events = [[pygame.K_ESCAPE]]
    with pytest.raises(Interrupted):
        collect.run(settings(tmp_path / "none", **by_hand))
    assert not (tmp_path / "none").exists()


def test_teleop_without_device(monkeypatch: pytest.MonkeyPatch, hands: Hands) -> None:
    one = np.ones(1, np.float32)
    with pytest.raises(UserError, match="gamepad"), teleop.Teleop("gamepad", "front", 10, one, one):
        pass
    with pytest.raises(UserError, match="unknown teleop device"):
        teleop.Teleop("gamepd", "front", 10, one, one)  # type: ignore[arg-type]


def test_a_place_that_cannot_be_written_is_told_before_anybody_demonstrates(
    paper: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UserError, match="cannot be written"):
        collect.run(settings(Path("/proc/nowhere/data")))
    assert "demonstration of" not in capsys.readouterr().err


@pytest.mark.parametrize("every", [3, 4])
def test_a_success_between_two_pictures_is_seen(paper: Any, every: int) -> None:
    traces, _ = collect_demonstrations(paper.PaperWorld(), 2, seed=0, hold=1, recording=Recording(every=every))
    assert [trace.success_step for trace in traces] == [5, 5]
    assert traces[0].frame_steps.tolist() == sorted({*range(0, 7, every), 5})
