"""What an item says, in whatever dialect: the text by which the ledger knows it again, and the prompt that a vendor's
cache looks at."""

from __future__ import annotations

import hashlib
from typing import Any

import orjson

_WITNESS_TEXT = "."
"""All that a witness says (`batchyard.core.witness`)."""


def item_text(body: dict[str, Any]) -> str:
    """What its user says, line by line: the same for a chat completion, a response, Anthropic's and Gemini's form of an
    item, an embedding or a moderation of it. The whole body if no user says anything."""
    said = _said(body)
    if type(said) is str:
        return said
    lines: list[str] = []
    if type(said) is list:
        for turn in said:
            if type(turn) is str:
                lines.append(turn)
            elif type(turn) is dict and turn.get("role", "user") == "user":
                _collect(turn.get("content", turn.get("parts")), lines)
    else:
        _collect(said, lines)
    return "\n".join(lines) if lines else orjson.dumps(body, option=orjson.OPT_SORT_KEYS).decode()


def hash_text(text: str) -> bytes:
    """16 bytes."""
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def is_witness(body: dict[str, Any]) -> bool:
    """Whether this is the smallest request that a lane takes, which is no item's."""
    said = _said(body)
    return said == _WITNESS_TEXT or (type(said) is list and len(said) == 1 and item_text(body) == _WITNESS_TEXT)


def _said(body: dict[str, Any]) -> Any:
    for name in ("messages", "input", "contents", "content", "requests", "prompt"):
        if name in body:
            return body[name]
    return None


def _collect(content: Any, lines: list[str]) -> None:
    if type(content) is str:
        lines.append(content)
    elif type(content) is dict:
        _collect(content.get("parts"), lines)
    elif type(content) is list:
        lines.extend(part["text"] for part in content if type(part) is dict and type(part.get("text")) is str)
