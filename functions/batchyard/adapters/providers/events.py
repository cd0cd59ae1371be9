"""An answer that came as server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html), put
together into the JSON object that the same request would have got without streaming. Pure.

Chat completions and completions send chunks that add up: text, refusals, tool arguments, log probabilities and whatever
else vendors put into a delta. Responses send their whole object with the event that ends them. A stream that ends
before its last chunk, or with an error in it, has no answer.
"""

from __future__ import annotations

from typing import Any

import orjson

_DONE = b"[DONE]"
_ENDS_OF_RESPONSES = ("response.completed", "response.incomplete", "response.failed")
_WHOLE = frozenset({"id", "object", "type", "role", "name", "index", "finish_reason"})
"""Members that a chunk repeats rather than continues."""
_NOT_CARRIED = frozenset({"choices", "object", "usage", "obfuscation"})
"""Members of a chunk that are added up by other means, or mean nothing in an answer."""


class StreamBroken(Exception):
    """The events are no whole answer."""


class StreamFailed(Exception):
    """The provider reported an error inside the stream."""


def assemble(content: bytes) -> dict[str, Any]:
    """The answer that the events of `content` add up to. Raises StreamBroken or StreamFailed."""
    chunks = []
    done = False
    for data in _data(content):
        if data == _DONE:
            done = True
            break
        event = _object(data)
        if event.get("error"):
            raise StreamFailed
        if event.get("type") in _ENDS_OF_RESPONSES and isinstance(event.get("response"), dict):
            whole: dict[str, Any] = event["response"]
            return whole
        if isinstance(event.get("choices"), list):
            chunks.append(event)
    if not chunks:
        raise StreamBroken("no chunk came")
    answer = _sum(chunks)
    if not (done or (answer["choices"] and all(choice.get("finish_reason") for choice in answer["choices"]))):
        raise StreamBroken("the last chunk is missing")
    return answer


def _data(content: bytes) -> list[bytes]:
    """The data of each event; several `data` lines of one are joined by line feeds."""
    text = content.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    events = []
    for block in text.split(b"\n\n"):
        lines = [line[5:].removeprefix(b" ") for line in block.split(b"\n") if line.startswith(b"data:")]
        if lines:
            events.append(b"\n".join(lines))
    return events


def _object(data: bytes) -> dict[str, Any]:
    try:
        event = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise StreamBroken("an event is no JSON") from error
    if not isinstance(event, dict):
        raise StreamBroken("an event is no JSON object")
    return event


def _sum(chunks: list[dict[str, Any]]) -> dict[str, Any]:
    answer: dict[str, Any] = {}
    choices: dict[int, dict[str, Any]] = {}
    usage = None
    for chunk in chunks:
        for name, value in chunk.items():
            if name not in _NOT_CARRIED and (value is not None or name not in answer):
                answer[name] = value
        usage = chunk.get("usage") or usage
        for part in chunk["choices"]:
            if isinstance(part, dict):
                _add_choice(choices, part)
    answer["object"] = str(chunks[0].get("object") or "chat.completion").removesuffix(".chunk")
    answer["choices"] = [choices[index] for index in sorted(choices)]
    if usage is not None:
        answer["usage"] = usage
    return answer


def _add_choice(choices: dict[int, dict[str, Any]], part: dict[str, Any]) -> None:
    index = part.get("index")
    index = index if type(index) is int else 0
    choice = choices.setdefault(index, {"index": index})
    for name, value in part.items():
        match name:
            case "index":
                continue
            case "delta":
                message = choice.setdefault("message", {"role": "assistant", "content": None})
                if isinstance(value, dict):
                    _add(message, value)
            case "text" if isinstance(value, str):
                choice["text"] = choice.get("text", "") + value
            case "logprobs" if isinstance(value, dict):
                _add_lists(choice, name, value)
            case _ if value is not None or name not in choice:
                choice[name] = value


def _add(message: dict[str, Any], delta: dict[str, Any]) -> None:
    """`delta` onto `message`: text is continued, lists of indexed parts are matched by index, the rest replaced."""
    for name, value in delta.items():
        before = message.get(name)
        if value is None:
            message.setdefault(name, None)
        elif isinstance(value, str) and isinstance(before, str) and name not in _WHOLE:
            message[name] = before + value
        elif isinstance(value, dict) and isinstance(before, dict):
            _add(before, value)
        elif isinstance(value, list):
            message[name] = _add_parts(before if isinstance(before, list) else [], value)
        elif value != "" or not isinstance(before, str):
            message[name] = value
    _drop_positions(message)


def _add_parts(parts: list[Any], more: list[Any]) -> list[Any]:
    for each in more:
        index = each.get("index") if isinstance(each, dict) else None
        if type(index) is not int:
            parts.append(each)
            continue
        part = next((part for part in parts if isinstance(part, _Part) and part.position == index), None)
        if part is None:
            part = _Part(index)
            parts.append(part)
        _add(part, {name: value for name, value in each.items() if name != "index"})
    return parts


class _Part(dict[str, Any]):
    """A part of a list, such as a tool call, and the index by which later chunks mean it."""

    def __init__(self, position: int) -> None:
        super().__init__()
        self.position = position


def _drop_positions(message: dict[str, Any]) -> None:
    """Parts in the order of their indexes."""
    for value in message.values():
        if isinstance(value, list) and value and all(isinstance(part, _Part) for part in value):
            value.sort(key=lambda part: part.position)


def _add_lists(choice: dict[str, Any], name: str, value: dict[str, Any]) -> None:
    """Log probabilities: each member is a list that goes on."""
    before = choice.get(name)
    if not isinstance(before, dict):
        before = choice[name] = {}
    for member, more in value.items():
        if isinstance(more, list) and isinstance(before.get(member), list):
            before[member] += more
        elif more is not None or member not in before:
            before[member] = more
