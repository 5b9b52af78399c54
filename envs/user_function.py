"""Finds a function that the user names as module:function, for success tests and rewards of their own."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from typing import Any

from robo_reward.errors import UserError, unknown_name


def load_function(spec: str, purpose: str) -> Callable[..., Any]:
    """The function behind ``module:function``; modules in the working directory are found too.

    Raises:
        UserError: the text has another form, or the module or the function does not exist.
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
    function = getattr(module, function_name, None)
    if not callable(function):
        known = [name for name, value in vars(module).items() if callable(value) and not name.startswith("_")]
        raise unknown_name(f"function in '{module_name}'", function_name, known)
    found: Callable[..., Any] = function
    return found
