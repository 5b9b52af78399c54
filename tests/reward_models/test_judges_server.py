"""The backend behind an OpenAI-compatible server, against one that speaks the protocol: well, badly, or not at all."""

from __future__ import annotations

import math
import socket
import sys
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robo_reward import contract_tests as contract
from robo_reward.errors import MissingExtra, UserError
from robo_reward.reward_models.judges.chat_reply import choice_in
from robo_reward.reward_models.judges.gvl import GVL
from robo_reward.reward_models.judges.instruction_proposals import normalised, proposals_in, propose, usable
from robo_reward.reward_models.judges.openai_server import OpenAIServer, data_url
from robo_reward.reward_models.judges.topreward import TOPReward
from robo_reward.reward_models.judges.vlm_judge import VlmJudge

LEVELS = ("1", "2", "3", "4", "5")
PICTURE = np.arange(48 * 40 * 3, dtype=np.uint8).reshape(48, 40, 3)
TEXT = ("how far?", PICTURE)


@pytest.fixture
def tools(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(sys, "path", [*sys.path, str(Path(__file__).parent)])
    import judge_server  # type: ignore[import-not-found]

    return judge_server


@pytest.fixture
def server(tools: Any) -> Iterator[Any]:
    made = tools.JudgeServer()
    yield made
    made.close()


def client(server: Any, **settings: Any) -> OpenAIServer:
    return OpenAIServer(server.url, **{"backoff": 0.01, "timeout": 5.0, **settings})


# --- it works ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("judge", [VlmJudge, GVL, TOPReward])
def test_judges_tell_how_far_the_square_got(server: Any, judge: Any) -> None:
    model = judge(client(server), ("front",), **({} if judge is not VlmJudge else {"prefixes": 4}))
    done = model.estimate_episode(contract.moving_square(1, 16))
    half = model.estimate_episode(contract.moving_square(1, 16).cut(8))
    assert done.progress[-1] > 0.95
    assert done.success[-1] > 0.9
    assert 0.3 < half.progress[-1] < (0.99 if judge is TOPReward else 0.7)
    assert half.success[-1] < 0.7
    assert (model.parse_failures, model.fallbacks) == (0, 0)


def test_requests_keep_to_the_protocol(server: Any, tools: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_API_KEY", "secret")
    server.script += [tools.says("ANSWER: 3")]
    client(server, api_key_env="TEST_API_KEY", max_side=24).choose([(*TEXT, "Levels:")], "ANSWER: ", LEVELS)
    (body,) = server.bodies
    assert server.keys == ["Bearer secret"]
    assert body["model"] == "square-judge", "the server's first model, where none is named"
    assert (body["temperature"], body["logprobs"], body["top_logprobs"]) == (0, True, 20)
    kinds = [part["type"] for part in body["messages"][0]["content"]]
    assert kinds == ["text", "image_url", "text"]
    sent = body["messages"][0]["content"][1]["image_url"]["url"]
    assert sent == data_url(PICTURE, "png", 24)


@pytest.mark.parametrize(("form", "largest"), [("png", 0), ("jpeg", 80)])
def test_pictures_arrive(form: Any, largest: int) -> None:
    import base64

    from PIL import Image

    smooth = np.linspace(0, 255, 32 * 64, dtype=np.uint8).reshape(64, 32, 1).repeat(3, 2)
    head, _, data = data_url(smooth, form, None).partition(",")
    assert head == f"data:image/{form};base64"
    back = np.asarray(Image.open(BytesIO(base64.b64decode(data))))
    assert np.abs(back.astype(int) - smooth).max() <= largest
    assert Image.open(BytesIO(base64.b64decode(data_url(smooth, form, 32).partition(",")[2]))).size == (16, 32)


def test_many_questions_keep_their_order(server: Any, tools: Any) -> None:
    prompts = [(f"Propose {k}",) for k in range(20)]
    assert len(client(server, concurrency=4).answer(prompts, 10)) == 20
    places = [contract.moving_square(0, 8).frames["front"][k] for k in range(9)]
    choices = client(server).choose([("True or", p) for p in places], "ANSWER: ", ("True", "False"))
    told = [math.exp(c.log_probability[0]) for c in choices if c.log_probability is not None]
    assert told == sorted(told)
    assert len(told) == 9
    assert client(server).answer([], 10) == []


# --- it recovers ------------------------------------------------------------------------------------------------------


def test_busy_and_broken_servers_are_asked_again(server: Any, tools: Any) -> None:
    server.script += [tools.status(429, "slow down", retry_after="0.3"), tools.status(503), tools.drop]
    start = time.monotonic()
    assert client(server, model="m").answer([("Propose",)], 10)[0].startswith("1. move")
    assert time.monotonic() - start >= 0.3, "Retry-After is kept to"
    assert len(server.bodies) == 4


# --- it fails, and says so --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (429, "concurrency lower"),
        (500, "refused with 500.*server's log"),
        (401, "OPENAI_API_KEY"),
        (404, "backend.model"),
        (400, "fewer or smaller pictures"),
        (413, "max_frames"),
    ],
)
def test_refusals_say_the_way_out(server: Any, tools: Any, code: int, words: str) -> None:
    server.script += [tools.status(code)] * 3
    with pytest.raises(UserError, match=words):
        client(server, model="m", retries=2).answer([TEXT], 10)
    assert len(server.bodies) == (3 if code in (429, 500) else 1)


def test_a_closed_port() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    backend = OpenAIServer(f"http://127.0.0.1:{port}/v1", retries=1, backoff=0.01)
    with pytest.raises(UserError, match=rf"no server answers at http://127.0.0.1:{port}/v1.*vllm serve"):
        backend.answer([TEXT], 10)


@pytest.mark.parametrize("kind", ["hang", "trickle"])
def test_a_slow_server(server: Any, tools: Any, kind: str) -> None:
    server.script += [tools.hang(3) if kind == "hang" else tools.trickle]
    start = time.monotonic()
    with pytest.raises(UserError, match=r"no answer within 0.4 s.*backend.timeout"):
        client(server, model="m", timeout=0.4).answer([TEXT], 10)
    assert time.monotonic() - start < 2


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"<html>hello</html>", "not JSON.*<html>"),
        (b"\xff\xfe\x00", "not JSON"),
        (b"[]", "no chat completion"),
        (b"null", "no chat completion"),
        (b'{"choices": []}', "no chat completion"),
        (b'{"choices": [{"message": {"content": 7}}]}', "other than text"),
        (b'{"choices": [{"message": {"content": "ANSWER: 3"}}]}', "no log-probabilities.*score=text"),
        (b'{"choices": [{"message": {"content": "3"}, "logprobs": {"content": [{"t": 1}]}}]}', "not OpenAI's"),
        (b'{"choices": [{"message": {"content": "3"}, "logprobs": {"content": 3}}]}', "not OpenAI's"),
        (b'{"choices": [{"message": {"content": "3"}, "logprobs": 5}]}', "not OpenAI's"),
        (
            b'{"choices": [{"message": {"content": "3"}, "logprobs": {"content": [{"token": "3", "logprob": NaN}]}}]}',
            "not OpenAI's",
        ),
    ],
)
def test_nonsense(server: Any, tools: Any, data: bytes, words: str) -> None:
    server.script += [tools.raw(data)]
    with pytest.raises(UserError, match=words):
        client(server, model="m").choose([TEXT], "ANSWER: ", LEVELS)


def test_endless_answers(server: Any, tools: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from robo_reward.reward_models.judges import patient_client

    monkeypatch.setattr(patient_client, "LARGEST_REPLY", 1000)
    server.script += [tools.raw(b" " * 5000)]
    with pytest.raises(UserError, match="more than 1000 bytes"):
        client(server, model="m").answer([TEXT], 10)


def test_a_server_without_models(server: Any, tools: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "MODEL", None)
    backend = client(server)
    monkeypatch.setattr(backend._client, "request", lambda *_: {"data": []})
    with pytest.raises(UserError, match=r"backend\.model=NAME"):
        backend.answer([TEXT], 10)


def test_an_answer_in_other_words_is_no_error_of_the_server(server: Any, tools: Any) -> None:
    server.script += [tools.says("I cannot judge this.")] * 3
    judge = VlmJudge(client(server), ("front",))
    with pytest.raises(UserError, match=r"no answer that can be read.*I cannot judge this"):
        judge.estimate_episode(contract.moving_square(0))
    assert judge.parse_failures == 3


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"url": "localhost:8000"}, "no address"),
        ({"url": "http://host:port/v1"}, "no address"),
        ({"url": "ftp://host/v1"}, "no address"),
        ({"timeout": 0}, "timeout=0"),
        ({"retries": -1}, "retries=-1"),
        ({"concurrency": 0}, "concurrency=0"),
        ({"max_side": -3}, "max_side=-3"),
        ({"picture": "gif"}, "picture format 'gif'"),
        ({"api_key_env": "AWS_SECRET"}, "must end in _API_KEY"),
    ],
)
def test_bad_settings(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        OpenAIServer(**{"url": "http://localhost:8000/v1", **settings})


def test_a_missing_package_says_the_install_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "httpx", None)
    with pytest.raises(MissingExtra, match=r"pip install 'robo-reward\[vlm\]'"):
        OpenAIServer("http://localhost:1/v1").answer([TEXT], 10)


# --- reading log-probabilities ----------------------------------------------------------------------------------------


def reply(*tokens: tuple[str, dict[str, float]]) -> Any:
    entries = [
        {"token": t, "logprob": p[t], "top_logprobs": [{"token": k, "logprob": v} for k, v in p.items()]}
        for t, p in tokens
    ]
    content = "".join(t for t, _ in tokens)
    return {"choices": [{"message": {"content": content}, "logprobs": {"content": entries}}]}


def sure(*tokens: str) -> list[tuple[str, dict[str, float]]]:
    return [(t, {t: 0.0}) for t in tokens]


def test_the_place_after_the_lead_is_read_and_spellings_add_up() -> None:
    four = ("4", {"4": math.log(0.5), " 4": math.log(0.1), "5": math.log(0.3)})
    said = reply(*sure("5", " blocks", ".", " ANS", "WER", ":", " **"), four, *sure("**"))
    choice = choice_in(said, "url", "ANSWER: ", LEVELS)
    assert choice.log_probability is not None
    assert np.exp(choice.log_probability).tolist() == pytest.approx([0, 0, 0, 0.6, 0.3])


def test_an_answer_without_the_lead_is_read_from_its_first_word() -> None:
    bare = choice_in(reply((" 2", {" 2": -0.5, " 3": -1.0})), "url", "ANSWER: ", LEVELS)
    assert bare.log_probability is not None
    assert bare.log_probability.tolist() == [-np.inf, -0.5, -1.0, -np.inf, -np.inf]
    assert choice_in(reply(*sure("I", " see", " 2", " cups")), "url", "ANSWER: ", LEVELS).log_probability is None
    assert choice_in(reply(*sure("ANSWER", ":", " three")), "url", "ANSWER: ", LEVELS).log_probability is None
    assert choice_in(reply(*sure("ANSWER", ":")), "url", "ANSWER: ", LEVELS).log_probability is None


# --- instruction proposals --------------------------------------------------------------------------------------------


def test_proposals_come_from_the_server_and_know_the_other_tasks(server: Any) -> None:
    tasks = ["move the square to the right", "lift the ball"]
    assert propose(tasks[0], tasks, client(server), count=2) == ["move the square to the left", "lift the square"]
    asked = server.bodies[0]["messages"][0]["content"][0]["text"]
    assert "- lift the ball" in asked
    assert "- move the square" not in asked, "the task itself is no other task"


def test_paraphrases_repetitions_and_chatter_are_dropped(server: Any, tools: Any) -> None:
    said = "Here you are:\n1. Move a square to the RIGHT!\n2) **Push the ball**\n- push ball\n3. go\n4. " + "word " * 40
    server.script += [tools.says(said)]
    assert propose("move the square to the right", [], client(server), count=3, retries=0) == ["Push the ball"]


def test_too_few_proposals_are_asked_for_again(server: Any, tools: Any) -> None:
    server.script += [tools.says("1. open the door"), tools.says("1. Open door.\n2. close the window")]
    assert propose("close the door", [], client(server), count=2) == ["open the door", "close the window"]
    assert len(server.bodies) == 2


def test_no_proposal_is_an_error(server: Any, tools: Any) -> None:
    server.script += [tools.says("1. close the door")] * 2
    with pytest.raises(UserError, match=r"no instruction other than 'close the door' in 2 tries.*close the door"):
        propose("close the door", [], client(server), retries=1)
    with pytest.raises(UserError, match="is empty"):
        propose(" . ", [], client(server))
    with pytest.raises(UserError, match="count=0"):
        propose("close the door", [], client(server), count=0)


def test_order_of_words_makes_another_instruction() -> None:
    assert normalised("Put the cup on a plate!") == ("put", "cup", "on", "plate")
    assert usable(["put the plate on the cup", "put cup on plate"], "put the cup on the plate") == [
        "put the plate on the cup"
    ]
    assert proposals_in('  1. "open it"\n* close it\nnothing') == ["open it", "close it"]
