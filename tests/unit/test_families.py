"""Which items belong together, because a vendor's prompt cache can serve all of them but one."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from batchyard.core.families import families, prompt_of
from batchyard.core.items import WorkItem
from batchyard.core.usage import Price

RULES, OTHER_RULES = "Be brief and polite. " * 250, "Be long and rude. " * 300
BOOK, OTHER_BOOK = "It was a dark night. " * 1000, "It was a bright day. " * 1000
TOOL = {"type": "function", "function": {"name": "rate", "description": "x" * 5000}}


def chat(system: str, *turns: str, **more: Any) -> bytes:
    said = [{"role": "user", "content": turn} for turn in turns]
    return orjson.dumps({"model": "m", **more, "messages": [{"role": "system", "content": system}, *said]})


def grouped(*bodies: bytes) -> list[list[int]]:
    items = [WorkItem(place, place + 100, f"id-{place}", body) for place, body in enumerate(bodies)]
    return [[item.position for item in family] for family in families(items)]


@pytest.mark.parametrize(
    ("bodies", "expected"),
    [
        pytest.param([], [], id="no items"),
        pytest.param([chat(RULES, "a")], [[0]], id="one item"),
        pytest.param([chat("Be brief.", "a"), chat("Be brief.", "a")], [[0], [1]], id="too short for any cache"),
        pytest.param([chat(RULES, "a"), chat(OTHER_RULES, "b")], [[0], [1]], id="long, but not alike"),
        pytest.param(
            [chat(RULES, "a"), chat(OTHER_RULES, "b"), chat("Hi.", "c"), chat(RULES, "d"), chat(OTHER_RULES, "e")],
            [[0, 3], [1, 4], [2]],
            id="by their instructions",
        ),
        pytest.param(
            [chat(RULES, BOOK, "a"), chat(RULES, OTHER_BOOK, "b"), chat(RULES, BOOK, "c"), chat(RULES, OTHER_BOOK)],
            [[0, 2], [1, 3]],
            id="by their document, under the same instructions",
        ),
        pytest.param(
            [chat("Hi.", BOOK + "a"), chat("Hi.", OTHER_BOOK + "b"), chat("Hi.", BOOK + "c")],
            [[0, 2], [1]],
            id="by a document within a turn",
        ),
        pytest.param(
            [chat(RULES, "a", seed=1), chat(RULES, "b", user="x" * 5000, seed=2)],
            [[0, 1]],
            id="whatever else they ask for",
        ),
        pytest.param(
            [chat("Hi.", "a", tools=[TOOL]), chat("Hi.", "b"), chat("Ho.", "c", tools=[TOOL])],
            [[0, 2], [1]],
            id="by their tools, which come first",
        ),
        pytest.param([b"[" * 5000, b"[" * 5000, b"9" * 5000], [[0, 1], [2]], id="what is no request"),
    ],
)
def test_families(bodies: list[bytes], expected: list[list[int]]) -> None:
    """Each item once; items of a family stand in the order of the input, families in that of their first."""
    assert grouped(*bodies) == expected


def test_a_prompt_is_what_vendors_read_first_to_last() -> None:
    """Members in another order make the same prompt; those that are no part of it do not count."""
    one = prompt_of(b'{"messages":["m"],"model":"a","tools":["t"],"system":"s"}')
    other = prompt_of(b'{"system":"s","tools":["t"],"seed":3,"messages":["m"]}')
    assert one == other == b'{"tools":["t"]}\n{"system":"s"}\n{"messages":["m"]}'


@pytest.mark.parametrize(
    "body", [b"[1]", b"{", b"[" * 300 + b"]" * 300, b'{"messages":' + b"[" * 300 + b"]" * 300 + b"}"]
)
def test_what_cannot_be_taken_apart_is_compared_as_it_is(body: bytes) -> None:
    """No body that validation let through may break a shard."""
    assert prompt_of(body) == body


def test_a_vendor_rewards_caching_if_cached_input_is_cheaper() -> None:
    """A private endpoint that costs nothing does not."""
    assert Price(10, 1, 10).rewards_caching
    assert not Price(10, 10, 10).rewards_caching and not Price(0, 0, 0).rewards_caching
