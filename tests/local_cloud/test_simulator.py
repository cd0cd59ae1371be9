"""The simulated provider speaks OpenAI's wire format and misbehaves exactly as it is asked to."""

from __future__ import annotations

import email.utils
import http.client
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import openai
import orjson
import pytest

from batchyard.adapters.catalogue import load
from batchyard.core.ratelimits import read_rate_advice
from batchyard.core.routing import Refusal, eligible
from local.provider import SimulatedProvider, request_hash
from local.provider.config import Config
from local.provider.simulator import Simulator
from local.provider.wire import Request

KEY = {"authorization": "Bearer sk-test"}
REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def running() -> Iterator[SimulatedProvider]:
    with SimulatedProvider(seed=7) as provider:
        yield provider


@pytest.fixture
def provider(running: SimulatedProvider) -> SimulatedProvider:
    running.reset()
    return running


def chat(text: str, **fields: Any) -> dict[str, Any]:
    return {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": text}], **fields}


def post(
    provider: SimulatedProvider,
    body: dict[str, Any] | bytes,
    path: str = "/v1/chat/completions",
    key: str | None = "sk-test",
    timeout_seconds: float = 10,
) -> tuple[int, http.client.HTTPMessage, bytes]:
    address = urlsplit(provider.url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=timeout_seconds)
    try:
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        connection.request("POST", path, body if isinstance(body, bytes) else orjson.dumps(body), headers)
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    finally:
        connection.close()


def eventually(probe: Callable[[], bool], seconds: float = 600.0) -> None:
    deadline = time.monotonic() + seconds
    while not probe():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)


def statuses(provider: SimulatedProvider, body: dict[str, Any], times: int) -> list[int]:
    return [post(provider, body)[0] for _ in range(times)]


def test_the_official_sdk_reads_every_endpoint(provider: SimulatedProvider) -> None:
    """Every endpoint of a batch answers in the shape that OpenAI's own SDK validates, with usage."""
    client = openai.OpenAI(base_url=provider.url, api_key="sk-test", max_retries=0)
    answer = client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": "grüße"}])
    assert answer.model == "gpt-4o-mini"
    assert answer.choices[0].message.content
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0
    assert client.completions.create(model="davinci-002", prompt="once").choices[0].text
    embeddings = client.embeddings.create(model="text-embedding-3-small", input=["a", "b"])
    assert [len(row.embedding) for row in embeddings.data] == [1536, 1536]
    response = client.responses.create(model="o4-mini", input="think")
    assert response.output_text
    assert response.usage is not None and response.usage.output_tokens_details.reasoning_tokens > 0
    assert client.moderations.create(input="to kill").results[0].flagged
    assert "gpt-4o-mini" in [model.id for model in client.models.list()]
    client.close()


def test_a_stream_says_the_same_as_the_plain_answer(provider: SimulatedProvider) -> None:
    """Streamed chunks join to a whole answer, and usage comes last if stream_options asks for it."""
    client = openai.OpenAI(base_url=provider.url, api_key="sk-test", max_retries=0)
    chunks = list(
        client.chat.completions.create(
            model="gpt-4o-mini",
            messages=[{"role": "user", "content": "hello"}],
            stream=True,
            stream_options={"include_usage": True},
            metadata={"simulate": "output:30"},
        )
    )
    assert sum(len(chunk.choices[0].delta.content or "") for chunk in chunks if chunk.choices) == 120
    assert chunks[-1].usage is not None and chunks[-1].usage.completion_tokens == 30
    assert [event.type for event in client.responses.create(model="gpt-4o", input="x", stream=True)][-1] == (
        "response.completed"
    )
    client.close()


def test_tools_and_schemas_are_honoured(provider: SimulatedProvider) -> None:
    """A request with tools gets a call of one, a JSON schema gets an object that has its fields."""
    schema = {"type": "object", "properties": {"mood": {"enum": ["good", "bad"]}, "score": {"type": "integer"}}}
    tool = {"type": "function", "function": {"name": "rate", "parameters": schema}}
    call = orjson.loads(post(provider, chat("x", tools=[tool]))[2])["choices"][0]
    assert call["finish_reason"] == "tool_calls"
    assert orjson.loads(call["message"]["tool_calls"][0]["function"]["arguments"]) == {"mood": "good", "score": 1}
    wanted = {"type": "json_schema", "json_schema": {"name": "rating", "schema": schema}}
    content = orjson.loads(post(provider, chat("x", response_format=wanted))[2])["choices"][0]["message"]["content"]
    assert orjson.loads(content) == {"mood": "good", "score": 1}


def test_the_same_request_gets_the_same_answer_and_tokens(provider: SimulatedProvider) -> None:
    """Answers depend on the body only; cached and reasoning tokens can be asked for."""
    body = chat("again", metadata={"simulate": "cached:128;reasoning:5;output:9"}, max_tokens=7)
    first, second = (orjson.loads(post(provider, body)[2]) for _ in range(2))
    assert first["choices"] == second["choices"] and first["usage"] == second["usage"]
    assert first["usage"]["prompt_tokens_details"]["cached_tokens"] == 128
    assert first["usage"]["completion_tokens"] == 7
    assert first["usage"]["completion_tokens_details"]["reasoning_tokens"] == 5


@pytest.mark.parametrize(
    ("body", "path", "key", "status", "words"),
    [
        (chat("x"), "/v1/chat/completions", None, 401, "API key"),
        (chat("x"), "/openai/v1/chat/completions", "wrong", 401, "Incorrect API key"),
        (chat("x"), "/v1/nothing", "sk-test", 404, "Invalid URL"),
        (b"{not json", "/v1/chat/completions", "sk-test", 400, "parse the JSON"),
        (b"[1]", "/v1/chat/completions", "sk-test", 400, "parse the JSON"),
        ({"messages": []}, "/v1/chat/completions", "sk-test", 400, "'model'"),
        ({"model": "x"}, "/v1/embeddings", "sk-test", 400, "'input'"),
        (chat("x", metadata={"simulate": "nonsense"}), "/v1/chat/completions", "sk-test", 400, "nonsense"),
    ],
)
def test_wrong_requests_get_openais_error_body(
    provider: SimulatedProvider, body: Any, path: str, key: str | None, status: int, words: str
) -> None:
    """What OpenAI refuses is refused with its envelope and a request id."""
    provider.configure(keys={"openai": "right"})
    got, headers, content = post(provider, body, path, key)
    error = orjson.loads(content)["error"]
    assert got == status
    assert words in error["message"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert headers["x-request-id"]


def test_a_fault_for_the_first_attempts_ends_with_them(provider: SimulatedProvider) -> None:
    """`status:500x2` fails twice per body, whatever else was asked in between."""
    body = chat("flaky", metadata={"simulate": "status:500x2"})
    assert post(provider, body | {"n": 1})[1]["x-request-id"] == f"req_{request_hash(body | {'n': 1})}"
    other = chat("other", user="simulate:status:429x1")
    assert statuses(provider, body, 1) == [500]
    assert statuses(provider, other, 2) == [429, 200]
    assert statuses(provider, body, 2) == [500, 200]
    assert provider.counts()[request_hash(body)] == (3, 1)
    assert provider.counts()[request_hash(other)] == (2, 1)


@pytest.mark.parametrize(
    ("shape", "check"),
    [
        ("not_json", lambda content: content.startswith(b"upstream")),
        ("truncated", lambda content: content.startswith(b'{"id":') and not content.endswith(b"}")),
        ("html", lambda content: content.startswith(b"<html>")),
        ("empty", lambda content: content == b""),
        ("huge", lambda content: len(content) > 100_000),
        ("error", lambda content: orjson.loads(content).keys() == {"error"}),
    ],
)
def test_malformed_answers_are_200_and_never_count_as_served(
    provider: SimulatedProvider, shape: str, check: Any
) -> None:
    """Each malformed body arrives as a whole HTTP answer, which the ledger does not call a success."""
    provider.configure(huge_bytes=200_000)
    body = chat(shape, metadata={"simulate": f"malformed:{shape}"})
    status, _, content = post(provider, body)
    assert status == 200 and check(content)
    assert provider.counts()[request_hash(body)] == (1, 0)
    assert provider.stats()["answers"] == {f"malformed:{shape}": 1}


def test_a_wrong_content_type_keeps_a_good_body(provider: SimulatedProvider) -> None:
    """malformed:wrong_type sends a right answer as text/plain."""
    _, headers, content = post(provider, chat("x", metadata={"simulate": "malformed:wrong_type"}))
    assert headers["content-type"] == "text/plain"
    assert orjson.loads(content)["object"] == "chat.completion"


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("disconnect", http.client.RemoteDisconnected),
        ("disconnect_mid_body", http.client.IncompleteRead),
        ("reset", ConnectionResetError),
        ("hang", TimeoutError),
        ("stall", TimeoutError),
    ],
)
def test_broken_connections_break_as_named(provider: SimulatedProvider, fault: str, expected: type[Exception]) -> None:
    """Each way of losing a connection looks to the client as it does with a real vendor."""
    body = chat(fault, metadata={"simulate": f"{fault}x1"})
    with pytest.raises(expected):
        post(provider, body, timeout_seconds=1.0 if expected is TimeoutError else 10)
    assert post(provider, body)[0] == 200
    assert provider.counts()[request_hash(body)] == (2, 1)


def test_faults_and_latency_depend_on_seed_body_and_attempt_only(provider: SimulatedProvider) -> None:
    """Asking in another order draws the same faults; another seed draws others."""
    bodies = [chat(f"item {number}") for number in range(60)]

    def run(order: list[dict[str, Any]], seed: int) -> dict[str, list[int]]:
        provider.reset()
        provider.configure(seed=seed, faults={"status:500": 0.3, "status:429": 0.2})
        return {request_hash(body): statuses(provider, body, 2) for body in order}

    drawn = run(bodies, 7)
    assert run(bodies[::-1], 7) == drawn
    assert run(bodies, 8) != drawn
    counts = [status for pair in drawn.values() for status in pair]
    assert 15 <= counts.count(500) <= 60 and 8 <= counts.count(429) <= 45


@pytest.mark.parametrize("form", ["seconds", "date", "none"])
def test_the_token_bucket_refuses_with_retry_after(provider: SimulatedProvider, form: str) -> None:
    """Above its rate the provider answers 429, says when to come back, and lets the burst through first."""
    provider.configure(rate_per_second=0.05, burst=3, retry_after=form)
    assert statuses(provider, chat("fast"), 3) == [200, 200, 200]
    status, headers, content = post(provider, chat("fast"))
    assert status == 429
    assert orjson.loads(content)["error"]["code"] == "rate_limit_exceeded"
    if form == "seconds":
        assert 1 <= int(headers["retry-after"]) <= 20
    elif form == "date":
        at = email.utils.parsedate_to_datetime(headers["retry-after"]).timestamp()
        assert 0 < at - time.time() <= 21
    else:
        assert "retry-after" not in headers


def test_every_answer_can_say_what_is_left(provider: SimulatedProvider) -> None:
    """OpenAI's headers, from the token bucket: its size, what is in it, and how long until it is full, which together
    give the rate. Only if they were asked for, except on a 429."""
    provider.configure(rate_per_second=0.05, burst=3, rate_headers=True)
    told = [read_rate_advice(dict(post(provider, chat("headers"))[1]), time.time()) for _ in range(4)]
    windows = [advice.requests for advice in told if advice is not None and advice.requests is not None]
    assert [(window.limit, window.remaining) for window in windows] == [(3, 2), (3, 1), (3, 0), (3, 0)]
    assert [window.refill_per_second for window in windows] == [0.05] * 4
    provider.configure(rate_headers=False)
    answered = [post(provider, chat("headers"))[:2] for _ in range(4)]
    assert [(status, "x-ratelimit-limit-requests" in headers) for status, headers in answered] == [
        *[(200, False)] * 3,
        (429, True),
    ]


def test_an_account_without_money_gets_a_429_of_its_own(provider: SimulatedProvider) -> None:
    """OpenAI's code for it, and no word about when to come back."""
    status, headers, content = post(provider, chat("poor", metadata={"simulate": "insufficient_quota"}))
    assert status == 429 and "retry-after" not in headers
    error = orjson.loads(content)["error"]
    assert (error["code"], error["type"]) == ("insufficient_quota", "insufficient_quota")


@pytest.mark.parametrize("fault", ["status:503", "status:401", "insufficient_quota", "malformed:error"])
def test_an_outage_is_switched_on_and_off(provider: SimulatedProvider, fault: str) -> None:
    """With one setting, from the next request on."""
    body = chat(f"outage {fault}")
    post(provider, body)
    provider.configure(faults={fault: 1})
    post(provider, body)
    post(provider, body)
    provider.configure(faults={})
    post(provider, body)
    assert provider.counts()[request_hash(body)] == (4, 2)


def test_answers_are_held_back_until_they_may_go(provider: SimulatedProvider) -> None:
    """A call that is received while the provider holds is in flight until it no longer does, then answered well."""
    provider.configure(is_holding=True)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(post, provider, chat("held"))
        eventually(lambda: provider.stats()["in_flight"] == 1)
        assert not asked.done()
        provider.configure(is_holding=False)
        assert asked.result()[0] == 200


def test_a_provider_that_is_down_refuses_connections(provider: SimulatedProvider) -> None:
    """And breaks the open ones, again and again; its port stays its own, and it still obeys."""
    address = urlsplit(provider.url)
    for number in range(3):
        open_one = http.client.HTTPConnection(address.hostname or "", address.port, timeout=10)
        open_one.request("POST", "/v1/chat/completions", orjson.dumps(chat("x", metadata={"simulate": "hang"})), KEY)
        eventually(lambda: provider.stats()["in_flight"] == 1)
        provider.configure(is_down=True)
        with pytest.raises(ConnectionError):
            open_one.getresponse()
        open_one.close()
        eventually(lambda n=number: not answers(provider, n))
        assert not answers(provider, number)
        assert provider.stats()["in_flight"] == 0
        provider.configure(is_down=False)
        eventually(lambda n=number: answers(provider, n))


def answers(provider: SimulatedProvider, number: int) -> bool:
    try:
        return post(provider, chat(f"anybody there {number}"))[0] == 200
    except ConnectionError:
        return False


def test_the_ledger_knows_keys_and_providers_and_tags(provider: SimulatedProvider) -> None:
    """Tests can read which key reached which provider, and how much was in flight, without the key itself."""
    post(provider, chat("a", metadata={"tag": "blue"}), "/groq/v1/chat/completions", "sk-groq")
    post(provider, chat("b"), key="sk-other")
    stats = provider.stats()
    assert {(key["provider"], key["requests"]) for key in stats["keys"]} == {("groq", 1), ("default", 1)}
    assert "sk-" not in orjson.dumps(stats).decode()
    assert stats["max_in_flight"] == 1 and stats["in_flight"] == 0
    assert stats["max_in_flight_by_tag"] == {"model:gpt-4o-mini": 1, "tag:blue": 1}
    assert sum(stats["by_minute"].values()) == stats["requests"] == 2


def test_one_body_has_one_name_whatever_its_spelling() -> None:
    """Whitespace and the order of keys make no difference to the ledger's name of a body, its content does."""
    assert request_hash(b'{"model": "m", "n": 1}') == request_hash({"n": 1, "model": "m"})
    assert request_hash({"n": 1}) != request_hash({"n": 2})


def test_pipelined_requests_are_answered_in_order(provider: SimulatedProvider) -> None:
    """Two requests in one packet get two answers, the slow one first."""
    bodies = [orjson.dumps(chat("slow", metadata={"simulate": "latency:50"})), orjson.dumps(chat("quick", n=2))]
    wire = b"".join(
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer k\r\n"
        b"content-length: %d\r\n\r\n%b" % (len(body), body)
        for body in bodies
    )
    address = urlsplit(provider.url)
    answers = []
    host = (address.hostname or "", address.port)
    with socket.create_connection(host, timeout=5) as connection, connection.makefile("rb") as reader:
        connection.sendall(wire)
        for _ in bodies:
            assert reader.readline() == b"HTTP/1.1 200 OK\r\n"
            length = int(http.client.parse_headers(reader)["content-length"])
            answers.append(len(orjson.loads(reader.read(length))["choices"]))
    assert answers == [1, 2]


def test_wrong_settings_are_refused_by_name(provider: SimulatedProvider) -> None:
    """A mistyped setting or fault never passes silently."""
    with pytest.raises(ValueError, match="latencyms"):
        provider.configure(latencyms=1)
    with pytest.raises(ValueError, match="explode"):
        provider.configure(faults={"explode": 1.0})
    with pytest.raises(ValueError, match="burst"):
        SimulatedProvider(burst=0)


def test_the_demos_requests_are_good_lines_of_which_five_fail_for_good() -> None:
    """events/requests.jsonl holds 240 different, routable lines; ten misbehave, half of them only once."""
    lines = [orjson.loads(line) for line in (REPOSITORY / "events" / "requests.jsonl").read_bytes().splitlines()]
    assert len({line["custom_id"] for line in lines}) == len({request_hash(line["body"]) for line in lines}) == 240
    simulator = Simulator(Config())
    answers = []
    for line in lines:
        assert (line["method"], line["url"]) == ("POST", "/v1/chat/completions")
        assert not isinstance(eligible(line["body"]["model"], None, load(), line["url"]), Refusal)
        body = orjson.dumps(line["body"])
        answers.append(
            [
                simulator.receive(Request("POST", line["url"], body, [(b"authorization", b"Bearer k")])).answer
                for _ in range(2)
            ]
        )
    assert sum(answer[0] != "200" for answer in answers) == 10
    assert sum(answer[1] != "200" for answer in answers) == 5
