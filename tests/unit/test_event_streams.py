"""Streamed answers become the JSON object that the same request would have got without streaming."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from batchyard.adapters.providers.events import EventStream, StreamBroken, StreamFailed
from batchyard.adapters.providers.openai_replies import streamed_reply_of
from batchyard.core import exact_json
from batchyard.core.calls import Answer, NoAnswer
from batchyard.core.retry import FailureReason
from local.provider.answers.content import count_tokens
from local.provider.answers.openai import ENDPOINTS
from local.provider.faults import NO_WISHES
from local.provider.ledger import hash_request

CHAT = "/v1/chat/completions"
MESSAGES = [{"role": "user", "content": "hi"}]
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    }
]


def fed(content: bytes, size: int = 10**9) -> EventStream:
    """A stream that got `content` in pieces of `size` bytes."""
    events = EventStream()
    for start in range(0, len(content), size):
        events.feed(content[start : start + size])
    return events


def assemble(content: bytes) -> Any:
    """The answer; the same however the bytes are cut."""
    whole = orjson.dumps(fed(content).answer())
    for size in (1, 2, 7, 100):
        assert orjson.dumps(fed(content, size).answer()) == whole
    return orjson.loads(whole)


def sse(*events: Any, end: bytes = b"\n\n", done: bool = True) -> bytes:
    lines = [b"data: " + orjson.dumps(event) + end for event in events]
    return b"".join(lines) + (b"data: [DONE]" + end if done else b"")


def chunk(delta: dict[str, Any], finish_reason: str | None = None, index: int = 0, **more: Any) -> dict[str, Any]:
    choice = {"index": index, "delta": delta, "finish_reason": finish_reason}
    return {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]} | more


@pytest.mark.parametrize(
    ("endpoint", "body"),
    [
        (CHAT, {"messages": MESSAGES}),
        (CHAT, {"messages": MESSAGES, "tools": TOOLS}),
        (CHAT, {"messages": MESSAGES, "response_format": {"type": "json_object"}}),
        ("/v1/completions", {"prompt": "Once"}),
        ("/v1/responses", {"input": "hi"}),
    ],
)
def test_a_stream_says_what_the_plain_answer_says(endpoint: str, body: dict[str, Any]) -> None:
    """The simulated provider's stream of an answer, put together, is that answer: text, tool calls, usage and all."""
    body = {"model": "gpt-4o-mini", "stream_options": {"include_usage": True}} | body
    answer, stream = ENDPOINTS[endpoint]
    request = hash_request(body)
    plain = orjson.loads(answer(body, count_tokens(body, 400, request, NO_WISHES), request, 7))
    assert stream is not None
    whole = assemble(b"".join(stream(body, orjson.dumps(plain))))
    for name in ("id", "object", "model", "usage"):
        assert whole[name] == plain[name]
    if endpoint == CHAT:
        (choice,), (expected,) = whole["choices"], plain["choices"]
        assert choice["finish_reason"] == expected["finish_reason"]
        for name in ("role", "content", "tool_calls"):
            assert choice["message"].get(name) == expected["message"].get(name)
    elif endpoint == "/v1/completions":
        assert whole["choices"] == plain["choices"]
    else:
        assert whole == plain


def test_tool_calls_in_pieces_are_joined() -> None:
    """Arguments are continued by index, ids and names taken once, parallel calls kept apart and in order."""
    first = {"index": 1, "id": "b", "type": "function", "function": {"name": "two", "arguments": ""}}
    second = {"index": 0, "id": "a", "type": "function", "function": {"name": "one", "arguments": '{"x"'}}
    whole = assemble(
        sse(
            chunk({"role": "assistant", "content": None, "tool_calls": [first]}),
            chunk({"tool_calls": [second]}),
            chunk({"tool_calls": [{"index": 1, "function": {"arguments": "{}"}}]}),
            chunk({"tool_calls": [{"index": 0, "function": {"arguments": ":1}"}}]}),
            chunk({}, "tool_calls"),
        )
    )
    calls = whole["choices"][0]["message"]["tool_calls"]
    assert [(call["id"], call["function"]) for call in calls] == [
        ("a", {"name": "one", "arguments": '{"x":1}'}),
        ("b", {"name": "two", "arguments": "{}"}),
    ]
    assert all("index" not in call for call in calls)


def test_choices_refusals_reasoning_and_log_probabilities_add_up() -> None:
    """Each choice has its own text; members that vendors add are continued too; log probabilities are appended."""
    odds = [{"token": "a", "logprob": -0.1}]
    one = chunk({"content": "A", "reasoning_content": "th"})
    one["choices"][0]["logprobs"] = {"content": odds, "refusal": None}
    two = chunk({"content": "B", "reasoning_content": "ink"}, "stop")
    two["choices"][0]["logprobs"] = {"content": odds, "refusal": None}
    other = chunk({"refusal": "no"}, "stop", index=1)
    whole = assemble(sse(one, other, two))
    first, second = whole["choices"]
    assert (first["message"]["content"], first["message"]["reasoning_content"]) == ("AB", "think")
    assert first["logprobs"]["content"] == odds * 2
    assert (second["index"], second["message"]["refusal"], second["message"]["content"]) == (1, "no", None)


def test_the_format_is_read_as_the_standard_has_it() -> None:
    """CRLF, a byte order mark, comments, no space after the colon, and data over several lines."""
    data = b"\xef\xbb\xbf: ping\r\n\r\n" + sse(chunk({"content": "A"}), end=b"\r\n\r\n", done=False)
    split = orjson.dumps(chunk({"content": "B"}, "stop")).replace(b',"choices"', b'\ndata:,"choices"')
    whole = assemble(data + b"data:" + split + b"\r\n\r\n")
    assert whole["choices"][0]["message"]["content"] == "AB"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (sse(chunk({"content": "half"}), done=False), FailureReason.INVALID_RESPONSE),
        (sse(), FailureReason.INVALID_RESPONSE),
        (b"", FailureReason.INVALID_RESPONSE),
        (b"data: {not json\n\n", FailureReason.INVALID_RESPONSE),
        (b"data: [1]\n\n", FailureReason.INVALID_RESPONSE),
    ],
)
def test_half_a_stream_is_no_answer(content: bytes, reason: FailureReason) -> None:
    """A stream that breaks off is a failure to be tried again, never half a result."""
    reply = streamed_reply_of(200, {}, fed(content), 0.0)
    assert isinstance(reply, NoAnswer)
    assert reply.failure is reason and reply.failure.may_be_retried
    with pytest.raises(StreamBroken):
        assemble(content)


@pytest.mark.parametrize(
    ("event", "status", "reason"),
    [
        ({"error": {"message": "overloaded"}}, 502, FailureReason.SERVER_ERROR),
        ({"error": {"message": "slow down", "code": 429}, "choices": []}, 429, FailureReason.THROTTLED),
        ({"type": "error", "error": {"type": "overloaded_error", "message": "x"}}, 529, FailureReason.OVERLOADED),
        ({"type": "error", "code": "rate_limit_exceeded", "message": "x"}, 429, FailureReason.THROTTLED),
        ({"error": {"message": "no", "code": 400}}, 400, FailureReason.REJECTED),
        ({"type": "response.failed", "response": {"error": {"code": "server_error"}, "output": []}}, 502, None),
    ],
)
def test_an_error_inside_a_stream_fails_it(event: dict[str, Any], status: int, reason: FailureReason | None) -> None:
    """It counts as the status that it names, and its words are kept; the half that came before it is no result."""
    content = sse(chunk({"content": "half"}), event)
    reply = streamed_reply_of(200, {}, fed(content), 0.0)
    assert isinstance(reply, Answer)
    assert (reply.status, reply.failure) == (status, reason or FailureReason.SERVER_ERROR)
    assert orjson.loads(reply.body) == event.get("response", event)
    if "response" not in event:
        with pytest.raises(StreamFailed):
            assemble(content)


def test_a_character_in_two_halves_is_whole() -> None:
    """Some servers cut an emoji's surrogate pair between two chunks; a half that stays alone is no reason to lose the
    rest."""
    halves = [
        b'{"choices":[{"index":0,"delta":{"content":"%b"},"finish_reason":null}]}' % half
        for half in (rb"a\ud83d", rb"\ude00b", rb"\ud800")
    ]
    content = b"".join(b"data: %b\n\n" % half for half in halves) + sse(chunk({}, "stop"))
    reply = streamed_reply_of(200, {}, fed(content), 0.0)
    assert isinstance(reply, Answer) and reply.failure is None
    assert json.loads(reply.body)["choices"][0]["message"]["content"] == "a\U0001f600b\ud800"


def test_a_streamed_answer_counts_its_tokens() -> None:
    """The usage of the last chunk is the answer's, and its JSON stands on one line."""
    usage = {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}
    last = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [], "usage": usage}
    content = sse(chunk({"content": "a\nb\u2028"}), chunk({}, "stop"), last)
    reply = streamed_reply_of(200, {"x-request-id": "r1"}, fed(content), 0.0)
    assert isinstance(reply, Answer)
    assert (reply.usage.input_tokens, reply.usage.output_tokens, reply.request_id) == (5, 3, "r1")
    assert len(reply.body.decode().splitlines()) == 1
    assert orjson.loads(reply.body)["choices"][0]["message"]["content"] == "a\nb\u2028"


def test_a_long_stream_is_not_held() -> None:
    """What is kept is the answer, not the events around it; and a last line without its end is read."""
    events = EventStream()
    before = b"data: " + orjson.dumps(chunk({"content": "ab"}, padding="x" * 1000)) + b"\n\n"
    for _ in range(2000):
        events.feed(before)
    events.feed(sse(chunk({}, "stop"), done=False).rstrip(b"\n"))
    answer = events.answer()
    assert answer["choices"][0]["message"]["content"] == "ab" * 2000
    assert len(orjson.dumps(answer)) < 6000


ODDS = {"token": "ab", "logprob": -0.1, "top_logprobs": [{"token": "x", "logprob": -3.5}] * 4}
SHAPES: dict[str, Callable[[int], Any]] = {
    "text": lambda n: chunk({"content": "ab"}),
    "text beyond ASCII": lambda n: chunk({"content": "\U0001f600"}),
    "log probabilities": lambda n: choice_with(logprobs={"content": [ODDS]}),
    "nothing, in lists": lambda n: choice_with(logprobs={"content": [[[]]] * 20}),
    "filters, replaced each time": lambda n: choice_with(content_filter_results={"hate": {"filtered": False}}),
    "members of many names": lambda n: choice_with(**{f"name{n}": [[{"": 1}]]}),
    "many choices": lambda n: chunk({"content": "a"}, index=n),
    "many tool calls": lambda n: chunk({"tool_calls": [{"index": n, "function": {"arguments": "{"}}]}),
    "images": lambda n: chunk({"images": [{"url": "data:" + "x" * 100}]}),
    "objects in objects": lambda n: chunk({f"name{n}": {"a": {"b": {}}}}),
}


def choice_with(**members: Any) -> dict[str, Any]:
    return {"id": "c1", "choices": [{"index": 0, "finish_reason": None} | members]}


@pytest.mark.parametrize("shape", SHAPES)
def test_what_a_stream_holds_is_counted(shape: str) -> None:
    """Whatever the chunks are made of, they take no more than twice what is counted, and what is bounded; and of what
    vendors send not much more is counted than the answer has."""
    content = [sse(SHAPES[shape](number), done=False) for number in range(2000)]
    tracemalloc.start()
    try:
        events = EventStream()
        for each in content:
            events.feed(each)
        taken = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert taken < 2 * events.held_bytes + 10_000
    events.feed(sse(chunk({}, "stop")))
    if shape in ("text", "text beyond ASCII", "log probabilities", "filters, replaced each time", "images"):
        assert events.held_bytes < 2 * len(orjson.dumps(events.answer())) + 5_000


def test_an_event_without_an_end_is_counted() -> None:
    """Its bytes wait for the rest of it."""
    events = EventStream()
    for _ in range(100):
        events.feed(b"data: " + b"x" * 1000)
    events.feed(b"\n")
    for _ in range(100):
        events.feed(b"data:\n")
    assert events.held_bytes > 100_000


@pytest.mark.parametrize(
    ("begin", "end"),
    [(b'{"type":"response.completed","response":{"output":[', b"]}}"), (b'{"choices":[', b"]}")],
    ids=["responses", "chunk"],
)
def test_an_event_of_more_than_a_million_objects_is_not_read(
    monkeypatch: pytest.MonkeyPatch, begin: bytes, end: bytes
) -> None:
    """It would take forty times its bytes, as a plain answer would: it is too large, and there is no second try."""
    read: list[bytes] = []
    monkeypatch.setattr(exact_json, "loads_anything", read.append)
    content = b"data: " + begin + b"{}," * 1_400_000 + b"{}" + end + b"\n\n"
    assert streamed_reply_of(200, {}, fed(content), 0.0) == NoAnswer(FailureReason.TOO_LARGE)
    assert not read


def test_chunks_that_are_nested_too_deeply_are_no_answer() -> None:
    """They break the stream, and nothing else."""
    deep = b"[" * 900 + b"]" * 900
    for chunks in (
        b'{"choices":[{"index":0,"more":%b,"finish_reason":"stop"}]}' % deep,
        b'{"choices":[{"index":0,"logprobs":{"content":[%b]},"finish_reason":"stop"}]}' % deep,
    ):
        reply = streamed_reply_of(200, {}, fed(b"data: %b\n\ndata: [DONE]\n\n" % chunks), 0.0)
        assert isinstance(reply, Answer) or reply.failure is FailureReason.INVALID_RESPONSE
