"""An OpenAI-compatible server for tests: it looks at the pictures it is sent and judges the moving square truly."""

from __future__ import annotations

import base64
import json
import math
import re
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

Handler = BaseHTTPRequestHandler
MODEL = "square-judge"


class JudgeServer:
    """On a free port. ``script``: what to do in place of the next honest answers. ``bodies``: what was asked."""

    def __init__(self) -> None:
        self.script: deque[Callable[[Handler], None]] = deque()
        self.bodies: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.logprobs = True
        owner = self

        class Answering(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                send(self, 200, {"object": "list", "data": [{"id": MODEL, "object": "model"}]})

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                owner.bodies.append(body)
                owner.keys.append(self.headers.get("authorization"))
                if owner.script:
                    owner.script.popleft()(self)
                else:
                    send(self, 200, honest(body, owner.logprobs))

            def log_message(self, *_: Any) -> None:
                pass

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: Any) -> None:  # a client that hung up is part of the tests
                pass

        self._server = Quiet(("127.0.0.1", 0), Answering)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@cache
def standing_server() -> JudgeServer:
    """One honest server for a whole test session; its thread ends with the process."""
    return JudgeServer()


# --- what a script may hold -------------------------------------------------------------------------------------------


def send(handler: Handler, code: int, answer: Any, **headers: str) -> None:
    data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    handler.send_response(code)
    for name, value in {"content-length": str(len(data)), **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(data)


def status(code: int, text: str = "no", **headers: str) -> Callable[[Handler], None]:
    return lambda handler: send(handler, code, {"error": {"message": text}}, **headers)


def raw(data: bytes) -> Callable[[Handler], None]:
    return lambda handler: send(handler, 200, data)


def says(text: str) -> Callable[[Handler], None]:
    return lambda handler: send(handler, 200, completion([(token, {token: -0.1}) for token in tokens_of(text)]))


def hang(seconds: float) -> Callable[[Handler], None]:
    return lambda handler: time.sleep(seconds)


def trickle(handler: Handler) -> None:
    """A byte now and then, each well within the time-out."""
    handler.send_response(200)
    handler.send_header("content-length", "1000")
    handler.end_headers()
    for _ in range(30):
        handler.wfile.write(b" ")
        handler.wfile.flush()
        time.sleep(0.1)


def drop(handler: Handler) -> None:
    """The connection breaks without an answer."""
    handler.close_connection = True
    handler.connection.close()


# --- the honest judge -------------------------------------------------------------------------------------------------


def honest(body: dict[str, Any], logprobs: bool = True) -> dict[str, Any]:
    """The answer to a question of one of the judges, with log-probabilities where they were asked for."""
    parts = body["messages"][0]["content"]
    text = "\n".join(part["text"] for part in parts if part["type"] == "text")
    places = [place_of(part["image_url"]["url"]) for part in parts if part["type"] == "image_url"]
    if "Levels:" in text:
        tokens = [*plain("ANSWER:"), level_token(places[-1])]
    elif "True or" in text:
        p = min(max(places[-1], 0.01), 0.99)
        chosen = " True" if p >= 0.5 else " False"
        tokens = [*plain("ANSWER:"), (chosen, {" True": math.log(p), " False": math.log(1 - p)})]
    elif "<score>" in text:  # start, goal, three views before, three views after
        p, q = places[2], places[5]
        hop = (q - p) / max(1 - p if q > p else p, 1e-6) if q != p else 0.0
        tokens = plain(f"<score>{100 * hop:+.0f}%</score>")
    elif "Done:" in text:
        lines = [f"Frame {k}: a square. Done: {100 * p:.0f}%" for k, p in enumerate(places[1:], 1)]
        tokens = plain("\n".join(lines))
    else:
        tokens = plain("1. move the square to the left\n2. lift the square")
    answer = completion(tokens)
    if not (body.get("logprobs") and logprobs):
        del answer["choices"][0]["logprobs"]
    return answer


def completion(tokens: list[tuple[str, dict[str, float]]]) -> dict[str, Any]:
    entries = [
        {
            "token": token,
            "logprob": listed[token],
            "bytes": list(token.encode()),
            "top_logprobs": [{"token": t, "logprob": p, "bytes": list(t.encode())} for t, p in listed.items()],
        }
        for token, listed in tokens
    ]
    message = {"role": "assistant", "content": "".join(token for token, _ in tokens)}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": {"content": entries}}
    return {"id": "c-1", "object": "chat.completion", "model": MODEL, "choices": [choice]}


def plain(text: str) -> list[tuple[str, dict[str, float]]]:
    return [(token, {token: -0.01}) for token in tokens_of(text)]


def tokens_of(text: str) -> list[str]:
    return re.findall(r"\s?\w+|\W", text)


def level_token(place: float) -> tuple[str, dict[str, float]]:
    """The two neighbouring levels share the probability as the place says."""
    low = min(int(4 * place), 3)
    share = 4 * place - low
    listed = {f" {low + 1}": math.log(max(1 - share, 1e-6)), f" {low + 2}": math.log(max(share, 1e-6)), " the": -9.0}
    return max(listed, key=lambda token: listed[token]), listed


def place_of(url: str) -> float:
    """Where the bright square of ``contract_tests.moving_square`` is, from 0 (left, or nowhere) to 1 (right)."""
    picture = np.asarray(Image.open(BytesIO(base64.b64decode(url.partition(",")[2]))))
    columns = np.flatnonzero((picture[..., 0] > 160).any(0))
    return 0.0 if not len(columns) else float(columns[0] / (picture.shape[1] - len(columns)))
