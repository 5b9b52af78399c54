"""A person as the source of actions: keys or a gamepad held down become actions, buttons end the episode."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol

import numpy as np

from robo_reward.envs.task_settings import Vector
from robo_reward.errors import MissingExtra, UserError, unknown_name

Event = Literal["finish", "discard", "quit"]
KEY_PAIRS = (("d", "a"), ("w", "s"), ("r", "f"), ("e", "q"), ("l", "j"), ("i", "k"), ("u", "o"), ("h", "g"))
"""For each action dimension the key that pushes it up and the one that pushes it down."""
KEY_EVENTS: Mapping[str, Event] = {"enter": "finish", "backspace": "discard", "esc": "quit"}
BUTTON_EVENTS: Mapping[int, Event] = {0: "finish", 1: "discard", 7: "quit"}
"""A, B and Start of the usual layout."""
DEAD_ZONE = 0.1
"""A stick at rest is never exactly at zero."""


class Teleop(Protocol):
    """Asked once per decision."""

    def action(self) -> Vector:
        """(A,) float32 in [-1, 1]: what the person holds now."""
        ...

    def take_event(self) -> Event | None:
        """What the person asked for since the last call: keep the episode, discard it, or stop."""
        ...

    def close(self) -> None: ...


class KeyboardTeleop:
    """Keys held down push action dimensions by ``speed``; enter keeps an episode, backspace discards, esc quits.

    ``listen`` starts a listener from two callbacks, for pressed and for released keys; it returns something
    that has ``stop``.
    """

    def __init__(
        self,
        action_size: int,
        listen: Callable[[Callable[[Any], None], Callable[[Any], None]], Any],
        speed: float = 1.0,
    ) -> None:
        if not 1 <= action_size <= len(KEY_PAIRS):
            raise UserError(f"the keyboard can steer 1 to {len(KEY_PAIRS)} action dimensions, not {action_size}")
        if not 0 < speed <= 1:
            raise UserError(f"the keyboard's speed must lie in (0, 1], got {speed}")
        self._size, self._speed = action_size, speed
        self._held: set[str] = set()
        self._event: Event | None = None
        self._listener = listen(self._pressed, self._released)

    def action(self) -> Vector:
        held = self._held.copy()  # the listener's thread may change it meanwhile
        signs = [(up in held) - (down in held) for up, down in KEY_PAIRS[: self._size]]
        return np.array(signs, np.float32) * np.float32(self._speed)

    def take_event(self) -> Event | None:
        event, self._event = self._event, None
        return event

    def close(self) -> None:
        """Stops listening; may be called twice."""
        self._listener.stop()

    def help(self) -> str:
        """One line that tells the person what the keys do."""
        keys = ", ".join(f"{i}: {up}/{down}" for i, (up, down) in enumerate(KEY_PAIRS[: self._size]))
        return f"action {keys}; enter keeps the episode, backspace discards it, esc quits"

    def _pressed(self, key: Any) -> None:
        name = _key_name(key)
        self._event = KEY_EVENTS.get(name, self._event)
        self._held.add(name)

    def _released(self, key: Any) -> None:
        self._held.discard(_key_name(key))


class GamepadTeleop:
    """The sticks' axes push action dimensions in order; buttons A, B and Start keep, discard and quit.

    ``pad`` is a pygame joystick or its like; ``refresh`` reads the device, ``stop`` gives it back.
    """

    def __init__(self, action_size: int, pad: Any, refresh: Callable[[], object], stop: Callable[[], object]) -> None:
        if action_size > pad.get_numaxes():
            raise UserError(f"this gamepad has {pad.get_numaxes()} axes, the robot has {action_size} action dimensions")
        self._size, self._pad, self._refresh, self._stop = action_size, pad, refresh, stop
        self._down: set[int] = set()

    def action(self) -> Vector:
        self._refresh()
        axes = np.array([self._pad.get_axis(i) for i in range(self._size)], np.float32)
        axes[1::2] *= -1  # sticks report down as positive
        moved: Vector = np.where(np.abs(axes) < DEAD_ZONE, 0, np.clip(axes, -1, 1)).astype(np.float32)
        return moved

    def take_event(self) -> Event | None:
        self._refresh()
        down = {b for b in BUTTON_EVENTS if b < self._pad.get_numbuttons() and self._pad.get_button(b)}
        fresh, self._down = down - self._down, down
        return BUTTON_EVENTS[min(fresh)] if fresh else None

    def close(self) -> None:
        """Gives the device back."""
        self._stop()


def open_teleop(device: str, action_size: int) -> KeyboardTeleop | GamepadTeleop:
    """A person at ``device``: "keyboard" or "gamepad". UserError where it cannot be reached from here."""
    if device == "keyboard":
        return open_keyboard(action_size)
    if device == "gamepad":
        return open_gamepad(action_size)
    raise unknown_name("teleoperation device", device, ("keyboard", "gamepad"))


def open_keyboard(action_size: int) -> KeyboardTeleop:
    """Listens to this machine's keyboard through pynput."""
    _require_x_display(sys.platform, os.environ)
    try:
        from pynput import keyboard
    except ModuleNotFoundError as error:
        raise MissingExtra("pynput", "teleop", "the keyboard") from error
    except ImportError as error:  # pynput asks the display for its backend while it is imported
        raise UserError(f"the keyboard cannot be read on this display: {error}; use a gamepad") from error

    def listen(pressed: Callable[[Any], None], released: Callable[[Any], None]) -> Any:
        listener = keyboard.Listener(on_press=pressed, on_release=released)
        listener.start()
        return listener

    return KeyboardTeleop(action_size, listen)


def open_gamepad(action_size: int, index: int = 0) -> GamepadTeleop:
    """Opens a gamepad through pygame; needs no display."""
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
    try:
        import pygame
    except ModuleNotFoundError as error:
        raise MissingExtra("pygame", "teleop", "a gamepad") from error
    pygame.init()
    found = pygame.joystick.get_count()
    if index >= found:
        pygame.quit()
        raise UserError(f"gamepad {index} was not found ({found} connected); plug one in, or use the keyboard")
    pad = pygame.joystick.Joystick(index)
    return GamepadTeleop(action_size, pad, pygame.event.pump, pygame.quit)


def _require_x_display(platform: str, environment: Mapping[str, str]) -> None:
    """On Linux keys can be read under X11 only; elsewhere pynput says itself what it lacks."""
    if platform != "linux":
        return
    if environment.get("XDG_SESSION_TYPE") == "wayland" or environment.get("WAYLAND_DISPLAY"):
        raise UserError("Wayland does not let programs read the keyboard; log in with X11, or use a gamepad")
    if not environment.get("DISPLAY"):
        raise UserError(
            "the keyboard needs a display, and DISPLAY is not set (SSH?); run it at the machine itself, "
            "or use a gamepad"
        )


def _key_name(key: Any) -> str:
    """'w' for a letter, 'enter' for a named key."""
    return str(getattr(key, "char", None) or getattr(key, "name", "")).lower()
