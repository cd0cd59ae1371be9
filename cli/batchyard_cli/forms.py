"""The forms that the lines of a file may have, and the ids of the batches that are made of them. Imports nothing of the
server's: commands need the names for their options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

CHAT = "/v1/chat/completions"
_THEIR_IDS = ("msgbatch_", "bat_")
_OUR_ID = "batch_"


class Form(NamedTuple):
    """What a file holds. `dialect`: in whose form its lines are; `endpoint`: where they go, if they do not say so one
    by one."""

    dialect: str
    endpoint: str


@dataclass(frozen=True)
class Dialect:
    """`endpoint`: where its lines go if nothing else is known; None: nowhere. `limits`: those of its own that are
    narrower than a deployment's defaults. `lacks`: options that its batches have nothing for."""

    title: str
    example: str
    endpoint: str | None = None
    limits: Mapping[str, int] = field(default_factory=dict)
    lacks: frozenset[str] = frozenset()


DIALECTS = {
    "openai": Dialect(
        "OpenAI's form", '{"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": {…}}'
    ),
    "anthropic": Dialect(
        "Anthropic's form",
        '{"custom_id": "1", "params": {"model": "…", "max_tokens": 100, "messages": […]}}',
        "/v1/messages",
        {"max_batch_items": 100_000, "max_file_bytes": 256_000_000},
        frozenset({"metadata"}),
    ),
    "batchrouter": Dialect(
        "BatchRouter's form",
        '{"customer_item_id": "1", "operation": "responses", "model": "…", "input": {"messages": […]}}',
        CHAT,
        lacks=frozenset({"concurrency"}),
    ),
    "kushrouter": Dialect(
        "KushRouter's form",
        '{"custom_id": "1", "model": "…", "messages": […]}',
        CHAT,
        {"max_batch_items": 50_000, "max_file_bytes": 500_000_000, "max_line_bytes": 256 * 1024},
    ),
}


def dialect_of(line: Mapping[str, Any]) -> str | None:
    """In whose form a line is; None if it may be anybody's. The dashboard's page tells them apart likewise."""
    if "customer_item_id" in line or ("operation" in line and "input" in line):
        return "batchrouter"
    if "params" in line:
        return "anthropic"
    if "url" in line or "method" in line or "body" in line:
        return "openai"
    return "kushrouter" if "messages" in line else None


def our_id(shown: str) -> str:
    """A batch's id as most dialects spell it, from any dialect's spelling."""
    for theirs in _THEIR_IDS:
        if shown.startswith(theirs):
            return _OUR_ID + shown.removeprefix(theirs)
    return shown
