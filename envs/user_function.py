"""Finds a function that the user names as module:function, for success tests and rewards of their own."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any

import numpy as np

from robo_reward.errors import UserError, unknown_name


def load_function(spec: str, purpose: str) -> Callable[..., Any]:
    """The function behind ``module:function``; modules in the working directory are found too.

    Raises:
        UserError: the text has another form, the module or the function does not exist, or the module fails.
    """
    module_name, colon, function_name = spec.partition(":")
    if not (module_name and colon and function_name):
        raise UserError(f"{purpose} must be written module:function, for example my_task:success; got '{spec}'")
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise UserError(
            f"{purpose}: the module '{error.name}' was not found; run from its folder, or install it"
        ) from error
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"{purpose}={spec}: the module '{module_name}' cannot be imported: {type(error).__name__}: "
            f"{_message(error)} ({_place(error)})"
        ) from error
    function = getattr(module, function_name, None)
    if not callable(function):
        known = [name for name, value in vars(module).items() if callable(value) and not name.startswith("_")]
        raise unknown_name(f"function in '{module_name}'", function_name, known)
    found: Callable[..., Any] = function
    return found


def load_success(spec: str) -> Callable[[Any, Any], bool]:
    """The user's success test, called with model and data. UserError as ``load_function``.

    What it gives back must be True or False, or one number that is not NaN: UserError otherwise.
    """
    function = load_function(spec, "env.success")

    def success(model: Any, data: Any) -> bool:
        value = function(model, data)
        number = _number(value)
        if number is None or np.isnan(number):
            raise UserError(f"env.success={spec} gave back {value!r}; it must give back True or False")
        return bool(number)

    return success


def load_reward(spec: str) -> Callable[[Any, Any], float]:
    """The user's reward, called with model and data. UserError as ``load_function``.

    What it gives back must be one finite number, unless the simulation itself has become unstable (then the world
    begins again): UserError otherwise.
    """
    function = load_function(spec, "env.reward")

    def reward(model: Any, data: Any) -> float:
        value = function(model, data)
        number = _number(value)
        if number is None or (not np.isfinite(number) and _stable(data)):
            raise UserError(f"env.reward={spec} gave back {value!r}; it must give back a finite number")
        return number

    return reward


def _number(value: Any) -> float | None:
    """``value`` as one number; None where it is something else."""
    array = np.asarray(value)
    return float(array.item()) if array.size == 1 and array.dtype.kind in "biuf" else None


def _stable(data: Any) -> bool:
    return bool(np.isfinite(data.qpos).all() and np.isfinite(data.qvel).all())


def _message(error: Exception) -> str:
    return error.msg if isinstance(error, SyntaxError) else str(error)


def _place(error: Exception) -> str:
    """``FILE:LINE`` of a slip in the text, else of where the import ended."""
    if isinstance(error, SyntaxError) and error.filename is not None:
        return f"{error.filename}:{error.lineno}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith("<")]
    return f"{frames[-1].filename}:{frames[-1].lineno}"
