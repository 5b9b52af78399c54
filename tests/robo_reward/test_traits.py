"""What models say of themselves: told, read, joined."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from robo_reward.line_world import LineReward
from robo_reward.traits import Traits, joined_traits, read_traits, traits_of


class Judge(LineReward):
    prices, knows_progress, reads_instructions, threshold = True, False, True, 0.75


def test_a_model_that_says_nothing_has_the_defaults() -> None:
    assert traits_of(object()) == Traits() == read_traits(None) == read_traits({"needs": 3})


def test_what_is_said_is_told_and_read_back() -> None:
    said = traits_of(Judge())
    assert said == Traits(knows_progress=False, reads_instructions=True, threshold=0.75, gives_hops=False)
    assert read_traits(said.as_json()) == said


@pytest.mark.parametrize("threshold", ["high", True, float("nan"), None, [0.5]])
def test_what_is_not_of_its_type_was_not_said(threshold: Any) -> None:
    assert read_traits({"threshold": threshold, "knows_progress": "no"}) == Traits()
    assert read_traits({"threshold": np.float32(0.5)}) == Traits(threshold=0.5)


@pytest.mark.parametrize("count", [0, -1, 2.0, True, "two"])
def test_a_number_of_opinions_is_whole_and_positive(count: Any) -> None:
    assert read_traits({"spread_of": count}) == Traits()
    assert read_traits(Traits(spread_of=3).as_json()) == Traits(spread_of=3)
    assert joined_traits([Traits(spread_of=3)] * 2) == Traits()


def test_joined_traits() -> None:
    """A question is spared only where nobody could answer it; a threshold needs all of them."""
    alone, plain = Traits(knows_progress=False, threshold=0.7, gives_match=False), Traits(reads_instructions=True)
    assert joined_traits([alone]) == alone
    assert joined_traits([alone, plain]) == Traits(reads_instructions=True)
    sure = Traits(knows_progress=False, knows_success=False, threshold=0.9, gives_match=True)
    assert joined_traits([alone, sure]) == Traits(knows_progress=False, threshold=0.9, gives_match=True)
