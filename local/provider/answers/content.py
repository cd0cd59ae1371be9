"""What answers of every vendor are made of: how many tokens, which words. All of it is derived from the request: the
same body always gets the same words and, prompt caches aside, the same token counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from local.provider.faults import Wishes

Body = dict[str, Any]
"""A JSON object, parsed."""

_WORDS = (
    "Here is what the request asks for, worked out step by step and kept short. The figures were checked twice; where "
    "the text leaves a choice open, the more careful reading was taken. Nothing was left out that a reader would miss. "
) * 40
CHARS_PER_TOKEN = 4
_OUTPUT_LIMITS = ("max_completion_tokens", "max_tokens", "max_output_tokens")


class Unanswerable(Exception):
    """The request lacks a parameter; the message is OpenAI's, `args[1]` the parameter."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """`cached` (read from the vendor's prompt cache) and `written` (into it) are part of `prompt`, `reasoning` is part
    of `output`."""

    prompt: int
    cached: int
    output: int
    reasoning: int
    written: int = 0


Answer = Callable[[Body, Tokens, bytes, int], bytes]
"""(body, tokens, hash of the request, now) -> the body of the answer."""
Stream = Callable[[Body, bytes], list[bytes]]
"""(body, the plain answer) -> the server-sent events that say the same."""


class Endpoint(NamedTuple):
    answer: Answer
    stream: Stream | None = None


def count_tokens(body: Body, size: int, request: bytes, wishes: Wishes, *, cached: int = 0, written: int = 0) -> Tokens:
    """Token counts of a request of `size` bytes with the hash `request`, of whose prompt this many tokens are read from
    the vendor's cache and written to it."""
    numbers = wishes.numbers
    prompt = size // CHARS_PER_TOKEN + 1
    output = int(numbers.get("output", 8 + request[0] % 56))
    limit = output_limit(body)
    if limit is not None:
        output = min(output, limit)
    model = body.get("model")
    thinks = isinstance(model, str) and model.startswith(("o1", "o3", "o4", "gpt-5", "gpt-6"))
    reasoning = int(numbers.get("reasoning", output // 2 if thinks else 0))
    if "cached" in numbers:
        cached = int(numbers["cached"])
    return Tokens(max(prompt, cached + written), cached, max(output, reasoning), reasoning, written)


def output_limit(body: Body) -> int | None:
    """How many tokens the answer may have, whatever the vendor calls it; None if the request does not say."""
    for name in _OUTPUT_LIMITS:
        limit = body.get(name)
        if isinstance(limit, int) and limit > 0:
            return limit
    generation = body.get("generationConfig")
    if isinstance(generation, dict):
        limit = generation.get("maxOutputTokens")
        if isinstance(limit, int) and limit > 0:
            return limit
    return None


def words_of(tokens: Tokens) -> str:
    """As many words as the answer's tokens, at four characters a token. No character in them needs escaping."""
    length = (tokens.output - tokens.reasoning) * CHARS_PER_TOKEN
    return (_WORDS if length <= len(_WORDS) else _WORDS * (length // len(_WORDS) + 1))[:length]


def example_of(schema: Body) -> Any:
    """A value that fits a simple JSON schema, whose types may be in capitals as Gemini writes them."""
    if schema.get("enum"):
        return schema["enum"][0]
    match str(schema.get("type")).lower():
        case "object":
            return {name: example_of(member) for name, member in (schema.get("properties") or {}).items()}
        case "array":
            return [example_of(schema.get("items") or {})]
        case "integer" | "number":
            return 1
        case "boolean":
            return True
    return "example"


def vector_of(request: bytes, index: int, dimensions: int) -> list[float]:
    """An embedding: the same for the same request and position."""
    turn = request[index % 16] / 256
    return [round((turn + step * 0.618034) % 1 * 0.05 - 0.025, 6) for step in range(dimensions)]
