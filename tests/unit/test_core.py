"""Ids, money, results and bitmaps."""

from __future__ import annotations

import orjson
import pytest

from batchyard.core.errors import BooksDoNotBalance
from batchyard.core.ids import derive_id, made_at, new_id
from batchyard.core.parts import decode_part, encode_part
from batchyard.core.result_lines import result_line
from batchyard.core.results import Outcome, Result, failed, stored, tally, unfinished
from batchyard.core.shards import done_count, is_done, mark_done
from batchyard.core.usage import Price, Usage, decimal_usd

NOW_MS = 1_795_161_600_000


def test_ids_sort_by_time_and_cannot_be_guessed() -> None:
    """A later millisecond sorts later whatever the random bits; the same bits give the same id."""
    early = new_id("batch_", NOW_MS, b"\xff" * 10)
    late = new_id("batch_", NOW_MS + 1, b"\x00" * 10)
    assert early < late
    assert len(early) == len("batch_") + 26
    assert new_id("batch_", NOW_MS, b"\xff" * 10) == early
    with pytest.raises(ValueError, match="10 random bytes"):
        new_id("batch_", NOW_MS, b"short")


def test_an_id_says_when_it_was_made() -> None:
    """Also one that derives from it; anything else says nothing."""
    source = new_id("batch_", NOW_MS + 999, b"0123456789")
    assert made_at(source) == made_at(derive_id("file-", source, "output")) == NOW_MS // 1000
    assert [made_at(each) for each in ("", "batch_1", "batch_u" + 25 * "0")] == [None] * 3


def test_derived_ids_keep_the_time_and_tell_purposes_apart() -> None:
    """The same source and purpose always give the same id; another purpose gives another."""
    source = new_id("batch_", NOW_MS, b"0123456789")
    output = derive_id("file-", source, "output")
    assert output == derive_id("file-", source, "output")
    assert output != derive_id("file-", source, "errors")
    assert output.removeprefix("file-")[:10] == source.removeprefix("batch_")[:10]


def test_ids_are_those_of_earlier_versions() -> None:
    """What is derived again after an upgrade is the same, or a step that runs twice would make two of it."""
    assert new_id("batch_", 1_763_700_000_123, b"0123456789") == "batch_01kajbchbv60rk4csm6mv3ee1s"
    assert derive_id("batch_req_", "batch_01m7vzgc0060rk4csm6mv3ee1s", "77") == "batch_req_01m7vzgc00j165gqqsbsnqabqk"


def test_cost_is_exact_and_rounds_only_at_the_edge() -> None:
    """A million tiny items cost what one large one costs; cached tokens are priced apart."""
    price = Price(input_microusd=150_000, cached_microusd=75_000, output_microusd=600_000)
    tiny = price.cost_picousd(Usage(input_tokens=3, cached_tokens=1, output_tokens=1))
    assert tiny == 2 * 150_000 + 75_000 + 600_000
    assert decimal_usd(tiny) == "0.000001"
    assert decimal_usd(tiny * 1_000_000) == "0.975000"
    assert decimal_usd(12_345_678_500_000) == "12.345679"


def line(result: Result) -> bytes:
    return result_line(stored("batch_x", result))


def test_a_result_line_is_openais_in_each_of_its_three_forms() -> None:
    """Success and HTTP failure carry the provider's body as it came; the rest carries an error."""
    body = b'{"big":123456789012345678901234567890,"text":"\xe2\x80\xa8"}'
    ok = orjson.loads(line(Result(0, "a", Outcome.SUCCEEDED, 200, "req_1", body)))
    assert set(ok) == {"id", "custom_id", "response", "error"}
    assert (ok["response"]["status_code"], ok["response"]["request_id"], ok["error"]) == (200, "req_1", None)
    assert body in line(Result(0, "a", Outcome.SUCCEEDED, 200, "req_1", body))
    http = orjson.loads(line(Result(1, "b", Outcome.FAILED, 400, None, b'{"error":{}}')))
    assert (http["response"]["status_code"], http["response"]["request_id"], http["error"]) == (400, "", None)
    lost = orjson.loads(line(failed(2, "c", "request_timeout", "No answer.")))
    assert (lost["response"], lost["error"]) == (None, {"code": "request_timeout", "message": "No answer."})
    assert len({ok["id"], http["id"], lost["id"]}) == 3


def test_unfinished_items_say_why() -> None:
    """The codes are OpenAI's."""
    assert unfinished(0, "a", Outcome.CANCELLED).error_code == "batch_cancelled"
    assert unfinished(0, "a", Outcome.EXPIRED).error_code == "batch_expired"


def test_a_tally_counts_each_outcome_under_its_name() -> None:
    """Counts, tokens and cost add up."""
    done = Result(0, "a", Outcome.SUCCEEDED, 200, None, b"{}", usage=Usage(5, 1, 7, 2), cost_picousd=11)
    total = tally([done, done, failed(1, "b", "x", "y"), unfinished(2, "c", Outcome.EXPIRED)])
    assert (total.succeeded, total.failed, total.expired, total.items) == (2, 1, 1, 4)
    assert (total.usage, total.cost_picousd) == (Usage(10, 2, 14, 4), 22)


def test_a_cut_part_is_noticed() -> None:
    """A part whose bytes do not match its header never passes for results."""
    part = encode_part("batch_x", [failed(3, "a", "x", "y"), failed(1, "b", "x", "y")])
    assert [result.index for result in decode_part(part)] == [3, 1]
    with pytest.raises(BooksDoNotBalance):
        list(decode_part(part[:-1]))


def test_a_part_of_a_later_version_is_read() -> None:
    """Columns that this version does not know do no harm; a column that is cut does."""
    head, _, bodies = encode_part("batch_x", [failed(3, "a", "x", "y"), failed(1, "b", "x", "y")]).partition(b"\n")
    header = orjson.loads(head)
    later = orjson.dumps(header | {"colour": ["red", "blue"]}) + b"\n" + bodies
    assert [result.custom_id for result in decode_part(later)] == ["a", "b"]
    cut = orjson.dumps(header | {"custom_id": ["a"]}) + b"\n" + bodies
    with pytest.raises(BooksDoNotBalance):
        list(decode_part(cut))


def test_bitmaps_remember_positions() -> None:
    """Marking only adds; a position out of range is not done."""
    done = mark_done(b"", [0, 9], 10)
    done = mark_done(done, [3], 10)
    assert [position for position in range(16) if is_done(done, position)] == [0, 3, 9]
    assert (done_count(done), len(done), is_done(done, 400)) == (3, 2, False)
