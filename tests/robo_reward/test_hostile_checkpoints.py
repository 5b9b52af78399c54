"""Downloaded folders that want to run programs, or hold what does not fit: a clear refusal, and nothing was run."""

from __future__ import annotations

import json
import shutil
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from omegaconf import OmegaConf

from robo_reward.build import (
    build_reward_model,
    check_policy_fits,
    load_policy,
    load_reward_model,
    load_world,
    save_reward_model,
)
from robo_reward.contract_tests import moving_square
from robo_reward.errors import UserError
from robo_reward.line_world import LineWorld
from robo_reward.runs.checkpoint import load_tensors, save_tensors

RECIPE = {
    "_target_": "robo_reward.reward_models.progress.ProgressModel",
    "views": ["front"],
    "stride": 1,
    "members": 1,
    "refit_steps": 2,
    "fit": {"_target_": "robo_reward.reward_models.progress_fit.FitSettings", "steps": 3},
}


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    model = build_reward_model(RECIPE)
    model.fit([moving_square(0)], [moving_square(1, source="random")], 0)  # type: ignore[attr-defined]
    folder = tmp_path_factory.mktemp("good") / "reward_model"
    save_reward_model(model, OmegaConf.create(RECIPE), folder)
    return folder


@pytest.fixture
def copy(good: Path, tmp_path: Path) -> Path:
    shutil.copytree(good, tmp_path / "model")
    return tmp_path / "model"


def recipe(folder: Path, said: Any) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "model.yaml").write_text(said if isinstance(said, str) else OmegaConf.to_yaml(OmegaConf.create(said)))
    return folder


def test_the_honest_one_loads(copy: Path) -> None:
    assert load_reward_model(copy).needs.views == ("front",)


# --- recipes that run programs ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said",
    [
        {"_target_": "os.system", "command": "touch {mark}"},
        {"_target_": "subprocess.check_call", "args": ["touch", "{mark}"]},
        {"_target_": "builtins.exec", "_args_": ["open('{mark}', 'w')"]},
        {"_target_": "pathlib.Path.touch", "_args_": ["{mark}"]},
        {**RECIPE, "fit": {"_target_": "os.system", "command": "touch {mark}"}},
        {**RECIPE, "views": [{"_target_": "subprocess.getoutput", "cmd": "touch {mark}"}]},
        # reachable through our own modules, but not ours
        {"_target_": "robo_reward.reward_models.remote.spawn.subprocess.check_call", "args": ["touch", "{mark}"]},
        {"_target_": "robo_reward.reward_models.remote.spawn.os.system", "command": "touch {mark}"},
        # ours, but nothing that a reward is made of
        {"_target_": "robo_reward.runs.atomic.write_text", "path": "{mark}", "text": "x"},
        {"_target_": "robo_reward.reward_models.remote.address.remove", "address": None},
        {
            "_target_": "robo_reward.reward_models.remote.client.connect_remote",
            "_recursive_": False,
            "spawn": {"_target_": "os.system", "command": "touch {mark}"},
        },
        {
            "_target_": "robo_reward.reward_models.ensemble.make_ensemble",
            "_recursive_": False,
            "models": {"a": {"_target_": "os.system", "command": "touch {mark}"}},
        },
        {"_target_": "robo_reward.reward_models.remote.client.connect_remote", "spawn": {}, "python": "{mark}"},
    ],
    ids=lambda said: str(said["_target_"]).rpartition(".")[2],
)
def test_recipes_that_run_something_are_refused_and_nothing_ran(said: Any, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    folder = recipe(tmp_path / "model", json.dumps(said).replace("{mark}", str(mark)))
    with pytest.raises(UserError, match=r"model.yaml' wants to .*ROBO_REWARD_TRUST="):
        load_reward_model(folder)
    with pytest.raises(UserError, match=r"model.yaml' wants to "):
        build_reward_model({**RECIPE, "path": str(folder)})
    assert not mark.exists()


def test_an_interpolation_that_hides_a_target_is_refused(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    hidden = "\\\\${oc.create:'{_target_: os.system, command: touch " + str(mark) + "}'}"
    folder = recipe(tmp_path / "model", f'_target_: {RECIPE["_target_"]}\nviews: [front]\nfit: "{hidden}"\n')
    with pytest.raises(UserError, match=r"interpolation|cannot be read|wants to run"):
        load_reward_model(folder)
    assert not mark.exists()


@pytest.mark.parametrize(
    "said", ["[1, 2]", "just words", "a: [", "_target_: 3", "!!python/object/apply:os.getcwd []", ""]
)
def test_recipes_that_say_nothing_are_refused(said: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot be read|nothing that can be built"):
        load_reward_model(recipe(tmp_path / "model", said))
    with pytest.raises(UserError, match=r"cannot be read|nothing that can be built"):
        load_reward_model(tmp_path / "model", changes={"oracle": "success"})


def test_what_is_no_reward_model_is_refused(tmp_path: Path) -> None:
    said = {"_target_": "robo_reward.reward_models.progress_fit.FitSettings"}
    with pytest.raises(UserError, match="FitSettings, which is no reward model"):
        load_reward_model(recipe(tmp_path / "model", said))


MINE = """
import os
from robo_reward.line_world import LineReward
class Mine(LineReward):
    pass
"""


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    (tmp_path / "my_rewards_here.py").write_text(MINE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "my_rewards_here", raising=False)
    return {"_target_": "my_rewards_here.Mine"}


def test_a_third_partys_model_is_loaded_once_it_is_trusted(
    mine: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = recipe(tmp_path / "model", mine)
    with pytest.raises(UserError, match="ROBO_REWARD_TRUST=my_rewards_here"):
        load_reward_model(folder)
    assert "my_rewards_here" not in sys.modules, "it was not even imported"
    assert type(load_reward_model(folder, ("my_rewards_here",))).__name__ == "Mine"
    assert type(build_reward_model({**mine, "path": str(folder)})).__name__ == "Mine", "named in the user's own yaml"
    assert type(build_reward_model({**RECIPE, "path": str(folder), "trust": ["my_rewards_here"]})).__name__ == "Mine"
    recipe(folder, {"_target_": "my_rewards_here.os.getcwd"})
    with pytest.raises(UserError, match="wants to run"):
        load_reward_model(folder, ("my_rewards_here",))
    recipe(folder, mine)
    monkeypatch.setenv("ROBO_REWARD_TRUST", "other,my_rewards_here")
    assert type(load_reward_model(folder)).__name__ == "Mine"


def test_policies_and_worlds_of_downloaded_runs_are_checked_alike(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text("_target_: os.mkdir\n")
    with pytest.raises(
        UserError, match=r"policy.yaml' wants to run 'os.mkdir', which is no part of robo_reward.policies"
    ):
        load_policy(tmp_path)
    world = OmegaConf.create({"_target_": "os.system", "command": "true"})
    with pytest.raises(UserError, match=r"config.yaml' wants to run 'os.system'"):
        load_world(world, tmp_path / "config.yaml")


# --- weights ----------------------------------------------------------------------------------------------------------


PICKLE = b"\x80\x02cbuiltins\nexec\n(Vraise SystemExit('a pickle was run')\ntR."
"""Bytes that raise when they are unpickled."""


def as_pickle(path: Path) -> None:
    path.write_bytes(PICKLE)


def as_torch_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", PICKLE)


@pytest.mark.parametrize("write", [as_pickle, as_torch_zip])
def test_a_pickle_under_the_name_of_safetensors(copy: Path, write: Callable[[Path], None]) -> None:
    write(copy / "reward_model.tensors.safetensors")
    with pytest.raises(UserError, match="not a whole safetensors file but a pickle, which could run any program"):
        load_reward_model(copy)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "weights.pt", "model.pkl"])
def test_pickled_weights_in_place_of_ours(copy: Path, name: str) -> None:
    for file in copy.glob("reward_model*"):
        file.unlink()
    as_pickle(copy / name)
    with pytest.raises(UserError, match=f"'{name}' may be a pickle.*only safetensors files are read"):
        load_reward_model(copy)


@pytest.mark.parametrize("kept", [0, 5, 100, -10])
def test_truncated_weights(copy: Path, kept: int) -> None:
    file = copy / "reward_model.tensors.safetensors"
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(UserError, match="not a whole safetensors file"):
        load_reward_model(copy)


@pytest.mark.parametrize(
    "said",
    [
        "[" * 200_000,
        '{"dict": [["net", {"tensor": "77777"}]]}',
        '{"dict": 3}',
        '{"list": [{"a": 1, "b": 2}]}',
        '{"exec": "1"}',
        '{"tensor": []}',
        "\udcff",
        "null",
    ],
    ids=range(8),
)
def test_a_structure_that_makes_no_sense(copy: Path, said: str) -> None:
    (copy / "reward_model.json").write_bytes(said.encode("utf-8", "surrogateescape"))
    with pytest.raises(UserError, match=r"damaged|another version|does not fit"):
        load_reward_model(copy)


def test_weights_of_other_shapes(copy: Path) -> None:
    path = copy / "reward_model.tensors.safetensors"
    tensors = load_tensors(path)
    name, tensor = next((n, t) for n, t in tensors.items() if t.dim() == 2)
    save_tensors(path, {**tensors, name: torch.zeros(tensor.shape[0] + 1, 3)})
    with pytest.raises(UserError, match=r"does not fit the class that its yaml names .*size mismatch"):
        load_reward_model(copy)


def test_weights_of_another_class_and_settings_it_does_not_take(copy: Path) -> None:
    recipe(copy, {**RECIPE, "members": 4})
    with pytest.raises(UserError, match="does not fit the class"):
        load_reward_model(copy)
    recipe(copy, {**RECIPE, "colour": "red"})
    with pytest.raises(UserError, match=r"does not fit the class .*colour"):
        load_reward_model(copy)


def test_weights_for_other_views(copy: Path) -> None:
    recipe(copy, {**RECIPE, "views": ["wrist"]})
    with pytest.raises(UserError, match=r"fitted on views \['front'\], the configuration asks for \['wrist'\]"):
        load_reward_model(copy)


def test_a_policy_for_other_actions_or_states(tmp_path: Path) -> None:
    from stable_baselines3.common.policies import BasePolicy

    from robo_reward.policies.sb3_policy import Sb3Network, Sb3Policy, make_net

    network = Sb3Network("ppo", (4,), "tanh")

    def saved(name: str, states: int, actions: int) -> Path:
        net: BasePolicy = make_net(network, states, spaces.Box(-1, 1, (actions,), np.float32))
        (tmp_path / name).mkdir()
        Sb3Policy(net, network).save(tmp_path / name)
        return tmp_path / name

    world = LineWorld()  # states of size 2, actions of size 1
    check_policy_fits(saved("fits", 2, 1), world)
    with pytest.raises(UserError, match=r"'line' has states of size 2 and actions of size 1, it gives actions"):
        check_policy_fits(saved("actions", 2, 6), world)
    with pytest.raises(UserError, match=r"'line' has states of size 2 .* cannot act on them"):
        check_policy_fits(saved("states", 9, 1), world)
    cut = saved("cut", 2, 1)
    (cut / "policy.tensors.safetensors").write_bytes(b"\x80\x04.")
    with pytest.raises(UserError, match="a pickle, which could run any program"):
        load_policy(cut)


def test_the_command_line_says_so_and_exits_with_2(
    copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from robo_reward import cli

    recipe(copy, {"_target_": "os.mkdir", "path": str(tmp_path / "mark")})
    assert cli.run(["serve", f"reward_model.path={copy}", f"address={tmp_path / 's'}"]) == 2
    assert "wants to run 'os.mkdir'" in capsys.readouterr().err
    assert not (tmp_path / "mark").exists()
