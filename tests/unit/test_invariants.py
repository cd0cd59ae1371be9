"""The checker is checked: each way of breaking the books must be caught."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.invariants import (
    Invariant,
    InvariantBroken,
    check_batch,
    check_bills,
    check_calls,
    check_credits,
    check_ended,
    check_files,
    check_places,
    check_rows,
    check_unmoved,
)


def line(custom_id: str, status_code: int | None = 200, error: str | None = None) -> bytes:
    response = None
    if status_code is not None:
        body = {"usage": {"prompt_tokens": 3, "completion_tokens": 4}}
        response = {"status_code": status_code, "request_id": "r", "body": body}
    problem = {"code": error, "message": "m"} if error else None
    return json.dumps(
        {"id": f"id-{custom_id}", "custom_id": custom_id, "response": response, "error": problem}
    ).encode()


def file(*lines: bytes) -> bytes:
    return b"".join(one + b"\n" for one in lines)


def batch(**changes: Any) -> dict[str, Any]:
    return {
        "status": "completed",
        "completed_at": 5,
        "request_counts": {"total": 2, "completed": 1, "failed": 1},
        "output_file_id": "o",
        "error_file_id": "e",
        "usage": {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7},
    } | changes


OUTPUT, ERRORS = file(line("a")), file(line("b", None, "request_timeout"))


def test_sound_books_pass() -> None:
    """A batch with one success and one failure is accepted."""
    assert check_batch(batch(), ["a", "b"], OUTPUT, ERRORS).codes == {"request_timeout": 1}


def test_whatever_json_a_provider_answers_is_read() -> None:
    """Lone surrogates and numbers beyond any double are the customer's answer, and no broken books."""
    strange = line("a").replace(b'{"usage"', b'{"text": "\\ud800", "number": 1e400, "usage"')
    assert check_batch(batch(), ["a", "b"], file(strange), ERRORS).succeeded == 1


@pytest.mark.parametrize(
    ("output", "errors", "invariant"),
    [
        (file(line("a")), None, Invariant.ONE_LINE),
        (file(line("a"), line("b")), file(line("b", 500)), Invariant.ONE_LINE),
        (file(line("a"), line("a")), file(line("b", 500)), Invariant.ONE_LINE),
        (file(line("a")), file(line("b", 500), line("c", 500)), Invariant.ONE_LINE),
        (file(line("a", 500)), file(line("b", 500)), Invariant.RIGHT_FILE),
        (file(line("a")), file(line("b", 200)), Invariant.RIGHT_FILE),
        (file(line("a")), file(line("b", None)), Invariant.FORM),
        (file(line("a")), file(line("b", 500, "both")), Invariant.FORM),
        (line("a"), file(line("b", 500)), Invariant.FORM),
    ],
    ids=["lost", "in both", "twice", "unknown", "wrong file", "wrong file too", "neither", "both", "cut off"],
)
def test_broken_files_are_caught(output: bytes | None, errors: bytes | None, invariant: Invariant) -> None:
    """Lost, doubled, foreign, misplaced and malformed lines each raise, and say which invariant they break."""
    with pytest.raises(InvariantBroken) as caught:
        check_files(["a", "b"], output, errors)
    assert caught.value.invariant is invariant


@pytest.mark.parametrize(
    ("changes", "invariant"),
    [
        ({"status": "in_progress"}, Invariant.ENDS),
        ({"completed_at": None}, Invariant.ENDS),
        ({"request_counts": {"total": 3, "completed": 1, "failed": 1}}, Invariant.COUNTS),
        ({"request_counts": {"total": 2, "completed": 2, "failed": 0}}, Invariant.COUNTS),
        ({"output_file_id": None}, Invariant.FILES),
        ({"error_file_id": None}, Invariant.FILES),
        ({"usage": {"input_tokens": 4, "output_tokens": 4, "total_tokens": 8}}, Invariant.TOKENS),
    ],
)
def test_a_batch_that_contradicts_its_files_is_caught(changes: dict[str, Any], invariant: Invariant) -> None:
    """Status, counts, file ids and usage are all held against the lines."""
    with pytest.raises(InvariantBroken) as caught:
        check_batch(batch(**changes), ["a", "b"], OUTPUT, ERRORS)
    assert caught.value.invariant is invariant


def test_a_ledger_that_does_not_balance_is_caught() -> None:
    """Rows whose sums differ from the batch's, or whose bitmap differs from their counts, raise."""
    rows = [{"number": 0, "state": "settled", "done": b"\x03", "succeeded": 2, "input_tokens": 6}]
    check_rows({"tally": {"succeeded": 2, "input_tokens": 6}}, rows)
    for tally, broken in [
        ({"succeeded": 2, "input_tokens": 7}, rows),
        ({"succeeded": 2, "input_tokens": 6}, [rows[0] | {"done": b"\x01"}]),
        ({"succeeded": 2, "input_tokens": 6}, [rows[0] | {"state": "open"}]),
    ]:
        with pytest.raises(InvariantBroken) as caught:
            check_rows({"tally": tally}, broken)
        assert caught.value.invariant is Invariant.SUMS


def test_a_terminal_batch_that_moves_is_caught() -> None:
    """Any change between two looks raises."""
    check_unmoved(batch(), batch())
    with pytest.raises(InvariantBroken) as caught:
        check_unmoved(batch(), batch(completed_at=6))
    assert caught.value.invariant is Invariant.UNMOVED


def test_repeated_calls_and_batches_without_an_end_are_caught() -> None:
    """An item that the provider got twice, and a batch that is still on its way, each raise."""
    check_calls([1, 0, 1])
    check_ended("failed")
    with pytest.raises(InvariantBroken) as twice:
        check_calls([1, 2])
    with pytest.raises(InvariantBroken) as endless:
        check_ended("finalizing")
    assert (twice.value.invariant, endless.value.invariant) == (Invariant.CALLED_ONCE, Invariant.ENDS)


def test_items_that_are_paid_twice_or_strayed_are_caught() -> None:
    """Once in a job and once in realtime is twice; a provider that nothing was routed to got an item."""
    check_bills([(1, 0, 0), (0, 0, 1), (0, 0, 0)])
    check_places([("openai", "m")], [("openai", "m"), ("groq", "m")])
    with pytest.raises(InvariantBroken) as twice:
        check_bills([(1, 0, 1)])
    with pytest.raises(InvariantBroken) as strayed:
        check_places([("openai", "m"), ("groq", "m")], [("openai", "m")])
    assert (twice.value.invariant, strayed.value.invariant) == (Invariant.PAID_ONCE, Invariant.PRIVACY)


TOPPED_UP = {"kind": "top_up", "about": "t", "available_picousd": 100}
RESERVED = {"kind": "reservation", "about": "b", "available_picousd": -30, "reserved_picousd": 30}
SETTLED = {"kind": "settlement", "about": "b", "reserved_picousd": -20, "charged_picousd": 20}
RELEASED = {"kind": "release", "about": "b", "available_picousd": 10, "reserved_picousd": -10}
BALANCE = {"available_picousd": 80, "reserved_picousd": 0, "charged_picousd": 20}
ENDED = {
    "id": "b",
    "status": "cancelled",
    "billing": "prepaid",
    "reserved_picousd": 30,
    "tally": {"cost_picousd": 20},
}
RUNS = ENDED | {"status": "in_progress", "tally": {"cost_picousd": 5}}
ENTRIES = [TOPPED_UP, RESERVED, SETTLED, RELEASED]


def test_sound_credits_pass() -> None:
    """A batch that runs has its reservation, one that ended has its settlement, a free one nothing."""
    check_credits(BALANCE, ENTRIES, [ENDED])
    check_credits({"available_picousd": 70, "reserved_picousd": 30}, [TOPPED_UP, RESERVED], [RUNS])
    check_credits(BALANCE, ENTRIES, [])
    check_credits(None, [], [{"id": "c", "status": "completed", "tally": {"cost_picousd": 9}}])


@pytest.mark.parametrize(
    ("balance", "entries", "batches"),
    [
        (BALANCE | {"available_picousd": 81}, ENTRIES, [ENDED]),
        (BALANCE, ENTRIES, [ENDED | {"tally": {"cost_picousd": 21}}]),
        (BALANCE, ENTRIES, [RUNS]),
        ({"available_picousd": 70, "reserved_picousd": 30}, [TOPPED_UP, RESERVED], [ENDED]),
        (BALANCE | {"available_picousd": 100, "charged_picousd": 0}, [TOPPED_UP], [ENDED]),
        ({"available_picousd": 60, "charged_picousd": 40}, [*ENTRIES, SETTLED | {"reserved_picousd": 0}], [ENDED]),
        ({"available_picousd": 70, "reserved_picousd": 30}, [TOPPED_UP, RESERVED], []),
        ({"available_picousd": -20, "charged_picousd": 20}, [RESERVED, SETTLED, RELEASED], [ENDED]),
    ],
    ids=["sum", "too little", "too early", "not settled", "not reserved", "twice", "no batch", "overdrawn"],
)
def test_broken_credits_are_caught(balance: dict[str, int], entries: list[Any], batches: list[Any]) -> None:
    """Each in its own way."""
    with pytest.raises(InvariantBroken) as caught:
        check_credits(balance, entries, batches)
    assert caught.value.invariant is Invariant.CREDITS
