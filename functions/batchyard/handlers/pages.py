"""A page of a list as a reply. It ends early where Lambda would refuse the whole: a reply is 6 MB of JSON at most, in
which the page is a string."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import orjson

from batchyard.surfaces.http import Reply

_REPLY_BYTES = 5_500_000

T = TypeVar("T")


def page(write: Callable[[Sequence[T], bool], Reply], found: Sequence[T], has_more: bool) -> Reply:
    """`write(found, has_more)`, or the first part of that, with more to come."""
    reply = write(found, has_more)
    while len(found) > 1 and _bytes_carried(reply) > _REPLY_BYTES:
        found = found[: len(found) // 2]
        reply = write(found, True)
    return reply


def _bytes_carried(reply: Reply) -> int:
    """Of the body once it is a JSON string, where quotes and backslashes count twice."""
    if 2 * len(reply.body) <= _REPLY_BYTES:
        return len(reply.body)
    return len(orjson.dumps(reply.body.decode()))
