"""Instructions as vectors: alike for alike wordings, unit length, the same on every machine."""

import re
import string

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robo_reward.errors import UserError
from robo_reward.reward_models.instruction import SIZE, KnownInstructions, different_instructions, embed_instruction
from robo_reward.wording import words


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


@given(st.text(alphabet=string.printable, max_size=60))
def test_ascii_words_are_what_stored_models_were_fitted_with(text: str) -> None:
    assert words(text) == re.findall(r"[a-z0-9]+", text.lower())


@pytest.mark.parametrize(
    ("text", "other"), [("打开抽屉", "关上抽屉"), ("открыть ящик", "закрыть ящик"), ("दराज़ खोलो", "दराज़ बंद करो")]
)
def test_every_script_has_vectors(text: str, other: str) -> None:
    one, two = embed_instruction(text), embed_instruction(other)
    assert np.linalg.norm(one) == pytest.approx(1, abs=1e-5)
    assert not np.array_equal(one, two)
    assert np.array_equal(embed_instruction(f"{text.upper()}!"), one)


def test_composed_and_combined_letters_are_one_word() -> None:
    assert words("O\u0308ffne die Tu\u0308r.") == words("Öffne die Tür") == ["öffne", "die", "tür"]


def test_instructions_that_only_the_order_of_words_tells_apart_are_refused() -> None:
    left, right = "stack the left bowl on the right bowl", "stack the right bowl on the left bowl"
    with pytest.raises(UserError, match=f"'{left}' and '{right}' cannot be told apart.*reword"):
        different_instructions([right, "open the drawer", left])
    spelled = ["open the drawer", "Open the drawer.", "close the drawer"]
    assert different_instructions(spelled) == ["Open the drawer.", "close the drawer"]


def test_an_unknown_instruction_is_taken_for_the_nearest_one() -> None:
    known = KnownInstructions(["open the drawer", "push the puck to the goal"])
    assert [known.of(t) for t in ("Open the DRAWER", "open the top drawer", "push a puck")] == [0, 0, 1]
    assert [known.exact(t) for t in ("Open the DRAWER", "the drawer, open", "push a puck")] == [0, None, None]
    assert KnownInstructions(["open the drawer"]).of("关上抽屉") == 0
