"""What every dialect checks alike: keys, ids, cursors, whole numbers, forms, file names, idempotency keys.

Object keys, row keys and download headers are made of these values, so they are checked in one place.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal

from batchyard.core.errors import InvalidRequest
from batchyard.surfaces.http import Request

if TYPE_CHECKING:
    from batchyard.surfaces.forms import Form, FormFile

Kind = Literal["file", "batch", "upload", "model", "api_key", "delivery"]

_ID = {
    "file": re.compile(r"file-[0-9a-hjkmnp-tv-z]{26}"),
    "batch": re.compile(r"batch_[0-9a-hjkmnp-tv-z]{26}"),
    "upload": re.compile(r"upload_[0-9a-hjkmnp-tv-z]{26}"),
    "api_key": re.compile(r"key_[0-9a-hjkmnp-tv-z]{26}"),
    "delivery": re.compile(r"evt_[0-9a-hjkmnp-tv-z]{26}"),
    "model": re.compile(r"[\w.:/@+-]{1,256}", re.ASCII),
}
_SPELLINGS = {"batch": ("bat_", "batch_"), "file": ("file_", "file-")}
"""BatchRouter's prefix of an id, and ours."""
_FILE_NAME_CHARACTERS = 255
_FOLDERS = (".", "..")
_IDEMPOTENCY_KEY = re.compile(r"[\x20-\x7e]{1,255}")


def bearer_key(request: Request) -> str:
    """The bearer key in the Authorization header; empty if there is none."""
    scheme, _, secret = request.headers.get("authorization", "").strip().partition(" ")
    return secret.strip() if scheme.lower() == "bearer" else ""


def header_key(request: Request) -> str:
    """The key in the header x-api-key; empty if there is none."""
    return request.headers.get("x-api-key", "").strip()


def is_id(kind: Kind, text: str) -> bool:
    """Whether `text` has the form of an id of this kind. Then it is safe to look up."""
    return _ID[kind].fullmatch(text) is not None


def known_id(kind: Kind, text: str) -> str | None:
    """The id that `text` stands for, as rows have it, whichever dialect's prefix it has; None if it is none."""
    theirs, ours = _SPELLINGS.get(kind, ("", ""))
    if theirs and text.startswith(theirs):
        text = ours + text.removeprefix(theirs)
    return text if is_id(kind, text) else None


def cursor(request: Request, kind: Kind, name: str = "after") -> str | None:
    """The id that the query's parameter `name` names. Raises InvalidRequest."""
    text = request.query.get(name) or None
    after = known_id(kind, text) if text is not None else None
    if text is not None and after is None:
        raise InvalidRequest(f"'{name}' is not the id of a {kind}.", param=name, code="invalid_value")
    return after


def whole_number(request: Request, name: str, least: int, most: int, default: int) -> int:
    """The query's parameter `name`. Raises InvalidRequest."""
    text = request.query.get(name)
    if text is None or text == "":
        return default
    if not re.fullmatch(r"[0-9]{1,10}", text) or not least <= int(text) <= most:
        raise InvalidRequest(
            f"'{name}' must be a whole number from {least} to {most}.", param=name, code="invalid_value"
        )
    return int(text)


def nests_within(levels: int, value: Any) -> bool:
    """Whether objects and arrays nest at most `levels` deep. Deeper ones could be stored, but not shown in a list."""
    if not isinstance(value, dict | list):
        return True
    inner = value.values() if isinstance(value, dict) else value
    return levels > 0 and all(nests_within(levels - 1, each) for each in inner)


def file_of_form(request: Request, name: str, missing: str) -> tuple[Form, FormFile]:
    """The body as a form, and its member `name`, which is a file. Raises InvalidRequest with the message `missing` if
    there is no such part."""
    from batchyard.surfaces.forms import read_form  # only uploads have a form, and every cold start would pay for it

    form = read_form(request.content_type, request.body)
    file = form.files.get(name)
    if file is None:
        raise InvalidRequest(missing, param=name, code="missing_required_parameter")
    return form, file


def file_name(name: str, param: str) -> str:
    """`name` without the folders that some clients send in front of it. Raises InvalidRequest if nothing usable is
    left."""
    name = name.replace("\\", "/").rpartition("/")[2].strip()
    if not 0 < len(name) <= _FILE_NAME_CHARACTERS or not name.isprintable() or name in _FOLDERS:
        raise InvalidRequest(
            f"A file name has 1 to {_FILE_NAME_CHARACTERS} printable characters, and is no folder.",
            param=param,
            code="invalid_filename",
        )
    return name


def idempotency_key(request: Request) -> str | None:
    """The idempotency key in the headers, if there is one. Raises InvalidRequest."""
    key = request.headers.get("idempotency-key")
    if key is not None and not _IDEMPOTENCY_KEY.fullmatch(key):
        raise InvalidRequest(
            "The Idempotency-Key header takes 1 to 255 printable ASCII characters.", param="Idempotency-Key"
        )
    return key
