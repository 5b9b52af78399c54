"""Saves nested state (networks, optimizers, buffers, random states) as safetensors and JSON, unpickled."""

from __future__ import annotations

import base64
import errno
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from robo_reward.errors import UserError
from robo_reward.runs import atomic

if TYPE_CHECKING:
    import torch

Arrays = dict[str, NDArray[Any]]
Tensors = dict[str, "torch.Tensor"]
PICKLED = frozenset((".bin", ".ckpt", ".joblib", ".pickle", ".pkl", ".pt", ".pth", ".zip"))
"""Endings of files whose readers run what they hold."""


def save_state(folder: Path, name: str, state: Any) -> None:
    """Writes nested dicts, lists, tuples of tensors, arrays, numpy scalars, numbers, strings, bytes, None.

    Structure goes to ``<name>.json``, torch tensors to ``<name>.tensors.safetensors``, numpy arrays to
    ``<name>.arrays.safetensors``. Raises TypeError that names the place of anything else.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tensors: Tensors = {}
    arrays: Arrays = {}
    structure = _pack(state, name, tensors, arrays)
    if tensors:
        save_tensors(folder / f"{name}.tensors.safetensors", tensors)
    if arrays:
        save_arrays(folder / f"{name}.arrays.safetensors", arrays)
    atomic.write_text(folder / f"{name}.json", json.dumps(structure))  # last: it says that the rest is there


def load_state(folder: Path, name: str, device: str = "cpu") -> Any:
    """Reads what ``save_state`` wrote, with the same types, dtypes and keys; tensors land on ``device``.

    Raises:
        UserError: a file is missing or damaged.
    """
    _check_plain(folder / f"{name}.json")
    try:
        structure = json.loads((folder / f"{name}.json").read_text("utf-8"))
    except FileNotFoundError:
        raise UserError(f"'{folder}' holds no saved '{name}' (no file {name}.json){_pickles(folder)}") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"'{folder / f'{name}.json'}' is damaged: {error}") from error
    tensor_file, array_file = folder / f"{name}.tensors.safetensors", folder / f"{name}.arrays.safetensors"
    tensors = load_tensors(tensor_file, device) if tensor_file.exists() else {}
    arrays = load_arrays(array_file) if array_file.exists() else {}
    try:
        return _unpack(structure, tensors, arrays)
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
        raise UserError(f"the saved '{name}' in '{folder}' is damaged: {error!r}") from error


def save_tensors(path: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    """Writes torch tensors to one safetensors file, each as its own contiguous copy on the CPU."""
    from safetensors.torch import save_file

    ready: Tensors = {}
    seen: set[int] = set()
    for key, tensor in tensors.items():
        own = tensor.detach().cpu().contiguous()
        storage = own.untyped_storage()
        if storage.data_ptr() in seen or storage.nbytes() != own.numel() * own.element_size():
            own = own.clone()  # safetensors refuses tensors that share memory
        seen.add(own.untyped_storage().data_ptr())
        ready[key] = own
    _write(path, lambda temporary: save_file(ready, temporary))


def save_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Writes numpy arrays to one safetensors file."""
    from safetensors.numpy import save_file

    ready = {key: array if array.flags.c_contiguous else array.copy(order="C") for key, array in arrays.items()}
    _write(path, lambda temporary: save_file(ready, temporary))


def load_tensors(path: Path, device: str = "cpu") -> Tensors:
    """Reads torch tensors. Raises UserError where the file is missing or damaged."""
    from safetensors.torch import load_file

    return _read(path, lambda: load_file(path, device=device))


def load_arrays(path: Path) -> Arrays:
    """Reads numpy arrays. Raises UserError where the file is missing or damaged."""
    from safetensors.numpy import load_file

    return _read(path, lambda: load_file(path))


def _write(path: Path, save: Callable[[Path], None]) -> None:
    from safetensors import SafetensorError

    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        save(temporary)
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except SafetensorError as error:
        temporary.unlink(missing_ok=True)
        if f"os error {errno.ENOSPC}" in str(error):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
        raise
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _read[T](path: Path, load: Callable[[], T]) -> T:
    from safetensors import SafetensorError

    _check_plain(path)
    try:
        return load()
    except FileNotFoundError:
        raise UserError(f"there is no file '{path}'") from None
    except SafetensorError as error:
        raise UserError(f"'{path}' is not a whole safetensors file{_is_pickle(path)}: {error}") from error


def _check_plain(path: Path) -> None:
    """Devices and pipes never end."""
    if path.exists() and not path.is_file():
        raise UserError(f"'{path}' is no plain file: it was not read")


def _is_pickle(path: Path) -> str:
    """What to add for a file that begins as pickles and torch's zip files do."""
    with open(path, "rb") as file:
        start = file.read(4)
    if start[:1] == b"\x80" or start == b"PK\x03\x04":
        return " but a pickle, which could run any program when read; it was not read. Convert it where you trust it"
    return ""


def _pickles(folder: Path) -> str:
    """What to add where only pickled weights lie."""
    found = sorted(path.name for path in folder.glob("*") if path.suffix in PICKLED)
    if not found:
        return ""
    return f"; '{found[0]}' may be a pickle, which could run any program: only safetensors files are read"


def _is_tensor(value: object) -> bool:
    # By name, so that numpy-only state never pays for importing torch.
    return any(kind.__module__ == "torch" and kind.__name__ == "Tensor" for kind in type(value).__mro__)


def _pack(value: Any, place: str, tensors: Tensors, arrays: Arrays) -> Any:
    """The JSON node of ``value``: plain scalars stand for themselves, all else is an object with one tag."""
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, Mapping):
        pairs = value.items()
        return {"dict": [[_pack_key(k, place), _pack(v, f"{place}.{k}", tensors, arrays)] for k, v in pairs]}
    if type(value) in (list, tuple):
        items = [_pack(v, f"{place}[{i}]", tensors, arrays) for i, v in enumerate(value)]
        return {type(value).__name__: items}
    if isinstance(value, bytes):
        return {"bytes": base64.b64encode(value).decode("ascii")}
    if _is_tensor(value):
        tensors[str(len(tensors))] = value
        return {"tensor": str(len(tensors) - 1)}
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind in "biuf":
        arrays[str(len(arrays))] = np.asarray(value)
        return {"array" if isinstance(value, np.ndarray) else "scalar": str(len(arrays) - 1)}
    raise TypeError(f"{place}: cannot save a {type(value).__module__}.{type(value).__qualname__}")


def _pack_key(key: Any, place: str) -> Any:
    if key is None or type(key) in (bool, int, float, str):
        return key
    if type(key) is tuple:
        return {"tuple": [_pack_key(k, place) for k in key]}
    raise TypeError(f"{place}: cannot save the key {key!r} of type {type(key).__qualname__}")


def _unpack(node: Any, tensors: Tensors, arrays: Arrays) -> Any:
    if not isinstance(node, dict):
        return node
    ((tag, held),) = node.items()
    match tag:
        case "dict":
            return {_unpack(k, tensors, arrays): _unpack(v, tensors, arrays) for k, v in held}
        case "list":
            return [_unpack(v, tensors, arrays) for v in held]
        case "tuple":
            return tuple(_unpack(v, tensors, arrays) for v in held)
        case "bytes":
            return base64.b64decode(held)
        case "array":
            return arrays[held]
        case "scalar":
            return arrays[held][()]
        case "tensor":
            return tensors[held]
    raise ValueError(f"unknown tag '{tag}'")
