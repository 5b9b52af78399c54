"""Views that nobody named: reward and judge read what the world shows, or what the datasets share."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from fit_episodes import demonstration, fit
from hydra import compose, initialize_config_module
from omegaconf import DictConfig, OmegaConf

from robo_reward import cli
from robo_reward.data.datasets import write_dataset
from robo_reward.default_views import name_views
from robo_reward.errors import UserError
from robo_reward.runs.folder import RunFolder

CART = """
<mujoco model="cart">
  <worldbody>
    <camera name="top" pos="0 0 3"/>
    <body><joint name="rail" type="slide" axis="1 0 0"/><geom size=".1" mass="1"/></body>
  </worldbody>
  <actuator><motor joint="rail"/></actuator>
</mujoco>
"""
SIDE = "env.cameras={side: {pos: [1, 0, 1]}}"


@pytest.fixture
def cart(tmp_path: Path) -> list[str]:
    (tmp_path / "cart.xml").write_text(CART)
    return ["env=mjcf", f"env.xml={tmp_path / 'cart.xml'}"]


@pytest.fixture
def wrist(tmp_path: Path) -> Path:
    """A dataset whose only camera has a name of its own."""
    one = demonstration()
    write_dataset([replace(one, frames={"wrist": one.frames["front"]})], tmp_path / "wrist", images=True)
    return tmp_path / "wrist"


def named(verb: str, words: list[str], sources: tuple[str, ...] = ()) -> DictConfig:
    with initialize_config_module("robo_reward.configs", version_base="1.3"):
        config: DictConfig = compose(verb, words)
    OmegaConf.set_struct(config, True)
    name_views(config, sources)
    return config


@pytest.mark.parametrize(("more", "shown"), [([], "top"), ([SIDE], "side"), (["env.views=[free]"], "free")])
@pytest.mark.parametrize("verb", ["train", "fit", "audit", "adapt"])
def test_reward_and_judge_read_what_the_world_shows(verb: str, more: list[str], shown: str, cart: list[str]) -> None:
    config = named(verb, [*cart, *more, "reward_model=progress"])
    assert config.reward_model.views == config.env.views == [shown]
    assert verb != "train" or config.judge.views == [shown]


@pytest.mark.parametrize("verb", ["train", "adapt"])
def test_a_finished_run_whose_views_nobody_named_is_left_as_it_is(
    verb: str, cart: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done, words = tmp_path / "done", [*cart, "reward_model=progress"]
    if verb == "adapt":
        source = tmp_path / "source"
        with RunFolder.create("train", "cart", {"env": {}}, source, tensorboard=False):
            (source / "policy").mkdir()
            (source / "policy" / "policy.yaml").touch()
        words.append(f"run={source}")
    with RunFolder.create(verb, "cart", named(verb, words), done, tensorboard=False):
        pass
    assert cli.run([verb, *words, f"run_dir={done}", "resume=true"]) == 0
    assert "is finished: there is nothing to resume" in capsys.readouterr().out


def test_members_of_an_ensemble_read_it_too_and_what_is_named_stays(cart: list[str]) -> None:
    config = named("train", [*cart, SIDE, "reward_model=ensemble", "reward_model.models.second.views=[top]"])
    assert config.reward_model.models.first.views == config.judge.views == ["side"]
    assert config.reward_model.models.second.views == ["top"]


def test_a_world_is_not_made_where_all_views_are_named() -> None:
    config = named("train", ["env=mjcf", "env.xml=/nowhere.xml", "env.views=[top]"])
    assert config.judge.views == ["top"]
    with pytest.raises(UserError, match="env=none has no simulator"):
        named("train", ["env=none"])


@pytest.mark.parametrize("verb", ["train", "fit"])
def test_a_world_without_an_expert_is_told_first(
    verb: str, cart: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run([verb, *cart, SIDE, f"run_dir={tmp_path / 'run'}"]) == 2
    told = capsys.readouterr().err
    assert "'mjcf/cart' has no scripted expert" in told
    assert "collect teleop=keyboard" in told
    assert "data=" in told


def test_collect_without_an_expert_names_teleop(
    cart: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["collect", *cart, f"data_dir={tmp_path / 'data'}"]) == 2
    assert "teleop=keyboard" in capsys.readouterr().err


def test_datasets_that_share_no_view_are_listed(
    right: Path, wrist: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fit([f"data=[{right},{wrist}]"], tmp_path / "run") == 2
    told = capsys.readouterr().err
    assert f"'{right}' has front, top; '{wrist}' has wrist" in told
    assert "env.views" not in told


@pytest.mark.parametrize("verb", ["train", "audit"])
def test_verbs_of_one_dataset_refuse_several(
    verb: str, cart: list[str], right: Path, left: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cart += ["transform=level"] if verb == "train" else []
    words = [*cart, "reward_model=progress", f"data=[{right},{left}]", f"run_dir={tmp_path / 'run'}"]
    assert cli.run([verb, *words]) == 2
    told = capsys.readouterr().err
    assert f"data=[{right},{left}] names 2 datasets, and this verb takes one" in told
    assert "fit takes several" in told
