"""Reads what an OpenAI-compatible server answers: the text, and how likely its alternatives were."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from robo_reward.errors import UserError
from robo_reward.reward_models.judges.backend import Choice, LogProbabilities
from robo_reward.reward_models.judges.one_verdict import Found, find_verdict, spelled

LONGEST_EXCERPT = 160


def excerpt(answer: Any) -> str:
    """The beginning of what a server said, for messages."""
    text = answer if isinstance(answer, str) else json.dumps(answer)
    text = " ".join(text.split())
    return repr(text if len(text) <= LONGEST_EXCERPT else f"{text[:LONGEST_EXCERPT]}...")


def text_of(reply: Any, url: str) -> str:
    """The text of a chat completion; empty where the model said nothing.

    Raises:
        UserError: if it is none.
    """
    try:
        text = reply["choices"][0]["message"]["content"]
    except (KeyError, IndexError, TypeError):
        raise UserError(
            f"{url} answered JSON that is no chat completion ({excerpt(reply)}): is it an OpenAI-compatible server?"
        ) from None
    if text is None:  # a refusal, or a reasoning model that ran out of tokens
        return ""
    if not isinstance(text, str):
        raise UserError(f"{url} answered with something other than text ({excerpt(text)})")
    return text


def choice_in(reply: Any, url: str, lead: str, candidates: Sequence[str]) -> Choice:
    """The candidates' log-probabilities at the place where the answer gives its verdict, as ``find_verdict`` reads it.

    Several tokens that spell one candidate (``True``, `` True``, ``true``) add up. None where the answer as a whole is
    not one verdict, or where its place is not among the tokens.

    Raises:
        UserError: without log-probabilities, or if they are not what the protocol says.
    """
    text = text_of(reply, url)
    try:
        listed = (reply["choices"][0].get("logprobs") or {}).get("content")
        if listed is None:
            raise UserError(
                f"{url} gives no log-probabilities: start a server that does (vLLM and llama.cpp do), or read the "
                "answers as text (reward_model.score=text, where the judge has it)"
            )
        tokens = [str(entry["token"]) for entry in listed]
        found = find_verdict(text, lead, candidates)
        index = None if found is None else _token_at(tokens, text, found)
        if found is None or index is None or spelled(tokens[index], candidates) != found.index:
            return Choice(None, text)
        place = listed[index]
        alternatives = {str(t["token"]): float(t["logprob"]) for t in (*(place.get("top_logprobs") or ()), place)}
        return Choice(_gather(alternatives, candidates), text)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise UserError(f"{url} gives log-probabilities in a form that is not OpenAI's ({excerpt(reply)})") from None


def _token_at(tokens: Sequence[str], text: str, found: Found) -> int | None:
    """The token in which the verdict's candidate begins; spaces are left out, since not all servers list them."""
    start = "".join(map(_squeezed, tokens)).rfind(_squeezed(text[found.start : found.end]))
    at = start + len(_squeezed(text[found.start : found.at]))
    read = 0
    for index, token in enumerate(tokens):
        read += len(_squeezed(token))
        if read > at:
            return index if start >= 0 else None
    return None


def _squeezed(text: str) -> str:
    return "".join(text.split())


def _gather(alternatives: Mapping[str, float], candidates: Sequence[str]) -> LogProbabilities:
    found = np.full(len(candidates), -math.inf)
    for token, value in alternatives.items():
        if math.isnan(value):
            raise ValueError("a log-probability is not a number")
        k = spelled(token, candidates)
        if k is not None:
            found[k] = np.logaddexp(found[k], min(value, 0.0))
    np.minimum(found, 0.0, out=found)
    return found
