"""The chunks of a streamed answer, added up to the object that the same request would have got in one piece: text,
refusals, tool arguments, log probabilities and everything else that vendors put into a delta.

What is held is not much larger than the answer's own JSON: texts are texts, and other values stay as they are written,
because objects take many times their JSON. They are counted for more than that, for the moment in which they are read.
"""

from __future__ import annotations

from typing import Any

from batchyard.core import exact_json
from batchyard.core.json_types import JsonObject

_WHOLE = frozenset({"id", "object", "type", "role", "name", "index", "finish_reason"})
"""Members that a chunk repeats rather than continues."""
_NOT_CARRIED = frozenset({"choices", "object", "obfuscation"})
"""Members of a chunk that are added up by other means, or mean nothing in an answer."""
_PART_BYTES = 16
"""What an object or a list counts beside its JSON: a million of them are as many as the longest answer may have."""
_MEMBER_BYTES = 256
"""What a member takes beside its value, if it is an object that is filled by later chunks."""


class Chunks:
    """`held_bytes`: about what the answer takes so far."""

    def __init__(self) -> None:
        self.held_bytes = 0
        self._answer: JsonObject = {}
        self._choices: dict[int, JsonObject] = {}

    def take(self, chunk: JsonObject) -> None:
        """The next chunk, which has a list of `choices`. Raises TypeError if it is nested too deeply."""
        answer = self._answer
        answer.setdefault("object", str(chunk.get("object") or "chat.completion").removesuffix(".chunk"))
        for name, value in chunk.items():
            if name not in _NOT_CARRIED and (value if name == "usage" else value is not None or name not in answer):
                self._set(answer, name, value)
        for part in chunk["choices"]:
            if isinstance(part, dict):
                self._add_choice(part)

    @property
    def have_ended(self) -> bool:
        """Whether each choice has said why it ends."""
        return bool(self._choices) and all(choice.get("finish_reason") for choice in self._choices.values())

    def answer(self) -> JsonObject:
        """What the chunks add up to; empty if there was none. Raises ValueError if it is nested too deeply."""
        if not self._answer:
            return {}
        usage = self._answer.pop("usage", None)
        choices = [self._choices[index] for index in sorted(self._choices)]
        answer: JsonObject = _joined(self._answer) | {"choices": _joined(choices)}
        return answer if usage is None else answer | {"usage": _joined(usage)}

    def _set(self, target: JsonObject, name: str, value: Any) -> None:
        """Also counts the value. What our own code fills later is no `dict` or `list` from a chunk."""
        if isinstance(value, dict | list):
            value = _Written(exact_json.dumps_anything(value))
        if name not in target:
            self.held_bytes += _MEMBER_BYTES + len(name)
        self.held_bytes += _size(value) - _size(target.get(name))
        target[name] = value

    def _add_choice(self, part: JsonObject) -> None:
        index = part.get("index")
        index = index if type(index) is int else 0
        if index not in self._choices:
            self.held_bytes += _MEMBER_BYTES
            self._choices[index] = {"index": index}
        choice = self._choices[index]
        for name, value in part.items():
            match name:
                case "index":
                    continue
                case "delta":
                    message = choice.setdefault("message", {"role": "assistant", "content": None})
                    if isinstance(value, dict):
                        self._add(message, value)
                case "text" if isinstance(value, str):
                    self._add_text(choice, name, value)
                case "logprobs" if isinstance(value, dict):
                    self._add_lists(choice, name, value)
                case _ if value is not None or name not in choice:
                    self._set(choice, name, value)

    def _add(self, message: JsonObject, delta: JsonObject) -> None:
        """`delta` onto `message`: text is continued, lists of indexed parts are matched by index, the rest replaced."""
        for name, value in delta.items():
            if value is None:
                message.setdefault(name, None)
            elif isinstance(value, str) and name not in _WHOLE:
                self._add_text(message, name, value)
            elif isinstance(value, dict):
                self._add(self._members(message, name), value)
            elif isinstance(value, list):
                if not isinstance(message.get(name), _Parts):
                    self._set(message, name, _Parts())
                self._add_parts(message[name], value)
            elif value != "" or message.get(name) is None:
                self._set(message, name, value)

    def _members(self, target: JsonObject, name: str) -> JsonObject:
        """The object of that name, to be filled."""
        if not isinstance(target.get(name), dict):
            self._set(target, name, None)
            target[name] = {}
        found: JsonObject = target[name]
        return found

    def _add_text(self, target: JsonObject, name: str, value: str) -> None:
        if not isinstance(target.get(name), _Text):
            self._set(target, name, _Text())
        written = value.encode("utf-8", "surrogatepass")
        target[name] += written
        self.held_bytes += len(written)

    def _add_parts(self, parts: _Parts, more: list[Any]) -> None:
        """Elements with the same index are joined; those without one are appended."""
        for each in more:
            index = each.get("index") if isinstance(each, dict) else None
            if type(index) is int:
                if index not in parts.by_index:
                    self.held_bytes += _MEMBER_BYTES
                    parts.by_index[index] = {}
                rest = {name: value for name, value in each.items() if name != "index"}
                self._add(parts.by_index[index], rest)
            else:
                self.held_bytes += parts.others.add([each])

    def _add_lists(self, choice: JsonObject, name: str, value: JsonObject) -> None:
        """Log probabilities: each member is a list that later chunks continue."""
        lists = self._members(choice, name)
        for member, more in value.items():
            if isinstance(more, list):
                if not isinstance(lists.get(member), _List):
                    self._set(lists, member, _List())
                self.held_bytes += lists[member].add(more)
            elif more is not None or member not in lists:
                self._set(lists, member, more)


class _Text(bytearray):
    """A text in pieces, in UTF-8: some servers cut a surrogate pair in two. Strings of a few characters each would take
    ten times as much."""


class _Written(bytes):
    """An object or a list as JSON."""


class _List:
    """A list in pieces: its elements as JSON."""

    def __init__(self) -> None:
        self._elements = bytearray()

    def add(self, more: list[Any]) -> int:
        """How many bytes that takes."""
        if not more:
            return 0
        written = exact_json.dumps_anything(more)[1:-1] + b","
        self._elements += written
        return _weight(written)

    def joined(self) -> list[Any]:
        found: list[Any] = exact_json.loads_anything(b"[" + self._elements[:-1] + b"]")
        return found


class _Parts:
    """A list in pieces, such as tool calls."""

    def __init__(self) -> None:
        self.by_index: dict[int, JsonObject] = {}
        self.others = _List()


def _size(value: Any) -> int:
    """Of what is held whole. What is filled by later chunks is counted as it comes."""
    if isinstance(value, _Written):
        return _weight(value)
    return len(value) if isinstance(value, str) else 0


def _weight(written: bytes) -> int:
    return len(written) + _PART_BYTES * (written.count(b"{") + written.count(b"["))


def _joined(value: Any) -> Any:
    """`value` with all pieces joined."""
    match value:
        case _Text():
            return value.decode("utf-8", "surrogatepass")
        case _Written():
            return exact_json.loads_anything(value)
        case _List():
            return value.joined()
        case _Parts():
            return [_joined(value.by_index[index]) for index in sorted(value.by_index)] + value.others.joined()
        case dict():
            return {name: _joined(member) for name, member in value.items()}
        case list():
            return [_joined(member) for member in value]
    return value
