"""Reads what an OpenAI-compatible server answers: the text, and how likely its alternatives were."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from robo_reward.errors import UserError
from robo_reward.reward_models.judges.backend import Choice, LogProbabilities

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
    """The candidates' log-probabilities at the first word after ``lead``, which must be one of them.

    An answer that leaves the lead out is read from its beginning; case and marks such as ``**`` do not matter. Several
    tokens that spell one candidate (``5`` and `` 5``) add up. None where another word stands in that place.

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
        entries = listed[_after([str(entry["token"]) for entry in listed], lead.strip()) :]
        place = next((entry for entry in entries if re.search(r"\w", entry["token"])), None)
        if place is None or place["token"].strip() not in candidates:
            return Choice(None, text)
        alternatives = {str(t["token"]): float(t["logprob"]) for t in (*(place.get("top_logprobs") or ()), place)}
        return Choice(_gather(alternatives, candidates), text)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise UserError(f"{url} gives log-probabilities in a form that is not OpenAI's ({excerpt(reply)})") from None


def _after(tokens: Sequence[str], lead: str) -> int:
    """The index of the first token behind the last occurrence of ``lead``; 0 without one."""
    at = "".join(tokens).lower().rfind(lead.lower()) if lead else -1
    if at < 0:
        return 0
    read = 0
    for index, token in enumerate(tokens):
        if read >= at + len(lead):
            return index
        read += len(token)
    return len(tokens)


def _gather(alternatives: Mapping[str, float], candidates: Sequence[str]) -> LogProbabilities:
    found = np.full(len(candidates), -math.inf)
    for token, value in alternatives.items():
        if math.isnan(value):
            raise ValueError("a log-probability is not a number")
        if token.strip() in candidates:
            k = candidates.index(token.strip())
            found[k] = np.logaddexp(found[k], min(value, 0.0))
    np.minimum(found, 0.0, out=found)
    return found
