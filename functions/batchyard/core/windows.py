"""Whether an item fits into its model's context window, judged by its text.

Vendors' tokenizers take at least a byte of text to a token, so what has no more bytes than the window has tokens fits.
Of what is longer nobody here knows the exact count: it counts as too long only if it is so at _BYTES_PER_TOKEN, more
bytes to a token than texts have (English has between four and five). So nothing is refused that would have fitted; what
is let through wrongly gets its provider's own answer.
"""

from __future__ import annotations

from typing import Any

_BYTES_PER_TOKEN = 6
_TEXTS = frozenset({"text", "content", "input", "messages", "instructions", "system", "arguments", "output"})
"""Members of a request that hold what a model reads as text, or lists of it."""


def least_tokens(body: Any) -> int:
    """As few tokens as the text of a request can have."""
    return text_bytes(body) // _BYTES_PER_TOKEN


def longest_input(body: Any) -> Any:
    """What has to fit into the window: the longest of an embedding's inputs, else the whole request."""
    inputs = body.get("input")
    if isinstance(inputs, list) and inputs and all(isinstance(each, str) for each in inputs):
        return {"input": max(inputs, key=len)}
    return body


def text_bytes(value: Any) -> int:
    """Bytes of text in a request; images and files in it do not count."""
    if isinstance(value, str):
        return len(value.encode())
    if isinstance(value, list):
        return sum(map(text_bytes, value))
    if isinstance(value, dict):
        return sum(text_bytes(each) for name, each in value.items() if name in _TEXTS)
    return 0
