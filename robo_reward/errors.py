"""The errors a user can mend, each with the exit code that the command line gives it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """What the user gave cannot be used; the message names the value, the bound and the way out (exit code 2)."""

    exit_code = 2


class MissingExtra(UserError):
    """An optional dependency is absent; the message says the install line."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package '{package}', which is not installed: pip install 'robo-reward[{extra}]'"
        )


class NoOracle(UserError):
    """The task has no reward, or no success test, that could be asked for."""


class Interrupted(Exception):
    """The run was stopped by the user or the scheduler and can be resumed (exit codes 130 and 75)."""

    def __init__(self, message: str, *, preempted: bool = False) -> None:
        super().__init__(message)
        self.exit_code = 75 if preempted else 130


def no_expert(name: str) -> UserError:
    """A user error for a world whose demonstrations nobody gives by itself."""
    return UserError(
        f"'{name}' has no scripted expert: record demonstrations with robo-reward collect teleop=keyboard; what they "
        "are for takes them with data=FOLDER"
    )


def unknown_name(kind: str, value: str, known: Iterable[str]) -> UserError:
    """A user error for a name that does not exist, with the nearest valid one."""
    names = sorted(known)
    near = difflib.get_close_matches(value, names, n=1, cutoff=0.4)
    hint = f"; did you mean '{near[0]}'?" if near else "."
    listed = ", ".join(names) if len(names) <= 60 else ", ".join(names[:60]) + ", ..."
    return UserError(f"unknown {kind} '{value}'{hint} Known: {listed}")
