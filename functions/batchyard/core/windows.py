"""Whether an item fits into its model's context window, judged by its text.

Vendors' tokenizers take at least a byte of text to a token, so what has no more bytes than the window has tokens fits.
What is longer is counted, if the model's tokenizer is known here (`core.vocabularies`). If not, it is estimated: it
counts as too long only if it is so at _BYTES_PER_TOKEN, more bytes to a token than texts have (English has between four
and five).

Either way nothing is refused that would have fitted, because only what is certain counts: the texts of messages, inputs
and instructions; names and descriptions of tools; the arguments of their calls and what they gave; three tokens
around each message. How a vendor writes tools and schemas for its model is not known, and what an image takes depends
on its size: neither counts. What is let through wrongly gets its provider's own answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from batchyard.core.json_types import JsonObject

TokensOf = Callable[[str], int]
"""A text -> as few tokens as it can have."""

_BYTES_PER_TOKEN = 6
_TOKENS_AROUND_A_MESSAGE = 3
"""https://cookbook.openai.com/examples/how_to_count_tokens_with_tiktoken"""
_TEXTS = frozenset(
    {
        *("text", "content", "input", "messages", "instructions", "system"),
        *("tool_calls", "function", "arguments", "output"),
    }
)
"""Members of a request that hold what a model reads as text, or lists of it."""
_TOOL_TEXTS = frozenset({"name", "description"})


def estimated_tokens(text: str) -> int:
    """As few tokens as the text can have in any tokenizer, for the texts that people write."""
    return len(text.encode()) // _BYTES_PER_TOKEN


def least_tokens(request: JsonObject, tokens_of: TokensOf) -> int:
    """As few tokens as the request can have, in what has to fit into the window: the longest of an embedding's
    inputs, or all that a model reads. An input may be tokens already."""
    inputs = request.get("input")
    if isinstance(inputs, list) and inputs and not isinstance(inputs[0], dict):
        return len(inputs) if isinstance(inputs[0], int) else max(_input_tokens(each, tokens_of) for each in inputs)
    messages = request.get("messages", inputs)
    around = _TOKENS_AROUND_A_MESSAGE * len(messages) if isinstance(messages, list) else 0
    texts = (*_texts(request), *_tool_texts(request.get("tools")))
    return around + sum(map(tokens_of, texts))


def _input_tokens(each: Any, tokens_of: TokensOf) -> int:
    if isinstance(each, str):
        return tokens_of(each)
    return len(each) if isinstance(each, list) else 0


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
    elif isinstance(value, dict):
        for name, each in value.items():
            if name in _TEXTS:
                yield from _texts(each)


def _tool_texts(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for each in value:
            yield from _tool_texts(each)
    elif isinstance(value, dict):
        for name, each in value.items():
            if name in _TOOL_TEXTS and isinstance(each, str):
                yield each
            else:
                yield from _tool_texts(each)
