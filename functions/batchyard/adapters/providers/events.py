"""An answer that comes as server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html), put
together into the JSON object that the same request would have got without streaming. It works piece by piece and holds
the answer only, not the events, which are some twenty times as long.

Chat completions and completions send chunks that add up (`chunks`). The responses endpoint sends the whole object with
its last event. A stream that ends before its last chunk, or with an error in it, has no answer.
"""

from __future__ import annotations

from typing import Any

from batchyard.adapters.providers.chunks import Chunks
from batchyard.core import exact_json
from batchyard.core.errors import BatchyardError
from batchyard.core.json_types import JsonObject

_DONE = b"[DONE]"
_ENDS_OF_RESPONSES = ("response.completed", "response.incomplete", "response.failed")


class StreamBroken(BatchyardError):
    """The events do not make a whole answer."""


class StreamFailed(BatchyardError):
    """The provider reported an error inside the stream; `error` is the event that did."""

    def __init__(self, error: JsonObject) -> None:
        super().__init__("an event reports an error")
        self.error = error


class EventStream:
    """Takes the bytes as they come (`feed`), then has the answer. `is_too_large`: an event was not read, because what
    it holds would not fit into memory."""

    def __init__(self) -> None:
        self.is_too_large = False
        self._rest: list[bytes] = []
        self._data: list[bytes] = []
        self._data_bytes = self._unread_bytes = 0
        self._done = False
        self._error: bytes | None = None
        self._broken = False
        self._whole: bytes | None = None
        self._chunks = Chunks()

    @property
    def held_bytes(self) -> int:
        """What it holds, which has to be bounded: of the answer, and of an event that is not over yet."""
        ends = len(self._whole or b"") + len(self._error or b"")
        return self._chunks.held_bytes + self._unread_bytes + ends

    def feed(self, piece: bytes) -> None:
        """The next bytes of the body."""
        self._unread_bytes += len(piece)
        if b"\n" not in piece:
            self._rest.append(piece)
            return
        *lines, rest = b"".join([*self._rest, piece]).split(b"\n")
        self._rest = [rest]
        for line in lines:
            self._take_line(line.removesuffix(b"\r"))
        self._unread_bytes = len(rest) + self._data_bytes

    def answer(self) -> JsonObject:
        """What the events add up to, once all bytes are there. Raises StreamBroken or StreamFailed."""
        self._take_line(b"".join(self._rest).removesuffix(b"\r"))
        self._take_line(b"")
        if self._error is not None:
            raise StreamFailed(exact_json.loads_anything(self._error))
        if self._broken:
            raise StreamBroken("an event is no JSON object, or is too large")
        if self._whole is not None:
            whole: JsonObject = exact_json.loads_anything(self._whole)["response"]
            return whole
        has_ended = self._done or self._chunks.have_ended
        try:
            answer = self._chunks.answer()
        except ValueError as error:
            raise StreamBroken("nested too deeply") from error
        if not answer or not has_ended:
            raise StreamBroken("the last chunk is missing")
        return answer

    def _take_line(self, line: bytes) -> None:
        if line:
            if line.removeprefix(b"\xef\xbb\xbf").startswith(b"data:"):
                self._data.append(line.partition(b":")[2].removeprefix(b" "))
                self._data_bytes += len(line)
            return
        data, self._data, self._data_bytes = b"\n".join(self._data), [], 0
        if data and not (self._done or self._error is not None or self._broken):
            self._take_event(data)

    def _take_event(self, data: bytes) -> None:
        if data == _DONE:
            self._done = True
            return
        if exact_json.has_too_many_parts(data):
            self.is_too_large = self._broken = True
            return
        try:
            event: Any = exact_json.loads_anything(data)
        except ValueError:
            event = None
        if not isinstance(event, dict):
            self._broken = True
        elif event.get("error") or event.get("type") == "error":
            self._error = data
        elif event.get("type") in _ENDS_OF_RESPONSES and isinstance(event.get("response"), dict):
            self._whole, self._done = data, True
        elif isinstance(event.get("choices"), list):
            try:
                self._chunks.take(event)
            except TypeError:
                self._broken = True
