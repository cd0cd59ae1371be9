"""An answer that comes as server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html), put
together into the JSON object that the same request would have got without streaming. It works piece by piece and holds
the answer only, not the events, which are some twenty times as long.

Chat completions and completions send chunks that add up: text, refusals, tool arguments, log probabilities and
everything else that vendors put into a delta. The responses endpoint sends the whole object with its last event. A
stream that ends before its last chunk, or with an error in it, has no answer.
"""

from __future__ import annotations

from typing import Any

from batchyard.core import exact_json
from batchyard.core.errors import BatchyardError
from batchyard.core.json_types import JsonObject

_DONE = b"[DONE]"
_ENDS_OF_RESPONSES = ("response.completed", "response.incomplete", "response.failed")
_WHOLE = frozenset({"id", "object", "type", "role", "name", "index", "finish_reason"})
"""Members that a chunk repeats rather than continues."""
_NOT_CARRIED = frozenset({"choices", "object", "usage", "obfuscation"})
"""Members of a chunk that are added up by other means, or mean nothing in an answer."""


class StreamBroken(BatchyardError):
    """The events do not make a whole answer."""


class StreamFailed(BatchyardError):
    """The provider reported an error inside the stream; `error` is the event that did."""

    def __init__(self, error: JsonObject) -> None:
        super().__init__("an event reports an error")
        self.error = error


class EventStream:
    """Takes the bytes as they come (`feed`), then has the answer."""

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []
        self._done = False
        self._error: JsonObject | None = None
        self._broken = False
        self._whole: JsonObject | None = None
        self._answer: JsonObject = {}
        self._choices: dict[int, JsonObject] = {}

    def feed(self, piece: bytes) -> None:
        """The next bytes of the body."""
        *lines, self._rest = (self._rest + piece).split(b"\n")
        for line in lines:
            self._take_line(line.removesuffix(b"\r"))

    def answer(self) -> JsonObject:
        """What the events add up to, once all bytes are there. Raises StreamBroken or StreamFailed."""
        self._take_line(self._rest.removesuffix(b"\r"))
        self._take_line(b"")
        if self._error is not None:
            raise StreamFailed(self._error)
        if self._broken:
            raise StreamBroken("an event is no JSON object")
        if self._whole is not None:
            return self._whole
        choices = [self._choices[index] for index in sorted(self._choices)]
        ended = bool(choices) and all(choice.get("finish_reason") for choice in choices)
        if not self._answer or not (self._done or ended):
            raise StreamBroken("the last chunk is missing")
        usage = self._answer.pop("usage", None)
        answer: JsonObject = _joined(self._answer | {"choices": choices})
        return answer if usage is None else answer | {"usage": usage}

    def _take_line(self, line: bytes) -> None:
        if line:
            if line.removeprefix(b"\xef\xbb\xbf").startswith(b"data:"):
                self._data.append(line.partition(b":")[2].removeprefix(b" "))
            return
        data, self._data = b"\n".join(self._data), []
        if data and not (self._done or self._error is not None or self._broken):
            self._take_event(data)

    def _take_event(self, data: bytes) -> None:
        if data == _DONE:
            self._done = True
            return
        try:
            event = exact_json.loads_anything(data)
        except ValueError:
            event = None
        if not isinstance(event, dict):
            self._broken = True
        elif event.get("error") or event.get("type") == "error":
            self._error = event
        elif event.get("type") in _ENDS_OF_RESPONSES and isinstance(event.get("response"), dict):
            self._whole, self._done = event["response"], True
        elif isinstance(event.get("choices"), list):
            self._take_chunk(event)

    def _take_chunk(self, chunk: JsonObject) -> None:
        answer = self._answer
        answer.setdefault("object", str(chunk.get("object") or "chat.completion").removesuffix(".chunk"))
        for name, value in chunk.items():
            if name not in _NOT_CARRIED and (value is not None or name not in answer):
                answer[name] = value
        if chunk.get("usage"):
            answer["usage"] = chunk["usage"]
        for part in chunk["choices"]:
            if isinstance(part, dict):
                _add_choice(self._choices, part)


def _add_choice(choices: dict[int, JsonObject], part: JsonObject) -> None:
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
                choice.setdefault("text", _Text()).append(value)
            case "logprobs" if isinstance(value, dict):
                _add_lists(choice, name, value)
            case _ if value is not None or name not in choice:
                choice[name] = value


def _add(message: JsonObject, delta: JsonObject) -> None:
    """`delta` onto `message`: text is continued, lists of indexed parts are matched by index, the rest replaced."""
    for name, value in delta.items():
        before = message.get(name)
        if value is None:
            message.setdefault(name, None)
        elif isinstance(value, str) and name not in _WHOLE:
            if isinstance(before, _Text):
                before.append(value)
            else:
                message[name] = _Text([value])
        elif isinstance(value, dict) and isinstance(before, dict):
            _add(before, value)
        elif isinstance(value, list):
            message[name] = _add_parts(before if isinstance(before, _Parts) else _Parts(), value)
        elif isinstance(value, dict):
            message[name] = {}
            _add(message[name], value)
        elif value != "" or before is None:
            message[name] = value


def _add_parts(parts: _Parts, more: list[Any]) -> _Parts:
    """Elements with the same index are joined; those without one are appended."""
    for each in more:
        index = each.get("index") if isinstance(each, dict) else None
        if type(index) is int:
            _add(parts.by_index.setdefault(index, {}), {name: value for name, value in each.items() if name != "index"})
        else:
            parts.others.append(each)
    return parts


def _add_lists(choice: JsonObject, name: str, value: JsonObject) -> None:
    """Log probabilities: each member is a list that later chunks continue."""
    before = choice.get(name)
    if not isinstance(before, dict):
        before = choice[name] = {}
    for member, more in value.items():
        if isinstance(more, list) and isinstance(before.get(member), list):
            before[member] += more
        elif more is not None or member not in before:
            before[member] = more


class _Text(list[str]):
    """A text in pieces."""


class _Parts:
    """A list in pieces, such as tool calls."""

    def __init__(self) -> None:
        self.by_index: dict[int, JsonObject] = {}
        self.others: list[Any] = []


def _joined(value: Any) -> Any:
    """`value` with all pieces joined."""
    match value:
        case _Text():
            return "".join(value)
        case _Parts():
            return [_joined(value.by_index[index]) for index in sorted(value.by_index)] + value.others
        case dict():
            return {name: _joined(member) for name, member in value.items()}
        case list():
            return [_joined(member) for member in value]
    return value
