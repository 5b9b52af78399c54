"""Hop labels and recursions: golden values, and that decoding undoes encoding."""

from __future__ import annotations

import itertools
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from robo_reward.errors import UserError
from robo_reward.reward_models.hops import RULES, Rule, accumulate, fuse, hop_label


def accumulate_all(hops: list[float], rule: Rule) -> list[float]:
    """Progress after each of the hops, from 0 on."""
    return list(itertools.accumulate(hops, lambda value, hop: accumulate(value, hop, rule), initial=0.0))[1:]


@pytest.mark.parametrize(
    ("before", "after", "label"), [(0.2, 0.6, 0.5), (0.6, 0.2, -2 / 3), (0, 0.3, 0.3), (1, 0.7, -0.3), (0.5, 1, 1)]
)
def test_hop_labels(before: float, after: float, label: float) -> None:
    assert float(hop_label(torch.tensor(before), torch.tensor(after))) == pytest.approx(label, abs=1e-6)


@pytest.mark.parametrize(
    ("rule", "hops", "values"),
    [
        ("remaining_gap", [0.23, 0.22, 0.15, 0.40], [0.23, 0.3994, 0.48949, 0.693694]),
        ("remaining_gap", [0.60, -0.50], [0.60, 0.40]),
        ("grm", [0.5, 0.5, -0.5, 1.0], [0.5, 0.75, 0.375, 1.0]),
        ("vlac_mix", [0.60, -0.50, 0.30], [0.60, 0.20, 0.44]),
        ("vlac_mix", [0.30, -0.50], [0.30, 0.15]),
    ],
)
def test_recursions(rule: Rule, hops: list[float], values: list[float]) -> None:
    assert accumulate_all(hops, rule) == pytest.approx(values, abs=1e-6)


def test_remaining_gap_is_clamped_where_the_paper_prints_no_clamp() -> None:
    assert accumulate(0.0, -0.5, "remaining_gap") == 0.0


@given(st.lists(st.floats(0.02, 0.98), min_size=1, max_size=20))
def test_decoding_undoes_encoding(progress: list[float]) -> None:
    truth = [0.0, *progress]
    pairs = [torch.tensor(p, dtype=torch.float64) for p in truth]
    hops = [float(hop_label(a, b)) for a, b in pairwise(pairs)]
    assert accumulate_all(hops, "grm") == pytest.approx(progress, abs=1e-5)


@given(st.floats(0, 1), st.floats(-1, 1), st.sampled_from(RULES))
def test_progress_stays_within_bounds(progress: float, hop: float, rule: Rule) -> None:
    assert 0.0 <= accumulate(progress, hop, rule) <= 1.0


@given(st.floats(0, 0.98), st.floats(0.0, 0.95))
def test_the_reciprocal_rule_undoes_a_forward_hop(progress: float, hop: float) -> None:
    there = accumulate(progress, hop, "vlac_reciprocal")
    back = accumulate(there, -hop, "vlac_reciprocal")
    assert back == pytest.approx(progress, abs=0.02 if 1 - there < 0.01 else 1e-6) or 1 - there < 0.01


def test_fusion_of_two_anchored_hops() -> None:
    forward, backward = torch.tensor([0.5, 0.0, 1.0]), torch.tensor([-0.3, -1.0, 0.0])
    assert fuse(forward, backward).tolist() == pytest.approx([0.6, 0.0, 1.0])


def test_an_unknown_rule_names_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean 'remaining_gap'"):
        accumulate(0.5, 0.1, "remaining_gaps")  # type: ignore[arg-type]
