"""Translation between chat completions and Anthropic's Messages, there and back, whatever an item asks for: nothing is
dropped without a word.

Values are told apart by being unique: each text, number and name of a drawn request is one that nobody else has, so
that it can be looked for in what is sent.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from batchyard.adapters.providers.anthropic.replies import chat_completion
from batchyard.adapters.providers.anthropic.requests import messages_request
from batchyard.adapters.providers.anthropic.translator import AnthropicTranslator
from batchyard.adapters.providers.from_messages.replies import message_of
from batchyard.adapters.providers.from_messages.requests import chat_request
from batchyard.adapters.providers.openai.translator import OpenAITranslator
from batchyard.adapters.providers.translator import ProviderRequest, Untranslatable
from batchyard.core.providers import Provider

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
TRANSLATOR = AnthropicTranslator(Provider("anthropic", "anthropic", "https://api.anthropic.com/v1"))
MODEL = "claude-opus-5"

Draw = Any
_OPAQUE = frozenset({"parameters", "input_schema", "schema", "metadata", "input", "logit_bias"})
"""Objects whose members are the caller's own: they go on as they are."""


class Unique:
    """Makes values that nobody else has."""

    def __init__(self) -> None:
        self._next = itertools.count(1000)

    def text(self) -> str:
        return f"u{next(self._next)}"

    def number(self) -> int:
        return next(self._next)


def maybe(draw: Draw, **fields: Any) -> dict[str, Any]:
    """Some of `fields`."""
    return {name: value for name, value in fields.items() if draw(st.booleans())}


def tool(draw: Draw, unique: Unique) -> dict[str, Any]:
    schema = {"type": "object", "properties": {unique.text(): {"type": "string", "maxLength": unique.number()}}}
    function = {"name": unique.text(), "parameters": schema} | maybe(draw, description=unique.text(), strict=True)
    return {"type": "function", "function": function}


def users_content(draw: Draw, unique: Unique) -> Any:
    if draw(st.booleans()):
        return unique.text()
    parts = [
        {"type": "text", "text": unique.text()},
        {"type": "image_url", "image_url": {"url": f"https://x.example/{unique.text()}.png"}},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{unique.text()}"}},
        {
            "type": "file",
            "file": {"file_data": f"data:application/pdf;base64,{unique.text()}", "filename": unique.text()},
        },
    ]
    chosen = draw(st.lists(st.sampled_from(range(len(parts))), min_size=2, max_size=4, unique=True))
    return [parts[number] for number in chosen]


def turn(draw: Draw, unique: Unique) -> list[dict[str, Any]]:
    """What the assistant said, and the results of its tools."""
    calls = [
        {
            "id": unique.text(),
            "type": "function",
            "function": {"name": unique.text(), "arguments": orjson.dumps({unique.text(): unique.number()}).decode()},
        }
        for _ in range(draw(st.integers(0, 2)))
    ]
    said: dict[str, Any] = {"role": "assistant", "content": unique.text() if not calls or draw(st.booleans()) else None}
    results = [{"role": "tool", "tool_call_id": call["id"], "content": unique.text()} for call in calls]
    return [said | ({"tool_calls": calls} if calls else {}), *results]


@st.composite
def chat_bodies(draw: Draw) -> dict[str, Any]:
    """Chat completions that can be expressed in Anthropic's form, written as our translation back writes them."""
    unique = Unique()
    messages = [{"role": "system", "content": unique.text()}] if draw(st.booleans()) else []
    messages.append({"role": "user", "content": users_content(draw, unique)})
    for _ in range(draw(st.integers(0, 2))):
        said = turn(draw, unique)
        messages += [*said, {"role": "user", "content": users_content(draw, unique)}]
    tools = [tool(draw, unique) for _ in range(draw(st.integers(0, 2)))]
    choices: list[Any] = ["auto", "required", "none", {"type": "function", "function": {"name": unique.text()}}]
    schema = {"type": "object", "description": unique.text()}
    form = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}}
    body = {"model": MODEL, "messages": messages, "max_completion_tokens": unique.number()}
    body |= maybe(
        draw,
        temperature=unique.number() / 100_000,
        top_p=unique.number() / 100_000,
        stop=[unique.text(), unique.text()],
        user=unique.text(),
        service_tier=draw(st.sampled_from(["auto", "default"])),
        reasoning_effort=draw(st.sampled_from(["low", "medium", "high", "xhigh", "max"])),
        response_format=form,
    )
    if tools:
        body |= {"tools": tools} | maybe(draw, tool_choice=draw(st.sampled_from(choices)))
        if body.get("tool_choice") not in (None, "none"):
            body |= maybe(draw, parallel_tool_calls=False)
    return body


def objects(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all objects in `value` whose members have a meaning."""
    if isinstance(value, dict):
        yield path
        for name, member in value.items():
            if name not in _OPAQUE:
                yield from objects(member, (*path, name))
    elif isinstance(value, list):
        for number, element in enumerate(value):
            yield from objects(element, (*path, number))


def leaves(value: Any) -> Iterator[str]:
    """All unique texts and numbers in `value`."""
    if isinstance(value, dict):
        for name, member in value.items():
            yield from (*leaves(name), *leaves(member))
    elif isinstance(value, list):
        for element in value:
            yield from leaves(element)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield orjson.dumps(value).decode()
    elif isinstance(value, str) and (value[:1] == "u" and value[1:].isdecimal()):
        yield value


def with_member(document: dict[str, Any], path: tuple[Any, ...], name: str, value: Any) -> dict[str, Any]:
    """`document` with a further member in the object at `path`."""
    found: Any = copy.deepcopy(document)
    place = found
    for step in path:
        place = place[step]
    place[name] = value
    changed: dict[str, Any] = found
    return changed


@given(chat_bodies())
def test_there_and_back_is_the_same_request(body: dict[str, Any]) -> None:
    """A chat completion as Messages as a chat completion: everything is where it was."""
    there = messages_request(body, MODEL, 1)
    assert chat_request(there, MODEL, "OpenAI", max_tokens_name="max_completion_tokens") == body


@given(chat_bodies())
def test_every_value_of_a_request_is_sent(body: dict[str, Any]) -> None:
    """Each text, number and name of the caller's is found in what goes to Anthropic."""
    request = TRANSLATOR.request(CHAT, orjson.dumps(body))
    assert isinstance(request, ProviderRequest)
    sent = request.body.decode()
    assert [value for value in leaves(body) if value not in sent] == []


@given(chat_bodies(), st.data())
def test_a_member_that_nobody_knows_is_refused(body: dict[str, Any], data: st.DataObject) -> None:
    """Wherever it stands, in both directions: there is no place in a request where something can get lost."""
    place = data.draw(st.sampled_from(list(objects(body))))
    surprise = TRANSLATOR.request(CHAT, orjson.dumps(with_member(body, place, "surprise", 1)))
    assert isinstance(surprise, Untranslatable), place
    document = messages_request(body, MODEL, 1)
    place = data.draw(st.sampled_from(list(objects(document))))
    surprise = OpenAITranslator().request(MESSAGES, orjson.dumps(with_member(document, place, "surprise", 1)))
    assert isinstance(surprise, Untranslatable), place


@given(chat_bodies(), st.data())
def test_null_is_as_good_as_nothing(body: dict[str, Any], data: st.DataObject) -> None:
    """OpenAI's clients send null for what was not set."""
    place = data.draw(st.sampled_from(list(objects(body))))
    assert messages_request(with_member(body, place, "surprise", None), MODEL, 1) == messages_request(body, MODEL, 1)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(chat_bodies(), JSON, st.data())
def test_anything_at_all_has_an_answer(body: dict[str, Any], anything: Any, data: st.DataObject) -> None:
    """A member that holds something else than it should never breaks the worker, in either direction."""
    place = data.draw(st.sampled_from(list(objects(body))))
    found: Any = body
    for step in place:
        found = found[step]
    name = data.draw(st.sampled_from(list(found)))
    broken = orjson.dumps(with_member(body, place, name, anything))
    for translator, endpoint in ((TRANSLATOR, CHAT), (TRANSLATOR, MESSAGES), (OpenAITranslator(), MESSAGES)):
        assert isinstance(translator.request(endpoint, broken), ProviderRequest | Untranslatable)


@st.composite
def anthropic_messages(draw: Draw) -> dict[str, Any]:
    """Answers of Anthropic's."""
    unique = Unique()
    content: list[dict[str, Any]] = [{"type": "text", "text": unique.text()}] if draw(st.booleans()) else []
    for _ in range(draw(st.integers(0 if content else 1, 2))):
        value = {unique.text(): [unique.number(), {unique.text(): unique.text()}]}
        content.append({"type": "tool_use", "id": unique.text(), "name": unique.text(), "input": value})
    reason = draw(st.sampled_from(["end_turn", "max_tokens", "tool_use", "stop_sequence"]))
    return {
        "id": unique.text(),
        "type": "message",
        "role": "assistant",
        "model": unique.text(),
        "content": content,
        "stop_reason": reason,
        "stop_sequence": unique.text() if reason == "stop_sequence" else None,
        "stop_details": None,
        "usage": {
            "input_tokens": unique.number(),
            "cache_read_input_tokens": draw(st.sampled_from([0, unique.number()])),
            "cache_creation_input_tokens": draw(st.sampled_from([0, unique.number()])),
            "output_tokens": unique.number(),
            "output_tokens_details": {"thinking_tokens": unique.number()},
        },
    }


@given(anthropic_messages())
def test_answers_there_and_back_are_the_same(message: dict[str, Any]) -> None:
    """A Message as a chat completion as a Message, tokens included."""
    assert message_of(chat_completion(message, 1)) == message


@given(JSON, st.data())
def test_any_answer_has_a_reply(anything: Any, data: st.DataObject) -> None:
    """What a vendor sends may be odd; it never breaks the worker."""
    message = data.draw(anthropic_messages())
    name = data.draw(st.sampled_from(list(message)))
    broken = message | {name: anything}
    if isinstance(broken["content"], list) and all(isinstance(block, dict) for block in broken["content"]):
        completion = chat_completion(broken, 1)
        choice = data.draw(st.sampled_from(list(completion)))
        message_of(completion | {choice: anything})
