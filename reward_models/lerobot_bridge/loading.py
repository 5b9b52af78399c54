"""Finds and builds a LeRobot reward model with its processors; nothing in a downloaded file runs unless trusted."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from robo_reward.errors import MissingExtra, UserError, unknown_name

BACKBONES = {"reward_classifier": "model_name", "topreward": "vlm_name", "robometer": "base_model_id"}
"""The setting that names the network which LeRobot loads with ``trust_remote_code=True``."""
KNOWN_BACKBONES = ("lerobot/resnet10", "Qwen/Qwen3-VL-8B-Instruct", "Qwen/Qwen3-VL-4B-Instruct")
Stats = dict[str, dict[str, torch.Tensor]]


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """``model``: LeRobot's PreTrainedRewardModel, evaluating; ``before``: its preprocessor pipeline."""

    model: Any
    before: Any
    config: Any


def read_config(pretrained: str, kind: str | None, device: str) -> Any:
    """LeRobot's RewardModelConfig from a folder or hub id.

    Raises:
        UserError: no such folder or id, no ``config.json`` in it, an unknown type, or another one than ``kind``.
    """
    try:
        import lerobot.rewards  # noqa: F401  # registers LeRobot's own
        from lerobot.configs.rewards import RewardModelConfig
        from lerobot.utils.import_utils import register_third_party_plugins
    except ImportError as error:
        raise MissingExtra(error.name or "lerobot", "lerobot", "reward_model=lerobot") from error
    register_third_party_plugins()
    if Path(pretrained).is_dir():
        _check_type(Path(pretrained) / "config.json", RewardModelConfig.get_known_choices())
    try:
        config = RewardModelConfig.from_pretrained(pretrained)
    except ImportError as error:
        raise MissingExtra(error.name or "transformers", "lerobot", f"the model in '{pretrained}'") from error
    except Exception as error:  # hub, JSON and draccus each raise their own
        raise UserError(
            f"'{pretrained}' holds no reward model that LeRobot can read: {_first_line(error)} (give a folder with "
            "config.json and model.safetensors, or a hub id; check the network and HF_HUB_OFFLINE)"
        ) from error
    if kind is not None and config.type != kind:
        raise UserError(f"'{pretrained}' is a '{config.type}', reward_model.type={kind} was asked for")
    config.device, config.pretrained_path = device, pretrained
    return config


def load(config: Any, stats: str | None, trust_remote_code: bool) -> LoadedModel:
    """The model on its device and its preprocessor, with the statistics it was trained with.

    Raises:
        UserError: weights that are missing, pickled or of other shapes; code that nobody trusted; no statistics.
    """
    from lerobot.rewards import make_reward_model, make_reward_pre_post_processors

    folder = str(config.pretrained_path)
    _check_trust(config, trust_remote_code)
    _check_weights(Path(folder), config)
    found = _saved_stats(Path(folder)) if stats is None else _dataset_stats(Path(stats))
    _check_stats(config, found)
    try:
        model = make_reward_model(config).eval()
        before, _ = make_reward_pre_post_processors(config, dataset_stats=found or None)
    except ImportError as error:
        raise MissingExtra(error.name or "transformers", "lerobot", f"reward_model.type={config.type}") from error
    except Exception as error:  # transformers, safetensors and the hub each raise their own
        raise UserError(
            f"LeRobot could not load the {config.type} in '{folder}': {_first_line(error)} (its weights and its "
            "encoder's must be on this machine or reachable: check the network and HF_HUB_OFFLINE)"
        ) from error
    for step in before.steps:
        if hasattr(step, "eval"):
            step.eval()  # SARM's step augments unless told so
    return LoadedModel(model, before, config)


def _check_type(path: Path, known: Any) -> None:
    if not path.is_file():
        raise UserError(f"'{path.parent}' holds no LeRobot reward model: there is no config.json in it")
    try:
        named = json.loads(path.read_text("utf-8"))["type"]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"'{path}' names no type of reward model ({error!r}); save it again with LeRobot") from error
    if named not in known:
        raise unknown_name("LeRobot reward model type", str(named), known)


def _check_trust(config: Any, trusted: bool) -> None:
    name = str(getattr(config, BACKBONES.get(config.type, ""), ""))
    if name in ("", *KNOWN_BACKBONES) or trusted:
        return
    place = Path(name)
    if place.is_dir() and not any(place.glob("*.py")):
        return
    raise UserError(
        f"LeRobot runs the code that '{name}' ships (trust_remote_code) to build this {config.type}: "
        "read it, then set reward_model.trust_remote_code=true"
    )


def _check_weights(folder: Path, config: Any) -> None:
    if not folder.is_dir() or (folder / "model.safetensors").is_file() or config.type in ("topreward", "robo_reward"):
        return
    pickled = sorted(p.name for p in folder.iterdir() if p.suffix in (".bin", ".pt", ".pth", ".pkl", ".ckpt"))
    hint = f"; '{pickled[0]}' is pickled, which may run code, and is not read" if pickled else ""
    raise UserError(f"'{folder}' has no model.safetensors{hint}: save the model again with LeRobot's save_pretrained")


def _saved_stats(folder: Path) -> Stats:
    """What the normaliser of a saved preprocessor holds."""
    from robo_reward.runs.checkpoint import load_tensors

    found: Stats = {}
    for path in sorted(folder.glob("*preprocessor*normalizer*.safetensors")) if folder.is_dir() else []:
        for key, tensor in load_tensors(path).items():
            feature, _, name = key.rpartition(".")
            found.setdefault(feature, {})[name] = tensor
    return found


def _dataset_stats(root: Path) -> Stats:
    path = root / "meta" / "stats.json"
    try:
        listed = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"reward_model.stats={root}: '{path}' cannot be read ({error})") from error
    return {key: {name: torch.tensor(v) for name, v in values.items()} for key, values in listed.items()}


def _check_stats(config: Any, stats: Stats) -> None:
    from lerobot.configs import NormalizationMode

    for key, feature in config.input_features.items():
        mode = getattr(config, "normalization_mapping", {}).get(feature.type.value, NormalizationMode.IDENTITY)
        if mode != NormalizationMode.IDENTITY and key not in stats:
            raise UserError(
                f"the {config.type} normalises '{key}' by its dataset's statistics, which are not beside the model: "
                "name the dataset it was trained on, reward_model.stats=DATASET"
            )


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
