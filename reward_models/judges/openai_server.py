"""A vision-language model behind any OpenAI-compatible server: vLLM, llama.cpp, or a paid service."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import Any, Literal
from urllib.parse import urlsplit

from robo_reward.contracts import Frames
from robo_reward.errors import UserError, unknown_name
from robo_reward.reward_models.judges.backend import Choice, Prompt
from robo_reward.reward_models.judges.chat_reply import choice_in, excerpt, text_of
from robo_reward.reward_models.judges.patient_client import PatientClient

Picture = Literal["png", "jpeg"]
PICTURES: tuple[Picture, ...] = ("png", "jpeg")


class OpenAIServer:
    """Asks ``url``/chat/completions, ``concurrency`` requests at a time.

    ``model``: its name there; None takes the first that the server lists. ``api_key_env``, ``timeout``, ``retries``,
    ``backoff``: as ``PatientClient``. ``max_side``: longer pictures are scaled down, pixels. ``top_logprobs``: how many
    alternatives are asked for; 20 is the most that servers commonly give. ``choice_tokens``: how long an answer may be
    that is read through its log-probabilities.

    Raises:
        UserError: for an address that is none, or a number out of range.
    """

    def __init__(
        self,
        url: str,
        model: str | None = None,
        api_key_env: str = "OPENAI_API_KEY",
        timeout: float = 120.0,
        retries: int = 4,
        backoff: float = 1.0,
        concurrency: int = 8,
        picture: Picture = "png",
        max_side: int | None = 512,
        top_logprobs: int = 20,
        choice_tokens: int = 32,
    ) -> None:
        _check_address(url)
        if not api_key_env.endswith("_API_KEY"):  # a recipe from elsewhere must not read other secrets
            raise UserError(f"backend.api_key_env={api_key_env} must end in _API_KEY, e.g. OPENAI_API_KEY")
        if picture not in PICTURES:
            raise unknown_name("picture format", picture, PICTURES)
        least: dict[str, tuple[float, float]] = {
            "timeout": (timeout, 1e-3),
            "retries": (retries, 0),
            "backoff": (backoff, 0),
            "concurrency": (concurrency, 1),
            "max_side": (max_side or 1, 1),
            "top_logprobs": (top_logprobs, 1),
            "choice_tokens": (choice_tokens, 1),
        }
        for name, (value, bound) in least.items():
            if value < bound:
                raise UserError(f"backend.{name}={value} must be at least {bound}")
        self.url, self.model = url.rstrip("/"), model
        self._client = PatientClient(self.url, api_key_env, timeout, retries, backoff)
        self._concurrency, self._max_side = concurrency, max_side
        self._picture: Picture = picture
        self._top, self._choice_tokens = top_logprobs, choice_tokens

    def answer(self, prompts: Sequence[Prompt], max_tokens: int) -> list[str]:
        """As ``Backend.answer``; temperature 0 and a fixed seed, which most servers keep to."""
        return [text_of(reply, self.url) for reply in self._ask(prompts, {"max_tokens": max_tokens})]

    def choose(self, prompts: Sequence[Prompt], lead: str, candidates: Sequence[str]) -> list[Choice]:
        """As ``Backend.choose``: the model answers freely, and the place after ``lead`` in its answer is read.

        Raises:
            UserError: additionally, from a server that gives no log-probabilities.
        """
        wanted = {"max_tokens": self._choice_tokens, "logprobs": True, "top_logprobs": self._top}
        return [choice_in(reply, self.url, lead, candidates) for reply in self._ask(prompts, wanted)]

    def _ask(self, prompts: Sequence[Prompt], wanted: dict[str, Any]) -> list[Any]:
        if not prompts:
            return []
        model = self._name()
        bodies = [self._body(model, prompt) | wanted for prompt in prompts]
        with ThreadPoolExecutor(min(self._concurrency, len(bodies))) as pool:
            asked = [pool.submit(self._client.request, "POST", "/chat/completions", body) for body in bodies]
            try:
                return [answer.result() for answer in asked]
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)  # what failed once would fail for all that wait
                raise

    def _body(self, model: str, prompt: Prompt) -> dict[str, Any]:
        content = [
            {"type": "text", "text": part}
            if isinstance(part, str)
            else {"type": "image_url", "image_url": {"url": data_url(part, self._picture, self._max_side)}}
            for part in prompt
        ]
        return {"model": model, "messages": [{"role": "user", "content": content}], "temperature": 0, "seed": 0}

    def _name(self) -> str:
        if self.model is None:
            listed = self._client.request("GET", "/models")
            try:
                self.model = str(listed["data"][0]["id"])
            except (KeyError, IndexError, TypeError):
                raise UserError(
                    f"the server at {self.url} lists no model ({excerpt(listed)}): name one with backend.model=NAME"
                ) from None
        return self.model


def data_url(picture: Frames, form: Picture, max_side: int | None) -> str:
    """The picture (H, W, 3) uint8 as a data URL, scaled down so that its longer side is at most ``max_side``."""
    from PIL import Image

    image = Image.fromarray(picture)
    if max_side is not None:
        image.thumbnail((max_side, max_side))
    stream = BytesIO()
    image.save(stream, "PNG" if form == "png" else "JPEG", **({} if form == "png" else {"quality": 92}))
    return f"data:image/{form};base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"


def _check_address(url: str) -> None:
    try:
        parts = urlsplit(url)
        whole = parts.scheme in ("http", "https") and parts.hostname is not None and parts.port != 0
    except ValueError:  # a port that is no number
        whole = False
    if not whole:
        raise UserError(f"backend.url={url!r} is no address: give one such as http://localhost:8000/v1")
