"""JSON of other people: nothing valid is refused, no number changes, and no line breaks."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchyard.core import exact_json
from batchyard.core.one_line import one_line
from batchyard.core.result_lines import result_line
from batchyard.core.results import Outcome, Result, failed, stored

NUMBERS = [
    *("0", "-1", "1.5", "1e5", "9007199254740993", "18446744073709551615"),
    *("18446744073709551616", "-9223372036854775809", "9" * 300, "-" + "9" * 30),
    *("0.12345678901234567890", "3.14159265358979323846", "12345678901.234567890", "123456789012345678901234567890e-7"),
]


def as_decimals(text: bytes) -> Any:
    return json.loads(text, parse_int=Decimal, parse_float=Decimal)


@pytest.mark.parametrize("number", NUMBERS)
def test_no_number_changes_on_its_way(number: str) -> None:
    """Read and written again, a number is the same to the last digit, wherever it stands."""
    text = b'{"a":%b,"b":[1,{"c":%b}],"d":"%b"}' % ((number.encode(),) * 3)
    assert as_decimals(orjson.dumps(exact_json.loads(text))) == as_decimals(text)


def test_an_answer_may_have_surrogates_and_long_numbers() -> None:
    """Read and written again, each number is the same to the last digit, and each string to the last code unit."""
    text = rb'{"a":["\ud800 \u00e9"],"n":123456789012345678901234,"f":1e400}'
    written = exact_json.dumps_anything(exact_json.loads_all(text))
    assert as_decimals(written) == as_decimals(text)
    assert b"1e400" in written and rb"\ud800" in written
    by_name = rb'{"\ud800":1}'
    assert exact_json.dumps_anything(exact_json.loads_all(by_name)) == by_name


@given(
    st.recursive(
        st.integers(-(10**40), 10**40)
        | st.decimals(allow_nan=False, allow_infinity=False, places=25)
        | st.text('a1"\\.é\u2028', max_size=9)
        | st.booleans()
        | st.none(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("ab1", max_size=3), inner, max_size=4),
        max_leaves=12,
    )
)
def test_no_document_changes_on_its_way(document: Any) -> None:
    """Any document, read and written again, means the same to a reader of exact numbers."""
    text = written_by_hand(document).encode()
    assert as_decimals(orjson.dumps(exact_json.loads(text))) == as_decimals(text)


def written_by_hand(value: Any) -> str:
    match value:
        case dict():
            members = [f"{json.dumps(name)}:{written_by_hand(item)}" for name, item in value.items()]
            return "{" + ",".join(members) + "}"
        case list():
            return "[" + ",".join(map(written_by_hand, value)) + "]"
        case Decimal():
            return f"{value:f}"
    return json.dumps(value)


def test_short_numbers_are_plain_values() -> None:
    """What a Python value holds exactly is one, beside a number that is not, so that checks see what they expect."""
    document = exact_json.loads(b'{"n":3,"x":0.5,"e":1e3,"long":%b}' % (b"1" * 30))
    assert (document["n"], document["x"], document["e"]) == (3, 0.5, 1000.0)


@pytest.mark.parametrize("text", [b'{"a":"\\ud800"}', b'{"a":1e400}', b'{"a":%b}' % (b"9" * 400), b"{", b"NaN"])
def test_what_orjson_refuses_is_refused(text: bytes) -> None:
    """In what customers send, with orjson's words."""
    with pytest.raises(orjson.JSONDecodeError):
        exact_json.loads(text)


def test_deep_documents_with_long_numbers_are_taken() -> None:
    """As deep as orjson reads; they cannot be written, with and without such numbers."""
    text = b'{"n":' + b"1" * 30 + b',"a":' + b"[" * 900 + b"]" * 900 + b"}"
    document = exact_json.loads(text)
    with pytest.raises(orjson.JSONEncodeError):
        orjson.dumps(document)


@pytest.mark.parametrize(
    "text", [rb'{"a":"\ud800"}', rb'{"\udfff":[1,"\ud83d\ude00"]}', b'{"a":1e400}', b'{"a":-%b}' % (b"9" * 5000)]
)
def test_all_valid_json_is_read_and_written(text: bytes) -> None:
    """Lone surrogates and numbers beyond a double come out as they went in."""
    written = exact_json.dumps_anything(exact_json.loads_anything(text))
    assert as_strings(written) == as_strings(text)


def as_strings(text: bytes) -> Any:
    return json.loads(text, parse_int=str, parse_float=str)


@pytest.mark.parametrize(
    "text", [b"", b"{", b"NaN", b"[Infinity]", b"\xff", b'"\xed\xa0\x80"', b"[" * 10**5, b"\xef\xbb\xbf1"]
)
def test_what_is_no_json_is_refused(text: bytes) -> None:
    """Also what Python's own reader would take."""
    with pytest.raises(ValueError):
        exact_json.loads_anything(text)


def test_what_cannot_be_written_is_a_type_error() -> None:
    """However deep it is."""
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(TypeError):
        exact_json.dumps_anything(deep)


SEPARATORS = "a\u2028b\u2029c\u0085d\u000be\u001cf\ng"


@given(st.text("\u2028\u2029\u0085\r\n\u000b\u000c\u001c\u001dé a", max_size=20))
def test_one_line_is_one_line_and_says_the_same(text: str) -> None:
    """Pretty or compact, raw or escaped: no reader finds a second line, and the document is the same."""
    document = {"text": text, text: [1]}
    for ascii_only in (True, False):
        for indent in (None, 2):
            line = one_line(json.dumps(document, ensure_ascii=ascii_only, indent=indent).encode())
            assert len(line.decode().splitlines()) == 1
            assert json.loads(line) == document


@pytest.mark.parametrize(
    "result",
    [
        Result(0, SEPARATORS, Outcome.SUCCEEDED, 200, "r", b"{}"),
        Result(0, "plain", Outcome.SUCCEEDED, 200, "r\u0085", b"{}"),
        failed(0, SEPARATORS, "code", "message"),
    ],
)
def test_a_result_stands_on_one_line(result: Result) -> None:
    """Whatever its custom_id and its request id hold, and they are read back as they were."""
    line = result_line(stored("batch_x", result))
    assert len(line.decode().splitlines()) == 1
    assert json.loads(line)["custom_id"] == result.custom_id


def test_what_would_take_forty_times_its_bytes_is_told() -> None:
    """A million objects are as many as one text may have. Of a short one it does not matter."""
    assert exact_json.has_too_many_parts(b"[" + b"{},[]," * 700_000 + b"1]")
    assert not exact_json.has_too_many_parts(b"[" + b"{},[],123," * 450_000 + b"1]")
    assert not exact_json.has_too_many_parts(b"[" + b"[]," * 1_300_000 + b"1]")
