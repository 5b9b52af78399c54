"""JSON over HTTP with time-outs, retries and errors that say what to do."""

from __future__ import annotations

import json
import os
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from robo_reward.errors import MissingExtra, UserError
from robo_reward.reward_models.judges.chat_reply import excerpt

if TYPE_CHECKING:
    import httpx

LONGEST_WAIT = 60.0
"""Seconds between two tries at most, whatever the server asks for."""
LARGEST_REPLY = 16 * 2**20
"""Bytes; an answer of this size is no chat completion."""


@dataclass(frozen=True, slots=True)
class _Reply:
    code: int
    retry_after: float
    text: str


class PatientClient:
    """Requests below ``url``; threads may share it.

    ``timeout``: seconds for one whole answer. ``retries``: further tries after 429, 5xx or a broken connection,
    ``backoff`` seconds apart and doubling, or as long as the server's Retry-After says. ``key_env``: the environment
    variable with the bearer token; it is read at the first request and never stored.
    """

    def __init__(self, url: str, key_env: str, timeout: float, retries: int, backoff: float) -> None:
        self.url = url
        self._key_env, self._timeout = key_env, timeout
        self._retries, self._backoff = retries, backoff
        self._client: httpx.Client | None = None
        self._lock = threading.Lock()

    def request(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """The JSON that the server answers.

        Raises:
            UserError: no server, none in time, one that refuses, or one that does not answer JSON.
        """
        wait = self._backoff
        for left in range(self._retries, -1, -1):
            reply = self._try(method, path, body, last=not left)
            if reply is not None and reply.code < 400:
                return self._json(reply)
            if reply is not None and (not left or not (reply.code == 429 or reply.code >= 500)):
                raise self._refused(reply)
            time.sleep(min(max(wait, reply.retry_after if reply else 0), LONGEST_WAIT))
            wait *= 2
        raise AssertionError("the last try returns or raises")

    def _try(self, method: str, path: str, body: dict[str, Any] | None, last: bool) -> _Reply | None:
        """One exchange; None where the connection broke and there are tries left."""
        httpx = _httpx()
        try:
            return self._exchange(method, path, body)
        except httpx.TimeoutException:  # asking again would only make a slow server slower
            raise UserError(
                f"the server at {self.url} gave no answer within {self._timeout:g} s: is it overloaded, or still "
                "loading? Set backend.timeout higher, or backend.concurrency lower"
            ) from None
        except httpx.RequestError as error:
            if not last:
                return None
            raise UserError(
                f"no server answers at {self.url} ({error}): start one, e.g. vllm serve MODEL, or set "
                "backend.url=http://HOST:PORT/v1"
            ) from None

    def _exchange(self, method: str, path: str, body: dict[str, Any] | None) -> _Reply:
        """Reads piece by piece: httpx bounds the wait for each piece only, a trickle would last for ever."""
        deadline = time.monotonic() + self._timeout
        read = bytearray()
        with self._connection().stream(method, self.url + path, json=body) as reply:
            for piece in reply.iter_bytes():
                read += piece
                if time.monotonic() > deadline:
                    raise _httpx().ReadTimeout("a trickle", request=reply.request)
                if len(read) > LARGEST_REPLY:
                    raise UserError(f"{self.url} answers more than {LARGEST_REPLY} bytes: that is no chat completion")
            return _Reply(
                reply.status_code, _seconds(reply.headers.get("retry-after")), read.decode("utf-8", "replace")
            )

    def _connection(self) -> httpx.Client:
        with self._lock:
            if self._client is None:
                key = os.environ.get(self._key_env, "")
                headers = {"Authorization": f"Bearer {key}"} if key else {}
                made: httpx.Client = _httpx().Client(timeout=self._timeout, headers=headers)
                self._client = made
                return made
            return self._client

    def _json(self, reply: _Reply) -> Any:
        try:
            return json.loads(reply.text)
        except ValueError:
            raise UserError(
                f"{self.url} answered something that is not JSON ({excerpt(reply.text)}): is it an OpenAI-compatible "
                "server, and does backend.url end as its documentation says (mostly /v1)?"
            ) from None

    def _refused(self, reply: _Reply) -> UserError:
        ways = {
            400: "it may take fewer or smaller pictures: set reward_model.max_frames or backend.max_side lower",
            401: f"set the environment variable {self._key_env} to a valid key",
            403: f"set the environment variable {self._key_env} to a key that may use this model",
            404: "check backend.url (mostly it ends in /v1) and backend.model",
            429: "it is too busy: set backend.concurrency lower or backend.retries higher",
        }
        way = ways.get(400 if reply.code in (413, 422) else reply.code, "see the server's log")
        return UserError(f"the server at {self.url} refused with {reply.code} ({excerpt(reply.text)}): {way}")


def _seconds(retry_after: str | None) -> float:
    try:
        return float(retry_after or 0)
    except ValueError:  # a date: our own back-off is good enough
        return 0.0


def _httpx() -> Any:
    try:
        import httpx
    except ImportError:
        raise MissingExtra("httpx", "vlm", "a judge behind an OpenAI-compatible server") from None
    return httpx
