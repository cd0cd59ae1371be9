"""Credits: what each entry does to a balance, and dollars as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchyard.core.ledger import (
    Credits,
    Entry,
    EntryKind,
    read_dollars,
    reservation,
    settlement,
    sum_of,
    top_up,
    write_dollars,
)

AMOUNT = st.integers(0, 10**18)


@given(paid=AMOUNT, reserved=AMOUNT, cost=AMOUNT)
def test_what_was_topped_up_is_available_reserved_or_charged(paid: int, reserved: int, cost: int) -> None:
    """Whatever a batch reserves and costs, no credit appears or is lost, and nothing stays reserved."""
    entries: list[Entry] = [top_up("t", paid, 1), reservation("b", reserved, 2)]
    assert sum_of(entries) == Credits(paid - reserved, reserved, 0)
    after = sum_of([*entries, *settlement("b", reserved, cost, 3)])
    assert after == Credits(paid - cost, 0, cost)


@pytest.mark.parametrize(
    ("reserved", "cost", "expected"),
    [
        (10, 4, [(EntryKind.SETTLEMENT, 4), (EntryKind.RELEASE, 6)]),
        (10, 10, [(EntryKind.SETTLEMENT, 10)]),
        (10, 15, [(EntryKind.SETTLEMENT, 15)]),
        (10, 0, [(EntryKind.SETTLEMENT, 0), (EntryKind.RELEASE, 10)]),
        (0, 5, [(EntryKind.SETTLEMENT, 5)]),
        (0, 0, []),
    ],
)
def test_a_batch_that_ends_is_settled(reserved: int, cost: int, expected: list[tuple[EntryKind, int]]) -> None:
    """What it cost is charged, also beyond the reservation; what is left of that is given back."""
    entries = settlement("b", reserved, cost, 3)
    assert [(entry.kind, entry.amount_picousd) for entry in entries] == expected
    assert len({entry.id for entry in entries}) == len(entries)


@given(change=st.builds(Credits, AMOUNT, AMOUNT, AMOUNT), kind=st.sampled_from(EntryKind))
def test_an_entry_comes_back_from_its_row(change: Credits, kind: EntryKind) -> None:
    """Also from one that a later version has added to."""
    entry = Entry(kind, "batch_1", 7, change)
    assert Entry.from_row(entry.to_row() | {"pk": "x", "later": 1}) == entry


@pytest.mark.parametrize(
    ("text", "picousd"),
    [
        ("12.50", 12_500_000_000_000),
        ("0.000000000001", 1),
        (" 7 ", 7_000_000_000_000),
        ("-3", -3_000_000_000_000),
        ("0", 0),
        ("1e3", None),
        ("1,000", None),
        ("", None),
        (".5", None),
        ("1.", None),
        ("0.0000000000001", None),
        ("NaN", None),
        ("١", None),
    ],
)
def test_dollars_are_read_exactly(text: str, picousd: int | None) -> None:
    """As decimal numbers, and nothing else."""
    assert read_dollars(text) == picousd


@pytest.mark.parametrize(("picousd", "text"), [(1_500_000_000_000, "1.500000"), (-250_000_000_000, "-0.250000")])
def test_dollars_are_written_for_people(picousd: int, text: str) -> None:
    """Six decimals, and a sign if something is owed."""
    assert write_dollars(picousd) == text
