"""Demonstrations by hand: a window that shows the world, steered with the keyboard or a gamepad."""

from __future__ import annotations

import os
import sys
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from robo_reward.contracts import Floats, World
from robo_reward.errors import Interrupted, MissingExtra, UserError, unknown_name
from robo_reward.viewer import check_screen

Device = Literal["keyboard", "gamepad"]
DEVICES = ("keyboard", "gamepad")

KEYS = (("a", "d"), ("s", "w"), ("f", "r"), ("q", "e"), ("j", "l"), ("k", "i"))
"""Keys that push action 0, 1, ... down and up while they are held."""

BLIND = ("offscreen", "dummy")
"""SDL's drivers without a screen, which it takes of its own accord where there is none."""
INSTEAD = "leave it out: the scripted expert demonstrates where the task has one"
DEAD_ZONE = 0.12
WINDOW = 640


class Teleop:
    """Steers one world in real time; use it as a context manager, which opens and closes the window.

    Keyboard: ``KEYS`` push the actions; gamepad: the sticks do, in the order of their axes. Where ``latch``,
    the last action stays where it is and SPACE (button 0) flips it, as a gripper needs. ENTER (button 7) says
    that the task is done from now to the attempt's end, BACKSPACE (button 6) drops the attempt, ESC stops. A world
    with a success test need not be told.
    """

    def __init__(self, device: Device, view: str, fps: float, low: Floats, high: Floats, latch: bool = True) -> None:
        if device not in DEVICES:
            raise unknown_name("teleop device", device, DEVICES)
        self._device, self._view, self._fps = device, view, fps
        self._low, self._high, self._latch = low, high, latch
        self._closed, self._done, self._dropped = False, False, False
        self._pad: Any = None

    def __enter__(self) -> Self:
        """Opens the window and prints what steers. UserError without a screen, unless SDL_VIDEODRIVER is set."""
        chosen = bool(os.environ.get("SDL_VIDEODRIVER"))
        if not chosen:
            check_screen(f"teleop={self._device}", INSTEAD)
        try:
            import pygame
        except ImportError as error:
            raise MissingExtra("pygame", "teleop", f"teleop={self._device}") from error
        self._pygame: Any = pygame
        try:
            pygame.init()
            self._window: Any = pygame.display.set_mode((WINDOW, WINDOW))
        except pygame.error as error:
            raise UserError(f"teleop needs a screen, and none could be opened: {error}") from error
        driver = pygame.display.get_driver()
        if driver in BLIND and not chosen:
            pygame.quit()
            raise UserError(
                f"teleop={self._device} needs a screen, and SDL found none (its driver is '{driver}'): run it on a "
                f"desktop, or {INSTEAD}"
            )
        pygame.display.set_caption("robo-reward: ENTER done, BACKSPACE drop, SPACE gripper, ESC stop")
        if self._device == "gamepad":
            if not pygame.joystick.get_count():
                pygame.quit()
                raise UserError("no gamepad is connected; plug one in or use teleop=keyboard")
            self._pad = pygame.joystick.Joystick(0)
        axes = None if self._pad is None else self._pad.get_numaxes()
        print("\n".join(guide(len(self._low), self._latch, axes)), file=sys.stderr, flush=True)
        self._clock = pygame.time.Clock()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._pygame.quit()

    def begin(self) -> None:
        """A new attempt: it is not done yet."""
        self._done = self._dropped = False

    def act(self, world: World) -> Floats:
        """Shows the world, waits for the next tick, and returns the action (1, A) that is steered now."""
        self._show(world.observe().views[self._view][0])
        self._clock.tick(self._fps)
        self._dropped = False
        for event in self._pygame.event.get():
            self._hear(event)
        size = len(self._low)
        steered = self._keys(size) if self._pad is None else self._sticks(size)
        if self._latch:
            steered[-1] = 1.0 if self._closed else -1.0
        return (self._low + (steered + 1) / 2 * (self._high - self._low))[None].astype(np.float32)

    def succeeded(self, world: World) -> bool:
        """True once the user said so in this attempt, or when the world's own test does."""
        try:
            return self._done or bool(world.annotated_success()[0])
        except UserError:  # a task without a test: the user's word is the annotation
            return self._done

    def gave_up(self) -> bool:
        """Whether the user drops this attempt."""
        return self._dropped

    def _hear(self, event: Any) -> None:
        pg = self._pygame
        key = event.key if event.type == pg.KEYDOWN else None
        button = event.button if event.type == pg.JOYBUTTONDOWN else None
        if event.type == pg.QUIT or key == pg.K_ESCAPE:
            raise Interrupted("teleoperation was stopped")
        self._closed ^= key == pg.K_SPACE or button == 0
        self._done |= key == pg.K_RETURN or button == 7
        self._dropped |= key == pg.K_BACKSPACE or button == 6

    def _keys(self, size: int) -> NDArray[np.float64]:
        pressed = self._pygame.key.get_pressed()
        code = self._pygame.key.key_code
        steered = np.zeros(size)
        for index, (down, up) in enumerate(KEYS[:size]):
            steered[index] = float(pressed[code(up)]) - float(pressed[code(down)])
        return steered

    def _sticks(self, size: int) -> NDArray[np.float64]:
        steered = np.zeros(size)
        for index in range(min(size, self._pad.get_numaxes())):
            value = self._pad.get_axis(index) * (-1 if index % 2 else 1)  # pushed away from the user is up
            steered[index] = value if abs(value) > DEAD_ZONE else 0.0
        return steered

    def _show(self, frame: NDArray[np.uint8]) -> None:
        surface = self._pygame.surfarray.make_surface(frame.swapaxes(0, 1))
        self._pygame.transform.smoothscale(surface, (WINDOW, WINDOW), self._window)
        self._pygame.display.flip()


def guide(size: int, latch: bool, axes: int | None = None) -> list[str]:
    """Lines that tell which key steers which of ``size`` actions; ``axes``: of a gamepad, None for the keyboard."""
    free = size - 1 if latch else size
    steered = min(free, len(KEYS) if axes is None else axes)
    if axes is None:
        pairs = [f"{index} {down.upper()}/{up.upper()}" for index, (down, up) in enumerate(KEYS[:steered])]
        lines = ["keys, held, push an action down/up: " + ", ".join(pairs)]
        words = "SPACE flips", "ENTER: the task is done; BACKSPACE: drop this attempt; ESC: stop"
    else:
        lines = [f"the gamepad's axes push the actions 0 to {steered - 1}"]
        words = "button 0 flips", "button 7: the task is done; button 6: drop this attempt; ESC: stop"
    if steered < free:
        rest = f"action {steered} has" if steered == free - 1 else f"actions {steered} to {free - 1} have"
        lines.append(
            f"{rest} no {'keys' if axes is None else 'axis'} and stay{'s' * (steered == free - 1)} in the middle"
        )
    if latch:
        lines.append(f"{words[0]} action {size - 1}, which stays where it is (a gripper; latch=false steers it)")
    return [*lines, words[1]]
