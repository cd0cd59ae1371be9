"""What an item says about the length of its answers."""

from __future__ import annotations

import pytest

from batchyard.core.stated_output import output_tokens
from batchyard.core.usage import MOST_TOKENS


@pytest.mark.parametrize(
    ("body", "tokens"),
    [
        (b'{"model":"m","max_tokens":7}', 7),
        (b'{"max_completion_tokens": 12,"x":1}', 12),
        (b'{"max_output_tokens":3}', 3),
        (b'{"max_tokens":3,"max_completion_tokens":9}', 9),
        (b'{"messages":[{"content":"set \\"max_tokens\\":5 please"}]}', None),
        (b'{"tools":[{"properties":{"max_tokens":{"type":"integer"}}}]}', None),
        (b'{"max_tokens":null}', None),
        (b'{"metadata":{"max_tokens":90000},"max_tokens":1}', 1),
        (b'{"max_tokens":999999999}', MOST_TOKENS),
        (b'{"max_tokens":999999999999999999999999999}', MOST_TOKENS),
        (b'{"max_tokens":1e5}', 100_000),
        (b'{"max_tokens" :\t1.0e5}', 100_000),
        (b'{"max_tokens":99999.5}', 100_000),
        (b'{"max_tokens":"4096"}', 4096),
        (b'{"max_tokens":" 4096.0 "}', 4096),
        (b'{"max_tokens":"infinity"}', MOST_TOKENS),
        (b'{"max_tokens":"many"}', None),
        (b'{"max_tokens":"nan"}', None),
        (b'{"max\\u005ftokens":4096}', 4096),
        (b'{"max_tokens":1,"max_tokens":4096}', 4096),
        (b'{"max_tokens":0}', 0),
        (b'{"max_tokens":-1}', None),
        (b'{"max_tokens":-1e30}', None),
        (b'{"max_tokens":true}', None),
        (b'{"max_tokens":[4096]}', None),
        (b'["max_tokens",5]', None),
        (b'{"max_tokens":', None),
    ],
)
def test_an_item_may_say_what_it_takes_at_most(body: bytes, tokens: int | None) -> None:
    """By any of the names that dialects have for it, however the figure is written, and not in a text that talks about
    it."""
    unknown = 300
    assert output_tokens(body, unknown) == (unknown if tokens is None else tokens)


@pytest.mark.parametrize(
    ("body", "tokens"),
    [
        (b'{"model":"m"}', 300),
        (b'{"n":4,"max_tokens":7}', 28),
        (b'{"n": 128}', 128 * 300),
        (b'{"n":4.0,"max_tokens":7}', 28),
        (b'{"n":"4","max_tokens":7}', 28),
        (b'{"best_of":5,"n":2,"max_tokens":10}', 50),
        (b'{"n":0,"max_tokens":7}', 7),
        (b'{"n":-3,"max_tokens":7}', 7),
        (b'{"metadata":{"n":1},"n":3,"max_tokens":7}', 21),
        (b'{"messages":[{"content":"set \\"n\\":5 please"}]}', 300),
        (b'{"prompt":["a","b"],"n":2,"max_tokens":7}', 28),
        (b'{"prompt":[[1,2],[3]],"max_tokens":7}', 14),
        (b'{"prompt":[1,2,3],"max_tokens":7}', 7),
        (b'{"prompt":"a","max_tokens":7}', 7),
        (b'{"prompt":[],"max_tokens":7}', 7),
    ],
)
def test_all_answers_of_an_item_count(body: bytes, tokens: int) -> None:
    """Vendors bill each of the answers that `n` asks for, all of which `best_of` takes the best, of each prompt."""
    assert output_tokens(body, 300) == tokens
