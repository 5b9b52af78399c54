"""Settings that would make rewards NaN or mean nothing are refused, with the key, its value and the bound."""

from __future__ import annotations

from typing import Any

import pytest

from robo_reward.errors import UserError
from robo_reward.reward_models.transforms.accumulated import Accumulated
from robo_reward.reward_models.transforms.completion import Completion
from robo_reward.reward_models.transforms.conservative import Conservative
from robo_reward.reward_models.transforms.gain import Gain
from robo_reward.reward_models.transforms.gated import OutcomeGate
from robo_reward.reward_models.transforms.gold import Gold
from robo_reward.reward_models.transforms.hierarchy import Product
from robo_reward.reward_models.transforms.level import Level
from robo_reward.reward_models.transforms.min_form import MinForm
from robo_reward.reward_models.transforms.par import Par
from robo_reward.reward_models.transforms.potential import Potential
from robo_reward.reward_models.transforms.stratified import Stratified

NAN, INF = float("nan"), float("inf")
WEIGHED = [Accumulated, Completion, Conservative, Gain, Gold, Level, MinForm, OutcomeGate, Potential]


@pytest.mark.parametrize("weight", [NAN, INF, "much"])
@pytest.mark.parametrize("piece", WEIGHED)
def test_weights_are_finite(piece: Any, weight: Any) -> None:
    with pytest.raises(UserError, match=f"weight={weight} must be a finite number"):
        piece(weight=weight)


@pytest.mark.parametrize(
    ("piece", "settings", "says"),
    [
        (MinForm, {"temperature": NAN}, "temperature=nan must be a finite number of 0 or more"),
        (MinForm, {"temperature": INF}, "temperature=inf"),
        (MinForm, {"segment": 2.5}, "segment=2.5 must be a whole number of 1 or more"),
        (Gold, {"consecutive": 1.5}, "consecutive=1.5 must be a whole number of 1 or more"),
        (Gold, {"consecutive": True}, "consecutive=True"),
        (Conservative, {"members": 2.5}, "members=2.5 must be a whole number of 2 or more"),
        (Conservative, {"weight": -1}, "weight=-1 must be a finite number of 0 or more"),
        (Potential, {"chunk": 1.5}, "chunk=1.5 must be a whole number of 1 or more"),
        (Par, {"steepness": INF}, "steepness=inf must be a finite number"),
        (Level, {"conservatism": -0.5}, "conservatism=-0.5 must be a finite number of 0 or more"),
        (Level, {"conservatism": NAN}, "conservatism=nan"),
        (Completion, {"terminal": NAN}, "terminal=nan"),
        (Completion, {"penalties": {"hasty": 0.5}, "limits": {"hasty": NAN}}, "limits.hasty=nan"),
        (Product, {"factors": {"progress": [0, NAN]}}, r"factors.progress\[1\]=nan must be a finite number"),
        (Product, {"factors": {"progress": [-INF, 1]}}, r"factors.progress\[0\]=-inf"),
        (Product, {"factors": {"progress": [0, 1]}, "terminal": NAN}, "terminal=nan"),
        (Product, {"factors": {"progress": [0, 1]}, "weight": INF}, "weight=inf"),
        (Stratified, {"failure": NAN}, "failure=nan"),
        (Stratified, {"success": NAN}, "success=nan"),
    ],
)
def test_other_settings_are_what_they_stand_for(piece: Any, settings: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        piece(**settings)
