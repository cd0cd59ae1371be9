"""docs/compatibility.md names tests that exist, in every row."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs" / "compatibility.md"
_FILE = re.compile(r"Tests without a file are in `([\w/.]+)`")
_NAMED = re.compile(r"`(?:([\w/]+\.py)::)?(test_\w+)`")


def named() -> Iterator[tuple[str, str]]:
    """(file, test) of each test that a row names; if a row names no file, its section does."""
    default = ""
    for row in PAGE.read_text().splitlines():
        if found := _FILE.search(row):
            default = found[1]
        if row.startswith("|"):
            for file, test in _NAMED.findall(row.rpartition("|")[0].rpartition("|")[2]):
                yield file or default, test


def test_every_test_that_is_named_exists() -> None:
    """A renamed test would leave a claim without its proof."""
    tests = list(named())
    assert len(tests) > 50
    missing = [(file, test) for file, test in tests if f"def {test}(" not in (TESTS / file).read_text()]
    assert missing == []


def test_every_claim_has_a_proof() -> None:
    """A row without a test says that it is not there yet."""
    rows = [row for row in PAGE.read_text().splitlines() if row.startswith("| ") and "proved by" not in row]
    unproved = [row for row in rows if not _NAMED.search(row) and "not part of this surface" not in row]
    assert rows and unproved == []
