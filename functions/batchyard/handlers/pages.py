"""A page of a list as a reply. It ends early if Lambda would refuse the whole: a reply is 6 MB of JSON at most, in
which the page is a string."""

from __future__ import annotations

from collections.abc import Callable

import orjson

from batchyard.surfaces.http import Reply
from batchyard.surfaces.operations import Listed, Page

_REPLY_BYTES = 5_500_000


def write_page(write: Callable[[Page[Listed]], Reply], page: Page[Listed]) -> Reply:
    """`write(page)`, or the first part of that, with more to come."""
    reply = write(page)
    while len(page.found) > 1 and _bytes_carried(reply) > _REPLY_BYTES:
        page = Page(page.found[: len(page.found) // 2], has_more=True)
        reply = write(page)
    return reply


def _bytes_carried(reply: Reply) -> int:
    """Of the body once it is a JSON string, in which quotes and backslashes count twice."""
    if 2 * len(reply.body) <= _REPLY_BYTES:
        return len(reply.body)
    return len(orjson.dumps(reply.body.decode()))
