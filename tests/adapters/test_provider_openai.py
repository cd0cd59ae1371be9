"""The client at a provider of kind openai: against the simulated one, and against servers that break HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import ssl
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from email.utils import formatdate
from typing import Any

import aiohttp
import orjson
import pytest

from batchyard.adapters.providers.provider_client import CallLimits, ProviderClient
from batchyard.core.calls import Answer, NoAnswer, ProviderReply
from batchyard.core.ratelimits import RateAdvice, Window
from batchyard.core.retry import FailureReason
from batchyard.core.usage import REFUSED_USAGE, Usage
from local.provider import SimulatedProvider, request_hash

CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def running() -> Iterator[SimulatedProvider]:
    with SimulatedProvider(seed=7, huge_bytes=3_000_000) as provider:
        yield provider


@pytest.fixture
def provider(running: SimulatedProvider) -> SimulatedProvider:
    running.reset()
    return running


def chat(text: str, **fields: Any) -> bytes:
    return orjson.dumps({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": text}], **fields})


def simulate(what: str, text: str = "hello") -> bytes:
    return chat(text, metadata={"simulate": what})


def call(url: str, *bodies: bytes, endpoint: str = CHAT, key: str = "sk-test", **settings: Any) -> Any:
    """The reply to each body, sent together over one client; just the reply if there is one body."""

    async def send() -> list[Answer | NoAnswer]:
        defaults = {
            "connect_timeout_seconds": 5.0,
            "read_timeout_seconds": 20.0,
            "max_connections": 64,
            "max_response_bytes": 1_000_000,
        }
        client = ProviderClient(url, CallLimits(**defaults | settings))
        try:
            return await asyncio.gather(*(client.call(endpoint, key, body) for body in bodies))
        finally:
            await client.close()

    replies = asyncio.run(send())
    return replies[0] if len(bodies) == 1 else replies


def test_an_answer_comes_back_byte_for_byte(provider: SimulatedProvider) -> None:
    """Status, request id, usage and the provider's own JSON; the request went out as it was."""
    body = chat("grüße \u2028 日本")
    answer = call(provider.url, body)
    assert isinstance(answer, Answer)
    assert (answer.status, answer.failure) == (200, None)
    assert answer.request_id
    document = orjson.loads(answer.body)
    usage = document["usage"]
    assert answer.usage.input_tokens == usage["prompt_tokens"] > 0
    assert answer.usage.output_tokens == usage["completion_tokens"] > 0
    assert provider.counts()[request_hash(body)] == (1, 1)


@pytest.mark.parametrize(
    ("endpoint", "body", "usage"),
    [
        (
            CHAT,
            {
                "model": "gpt-4o",
                "messages": [{"role": "user", "content": "x"}],
                "metadata": {"simulate": "cached:2;reasoning:5;output:9"},
            },
            ("output", 9, 5),
        ),
        ("/v1/completions", {"model": "davinci-002", "prompt": "x", "user": "simulate:output:4"}, ("output", 4, 0)),
        ("/v1/embeddings", {"model": "text-embedding-3-small", "input": "some words"}, ("input", 0, 0)),
        (
            "/v1/responses",
            {"model": "o4-mini", "input": "x", "metadata": {"simulate": "reasoning:6;output:8"}},
            ("output", 8, 6),
        ),
        ("/v1/moderations", {"input": "some words"}, ("none", 0, 0)),
    ],
)
def test_every_endpoint_and_its_usage(
    provider: SimulatedProvider, endpoint: str, body: dict[str, Any], usage: tuple[str, int, int]
) -> None:
    """The token counts of each endpoint are found by its own names."""
    answer = call(provider.url, orjson.dumps(body), endpoint=endpoint)
    assert isinstance(answer, Answer) and answer.failure is None
    kind, made, reasoning = usage
    assert (answer.usage.output_tokens, answer.usage.reasoning_tokens) == (made, reasoning)
    assert (answer.usage.total_tokens > 0) is (kind != "none")


@pytest.mark.parametrize("code", [400, 401, 404, 422, 500, 503, 529])
def test_an_error_keeps_the_providers_words(provider: SimulatedProvider, code: int) -> None:
    """Status and error object reach the error file as the provider wrote them."""
    answer = call(provider.url, simulate(f"status:{code}"))
    assert isinstance(answer, Answer)
    assert answer.status == code and answer.failure is not None
    assert answer.failure.may_be_retried is (code >= 500)
    assert set(orjson.loads(answer.body)["error"]) >= {"message", "type", "param", "code"}


@pytest.mark.parametrize("form", ["seconds", "date", "none"])
def test_retry_after_on_the_wire(provider: SimulatedProvider, form: str) -> None:
    """The Retry-After of a 429 is read in both of its forms."""
    provider.configure(retry_after=form)
    answer = call(provider.url, simulate("status:429;retry_after:30"))
    assert isinstance(answer, Answer) and answer.failure is FailureReason.THROTTLED
    wait = answer.retry_advice.retry_after_seconds
    assert wait is None if form == "none" else wait is not None and 25 <= wait <= 31


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("disconnect", FailureReason.CONNECTION),
        ("disconnect_mid_body", FailureReason.CONNECTION),
        ("reset", FailureReason.CONNECTION),
        ("malformed:not_json", FailureReason.INVALID_RESPONSE),
        ("malformed:truncated", FailureReason.INVALID_RESPONSE),
        ("malformed:html", FailureReason.INVALID_RESPONSE),
        ("malformed:empty", FailureReason.INVALID_RESPONSE),
        ("malformed:huge", FailureReason.TOO_LARGE),
    ],
)
def test_broken_answers_are_values(provider: SimulatedProvider, fault: str, reason: FailureReason) -> None:
    """Whatever breaks becomes a reason; nothing is raised, and the client goes on working."""
    broken, fine = call(provider.url, simulate(fault), chat("fine"))
    assert broken == NoAnswer(reason)
    assert isinstance(fine, Answer) and fine.failure is None


def test_the_body_counts_not_its_content_type(provider: SimulatedProvider) -> None:
    """A JSON object that calls itself text is an answer."""
    assert call(provider.url, simulate("malformed:wrong_type")).failure is None


@pytest.mark.parametrize("fault", ["hang", "stall"])
def test_a_silent_provider_times_out(provider: SimulatedProvider, fault: str) -> None:
    """Silence before the answer and in the middle of it both end when the time for a whole answer is up."""
    limits = {"connect_timeout_seconds": 1.0, "read_timeout_seconds": 0.1}
    assert call(provider.url, simulate(fault), **limits) == NoAnswer(FailureReason.TIMEOUT)


def test_nobody_listens() -> None:
    """A refused connection is a broken connection, not a timeout."""
    assert call("http://127.0.0.1:9/v1", chat("x")) == NoAnswer(FailureReason.CONNECTION)


def test_the_key_goes_to_the_provider(provider: SimulatedProvider) -> None:
    """The secret is sent as a bearer token; a wrong one becomes `key_refused`."""
    provider.configure(keys={"default": "sk-right"})
    assert call(provider.url, chat("x"), key="sk-right").failure is None
    wrong = call(provider.url, chat("x"), key="sk-wrong")
    assert (wrong.status, wrong.failure) == (401, FailureReason.KEY_REFUSED)


def test_an_empty_account_is_no_rate_limit() -> None:
    """OpenAI's 429 for missing money blocks the lane; the customer still gets the provider's words."""
    body = orjson.dumps({"error": {"message": "You exceeded your quota.", "code": "insufficient_quota"}})
    answer = answer_of(http(body, "x-should-retry: true", status="429 Too Many Requests"))
    assert (answer.status, answer.failure, answer.body) == (429, FailureReason.OUT_OF_MONEY, body)


@asynccontextmanager
async def serve(reply: bytes, *, drip: float = 0.0) -> AsyncIterator[str]:
    """A server that answers every request with these very bytes, then closes; with `drip`, one byte per so many
    seconds."""

    answering = set()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answering.add(asyncio.current_task())
        try:
            await reader.readuntil(b"\r\n\r\n")
            for piece in [reply] if not drip else [reply[n : n + 1] for n in range(len(reply))]:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(drip)
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}/v1"
    for task in answering:
        task.cancel()
    await asyncio.gather(*answering, return_exceptions=True)


def answer_of(reply: bytes, *, drip: float = 0.0, **settings: Any) -> Any:
    """What the adapter makes of a server's bytes."""

    async def send() -> Answer | NoAnswer:
        defaults = {
            "connect_timeout_seconds": 5.0,
            "read_timeout_seconds": 10.0,
            "max_connections": 4,
            "max_response_bytes": 100_000,
        }
        async with serve(reply, drip=drip) as url:
            client = ProviderClient(url, CallLimits(**defaults | settings))
            try:
                return await client.call(CHAT, "sk-test", b"{}")
            finally:
                await client.close()

    return asyncio.run(send())


def http(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    head = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", *headers]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def test_a_pretty_answer_becomes_one_line() -> None:
    """Line ends between tokens and separators inside strings go, the JSON stays the same."""
    document = {"text": "a\u2028b\u2029c\u0085d \\n e", "usage": None}
    pretty = orjson.dumps(document, option=orjson.OPT_INDENT_2).replace(b"\n", b"\r\n")
    answer = answer_of(http(pretty))
    assert orjson.loads(answer.body) == document
    assert len(answer.body.decode().splitlines()) == 1
    assert answer.usage == Usage()


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"prompt_tokens": 5, "completion_tokens": 7}, Usage(5, 0, 7, 0)),
        ({"prompt_tokens": 5, "total_tokens": 5}, Usage(5)),
        ({"input_tokens": 3, "output_tokens": 4, "input_tokens_details": {"cached_tokens": 2}}, Usage(3, 2, 4)),
        ({"prompt_tokens": 5, "prompt_tokens_details": {"cached_tokens": 9}, "completion_tokens": 1}, Usage(5, 5, 1)),
        ({"prompt_tokens": 5.0, "completion_tokens": None, "prompt_tokens_details": []}, Usage(5)),
        ({"prompt_tokens": "5", "completion_tokens": 1}, REFUSED_USAGE),
        ({"prompt_tokens": 5, "completion_tokens": True}, REFUSED_USAGE),
        ({"prompt_tokens": -5, "completion_tokens": 1}, REFUSED_USAGE),
        ({"prompt_tokens": 5, "completion_tokens": 1.5}, REFUSED_USAGE),
        ({"prompt_tokens": 5, "completion_tokens": 9 * 10**18}, REFUSED_USAGE),
        ({"input_tokens": 10_000_001, "output_tokens": 1}, REFUSED_USAGE),
        ({"input_tokens": 10_000_000, "output_tokens": 10_000_000}, Usage(10_000_000, 0, 10_000_000)),
        ({"prompt_tokens": 5, "prompt_tokens_details": {"cached_tokens": -1}}, REFUSED_USAGE),
        ([], Usage()),
        (None, Usage()),
    ],
)
def test_odd_usage_never_breaks_an_answer(usage: Any, expected: Usage) -> None:
    """Figures that cannot be true are refused and cost nothing; no detail exceeds what it is a part of."""
    answer = answer_of(http(orjson.dumps({"usage": usage})))
    assert (answer.failure, answer.usage) == (None, expected)


@pytest.mark.parametrize(
    "body",
    [
        rb'{"choices":[{"message":{"content":"half an emoji: \ud83d"}}],"usage":{"prompt_tokens":3}}',
        b'{"n":' + b"7" * 400 + b',"usage":{"prompt_tokens":3}}',
        b'{"n":' + b"7" * 5000 + b',"usage":{"prompt_tokens":3}}',
        b'{"n":[1e400,-1E999],"usage":{"prompt_tokens":3}}',
    ],
)
def test_valid_json_that_orjson_refuses_is_an_answer(body: bytes) -> None:
    """Lone surrogates and numbers beyond a double are the customer's: the bytes stay, the usage is read."""
    answer = answer_of(http(body))
    assert (answer.failure, answer.body, answer.usage) == (None, body, Usage(3))


@pytest.mark.parametrize(
    "body",
    [
        *(b'{"n":NaN}', b'{"n":-Infinity}', b"[1e400]", b"{'a':1}", b'{"a":1e400}}'),
        *(b"\xef\xbb\xbf{}", b'{"a":"\xff"}', b'{"a":"\x01"}', '{"a":1}'.encode("utf-16")),
        b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
def test_what_is_no_json_object_is_no_answer(body: bytes) -> None:
    """The slow way takes nothing that RFC 8259 does not."""
    assert answer_of(http(body), max_response_bytes=10**6) == NoAnswer(FailureReason.INVALID_RESPONSE)


def test_a_usage_beyond_every_number_is_refused() -> None:
    """Even one that no integer of ours could hold."""
    answer = answer_of(http(b'{"usage":{"prompt_tokens":' + b"9" * 30 + b',"completion_tokens":1e400}}'))
    assert (answer.failure, answer.usage) == (None, REFUSED_USAGE)


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        ({"message": "slow down", "code": 429}, 429, FailureReason.THROTTLED),
        ({"message": "bad gateway", "code": "502"}, 502, FailureReason.SERVER_ERROR),
        ({"message": "no credits", "code": 402}, 402, FailureReason.OUT_OF_MONEY),
        ({"message": "flagged", "code": 403}, 403, FailureReason.REJECTED),
        ({"message": "bad model", "code": 400}, 400, FailureReason.REJECTED),
        ({"type": "rate_limit_error", "message": "x"}, 429, FailureReason.THROTTLED),
        ({"type": "overloaded_error", "message": "x"}, 529, FailureReason.OVERLOADED),
        ({"type": "invalid_request_error", "message": "x"}, 400, FailureReason.REJECTED),
        ({"message": "something", "code": 200}, 502, FailureReason.SERVER_ERROR),
        ("something", 502, FailureReason.SERVER_ERROR),
    ],
)
@pytest.mark.parametrize("around", [{}, {"choices": []}, {"output": [], "status": "failed"}, {"data": None}])
def test_a_success_that_is_only_an_error_is_a_failure(
    error: Any, status: int, reason: FailureReason, around: dict[str, Any]
) -> None:
    """A 200 that holds an error and no answer counts as the status that it names; the provider's words are kept."""
    document = {"error": error, **around}
    answer = answer_of(http(orjson.dumps(document)))
    assert (answer.status, answer.failure, answer.usage) == (status, reason, Usage())
    assert orjson.loads(answer.body) == document


@pytest.mark.parametrize(
    "document",
    [
        {"error": None, "output": []},
        {"error": {}, "x": 1},
        {"error": {"code": 429}, "choices": [{"index": 0}]},
        {"error": {"code": 429}, "data": [{"embedding": [0.5]}]},
        {"choices": []},
    ],
)
def test_an_answer_with_an_error_beside_it_is_an_answer(document: dict[str, Any]) -> None:
    """What was asked for is there, or no error is."""
    assert answer_of(http(orjson.dumps(document))).failure is None


def test_a_long_error_is_cut() -> None:
    """What is kept of an error has a bound, stays valid JSON, and says that it was cut."""
    body = b'{"error":{"message":"' + b"\xe2\x82\xac" * 500_000 + b'"}}'
    answer = answer_of(http(body, status="500 Oops"), max_response_bytes=10**9)
    assert (answer.status, answer.failure) == (500, FailureReason.SERVER_ERROR)
    assert len(answer.body) < 10_000
    message = orjson.loads(answer.body)["error"]["message"]
    assert message.startswith('{"error":{"message":"€€€') and message.endswith("too long and is cut off here.)")


def test_a_long_error_inside_a_success_is_cut() -> None:
    """It may be as long as an answer, and is no longer kept than any other error; its code still counts."""
    body = orjson.dumps({"error": {"code": 429, "message": "x" * 90_000}})
    answer = answer_of(http(body))
    assert (answer.status, answer.failure) == (429, FailureReason.THROTTLED)
    assert len(answer.body) < 10_000 and b"cut off here" in answer.body


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{"])
def test_a_cancelled_call_closes_its_connection(sent: bytes) -> None:
    """Before and in the middle of the answer: the provider sees the end, and the next call finds its place free."""

    async def cancel_one() -> tuple[bytes, ProviderReply]:
        waiting = asyncio.Event()
        rest_of_first: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n{}")
            if waiting.is_set():
                writer.write(http(b"{}"))
            else:
                writer.write(sent)
                await writer.drain()
                waiting.set()
                rest_of_first.set_result(await reader.read())
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        client = ProviderClient(f"http://127.0.0.1:{port}/v1", CallLimits(5.0, 10.0, 1, 100_000))
        async with server:
            try:
                call = asyncio.create_task(client.call(CHAT, "sk-test", b"{}"))
                await waiting.wait()
                call.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await call
                async with asyncio.timeout(10):
                    return await rest_of_first, await client.call(CHAT, "sk-test", b"{}")
            finally:
                await client.close()

    rest, reply = asyncio.run(cancel_one())
    assert rest == b""
    assert isinstance(reply, Answer) and reply.failure is None


def test_an_endless_error_is_not_read() -> None:
    """No more of it than what is kept, and a chunk: the connection is closed on the rest."""
    sent = 0

    async def send() -> ProviderReply:
        async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal sent
            with contextlib.suppress(ConnectionError):
                await reader.readuntil(b"\r\n\r\n")
                writer.write(b"HTTP/1.1 400 No\r\ncontent-length: 1000000000000\r\n\r\n")
                while True:
                    writer.write(b"x" * 65_536)
                    sent += 65_536
                    await writer.drain()

        server = await asyncio.start_server(pour, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        client = ProviderClient(f"http://127.0.0.1:{port}/v1", CallLimits(5.0, 10.0, 4, 100_000))
        async with server:
            try:
                return await client.call(CHAT, "sk-test", b"{}")
            finally:
                await client.close()

    answer = asyncio.run(send())
    assert isinstance(answer, Answer) and answer.failure is FailureReason.REJECTED
    assert sent < 50_000_000


def test_an_error_page_is_wrapped() -> None:
    """What a proxy says in HTML ends as an OpenAI error object, cut to a readable length."""
    answer = answer_of(http(b"<h1>Bad gateway</h1>" + b"\xff" * 9000, status="502 Bad Gateway"))
    error = orjson.loads(answer.body)["error"]
    assert (answer.status, answer.failure) == (502, FailureReason.SERVER_ERROR)
    assert error["message"].startswith("<h1>Bad gateway</h1>") and len(error["message"]) <= 2000
    assert (error["type"], error["param"], error["code"]) == ("provider_error", None, None)


def test_an_empty_error_still_says_something() -> None:
    """No body at all: the status is named."""
    assert b"status 500" in answer_of(http(b"", status="500 Oops")).body


def test_dates_and_milliseconds() -> None:
    """retry-after-ms wins over an HTTP date."""
    late = f"retry-after: {formatdate(4_000_000_000, usegmt=True)}"
    answer = answer_of(http(b"{}", late, "Retry-After-Ms: 1500", status="429 Slow down"))
    assert answer.retry_advice.retry_after_seconds == 1.5


def test_what_the_headers_say_about_limits_comes_along() -> None:
    """With a success and with a failure; None if the headers say nothing."""
    left = ("X-RateLimit-Limit-Requests: 5000", "X-RateLimit-Remaining-Requests: 0", "x-ratelimit-reset-requests: 6m0s")
    advice = RateAdvice(requests=Window(5000, 0, 360.0))
    assert answer_of(http(b"{}", *left)).rate_advice == advice
    assert answer_of(http(b"{}", *left, status="500 Oops")).rate_advice == advice
    assert answer_of(http(b"{}")).rate_advice is None


def test_a_limit_of_nothing_is_no_throttling() -> None:
    """A 429 from an account whose limit is 0 does not pass by itself."""
    reply = http(b"{}", "x-ratelimit-limit-tokens: 0", "x-ratelimit-remaining-tokens: 0", status="429 No")
    assert answer_of(reply).failure is FailureReason.OUT_OF_MONEY


def test_an_answer_may_have_long_headers() -> None:
    """Gateways add what they like; the answer is paid."""
    assert answer_of(http(b"{}", "content-security-policy: " + "a" * 50_000)).failure is None


def test_a_redirect_is_not_followed() -> None:
    """The key goes to nobody but the configured address."""
    answer = answer_of(http(b"", "location: http://127.0.0.1:9/", status="302 Found"))
    assert (answer.status, answer.failure) == (302, FailureReason.INVALID_RESPONSE)


def test_compressed_answers_are_read() -> None:
    """Some servers compress although they were asked not to."""
    plain = b'{"usage":{"prompt_tokens":3},"x":"' + b"y" * 90_000 + b'"}'
    for encoding, packed in (("gzip", gzip.compress(plain)), ("deflate", zlib.compress(plain))):
        answer = answer_of(http(packed, f"content-encoding: {encoding}"))
        assert (answer.body, answer.usage) == (plain, Usage(3))
    assert answer_of(http(plain, "content-encoding: identity")).body == plain


@pytest.mark.parametrize(
    "events",
    [
        b"data: " + b"x" * 150_000,
        b"".join(b'data: {"choices":[{"index":%d}]}\n\n' % number for number in range(1000)),
    ],
)
def test_a_stream_is_bounded_by_what_it_leaves_behind(events: bytes) -> None:
    """An event that does not end, and chunks that add up to more than their bytes: the limit holds for what a worker
    has to hold of them, though a stream may be many times as long as its answer."""
    reply = http(events, "content-type: text/event-stream")
    assert answer_of(reply) == NoAnswer(FailureReason.TOO_LARGE)


def test_an_answer_of_a_million_objects_is_not_read() -> None:
    """Six bytes each on the wire, two hundred in memory: forty times the bytes that are allowed. A long text full
    of brackets is an answer all the same."""
    pieces = b'{"choices":[' + b",".join([b"[]"] * 1_400_000) + b"]}"
    assert answer_of(http(pieces), max_response_bytes=10**7) == NoAnswer(FailureReason.TOO_LARGE)
    text = b'{"choices":["' + b"some(words) [] {}; " * 230_000 + b'"]}'
    assert answer_of(http(text), max_response_bytes=10**7).body == text


def test_a_compressed_bomb_is_bounded() -> None:
    """The limit holds for what is unpacked, too."""
    packed = gzip.compress(b'{"x":"' + b"y" * 5_000_000 + b'"}')
    assert answer_of(http(packed, "content-encoding: gzip")) == NoAnswer(FailureReason.TOO_LARGE)


def test_a_compressed_bomb_is_never_held() -> None:
    """A few packed bytes that stand for hundreds of megabytes cost no more memory than what is kept."""
    packed = gzip.compress(b" " * 100_000_000, compresslevel=9)
    reply = http(packed, "content-encoding: gzip")
    tracemalloc.start()
    try:
        assert answer_of(reply) == NoAnswer(FailureReason.TOO_LARGE)
        assert tracemalloc.get_traced_memory()[1] < 30_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "reply",
    [
        b"SSH-2.0-OpenSSH_9\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}",
        b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\n{}",
        b"",
    ],
)
def test_broken_http_is_a_broken_connection(reply: bytes) -> None:
    """What is no HTTP is retried like any other broken connection."""
    assert answer_of(reply) == NoAnswer(FailureReason.CONNECTION)


@pytest.mark.parametrize("fault", [ConnectionResetError(), ssl.SSLError(), RuntimeError("the handler is closed")])
def test_faults_that_no_library_wraps_are_broken_connections(monkeypatch: pytest.MonkeyPatch, fault: Exception) -> None:
    """Errors that aiohttp does not wrap, such as uvloop's for a write on a connection that was just closed, count as
    connection errors: an exception would count as a crash of the item."""

    async def breaks(*_: object, **__: object) -> None:
        raise fault

    monkeypatch.setattr(aiohttp.ClientSession, "_request", breaks)
    assert call("http://127.0.0.1:9/v1", chat("hello")) == NoAnswer(FailureReason.CONNECTION)


def test_a_connection_that_never_comes_about_is_a_broken_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends at its own timeout, long before that for an answer, and is told from a slow answer."""

    async def hangs(*_: object, **__: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(aiohttp.connector.aiohappyeyeballs, "start_connection", hangs)
    reply = call("http://127.0.0.1:9/v1", chat("x"), connect_timeout_seconds=0.1, read_timeout_seconds=600.0)
    assert reply == NoAnswer(FailureReason.CONNECTION)


def test_a_drip_is_no_answer() -> None:
    """A byte now and then keeps no read timeout from ending the call as a whole."""
    dripping = http(b'{"a":"' + b"b" * 50 + b'"}')
    reply = answer_of(dripping, drip=0.1, connect_timeout_seconds=0.5, read_timeout_seconds=0.5)
    assert reply == NoAnswer(FailureReason.TIMEOUT)
