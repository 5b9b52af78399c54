"""Instructions as vectors: alike for alike wordings, unit length, the same on every machine."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robo_reward.reward_models.instruction import SIZE, embed_instruction


@given(st.text(alphabet="abcdefgh 123", min_size=1, max_size=40))
def test_vectors_have_unit_length_or_none(text: str) -> None:
    vector = embed_instruction(text)
    assert vector.shape == (SIZE,)
    assert vector.dtype == np.float32
    # trigrams of opposite sign may cancel, which leaves nothing
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5) or not vector.any()


def test_case_punctuation_and_order_do_not_matter() -> None:
    plain = embed_instruction("open the drawer")
    np.testing.assert_array_equal(embed_instruction("Open the DRAWER!"), plain)
    np.testing.assert_allclose(embed_instruction("the drawer, open"), plain, atol=1e-6)


def test_alike_wordings_are_nearer_than_other_tasks() -> None:
    task = embed_instruction("open the drawer")
    alike, other = embed_instruction("open the top drawer"), embed_instruction("push the puck to the goal")
    assert task @ alike > 0.7
    assert task @ other < 0.7 * (task @ alike)


def test_nothing_said_is_the_zero_vector() -> None:
    assert not embed_instruction(" ... ").any()


def test_the_code_never_changes_between_versions() -> None:
    # a stored reward model depends on it: 'go' is ^go and go$, one trigram each
    vector = embed_instruction("go")
    assert np.count_nonzero(vector) == 2
    assert np.abs(vector[vector != 0]).tolist() == pytest.approx([0.5**0.5] * 2)
