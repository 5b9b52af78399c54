"""An answer is read where it is one verdict, through its log-probabilities as through its text, and else counted."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from robo_reward import contract_tests as contract
from robo_reward.reward_models.judges import rubric, topreward
from robo_reward.reward_models.judges.chat_reply import choice_in
from robo_reward.reward_models.judges.gvl import CLOSING, read_percentages
from robo_reward.reward_models.judges.openai_server import OpenAIServer
from robo_reward.reward_models.judges.rubric import KEYWORD, LEVELS, written_verdict
from robo_reward.reward_models.judges.topreward import ANSWERS, LEAD, TOPReward
from robo_reward.reward_models.judges.vlm_judge import VlmJudge
from robo_reward.reward_models.step_prm import grm_prompt

from .judge_server import JudgeServer, send

LEVEL_ANSWERS: list[tuple[str, str | None]] = [
    ("ANSWER: 4", "4"),
    ("ANSWER:4.", "4"),
    ("**ANSWER**: **4**", "4"),
    ("answer:\n4", "4"),
    ("ANSWER: <4>", "4"),
    ("ANSWER: _4_", "4"),
    ("4", "4"),
    (" 4.\n", "4"),
    ("4\nThe robot is near.", "4"),
    ("4 of 5", "4"),
    ("ANSWER: **4** out of 5", "4"),
    ("ANSWER: 4/5", "4"),
    ("ANSWER: 4 (one thing is missing)", "4"),
    ("ANSWER: 4 because it is near", "4"),
    ("ANSWER: 4 - almost: 90% done", "4"),
    ("ANSWER: 4\n\nAll but 2 of the 3 cups stand.", "4"),
    ("It is 2 or 3. 1 cup stands. ANSWER: 4", "4"),
    ("ANSWER: 2? No.\nRather ANSWER: 4", "4"),
    ("ANSWER: <1, 2, 3, 4 or 5>\nANSWER: 4", "4"),
    ("ANSWER: 4\nANSWER: 4", "4"),
    ("ANSWER: <1, 2, 3, 4 or 5>", None),
    ("ANSWER: 1, 2, 3, 4 or 5", None),
    ("ANSWER: 1 2 3", None),
    ("ANSWER: 3-4", None),
    ("ANSWER: 3 or 4", None),
    ("ANSWER: 3/4", None),
    ("ANSWER: 4 (or 5)", None),
    ("ANSWER: 2\nANSWER: 5", None),
    ("ANSWER: 2\nor\nANSWER: 5", None),
    ("ANSWER: 2, no, ANSWER: 5", None),
    ("ANSWER: 50", None),
    ("ANSWER: 100%", None),
    ("ANSWER: 5 %", None),
    ("ANSWER: 4.5", None),
    ("ANSWER: .5", None),
    ("ANSWER: -3", None),
    ("ANSWER: 5 apples", None),
    ("ANSWER: 4 (1 block missing)", "4"),
    ("ANSWER: 4, because 1 of 2 blocks is placed", "4"),
    ("ANSWER: 4 out of 5 - 1 thing is missing", "4"),
    ("ANSWER: 3 - 4", None),
    ("ANSWER: 3 (or 4)", None),
    ("ANSWER: 3, maybe 4", None),
    ("ANSWER: 4 - 10", None),
    ("ANSWER: ", None),
    ("5 objects are visible, the drawer is shut.", None),
    ("I do not know. 1 thing is sure: nothing", None),
    ("1\n2\n3", None),
    ("1: nothing that matters\n2: a small change", None),
    (rubric.RUBRIC, None),
    (rubric.AGAIN, None),
]
TRUTHS: list[tuple[str, str | None]] = [
    ("ANSWER: True", "True"),
    ("ANSWER: true", "True"),
    ("ANSWER: **FALSE**", "False"),
    ("True.", "True"),
    ("ANSWER: False. The drawer is shut.", "False"),
    ("ANSWER: True or ANSWER: False", None),
    ("ANSWER: True/False", None),
    ("ANSWER: True or False", None),
    ("True or False?", None),
    ("False is what I cannot say", None),
    ("ANSWER: not True", None),
    (topreward.QUESTION, None),
    (topreward.AGAIN, None),
]


def digits_apart(text: str) -> Any:
    """A reply whose tokens are words, and digits and marks one by one, as Qwen's tokenizer has it."""
    tokens = re.findall(r" ?[A-Za-z]+| |\d|[^\w ]|_", text)
    listed = [
        {
            "token": t,
            "logprob": -0.1,
            "top_logprobs": [{"token": t, "logprob": -0.1}, {"token": "x", "logprob": -5.0}],
        }
        for t in tokens
    ]
    return {"choices": [{"message": {"content": text}, "logprobs": {"content": listed}}]}


def says(text: str) -> Any:
    return lambda handler: send(handler, 200, digits_apart(text))


@pytest.mark.parametrize(("text", "level"), LEVEL_ANSWERS)
def test_probabilities_are_read_where_the_text_is_one_level(text: str, level: str | None) -> None:
    written, choice = written_verdict(text), choice_in(digits_apart(text), "url", f"{KEYWORD} ", LEVELS)
    if level is None:
        assert (written, choice.log_probability) == (None, None)
    else:
        k = LEVELS.index(level)
        assert written is not None
        assert choice.log_probability is not None
        assert written.progress == k / 4
        assert choice.log_probability.tolist() == [-0.1 if j == k else -np.inf for j in range(5)]


@pytest.mark.parametrize(("text", "truth"), TRUTHS)
def test_truths_are_read_in_any_case_and_only_alone(text: str, truth: str | None) -> None:
    read = choice_in(digits_apart(text), "url", LEAD, ANSWERS).log_probability
    assert (None if read is None else ANSWERS[int(read.argmax())]) == truth


def test_the_place_is_found_among_tokens_of_many_kinds() -> None:
    def read(text: str, *tokens: str) -> list[float] | None:
        listed = [{"token": t, "logprob": -0.1 * k, "top_logprobs": []} for k, t in enumerate(tokens)]
        reply = {"choices": [{"message": {"content": text}, "logprobs": {"content": listed}}]}
        found = choice_in(reply, "url", LEAD, ANSWERS).log_probability
        return None if found is None else found.tolist()

    nothing = -np.inf
    assert read("ANSWER: TRUE", "ANSWER", ":", " TR", "UE") == [-0.2, nothing]
    assert read("ANSWER:True", "ANSWER", ":True") == [-0.1, nothing]
    assert read("ANSWER: True", "▁", "ANSWER:", "True", "<|im_end|>") == [-0.2, nothing], "servers that drop spaces"
    thought = ("<think>", "ANSWER", ":", " False", "?", "</think>", "\n", "ANSWER", ":", " True")
    assert read("ANSWER: True", *thought) == [-0.9, nothing], "tokens of a thought that the content leaves out"
    assert read("ANSWER: True", "ANSWER", ":", " False") is None, "tokens that are not those of the text"
    assert read("ANSWER: True", "A") is None


def test_nonsense_is_asked_again_and_counted() -> None:
    server = JudgeServer()
    try:
        for judge, nonsense, good in (
            (VlmJudge(OpenAIServer(server.url), ("front",)), "ANSWER: <1, 2, 3, 4 or 5>", "ANSWER: 2"),
            (TOPReward(OpenAIServer(server.url, concurrency=1), ("front",), prefixes=2), TRUTHS[5][0], "ANSWER: true"),
        ):
            asked = 1 if isinstance(judge, VlmJudge) else 2
            server.script += [says(nonsense)] * asked + [says(good)] * asked
            assert judge.estimate_episode(contract.moving_square(1, 8)).progress[-1] > 0.2
            assert (judge.parse_failures, judge.fallbacks) == (asked, 0)
    finally:
        server.close()


@pytest.mark.parametrize(
    "text",
    [
        grm_prompt.RULES,
        grm_prompt.AGAIN,
        "<score>+20%</score> or <score>-20%</score>",
        "<score>+20%</score>\n<score>-20%</score>",
        "<score>+20%</score>\nI rather say <score>NN%</score>",
        "40",
    ],
)
def test_a_hop_that_is_none(text: str) -> None:
    assert grm_prompt.parse_hop(text) is None


def test_a_hop_that_is_one() -> None:
    for text in ("<score>-12%</score>", "-\t12 %", "<score>+9%</score>? Rather\n<score>- 12</score>"):
        assert grm_prompt.parse_hop(text) == pytest.approx(-0.12)
    assert grm_prompt.parse_hop("<score>5%</score> <score>5%</score>") == pytest.approx(0.05)


def test_percentages_that_are_several() -> None:
    assert read_percentages("Frame 1: 2 to 3 cups. Done: 10%\nFrame 2: Done: 20%", 2) is not None
    for bad in ("Done: 10 to 20%", "Done: 10% or 20%", "10-20%", "Done: -10%"):
        assert read_percentages(f"Frame 1: {bad}\nFrame 2: Done: 20%", 2) is None
    assert read_percentages(CLOSING.format(count=2), 2) is None


@pytest.mark.parametrize(
    "first",
    [
        "Done: 10%",
        "the gripper is 2-3 cm above the block: 10%",
        "moved from 1 to 2. 10% done",
        "steps 1 and 2 of 3. Completion: 10%",
        "closed by 5%.\n\nDone: **10%**",
        "a. Done: 10%\nOverall, from 0% to 20%.",
        "a. Done: 10%\n\nNote: frames 1 and 2 look alike, 0 to 20% each.",
    ],
)
def test_other_numbers_of_a_description_or_remark_are_no_percentage(first: str) -> None:
    for text in (f"Frame 1: {first}\nFrame 2: Done: 20%", f"Frame 2: x: 20%\nFrame 1: {first}"):
        assert read_percentages(text, 2) == pytest.approx([0.1, 0.2])
