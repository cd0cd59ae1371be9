"""A page of a list as a reply. It ends early if Lambda would refuse the whole: a reply has 6 MB at most, and in it the
page is a JSON string."""

from __future__ import annotations

from collections.abc import Callable

import orjson

from batchyard.surfaces.http import Reply
from batchyard.surfaces.operations import Listed, Page

_REPLY_BYTES = 5_500_000


def write_page(write: Callable[[Page[Listed]], Reply], page: Page[Listed]) -> Reply:
    """`write(page)`; if that is too large, the reply for the first objects of the page (the last ones, if it was read
    backwards), which says that there are more."""
    reply = write(page)
    while len(page.found) > 1 and _bytes_carried(reply) > _REPLY_BYTES:
        half = len(page.found) // 2
        found = page.found[-half:] if page.backwards else page.found[:half]
        page = Page(found, has_more=True, backwards=page.backwards)
        reply = write(page)
    return reply


def _bytes_carried(reply: Reply) -> int:
    """The length of the body as a JSON string, in which quotes and backslashes count twice."""
    if 2 * len(reply.body) <= _REPLY_BYTES:
        return len(reply.body)
    return len(orjson.dumps(reply.body.decode()))
