"""Marks for Anthropic's prompt cache at the end of what items of a batch tend to share: tools and system prompt.

The cache holds everything up to a mark, in the order tools, system, messages. Prefixes shorter than the vendor's least
(1,024 tokens and more) are not cached, and cost nothing extra.
"""

from __future__ import annotations

from typing import Any

from batchyard.core.json_types import JsonObject

_MARK = {"cache_control": {"type": "ephemeral"}}


def marked(request: JsonObject) -> JsonObject:
    """`request` for Messages with a mark, unless it has some of its own."""
    if "cache_control" in request or any(map(_has_mark, _places(request))):
        return request
    system = request.get("system")
    if isinstance(system, str) and system:
        return request | {"system": [{"type": "text", "text": system} | _MARK]}
    for name in ("system", "tools"):
        shared = request.get(name)
        if isinstance(shared, list) and shared and isinstance(shared[-1], dict):
            return request | {name: [*shared[:-1], shared[-1] | _MARK]}
    return request


def _places(request: JsonObject) -> list[Any]:
    """All that may carry a mark."""
    places: list[Any] = []
    for name in ("system", "tools", "messages"):
        value = request.get(name)
        places += value if isinstance(value, list) else []
    for message in request.get("messages") or ():
        content = message.get("content") if isinstance(message, dict) else None
        places += content if isinstance(content, list) else []
    return places


def _has_mark(place: Any) -> bool:
    return isinstance(place, dict) and place.get("cache_control") is not None
