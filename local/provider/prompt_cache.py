"""A vendor's prompt cache, as vendors document theirs: a prompt of 1,024 tokens or more is kept for some minutes, and
another one that begins with the same tokens pays less for those.

https://platform.openai.com/docs/guides/prompt-caching (by itself, in steps of 128 tokens)
https://docs.claude.com/en/docs/build-with-claude/prompt-caching (only up to where a request has `cache_control`; a
prefix can be read from when the answer to the first request that has it begins)
"""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple

import orjson

from local.provider.answers.content import CHARS_PER_TOKEN

_SHORTEST_TOKENS = 1024
_STEP_TOKENS = 128
_SHORTEST_BYTES = _SHORTEST_TOKENS * CHARS_PER_TOKEN
_STEP_BYTES = _STEP_TOKENS * CHARS_PER_TOKEN
_MOST_PREFIXES = 200_000
"""So that the cache of a long benchmark stays small: when there are more, the oldest half goes."""


class Prefix(NamedTuple):
    """The first `tokens` of a prompt."""

    digest: bytes
    tokens: int


class _Kept(NamedTuple):
    """From when until when a prefix can be read."""

    since: float
    until: float


class CacheUse(NamedTuple):
    """How many tokens of a prompt came out of the cache, and how many were put in."""

    read: int = 0
    written: int = 0


NO_USE = CacheUse()


class PromptCache:
    def __init__(self) -> None:
        self._kept: dict[tuple[str, bytes], _Kept] = {}

    def use(
        self, owner: str, prefixes: list[Prefix], now: float, keep_seconds: float, *, answer_seconds: float = 0.0
    ) -> CacheUse:
        """Looks the prefixes (from short to long) of a prompt up for `owner`, whose prompts nobody else sees, and keeps
        them all. The answer takes `answer_seconds`, and begins after half of them; new ones can be read from then on:
        of requests that come all at once none reads what another one puts in."""
        read = 0
        for prefix in prefixes:
            key = (owner, prefix.digest)
            kept = self._kept.get(key)
            if kept is None or kept.until <= now:
                since = now + answer_seconds / 2
                self._kept[key] = _Kept(since, since + keep_seconds)
                continue
            if kept.since <= now:
                read = prefix.tokens
            self._kept[key] = _Kept(kept.since, max(kept.until, now + keep_seconds))
        if len(self._kept) > _MOST_PREFIXES:
            kept_longest = sorted(self._kept.items(), key=lambda entry: entry[1].until)[_MOST_PREFIXES // 2 :]
            self._kept = dict(kept_longest)
        return CacheUse(read, prefixes[-1].tokens - read if prefixes else 0)


def automatic_prefixes(body: dict[str, Any]) -> list[Prefix]:
    """What OpenAI and Gemini keep of a prompt: tools, instructions and turns, in steps of 128 tokens."""
    names = ("tools", "instructions", "system", "systemInstruction", "messages", "input", "contents", "prompt")
    prompt = b"".join(orjson.dumps(body[name]) for name in names if name in body)
    hasher = hashlib.blake2b(digest_size=16)
    prefixes = []
    for end in range(_STEP_BYTES, len(prompt) + 1, _STEP_BYTES):
        hasher.update(prompt[end - _STEP_BYTES : end])
        if end >= _SHORTEST_BYTES:
            prefixes.append(Prefix(hasher.digest(), end // CHARS_PER_TOKEN))
    return prefixes


def marked_prefixes(body: dict[str, Any]) -> list[Prefix]:
    """What Anthropic keeps: tools, system and turns up to each block that carries `cache_control`."""
    hasher = hashlib.blake2b(digest_size=16)
    length = 0
    prefixes = []
    blocks = _blocks(body)
    for place, block in enumerate(blocks, 1):
        marked = "cache_control" in block or ("cache_control" in body and place == len(blocks))
        text = orjson.dumps({name: value for name, value in block.items() if name != "cache_control"})
        hasher.update(text)
        length += len(text)
        if marked and length >= _SHORTEST_BYTES:
            prefixes.append(Prefix(hasher.digest(), length // CHARS_PER_TOKEN))
    return prefixes


def _blocks(body: dict[str, Any]) -> list[dict[str, Any]]:
    blocks = [tool for tool in body.get("tools") or [] if type(tool) is dict]
    contents = [body.get("system"), *(turn.get("content") for turn in body.get("messages") or [] if type(turn) is dict)]
    for content in contents:
        if type(content) is list:
            blocks += [block for block in content if type(block) is dict]
        elif type(content) is str:
            blocks.append({"type": "text", "text": content})
    return blocks
