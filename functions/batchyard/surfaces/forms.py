"""multipart/form-data, as browsers, SDKs and curl send it. A broken form is the caller's mistake."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from batchyard.core.errors import InvalidRequest, UnsupportedMediaType

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

logging.getLogger("python_multipart").setLevel(logging.CRITICAL)  # it warns of mistakes that are reported to the caller

_PARTS = 32
_FIELD_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class FormFile:
    """A form part that came with a file name."""

    filename: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Form:
    """Form parts by name. Of a repeated name the last one counts."""

    fields: dict[str, str] = field(default_factory=dict)
    files: dict[str, FormFile] = field(default_factory=dict)


def read_form(content_type: str, body: bytes) -> Form:
    """Raises UnsupportedMediaType if the body is no form, InvalidRequest if it is a broken one."""
    kind, options = parse_options_header(content_type.encode("latin-1", "replace"))
    if kind != b"multipart/form-data":
        raise UnsupportedMediaType("Send the file as multipart/form-data, as `curl -F file=@name` does.")
    boundary = options.get(b"boundary")
    if not boundary:
        raise InvalidRequest("The Content-Type header names no multipart boundary.")
    reader = _Reader()
    try:
        parser = MultipartParser(boundary, reader.callbacks())
        parser.write(body)
        parser.finalize()
    except (FormParserError, ValueError) as error:
        raise InvalidRequest(f"The multipart body is malformed: {error}") from error
    if not reader.ended:
        raise InvalidRequest("The multipart body is cut off: its closing boundary is missing. Send the request again.")
    return reader.form


class _Reader:
    """Gathers what the parser finds, which are slices of the body."""

    def __init__(self) -> None:
        self.form = Form()
        self.ended = False
        self._parts = 0
        self._name = b""
        self._value = b""
        self._headers: dict[bytes, bytes] = {}
        self._data: list[bytes] = []

    def callbacks(self) -> MultipartCallbacks:
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._header_field,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_part_data": self._part_data,
            "on_part_end": self._end,
            "on_end": self._end_of_form,
        }

    def _begin(self) -> None:
        self._parts += 1
        if self._parts > _PARTS:
            raise ValueError(f"it has more than {_PARTS} parts")
        self._headers, self._data = {}, []

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        self._headers[self._name.lower()] = self._value
        self._name = self._value = b""

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        self._data.append(data[start:end])

    def _end(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        if b"name" not in options:
            raise ValueError("a part has no name in its Content-Disposition header")
        name = options[b"name"].decode("utf-8", "replace")
        data = self._data[0] if len(self._data) == 1 else b"".join(self._data)
        filename = options.get(b"filename")
        if filename is not None:
            self.form.files[name] = FormFile(filename.decode("utf-8", "replace"), data)
        elif len(data) > _FIELD_BYTES:
            raise ValueError(f"the field {name[:64]!r} has more than {_FIELD_BYTES} bytes and no file name")
        else:
            self.form.fields[name] = data.decode("utf-8", "replace")

    def _end_of_form(self) -> None:
        self.ended = True
