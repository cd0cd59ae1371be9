"""An item before it runs: one line of a batch, parsed by its surface, and its line in the work file.

A work line is the item's `[index, custom_id]` as JSON, a tab, the request body as JSON, a newline. JSON written by
orjson holds no raw tab or newline, so the two halves split without parsing the body, which goes to the provider as is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson


@dataclass(frozen=True, slots=True)
class Item:
    """A valid line. `index` counts valid and invalid lines from 0; `body` is compact JSON without a newline."""

    index: int
    custom_id: str
    model: str
    body: bytes
    provider: str | None = None
    """The provider the line asks for by name; None lets routing choose."""
    endpoint: str | None = None
    """What it is for, if lines of its dialect say so themselves; None: what its batch is for."""


@dataclass(frozen=True, slots=True)
class LineError:
    """Why a line fails its batch. `line` counts from 1; None: the file as a whole. The fields are those of OpenAI's
    `errors.data[]`."""

    code: str
    message: str
    line: int | None = None
    param: str | None = None

    def to_row(self) -> list[str | int | None]:
        return [self.code, self.message, self.line, self.param]

    @classmethod
    def from_row(cls, row: Sequence[Any]) -> LineError:
        """What a newer version wrote behind these fields is left alone."""
        return cls(*row[:4])


@dataclass(frozen=True, slots=True)
class WorkItem:
    """An item as the worker reads it back. `position` counts from 0 within its shard."""

    position: int
    index: int
    custom_id: str
    body: bytes


def work_line(item: Item) -> bytes:
    """The item's line in the work file, newline included."""
    return orjson.dumps([item.index, item.custom_id]) + b"\t" + item.body + b"\n"


def read_work_lines(data: bytes) -> list[WorkItem]:
    """The items of one shard's byte range, in order."""
    items = []
    for position, line in enumerate(data.removesuffix(b"\n").split(b"\n")):
        head, _, body = line.partition(b"\t")
        index, custom_id = orjson.loads(head)
        items.append(WorkItem(position, index, custom_id, body))
    return items
