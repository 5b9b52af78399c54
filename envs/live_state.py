"""Copies and restores a simulation exactly: MuJoCo's state, what follows from it, Python attributes."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import mujoco

Arrays = dict[str, NDArray[Any]]


def physics_of(model: mujoco.MjModel, data: mujoco.MjData) -> Arrays:
    """The integration state and every derived array, for tasks read places that lag behind the joints."""
    import mujoco

    flags = mujoco.mjtState.mjSTATE_INTEGRATION
    state = np.empty(mujoco.mj_stateSize(model, flags))
    mujoco.mj_getState(model, data, state, flags)
    return {"": state, **{name: array.copy() for name, array in _arrays(data).items()}}


def set_physics(model: mujoco.MjModel, data: mujoco.MjData, saved: Mapping[str, NDArray[Any]]) -> None:
    """Returns to what ``physics_of`` saved."""
    import mujoco

    flags = mujoco.mjtState.mjSTATE_INTEGRATION
    mujoco.mj_setState(model, data, saved[""], flags)
    mujoco.mj_forward(model, data)  # contacts, whose number varies, cannot be copied in
    # mj_forward renews the solver's warm start; the exact continuation needs the old one.
    mujoco.mj_setState(model, data, saved[""], flags)
    for name, array in _arrays(data).items():
        if name in saved and saved[name].shape == array.shape:
            array[:] = saved[name]


def _arrays(data: mujoco.MjData) -> Arrays:
    """The arrays of MjData whose size does not depend on the contacts."""
    names = (n for n in dir(data) if not n.startswith(("_", "efc_", "iefc_", "contact", "timer", "solver")))
    found = ((n, getattr(data, n)) for n in names)
    return {n: a for n, a in found if isinstance(a, np.ndarray) and a.dtype.names is None and a.size}


def plain_attributes(thing: object) -> dict[str, Any]:
    """Copies of an object's numbers, arrays and random generators, but not of arrays that MuJoCo owns."""
    return {key: copy.deepcopy(value) for key, value in vars(thing).items() if _is_plain(value)}


def set_attributes(thing: object, saved: Mapping[str, Any]) -> None:
    """Puts copies of the saved attributes back."""
    for key, value in saved.items():
        setattr(thing, key, copy.deepcopy(value))


def _is_plain(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        base: Any = value
        while isinstance(base, np.ndarray) and base.base is not None:
            base = base.base
        return isinstance(base, np.ndarray)  # otherwise MuJoCo owns the memory
    return value is None or isinstance(
        value, bool | int | float | str | tuple | list | np.generic | np.random.Generator
    )
