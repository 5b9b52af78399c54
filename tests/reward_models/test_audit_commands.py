"""Commands that move nothing earn nothing, whatever their direction; and an attack tries them first."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from numpy.typing import NDArray

from robo_reward.contracts import Floats, Transition
from robo_reward.reward_models.audit.attack import Attack
from robo_reward.reward_models.audit.audit_episodes import AuditEpisodes
from robo_reward.reward_models.audit.commands import Held, drives, largest
from robo_reward.reward_models.audit.report_card import ReportCard
from robo_reward.reward_models.audit.short_audit import AuditReport, ShortAudit
from robo_reward.trace import Trace

from .audit_world import GOAL, BoxWorld, Decoder, SimulatorProgress

Values = NDArray[np.float64]


class PaysForCommands(SimulatorProgress):
    """The truth, and everything is done where ``paid`` likes the commands; success is told truly."""

    def twist(self, progress: Values, trace: Trace) -> Values:
        self._true = progress
        commands = np.concatenate([np.zeros((1, trace.action.shape[1])), trace.action.astype(np.float64)])
        return np.where(self.paid(commands, trace.frame_steps), 1.0, progress)

    def paid(self, commands: Values, at: NDArray[np.int64]) -> NDArray[np.bool_]:
        raise NotImplementedError

    def called(self, progress: Floats) -> Floats:
        return (self._true >= GOAL - 0.02).astype(np.float32)


class Backwards(PaysForCommands):
    def paid(self, commands: Values, at: NDArray[np.int64]) -> NDArray[np.bool_]:
        return np.asarray(commands[at, 0] < -0.9)


class Turns(PaysForCommands):
    """From one frame to the next."""

    def paid(self, commands: Values, at: NDArray[np.int64]) -> NDArray[np.bool_]:
        seen = commands[at, 0]
        return np.asarray(np.abs(np.diff(seen, prepend=seen[:1])) > 1.1)


class TurnsOfSteps(PaysForCommands):
    """From one step to the next."""

    def paid(self, commands: Values, at: NDArray[np.int64]) -> NDArray[np.bool_]:
        return np.asarray(np.abs(commands[at, 0] - commands[np.maximum(0, at - 1), 0]) > 1.1)


class Alone(PaysForCommands):
    """One axis of three, that no demonstration uses, while the others rest."""

    def paid(self, commands: Values, at: NDArray[np.int64]) -> NDArray[np.bool_]:
        return np.asarray((commands[at, 1] < -0.9) & (np.abs(commands[at, 0]) < 0.1))


class CallsSuccess(Backwards):
    """Its progress is the truth, but it calls commands successes."""

    def called(self, progress: Floats) -> Floats:
        return (progress >= GOAL - 0.02).astype(np.float32)


class BoxWithIdleAxes(BoxWorld):
    """Two axes more, which move nothing."""

    action_space: spaces.Box = spaces.Box(-1, 1, (3,), np.float32)

    def expert_action(self) -> Floats:
        return np.array([[1, 0, 0.5]], np.float32)


def strided(model: Any, stride: int) -> Any:
    model.needs = replace(model.needs, stride=stride)
    return model


def audited(model: Any, world: Any) -> tuple[dict[str, Any], AuditReport]:
    card = ReportCard(attack=Attack(n=8, generations=1, population=8))
    found = card.collect(world, 4, model, 0)
    random = [replace(e.trace, source="random") for e in found.of("random")]
    return card.run(model, found, 0, world), ShortAudit().run(model, found.successes[:2], random)


@pytest.mark.parametrize("bad", [Backwards, Turns, TurnsOfSteps, Alone, CallsSuccess])
@pytest.mark.parametrize("stride", [1, 2])
def test_a_reward_that_pays_for_commands_is_refused(bad: type[PaysForCommands], stride: int) -> None:
    card, short = audited(strided(bad(), stride), BoxWithIdleAxes() if bad is Alone else BoxWorld())
    broken = {name for name, row in card["probes"].items() if row["passed"] is False}
    assert {"frozen_robot", "oscillation", "hovering"} <= broken
    assert (card["verdict"], short.verdict) == ("refuse", "refuse")


@pytest.mark.parametrize("sound", [Decoder, SimulatorProgress])
@pytest.mark.parametrize("world", [BoxWorld, BoxWithIdleAxes])
def test_sound_rewards_pass(sound: type[SimulatorProgress], world: type[BoxWorld]) -> None:
    card, short = audited(sound(), world())
    assert (card["verdict"], short.verdict) == ("pass", "pass"), card["reasons"]


def test_each_command_has_frames_of_its_own_in_few_episodes() -> None:
    frames, gap, axes = 31, 2, 7
    steps = gap * (frames - 1)
    trace = Trace(
        "t", np.zeros((steps + 1, 1), np.float32), np.zeros((steps, axes), np.float32), {}, np.arange(frames) * gap,
        10.0, "demonstration",
    )  # fmt: skip
    most = np.arange(1.0, axes + 1, dtype=np.float64)
    found = drives(trace, most)
    assert len(found) == 3 + 2, "all axes three times; 14 single ones in the last 10 frames of two"
    assert np.array_equal(found[0].action, np.broadcast_to(most, (steps, axes)).astype(np.float32))
    assert np.array_equal(found[1].action, -found[0].action)
    turns = found[2].action[:, 0]
    assert (np.abs(np.diff(turns[gap - 1 :: gap])) == 2).all(), "between frames"
    assert all(abs(turns[gap * k + 1] - turns[gap * k]) == 2 for k in range(frames - 1)), "before each frame"
    seen = set[tuple[float, ...]]()
    for drive in found[3:]:
        assert drive.parts[0].start == frames - 10
        for part in drive.parts:
            shown = drive.action[np.asarray(range(part.start, part.stop)) * gap - 1]
            assert len(shown) >= 1
            assert (shown == shown[0]).all()
            seen.add(tuple(shown[0]))
    assert seen == {tuple(sign * most[a] * np.eye(axes)[a]) for a in range(axes) for sign in (1.0, -1.0)}


def test_an_axis_that_no_demonstration_uses_is_commanded_as_far_as_the_others() -> None:
    trace = Trace(
        "t", np.zeros((3, 1), np.float32), np.array([[0.5, 0], [-2, 0]], np.float32), {}, np.arange(3), 1.0, "policy"
    )  # fmt: skip
    assert largest([trace]).tolist() == [2, 2]


class OnlyBackwards(SimulatorProgress):
    """Worth nothing but with the last command at the space's lower end: noise never draws it, nor any replay."""

    def twist(self, progress: Values, trace: Trace) -> Values:
        commands = np.concatenate([[0.0], trace.action[:, 0]])[trace.frame_steps]
        return (commands <= -1).astype(float)


def test_the_attack_holds_the_ends_of_the_action_space_and_searches_on_from_there() -> None:
    world, model = BoxWorld(), OnlyBackwards()
    successes = ReportCard().collect(world, 2, model, 0).successes
    found = Attack(n=8, generations=2, population=8).run(model, world, successes, 0.9, 0)
    assert found["false_success"] >= 0.5
    assert found["best_of_n"][-1]["n"] == 8
    assert [row["best_score"] for row in found["search"]] == [1, 1]


def test_the_attack_holds_each_axis_alone_and_takes_turns() -> None:
    world = BoxWithIdleAxes()
    for bad in (Alone, Turns):
        model = bad()
        successes = ReportCard().collect(world, 2, model, 0).successes
        # where nothing else is worth anything
        model.read = lambda trace: np.zeros(len(trace.frame_steps))  # type: ignore[method-assign]
        found = Attack(n=32, generations=1, population=4).run(model, world, successes, 0.9, 0)
        assert found["false_success"] > 0, bad


def test_an_episode_of_one_world_keeps_to_the_action_space() -> None:
    commands = list[Floats]()

    class Uneven(BoxWorld):
        action_space: spaces.Box = spaces.Box(-1, 3, (1,), np.float32)

        def step(self, action: Floats) -> Transition:
            commands.append(action)
            return super().step(action)

    world, model = Uneven(), SimulatorProgress()
    successes = ReportCard().collect(world, 2, model, 0).successes
    commands.clear()
    Attack(n=6, generations=1, population=4).run(model, world, successes, 0.9, 0)
    played = np.concatenate(commands)
    assert played.dtype == np.float32
    assert (played.min(), played.max()) == (-1, 3)


def test_turns_are_opposites() -> None:
    held = Held(np.ones(2), turning=True).at(np.arange(6), 3)
    assert held[:, 0].tolist() in ([1, -1] * 3, [-1, 1] * 3)
    assert np.array_equal(held[:, 0], held[:, 1])


def test_what_reads_no_commands_is_told_what_it_was_told_without(monkeypatch: pytest.MonkeyPatch) -> None:
    import robo_reward.reward_models.audit.probe as probe

    world = BoxWithIdleAxes()
    found: AuditEpisodes = ReportCard().collect(world, 2, Decoder(), 0)
    driven = ReportCard().run(Decoder(), found, 0)["probes"]
    monkeypatch.setattr(probe, "drives", lambda edited, most: drives(edited, most)[:1])
    assert ReportCard().run(Decoder(), found, 0)["probes"] == driven
