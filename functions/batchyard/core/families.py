"""Families: the items of a shard whose prompts begin alike, so that their vendor's prompt cache serves all but one.

A vendor keeps the beginning of a prompt from when it has answered the first request that has it, for some minutes. So
a family runs together, its first item ahead of the others: if all went at once, each would be charged for the whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import blake2b

import orjson

from batchyard.core.items import WorkItem

SHORTEST_BYTES = 4096
"""No vendor keeps a beginning of fewer than 1,024 tokens, of about four bytes each.
https://platform.openai.com/docs/guides/prompt-caching"""
HEAD_START_SECONDS = 30.0
"""How long the others wait for their first at most: it may hang, or be a long answer."""

_LONGEST_BYTES = SHORTEST_BYTES << 8
_IN_ORDER = ("tools", "response_format", "system", "instructions", "messages", "input", "prompt")
"""The members that prompts are made of, as vendors put them one after the other."""


def families(items: Iterable[WorkItem]) -> list[list[WorkItem]]:
    """All `items`, those whose prompts begin alike together, in the order in which the families first come.

    Of the lengths 4,096, 8,192, 16,384 bytes and so on, the longest counts that an item has in common with another one:
    items about the same document are one family, though all documents follow the same instructions. Others are a
    family each."""
    alone = list(items)
    prompts = {item.position: prompt_of(item.body) for item in alone if len(item.body) >= SHORTEST_BYTES}
    found: list[list[WorkItem]] = []
    length = _LONGEST_BYTES
    while length >= SHORTEST_BYTES and len(prompts) > 1:
        alike: dict[bytes, list[WorkItem]] = {}
        for item in alone:
            prompt = prompts.get(item.position, b"")
            if len(prompt) >= length:
                digest = blake2b(memoryview(prompt)[:length], digest_size=16).digest()
                alike.setdefault(digest, []).append(item)
        together = [family for family in alike.values() if len(family) > 1]
        found += together
        taken = {item.position for family in together for item in family}
        alone = [item for item in alone if item.position not in taken]
        length //= 2
    found += [[item] for item in alone]
    return sorted(found, key=_first_position)


def prompt_of(body: bytes) -> bytes:
    """What a vendor reads of a request's body, in the order in which it does, to be compared with others. The body
    itself if it cannot be taken apart."""
    try:
        request = orjson.loads(body)
        if not isinstance(request, dict):
            return body
        return b"\n".join(orjson.dumps({name: request[name]}) for name in _IN_ORDER if name in request)
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        return body


def _first_position(family: Sequence[WorkItem]) -> int:
    return family[0].position
