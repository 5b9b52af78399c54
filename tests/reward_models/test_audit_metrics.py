"""The audit's numbers, against values done by hand and by counting."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robo_reward.reward_models.audit.metrics import (
    auroc,
    concordance,
    expected_calibration_error,
    false_positive_rate,
    label_errors,
    mean_or_none,
    negative_rate,
    policy_ranking,
    progress_label,
    success_threshold,
    value_order_correlation,
)

SCORES = st.lists(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]), min_size=1, max_size=12)


def test_value_order_by_hand() -> None:
    assert value_order_correlation([0.1, 0.2, 0.9]) == pytest.approx(1)
    assert value_order_correlation([3, 2, 1]) == pytest.approx(-1)
    # ranks 1 3 2 4 against 1 2 3 4: 1 - 6 * 2 / (4 * 15) = .8
    assert value_order_correlation([0, 2, 1, 3]) == pytest.approx(0.8)


def test_constant_and_short_predictions_count_as_nothing() -> None:
    assert value_order_correlation([0.5] * 9) == 0.0
    assert value_order_correlation([0.5]) == 0.0


@given(st.lists(st.integers(0, 50), min_size=2, max_size=20, unique=True))
def test_value_order_sees_ranks_only_and_turns_with_time(values: list[int]) -> None:
    order = value_order_correlation(values)
    assert order == pytest.approx(value_order_correlation(np.exp(np.asarray(values) / 10)))
    assert order == pytest.approx(-value_order_correlation(values[::-1]))


def test_concordance_counts_only_what_differs() -> None:
    assert concordance([0, 0, 0, 0.5, 1]) == 1
    assert concordance([1, 1, 0]) == -1
    assert concordance([0.5] * 4) == 0
    # pairs of 0 .5 .25 1 that differ: five rise, one falls
    assert concordance([0, 0.5, 0.25, 1]) == pytest.approx(4 / 6)
    assert concordance([0.3, 0.31]) == 0


def test_policies_that_are_nearly_equal_have_no_order() -> None:
    quality = {"a": 0.0, "b": 9.9, "c": 10.0}
    assert policy_ranking({"a": 0.0, "b": 1.0, "c": 0.99}, quality) == 1
    # a against b and c is right, b against c is said to differ where it does not: 2 / sqrt(3 * 2)
    assert policy_ranking({"a": 0.0, "b": 1.0, "c": 0.5}, quality) == pytest.approx(2 / np.sqrt(6))


def test_auroc_by_hand() -> None:
    # pairs (.9 > .1), (.9 > .5), (.5 > .1), (.5 = .5): 3.5 of 4
    assert auroc([0.9, 0.5], [0.1, 0.5]) == 0.875
    assert auroc([1, 1], [0, 0]) == 1
    assert math.isnan(auroc([], [1]))
    assert math.isnan(auroc([1], []))


@given(SCORES, SCORES)
def test_auroc_is_the_share_of_pairs(positive: list[float], negative: list[float]) -> None:
    pairs = [(p > n) + 0.5 * (p == n) for p in positive for n in negative]
    assert auroc(positive, negative) == pytest.approx(np.mean(pairs))
    assert auroc(positive, negative) == pytest.approx(1 - auroc(negative, positive))


def test_the_mean_of_nothing_is_none() -> None:
    assert mean_or_none([]) is None
    assert mean_or_none([1.0, 2.0]) == 1.5


def test_thresholds_and_false_positives_by_hand() -> None:
    assert success_threshold([0.9, 0.8, 0.7, 0.6], recall=0.75) == 0.7
    # calibrated on .9 and .7 alone: .7; two of four negatives reach it
    assert false_positive_rate([0.9, 0.1, 0.7, 0.1], [0.7, 0.8, 0.6, 0]) == 0.5
    assert false_positive_rate([], [1]) is None


def test_labels_and_their_errors_by_hand() -> None:
    assert [progress_label(p, False) for p in (0, 0.2, 0.5, 0.95)] == [1, 2, 3, 4]
    assert progress_label(0.5, True) == 5
    # read as 5, 1, 3 against 5, 5, 1: errors 0 and 4 for label 5, 2 for label 1
    errors = label_errors([1, 0, 0.5], [5, 5, 1])
    assert errors == {"mae_micro": pytest.approx(2), "mae_macro": pytest.approx(2)}
    assert label_errors([1, 1, 0.5], [5, 5, 1])["mae_macro"] == 1
    assert label_errors([], []) == {"mae_micro": None, "mae_macro": None}


def test_calibration_by_hand() -> None:
    # bin of .1: share 1/2, |.1 - 0|; bin of .9: share 1/2, |.9 - .5|
    assert expected_calibration_error([0.1, 0.1, 0.9, 0.9], [0, 0, 0, 1]) == pytest.approx(0.05 + 0.2)
    assert expected_calibration_error([1, 0], [1, 0]) == 0
    assert expected_calibration_error([], []) is None


def test_ranking_and_negative_rate_by_hand() -> None:
    quality = {"a": 0.0, "b": 0.5, "c": 1.0}
    assert policy_ranking({"a": 0.1, "b": 0.2, "c": 0.3}, quality) == pytest.approx(1)
    assert policy_ranking({"a": 0.1, "b": 0.3, "c": 0.2}, quality) == pytest.approx(1 / 3)
    assert policy_ranking({"a": 1, "b": 1, "c": 1}, quality) == 0
    assert policy_ranking({"a": 0.1, "b": 0.2}, {"a": 1, "b": 1}) is None
    assert negative_rate([0.1, -0.1, 0, -0.2]) == 0.5
