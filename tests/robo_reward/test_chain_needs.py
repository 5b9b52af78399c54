"""What a chain needs of the reward model: a match to pay for, members to be conservative by."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from robo_reward.cli import run
from robo_reward.errors import UserError
from robo_reward.line_world import LineReward
from robo_reward.reward_models.ensemble import Ensemble
from robo_reward.reward_models.progress import ProgressModel
from robo_reward.reward_models.transforms.conservative import Conservative
from robo_reward.reward_models.transforms.level import Level
from robo_reward.reward_stack import RewardStack
from robo_reward.traits import traits_of

WORST, WEIGHTED = [Conservative("worst_case", members=3), Level()], [Conservative(), Level()]


def saying(spread_of: Any) -> LineReward:
    model = LineReward()
    model.spread_of = spread_of  # type: ignore[attr-defined]
    return model


def test_a_worst_case_is_that_of_the_models_own_members() -> None:
    RewardStack(saying(3), WORST)
    with pytest.raises(UserError, match=r"has 10: set transform\.chain\.0\.members=10"):
        RewardStack(saying(10), WORST)
    with pytest.raises(UserError, match="is not known to be their deviation"):
        RewardStack(LineReward(), WORST)
    with pytest.raises(UserError, match=r"transform=level reward_model=ensemble reward_model\.rule=worst"):
        RewardStack(Ensemble({"a": saying(3), "b": saying(3)}), WORST)


def test_there_is_nothing_to_be_conservative_by_without_disagreement() -> None:
    for chain in (WORST, WEIGHTED):
        with pytest.raises(UserError, match="its uncertainty is always 0"):
            RewardStack(saying(1), chain)
    for model in (saying(3), saying(None), saying(0), saying("many"), saying(True)):
        RewardStack(model, WEIGHTED)
    RewardStack(saying(1), [Level()])


def test_progress_says_how_many_members_it_has() -> None:
    assert traits_of(ProgressModel(views=["front"], members=4)).spread_of == 4
    assert traits_of(ProgressModel(views=["front"], members=4, head="milestones")).spread_of is None
    assert traits_of(ProgressModel(views=["front"], members=1, head="milestones")).spread_of == 1
    RewardStack(ProgressModel(views=["front"], members=3), WORST)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["reward_model=progress", "transform=worst_case", "transform.chain.0.members=7"], "members=3"),
        (["reward_model=progress", "transform=conservative", "reward_model.members=1"], "always 0"),
        (["reward_model=success_classifier", "transform=worst_case"], "is not known to be their deviation"),
        (["reward_model=env_dense", "learner=ppo", "transform=conservative"], "always 0"),
    ],
)
def test_train_refuses_conservatism_that_would_be_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], says: str
) -> None:
    assert run(["train", *words, f"run_dir={tmp_path / 'run'}"]) == 2
    assert says in " ".join(capsys.readouterr().err.split())
