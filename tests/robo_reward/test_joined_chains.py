"""``transform=[a,b]``: chains one after another, never the last one alone."""

from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

from robo_reward.build import build_transforms
from robo_reward.cli import run
from robo_reward.cli.joined_chains import joined
from robo_reward.errors import UserError


def composed(*words: str, config_dir: str | None = None) -> Any:
    with initialize_config_module("robo_reward.configs", version_base="1.3"):
        config = compose("train", joined("train", words, config_dir))
    return config


def plain(chain: Any) -> Any:
    return OmegaConf.to_container(chain, resolve=True)


def pieces(config: Any) -> list[str]:
    return [str(piece["_target_"]).rpartition(".")[2] for piece in config.transform.chain]


def test_chains_are_joined_in_the_order_of_their_names() -> None:
    assert pieces(composed("transform=[level,potential]")) == ["Level", "Gold", "Potential"]
    assert pieces(composed("transform=[potential, level]")) == ["Gold", "Potential", "Level"]
    assert pieces(composed("transform=[ 'level' ]")) == ["Level"]


def test_pieces_are_those_of_their_yaml_files_and_interpolations_are_resolved_where_they_land() -> None:
    both = composed("transform=[potential,min_form]", "learner.sac.gamma=0.9").transform.chain
    apart = [
        composed(f"transform={name}", "learner.sac.gamma=0.9").transform.chain for name in ("potential", "min_form")
    ]
    assert plain(both) == [piece for chain in apart for piece in plain(chain)]
    assert both[1].gamma == 0.9
    assert len(build_transforms(composed("transform=[potential,level]").transform)) == 3


def test_other_words_are_left_alone() -> None:
    words = [
        "env.views=[corner2,gripperPOV]",
        "evaluation_seeds=[1,2]",
        "transform=level",
        "experiment=[a,b]",
        "+new=[1]",
    ]
    assert joined("train", words) == words


@pytest.mark.parametrize("word", ["learner=[rlpd,ppo]", "env=[metaworld,quadruped]", "transform=[]"])
def test_of_other_groups_one_is_chosen(word: str) -> None:
    with pytest.raises(UserError, match="choose one"):
        joined("train", [word])


def test_an_unknown_transform_in_the_list_is_named() -> None:
    with pytest.raises(UserError, match="unknown transform 'clipp'; did you mean 'clip'"):
        joined("train", ["transform=[level,clipp]"])


def test_a_folder_of_ones_own_is_looked_into_first(tmp_path: Path) -> None:
    (tmp_path / "transform").mkdir()
    mine = tmp_path / "transform" / "mine.yaml"
    mine.write_text('chain:\n  - {_target_: my.Piece, name: "it\'s", size: 1.0e-3, flag: true, none: null}\n')
    word = joined("train", ["transform=[level,mine]"], str(tmp_path))[1]
    chain = composed("transform=level", word).transform.chain
    assert plain(chain)[1] == {
        "_target_": "my.Piece",
        "name": "it's",
        "size": 1e-3,
        "flag": True,
        "none": None,
    }


def test_an_impossible_order_is_refused_with_its_reason(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code = run(["train", "reward_model=progress", "transform=[potential,par]", f"run_dir={tmp_path / 'run'}"])
    assert code == 2
    assert "Potential" in capsys.readouterr().err
