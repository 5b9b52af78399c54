"""Tells a user's mistakes, interruptions and full disks from faults of ours: one message, one exit code."""

from __future__ import annotations

import errno
import re
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from robo_reward.cli import help_pages
from robo_reward.cli.wrong_words import wrong_word
from robo_reward.errors import Interrupted, UserError, unknown_name
from robo_reward.runs import signals

NO_PLACE = (errno.ENOTDIR, errno.EACCES, errno.EROFS)


@dataclass(frozen=True, slots=True)
class Told:
    """What to print on stderr, and the exit code."""

    message: str
    exit_code: int


def explain(error: BaseException, verb: str = "", words: Sequence[str] = ()) -> Told | None:
    """The message for ``error`` of a verb and its ``words``; None for a fault of ours, which deserves its traceback."""
    chain = list(_chain(error))
    for cause in chain:
        if isinstance(cause, KeyboardInterrupt | Interrupted):
            return _stopped(cause)
    if signals.received() is not None:  # foreign code turned Ctrl-C into an exception of its own
        return _stopped(signals.Preempted() if signals.received() == signal.SIGTERM else KeyboardInterrupt())
    for cause in chain:
        if isinstance(cause, UserError):
            return Told(str(cause), cause.exit_code)
    for cause in chain:
        if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
            where = f" while writing '{cause.filename}'" if cause.filename else ""
            return Told(f"the disk is full{where}: nothing half-written is left; free some space, then try again", 1)
        if isinstance(cause, OSError) and cause.errno == errno.EFBIG:
            where = f" while writing '{cause.filename}'" if cause.filename else ""
            return Told(
                f"a file became larger than it may be here{where} (ulimit -f): raise the limit, then try again", 1
            )
    for cause in chain:
        if isinstance(cause, OSError) and cause.errno in NO_PLACE and cause.filename:
            return Told(f"'{cause.filename}': {cause.strerror}; give a folder that you may write to", 2)
    message = _config_mistake(chain, verb, words) if "hydra" in sys.modules else None
    return None if message is None else Told(message, 2)


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)


def _stopped(error: BaseException) -> Told:
    if isinstance(error, Interrupted):
        return Told(str(error), error.exit_code)
    if isinstance(error, signals.Preempted):
        return Told("stopped by SIGTERM", 75)
    return Told("interrupted", 130)


def _config_mistake(chain: list[BaseException], verb: str, words: Sequence[str]) -> str | None:
    from hydra import errors
    from omegaconf import errors as omega
    from yaml import YAMLError

    for error in chain:
        match error:
            case errors.MissingConfigException():
                return _missing_option(error)
            case errors.OverrideParseException():
                said = str(error).splitlines()[0]
                return f"cannot read the override '{error.override}': {said}; quote special characters"
            case errors.ConfigCompositionException():
                return _bad_override(error, verb)
            case errors.SearchPathException():
                return str(error)
            case errors.InstantiationException() if _users_target(error, chain):
                return _said(error, chain)
            case errors.InstantiationException():
                pass  # a constructor of ours failed, or a word stood in a number's place: told below
            case YAMLError():
                return f"a yaml file cannot be read: {error}"
            case omega.MissingMandatoryValue():
                return f"the key '{error.full_key}' has no value: give {error.full_key}=VALUE"
            case omega.InterpolationResolutionError() | omega.ValidationError():
                return str(error)
            case errors.HydraException():
                return str(error)
            case ValueError() if _in_hydra(error):  # two of --run, --multirun, --cfg, ...
                return str(error)
    # a fault of ours: that deserves its traceback, unless a word stood in a number's place
    return wrong_word(chain, verb, words)


def _missing_option(error: Any) -> str:
    missing, options = error.missing_cfg_file, error.options
    if not missing or options is None:
        return str(error).strip()
    group, _, name = missing.rpartition("/")
    return str(unknown_name(f"{group} in '{group}={name}':" if group else "config", name, options))


def _bad_override(error: Exception, verb: str) -> str:
    cause = error.__cause__
    said = str(error).strip() or str(cause)
    unused = re.match(r"Could not override '([^']+)'\.\s+No match in the defaults list", said)
    if unused and verb in help_pages.verbs():
        known = [group for group, _ in help_pages.chosen_groups(verb)]
        known += [key.name for key in help_pages.top_level_keys(verb)]
        if unused[1] in known:
            return (
                f"a folder named '{unused[1]}' in --config-dir is taken for a group of settings and hides the key "
                f"'{unused[1]}': give --config-dir a folder that holds groups alone"
            )
        return str(unknown_name(f"key or group of the verb {verb}:", unused[1], known))
    parent, key = getattr(cause, "parent_node", None), getattr(cause, "key", None)
    if parent is not None and key is not None and hasattr(parent, "keys"):
        full = str(getattr(cause, "full_key", None) or key)
        group = full.rpartition(".")[0]
        if not parent:
            asked = re.match(
                r"Could not override '([^']+)'", said
            )  # of a deeper key, full is only the first that lacks
            whole = asked[1] if asked else full
            return f"'{group or full}' holds no keys, so there is no '{whole}'; add one with +{whole}=VALUE"
        return str(unknown_name("key", full, [f"{group}.{k}" if group else str(k) for k in parent if k != "hydra"]))
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    if cause is not None and str(cause) not in said:
        lines.append(str(cause).splitlines()[0])
    return "; ".join(lines)


def _users_target(error: Exception, chain: list[BaseException]) -> bool:
    """An unknown ``_target_``, or an argument that its class does not take, comes from yaml or overrides."""
    unexpected = any(isinstance(e, TypeError) and "unexpected keyword argument" in str(e) for e in chain)
    return unexpected or "Error locating target" in str(error)


def _said(error: Exception, chain: list[BaseException]) -> str:
    """Hydra's words, and why the module of a ``_target_`` could not be imported, which hydra keeps to itself."""
    why = next((e for e in reversed(chain) if isinstance(e, ImportError | SyntaxError | NameError)), None)
    words = str(error).replace(", set env var HYDRA_FULL_ERROR=1 to see chained exception", "")
    return words if why is None or str(why) in words else f"{words.rstrip()} ({type(why).__name__}: {why})"


def _in_hydra(error: BaseException) -> bool:
    tb = error.__traceback__
    while tb is not None and tb.tb_next is not None:
        tb = tb.tb_next
    return tb is not None and tb.tb_frame.f_globals.get("__name__", "").startswith("hydra.")
