"""The dashboard's requests -> what Batchyard is asked for. Ids are read in the spelling of any dialect."""

from __future__ import annotations

import re
from typing import TypeVar

from batchyard.core.batches import Status
from batchyard.core.errors import InvalidRequest, NotFound
from batchyard.core.requests import ItemRequest, ItemsCursor, ItemsRequest, ViewRequest
from batchyard.core.results import Outcome
from batchyard.surfaces.anthropic.ids import read_id
from batchyard.surfaces.checks import known_id, whole_number
from batchyard.surfaces.http import Request
from batchyard.surfaces.operations import PageFile

Chosen = TypeVar("Chosen")

_ACTIVE = "active"
_ANY = "any"
_UNSUCCESSFUL = "unsuccessful"
_OUTCOMES = {str(outcome): frozenset({outcome}) for outcome in Outcome} | {
    _ANY: frozenset(Outcome),
    _UNSUCCESSFUL: frozenset(Outcome) - {Outcome.SUCCEEDED},
}
_STATUSES = {str(status): frozenset({status}) for status in Status} | {
    _ACTIVE: frozenset(status for status in Status if not status.is_terminal),
}
STATUSES, OUTCOMES = tuple(_STATUSES), tuple(_OUTCOMES)
_BATCHES_AT_MOST = (25, 100)
_ITEMS_AT_MOST = (50, 200)
"""Default and most objects per page."""
_DAYS = (30, 366)
_CUSTOM_ID_CHARS = 2_000
_MOST_ITEMS = 999_999_999
_CURSOR = re.compile(r"([0-9]{1,15})\.(-1|[0-9]{1,9})\.([0-9]{1,9})")
_ACCOUNT_ID = re.compile(r"acct_[0-9a-z_]{1,40}")
_NUMBER = re.compile(r"[0-9]{1,9}")


def read_page_file(request: Request) -> PageFile:
    takes_gzip = "gzip" in request.headers.get("accept-encoding", "")
    return PageFile(request.parameters.get("file", ""), request.api_url, takes_gzip)


def read_views(request: Request) -> ViewRequest:
    default, most = _BATCHES_AT_MOST
    text = request.query.get("cursor") or None
    after = None if text is None else _known_batch(text)
    if text is not None and after is None:
        raise _wrong("cursor", "is not the 'next_cursor' of an earlier page")
    return ViewRequest(whole_number(request, "limit", 1, most, default), after, _one_of(request, "status", _STATUSES))


def read_batch_id(request: Request) -> str:
    text = request.parameters["batch_id"]
    batch_id = _known_batch(text)
    if batch_id is None:
        raise NotFound(f"There is no batch {text[:64]!r}.", param="batch_id", code="batch_not_found")
    return batch_id


def read_items(request: Request) -> ItemsRequest:
    default, most = _ITEMS_AT_MOST
    custom_id = request.query.get("custom_id") or None
    if custom_id is not None and len(custom_id) > _CUSTOM_ID_CHARS:
        raise _wrong("custom_id", f"has more than {_CUSTOM_ID_CHARS} characters")
    return ItemsRequest(
        read_batch_id(request),
        _one_of(request, "outcome", _OUTCOMES) or _OUTCOMES[_UNSUCCESSFUL],
        custom_id,
        _read_cursor(request.query.get("cursor") or None),
        whole_number(request, "limit", 1, most, default),
    )


def read_item(request: Request) -> ItemRequest:
    text = request.parameters["index"]
    if not _NUMBER.fullmatch(text):
        raise NotFound(f"The batch has no item {text[:32]!r}: items are numbered from 0.", param="index")
    return ItemRequest(read_batch_id(request), int(text))


def read_days(request: Request) -> int:
    default, most = _DAYS
    return whole_number(request, "days", 1, most, default)


def read_file_id(request: Request) -> str:
    text = request.parameters["file_id"]
    file_id = known_id("file", text)
    if file_id is None:
        raise NotFound(f"There is no file {text[:64]!r}.", param="file_id", code="file_not_found")
    return file_id


def read_after_account(request: Request) -> str | None:
    after = request.query.get("cursor") or None
    if after is not None and not _ACCOUNT_ID.fullmatch(after):
        raise _wrong("cursor", "is not the 'next_cursor' of an earlier page")
    return after


def write_cursor(cursor: ItemsCursor | None) -> str | None:
    return None if cursor is None else f"{cursor.place}.{cursor.index}.{cursor.searched}"


def _read_cursor(text: str | None) -> ItemsCursor | None:
    if text is None:
        return None
    found = _CURSOR.fullmatch(text)
    if found is None:
        raise _wrong("cursor", "is not the 'next_cursor' of an earlier page")
    return ItemsCursor(*map(int, found.groups()))


def _known_batch(text: str) -> str | None:
    return known_id("batch", read_id(text))


def _one_of(request: Request, name: str, values: dict[str, Chosen]) -> Chosen | None:
    text = request.query.get(name) or None
    if text is None:
        return None
    if text not in values:
        raise _wrong(name, f"must be one of: {', '.join(values)}")
    return values[text]


def _wrong(param: str, what: str) -> InvalidRequest:
    return InvalidRequest(f"'{param}' {what}.", param=param, code="invalid_value")
