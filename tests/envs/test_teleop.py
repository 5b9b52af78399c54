"""Teleoperation with devices made of paper: keys and sticks become actions, buttons become events."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from robo_reward.envs.teleop import (
    GamepadTeleop,
    KeyboardTeleop,
    _require_x_display,
    open_keyboard,
    open_teleop,
)
from robo_reward.errors import UserError


class Keys:
    """A keyboard whose keys are pressed by the test."""

    def __init__(self) -> None:
        self.stopped = False

    def listen(self, pressed: Callable[[Any], None], released: Callable[[Any], None]) -> Keys:
        self.press, self.release = pressed, released
        return self

    def stop(self) -> None:
        self.stopped = True


def letter(char: str) -> SimpleNamespace:
    return SimpleNamespace(char=char)


def named(name: str) -> SimpleNamespace:
    return SimpleNamespace(name=name)


def test_held_keys_push_and_released_keys_stop() -> None:
    keys = Keys()
    teleop = KeyboardTeleop(4, keys.listen, speed=0.5)
    np.testing.assert_array_equal(teleop.action(), np.zeros(4, np.float32))
    keys.press(letter("D"))
    keys.press(letter("s"))
    keys.press(letter("e"))
    np.testing.assert_array_equal(teleop.action(), np.float32([0.5, -0.5, 0, 0.5]))
    keys.press(letter("a"))  # both directions cancel
    keys.release(letter("s"))
    np.testing.assert_array_equal(teleop.action(), np.float32([0, 0, 0, 0.5]))
    assert teleop.action().dtype == np.float32
    assert "0: d/a" in teleop.help()
    teleop.close()
    assert keys.stopped


def test_keys_end_the_episode_once() -> None:
    keys = Keys()
    teleop = KeyboardTeleop(2, keys.listen)
    assert teleop.take_event() is None
    for key, event in (("enter", "finish"), ("backspace", "discard"), ("esc", "quit")):
        keys.press(named(key))
        keys.release(named(key))
        keys.press(letter("w"))
        assert teleop.take_event() == event
        assert teleop.take_event() is None


@pytest.mark.parametrize(("size", "speed"), [(0, 1.0), (9, 1.0), (2, 0.0), (2, 1.5)])
def test_impossible_settings_are_refused(size: int, speed: float) -> None:
    with pytest.raises(UserError, match="keyboard"):
        KeyboardTeleop(size, Keys().listen, speed)


class Pad:
    """A gamepad with four axes and two buttons."""

    def __init__(self) -> None:
        self.axes, self.buttons = [0.05, -0.5, 1.2, 0.0], [0, 0]
        self.refreshed = 0

    def get_axis(self, i: int) -> float:
        return self.axes[i]

    def get_button(self, i: int) -> int:
        return self.buttons[i]

    def get_numaxes(self) -> int:
        return len(self.axes)

    def get_numbuttons(self) -> int:
        return len(self.buttons)

    def refresh(self) -> None:
        self.refreshed += 1


def test_sticks_push_beyond_the_dead_zone_and_buttons_count_once_per_press() -> None:
    pad = Pad()
    stopped: list[bool] = []
    teleop = GamepadTeleop(4, pad, pad.refresh, lambda: stopped.append(True))
    np.testing.assert_array_equal(teleop.action(), np.float32([0, 0.5, 1, 0]))
    pad.buttons[1] = 1
    assert teleop.take_event() == "discard"
    assert teleop.take_event() is None  # still held
    pad.buttons[1] = 0
    assert teleop.take_event() is None
    pad.buttons[0] = 1
    assert teleop.take_event() == "finish"
    assert pad.refreshed == 5
    teleop.close()
    assert stopped == [True]


def test_a_gamepad_with_too_few_axes_is_refused() -> None:
    with pytest.raises(UserError, match="4 axes, the robot has 6"):
        GamepadTeleop(6, Pad(), lambda: None, lambda: None)


def test_wayland_ssh_and_unknown_devices_are_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="Wayland"):
        _require_x_display("linux", {"XDG_SESSION_TYPE": "wayland", "DISPLAY": ":0"})
    with pytest.raises(UserError, match="DISPLAY is not set"):
        _require_x_display("linux", {})
    _require_x_display("linux", {"DISPLAY": ":0"})
    _require_x_display("darwin", {})
    with pytest.raises(UserError, match="did you mean 'gamepad'"):
        open_teleop("gampad", 4)
    monkeypatch.setattr("robo_reward.envs.teleop.sys.platform", "linux")
    for name in ("WAYLAND_DISPLAY", "DISPLAY", "XDG_SESSION_TYPE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UserError, match="gamepad"):
        open_keyboard(4)
