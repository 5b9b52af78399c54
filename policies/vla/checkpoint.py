"""LeRobot checkpoints: found, checked before anything in them runs, loaded, and written whole."""

from __future__ import annotations

import copy
import json
import math
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robo_reward.errors import MissingExtra, UserError, unknown_name
from robo_reward.policies.vla.language_model import LANGUAGE_MODEL, models_found, ship_language_model, use_shipped
from robo_reward.runs import atomic
from robo_reward.runs.checkpoint import load_state, save_state

if TYPE_CHECKING:
    from robo_reward.policies.vla.lerobot_policy import LeRobotPolicy

NAME = "policy"
PRETRAINED = "pretrained_model"
UNSURE, CHECKED = ("pi0", "pi05", "pi0_fast"), 8
"""Types whose loader reports a failure and goes on; so many weights of theirs are compared with the file."""
ADAPTERS = "adapter_config.json"
TRUSTED = ("lerobot.", "robo_reward.")


def register_policies() -> None:
    """Makes LeRobot know its own policies, ours and those of installed plug-ins."""
    import lerobot.policies  # noqa: F401  # importing is registering
    from lerobot.utils.import_utils import register_third_party_plugins

    import robo_reward.policies.nano_vla.configuration_nano_vla  # noqa: F401

    register_third_party_plugins()


def save_policy(policy: LeRobotPolicy, folder: Path) -> None:
    """Writes ``pretrained_model/`` (LeRobot's form: config, safetensors, processors), policy.json and policy.yaml.

    LoRA is merged into the weights, so that whatever reads LeRobot checkpoints reads this one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{PRETRAINED}.", dir=folder))
    try:
        merged = policy.policy if policy.module is policy.policy else copy.deepcopy(policy.module).merge_and_unload()
        was = (merged.config.use_peft, merged.config.pretrained_path)
        merged.config.use_peft, merged.config.pretrained_path = False, None
        merged.save_pretrained(temporary)
        merged.config.use_peft, merged.config.pretrained_path = was
        policy.before.save_pretrained(temporary)
        policy.after.save_pretrained(temporary)
        ship_language_model(policy.config, temporary, folder.resolve() / PRETRAINED)
        os.chmod(temporary, 0o755)
        shutil.rmtree(folder / PRETRAINED, ignore_errors=True)
        os.replace(temporary, folder / PRETRAINED)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    state = {
        "rename": dict(policy.names.rename),
        "low": policy.low,
        "high": policy.high,
        "execute": policy.execute,
        "dtype": policy.dtype,
        "seed": policy.seed,
    }
    save_state(folder, NAME, state)
    atomic.write_text(folder / "policy.yaml", "_target_: robo_reward.policies.vla.lerobot_policy.load_lerobot_policy\n")


def load_policy(folder: Path) -> LeRobotPolicy:
    """Reads what ``save_policy`` wrote."""
    from robo_reward.policies.vla.features import Names
    from robo_reward.policies.vla.lerobot_policy import LeRobotPolicy

    state = load_state(folder, NAME)
    config = read_config(folder / PRETRAINED)
    before, after = load_processors(config, folder / PRETRAINED)
    return LeRobotPolicy(
        load_weights(config, folder / PRETRAINED),
        before,
        after,
        Names(state["rename"]),
        state["low"],
        state["high"],
        execute=state["execute"],
        dtype=state["dtype"],
        seed=state["seed"],
    )


def find_pretrained(path: str) -> tuple[str, dict[str, Any]]:
    """LeRobot's checkpoint that ``path`` means, and what our own run says besides.

    ``path``: a checkpoint folder, a folder of ours that holds one (a run, its ``policy``), or a hub id.
    """
    given = Path(path)
    if not given.exists():
        if given.is_absolute() or path.count("/") != 1:
            raise UserError(f"policy.path='{path}' is neither a folder nor a hub id (owner/name)")
        return path, {}
    for place in (given, given / PRETRAINED, given / NAME / PRETRAINED, given / "checkpoints" / "last" / PRETRAINED):
        if (place / "config.json").is_file():
            beside = place.parent
            own = load_state(beside, NAME) if (beside / f"{NAME}.json").is_file() else {}
            return str(place), own
    raise UserError(f"policy.path='{path}' holds no LeRobot policy (no config.json in it or in its {PRETRAINED})")


def read_config(path: str | Path, kind: str | None = None, device: str | None = None) -> Any:
    """The config of a checkpoint, folder or hub id.

    Raises:
        UserError: there is none, it is of an unknown type, or of another type than ``kind``.
    """
    from lerobot.configs import PreTrainedConfig

    register_policies()
    found = _type_of(str(path))
    if kind is not None and found != kind:
        raise UserError(f"policy.type={kind}, but '{path}' holds a policy of type {found}: use policy={found}")
    if found not in PreTrainedConfig.get_known_choices():
        raise unknown_name("type of LeRobot policy", found, PreTrainedConfig.get_known_choices())
    config = PreTrainedConfig.from_pretrained(str(path))
    if device is not None:
        config.device = device
    use_shipped(config, Path(path))
    return config


def load_weights(config: Any, path: str | Path) -> Any:
    """A checkpoint's policy, evaluating; LoRA adapters are merged.

    Raises:
        UserError: the weights do not fit the config, or neither cache nor hub has what they build on.
    """
    from lerobot.policies.factory import get_policy_class

    if (Path(path) / ADAPTERS).is_file():
        return _adapted(config, Path(path))
    try:
        with models_found(config, path):
            policy = get_policy_class(config.type).from_pretrained(str(path), config=config, strict=True)
        _check_read(policy, Path(path))
        return policy
    except (RuntimeError, FileNotFoundError, KeyError) as error:
        said = " ".join(str(error).split())[:300]
        raise UserError(f"the weights in '{path}' do not fit its config ({said}): it is damaged") from error


def _adapted(config: Any, path: Path) -> Any:
    """The policy that adapters (lerobot-train --peft.method_type=LORA) belong to, with them merged into its weights."""
    try:
        from peft import PeftModel
    except ImportError as error:
        raise MissingExtra(error.name or "peft", "vla", f"the adapters in '{path}'") from error
    base = (_read_json(str(path), ADAPTERS) or {}).get("base_model_name_or_path")
    if not base or not (path / "adapter_model.safetensors").is_file():
        raise UserError(
            f"'{path}' holds adapters, but does not say of which policy, or lacks adapter_model.safetensors"
        )
    try:
        adapted = PeftModel.from_pretrained(load_weights(config, str(base)), str(path))
        policy = adapted.merge_and_unload()
    except (RuntimeError, ValueError, KeyError) as error:
        raise UserError(f"the adapters in '{path}' do not fit the policy in '{base}': {error}") from error
    policy.config.use_peft = False
    return policy.eval()


def _check_read(policy: Any, path: Path) -> None:
    """Some of LeRobot's policies (pi0, pi0.5) go on with random weights where a file does not fit; this does not.

    Raises:
        RuntimeError: the smallest weights of the file are not those of the policy.
    """
    import torch
    from safetensors import safe_open

    file = path / "model.safetensors"
    if not file.is_file() or policy.config.type not in UNSURE:
        return
    with safe_open(str(file), "pt") as held:
        sizes = {name: math.prod(held.get_slice(name).get_shape()) for name in held.keys()}  # noqa: SIM118
        own = policy.state_dict()
        for name in sorted(sizes, key=lambda name: (sizes[name], name))[:CHECKED]:
            there = own.get(name if name in own else f"model.{name}")
            if there is None or not torch.equal(there.cpu(), held.get_tensor(name).to(there.dtype)):
                raise RuntimeError(f"'{name}' was not read")


def load_processors(config: Any, path: str | Path, stats: dict[str, Any] | None = None) -> tuple[Any, Any]:
    """A checkpoint's pre- and postprocessor; ``stats`` replace those that it normalises with.

    Raises:
        UserError: they name code that is neither LeRobot's nor ours, or neither cache nor hub has what they build on.
    """
    with models_found(config, path):
        return _processors(config, path, stats)


def _processors(config: Any, path: str | Path, stats: dict[str, Any] | None) -> tuple[Any, Any]:
    from lerobot.policies.factory import make_pre_post_processors

    check_processors(str(path))
    if _read_json(str(path), "policy_preprocessor.json") is None:
        made: tuple[Any, Any] = make_pre_post_processors(config, dataset_stats=stats)
        return made
    inward: dict[str, Any] = {"device_processor": {"device": config.device}}
    outward: dict[str, Any] = {}
    if stats is not None:
        norm = {"stats": stats, "norm_map": config.normalization_mapping}
        inward["normalizer_processor"] = {**norm, "features": {**config.input_features, **config.output_features}}
        outward["unnormalizer_processor"] = {**norm, "features": config.output_features}
    shipped = Path(path) / LANGUAGE_MODEL
    if shipped.is_dir():
        inward["tokenizer_processor"] = {"tokenizer_name": str(shipped)}
    made = make_pre_post_processors(
        config, pretrained_path=str(path), preprocessor_overrides=inward, postprocessor_overrides=outward
    )
    return made


def check_processors(path: str) -> None:
    """Refuses processor files that name classes outside LeRobot and this package: LeRobot would import and run them."""
    for name in ("policy_preprocessor.json", "policy_postprocessor.json"):
        held = _read_json(path, name)
        for step in (held or {}).get("steps", []):
            target = str(step.get("class", ""))
            if "registry_name" not in step and not target.startswith(TRUSTED):
                raise UserError(
                    f"'{path}/{name}' wants to run '{target}', which is neither LeRobot's nor ours: refused"
                )


def _type_of(path: str) -> str:
    held = _read_json(path, "config.json")
    kind = (held or {}).get("type")
    if not isinstance(kind, str):
        raise UserError(f"'{path}' holds no LeRobot policy (no config.json with a type)")
    return kind


def _read_json(path: str, name: str) -> dict[str, Any] | None:
    """A file of a checkpoint; None where there is none."""
    file: Path | None = Path(path) / name
    if not Path(path).is_dir():
        file = _download(path, name)
    if file is None or not file.is_file():
        return None
    try:
        held = json.loads(file.read_text("utf-8"))
    except ValueError as error:
        raise UserError(f"'{file}' is damaged: {error}") from error
    return held if isinstance(held, dict) else None


def _download(hub_id: str, name: str) -> Path | None:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(hub_id, name))
    except LocalEntryNotFoundError as error:
        raise UserError(f"'{hub_id}' is not in the local cache and the hub cannot be reached: give a folder") from error
    except EntryNotFoundError:
        return None
    except HfHubHTTPError as error:
        raise UserError(f"the hub does not give '{hub_id}': {error}") from error
