"""docs/complaints.md: each complaint once, each with a test that exists or with what is missing."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs" / "complaints.md"
COMPLAINTS = 57
_NAMED = re.compile(r"`([\w/]+\.py)::(test_\w+)`")


def rows() -> list[list[str]]:
    """number, complaint, what is done here, tests: of each row."""
    lines = [line for line in PAGE.read_text().splitlines() if re.match(r"\| \d+ \|", line)]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_every_complaint_has_its_row() -> None:
    """The numbers run from 1 to the last, each once."""
    assert [int(row[0]) for row in rows()] == list(range(1, COMPLAINTS + 1))
    assert all(len(row) == 4 for row in rows())


def test_every_complaint_has_its_test() -> None:
    """What cannot happen has a test that shows it; what is missing is said, beside what there is."""
    assert [row for row in rows() if not _NAMED.search(row[3]) and "not yet" not in row[2].lower()] == []


def test_every_test_that_is_named_exists() -> None:
    """A renamed test would leave a claim without its proof."""
    named = [name for row in rows() for name in _NAMED.findall(row[3])]
    assert len(named) > COMPLAINTS
    assert [(file, test) for file, test in named if f"def {test}(" not in (TESTS / file).read_text()] == []
