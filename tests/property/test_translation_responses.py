"""Translation of responses to chat completions and of the answers back, whatever an item asks for: nothing is dropped
without a word."""

from __future__ import annotations

import itertools
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses import Response

from batchyard.adapters.providers.from_responses.replies import response_of
from batchyard.adapters.providers.kinds import translator_of
from batchyard.adapters.providers.translator import ProviderRequest, Untranslatable
from batchyard.core.providers import CHAT_COMPLETIONS, RESPONSES, Provider
from tests.property.test_translation import JSON, Unique, leaves, maybe, objects, with_member

Draw = Any
SERVER = translator_of(Provider("own", "openai", "https://x.example/v1", endpoints=(CHAT_COMPLETIONS,)))
ANTHROPIC = translator_of(Provider("anthropic", "anthropic", "https://a.example/v1"))


def part(draw: Draw, unique: Unique) -> dict[str, Any]:
    parts: list[dict[str, Any]] = [
        {"type": "input_text", "text": unique.text()},
        {"type": "input_image", "image_url": f"https://x.example/{unique.text()}.png"},
        {"type": "input_file", "file_data": f"data:application/pdf;base64,{unique.text()}", "filename": unique.text()},
    ]
    return parts[draw(st.integers(0, 2))]


def turn(draw: Draw, unique: Unique) -> list[dict[str, Any]]:
    """What the assistant said and called, and the results."""
    calls = [
        {"type": "function_call", "call_id": unique.text(), "name": unique.text(), "arguments": "{}"}
        for _ in range(draw(st.integers(0, 2)))
    ]
    text = [{"type": "output_text", "text": unique.text(), "annotations": []}]
    said = [{"type": "message", "role": "assistant", "content": text}] if not calls or draw(st.booleans()) else []
    results = [{"type": "function_call_output", "call_id": call["call_id"], "output": unique.text()} for call in calls]
    return [*said, *calls, *results]


@st.composite
def bodies(draw: Draw) -> dict[str, Any]:
    """Requests that can be expressed."""
    unique = Unique()
    items: list[dict[str, Any]] = []
    for _ in range(draw(st.integers(0, 2))):
        items += [{"role": "user", "content": [part(draw, unique)]}, *turn(draw, unique)]
    items.append({"type": "message", "role": "user", "content": unique.text()})
    schema = {"type": "object", "properties": {unique.text(): {"type": "string", "maxLength": unique.number()}}}
    tools = [
        {"type": "function", "name": unique.text(), "parameters": schema}
        | maybe(draw, description=unique.text(), strict=True)
        for _ in range(draw(st.integers(0, 2)))
    ]
    form = {"type": "json_schema", "name": "answer", "schema": {"description": unique.text()}, "strict": True}
    choices = ["auto", "none", "required", {"type": "function", "name": unique.text()}]
    body: dict[str, Any] = {"model": "m", "input": items if draw(st.booleans()) else unique.text()}
    body |= maybe(
        draw,
        instructions=unique.text(),
        max_output_tokens=unique.number(),
        temperature=unique.number() / 100_000,
        top_p=unique.number() / 100_000,
        user=unique.text(),
        reasoning={"effort": "low"},
        text={"format": form},
    )
    if tools:
        body |= {"tools": tools} | maybe(draw, tool_choice=draw(st.sampled_from(choices)), parallel_tool_calls=False)
    return body


def places(body: dict[str, Any]) -> list[tuple[Any, ...]]:
    """The paths of all objects of a request whose members have a meaning, those of its input too."""
    return [*objects(body), *(("input", *path) for path in objects(body["input"]))]


@given(bodies())
def test_every_value_of_a_request_is_sent(body: dict[str, Any]) -> None:
    """Each text, number and name of the caller's is found in what goes out, at a server of chat completions and at
    Anthropic (which has no names of schemas)."""
    for translator in (SERVER, ANTHROPIC):
        request = translator.request(RESPONSES, orjson.dumps(body))
        assert isinstance(request, ProviderRequest), request
        sent = request.body.decode()
        assert [value for value in leaves(body) if value not in sent] == []


@given(bodies(), st.data())
def test_a_member_that_nobody_knows_is_refused(body: dict[str, Any], data: st.DataObject) -> None:
    """Wherever it stands: there is no place in a request where something can get lost."""
    place = data.draw(st.sampled_from(places(body)))
    for translator in (SERVER, ANTHROPIC):
        surprise = translator.request(RESPONSES, orjson.dumps(with_member(body, place, "surprise", 1)))
        assert isinstance(surprise, Untranslatable), place


@given(bodies(), JSON, st.data())
def test_anything_at_all_has_an_answer(body: dict[str, Any], anything: Any, data: st.DataObject) -> None:
    """A member that holds something else than it should never breaks the worker."""
    place = data.draw(st.sampled_from(places(body)))
    found: Any = body
    for step in place:
        found = found[step]
    name = data.draw(st.sampled_from(list(found)))
    broken = orjson.dumps(with_member(body, place, name, anything))
    for translator in (SERVER, ANTHROPIC):
        assert isinstance(translator.request(RESPONSES, broken), ProviderRequest | Untranslatable)


@st.composite
def completions(draw: Draw) -> dict[str, Any]:
    """Answers of a server of chat completions."""
    unique = Unique()
    calls = [
        {"id": unique.text(), "type": "function", "function": {"name": unique.text(), "arguments": unique.text()}}
        for _ in range(draw(st.integers(0, 2)))
    ]
    message: dict[str, Any] = {"role": "assistant", "content": unique.text()}
    message |= maybe(draw, reasoning_content=unique.text(), refusal=unique.text(), tool_calls=calls)
    message |= maybe(draw, thinking_blocks=[{"signature": unique.text()}])
    reason = draw(st.sampled_from(["stop", "length", "tool_calls", "content_filter"]))
    choice = {"index": 0, "message": message, "finish_reason": reason} | maybe(draw, native_finish_reason=unique.text())
    usage = {"prompt_tokens": unique.number(), "completion_tokens": unique.number()}
    found = {
        "id": unique.text(),
        "created": unique.number(),
        "model": unique.text(),
        "choices": [choice],
        "usage": usage,
    }
    return found | maybe(draw, system_fingerprint=unique.text())


@given(completions(), bodies())
def test_every_value_of_an_answer_is_in_the_response(completion: dict[str, Any], body: dict[str, Any]) -> None:
    """Which is one for OpenAI's SDK, whatever was asked and answered."""
    response = response_of(completion, body, 1)
    assert response is not None
    Response.model_validate(response)
    shown = orjson.dumps(response).decode()
    assert [value for value in leaves(completion) if value not in shown] == []


@given(completions(), JSON, st.data())
def test_any_answer_has_a_reply(completion: dict[str, Any], anything: Any, data: st.DataObject) -> None:
    """What a server sends may be odd; it never breaks the worker."""
    place = data.draw(st.sampled_from([path for path in objects(completion) if "thinking_blocks" not in path]))
    found: Any = completion
    for step in place:
        found = found[step]
    response_of(with_member(completion, place, data.draw(st.sampled_from(list(found))), anything), {}, 1)


def test_ids_of_items_are_all_different() -> None:
    """So that clients can tell them apart."""
    calls = [{"id": f"c{n}", "type": "function", "function": {"name": "f", "arguments": ""}} for n in range(3)]
    message = {"content": "x", "reasoning": "y", "tool_calls": calls}
    response = response_of({"id": "1", "choices": [{"message": message}]}, {}, 1)
    assert response is not None
    ids = [item["id"] for item in response["output"]]
    assert all(one != other for one, other in itertools.combinations(ids, 2)) and len(ids) == 5
