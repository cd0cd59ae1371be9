"""docs/decisions: numbers without gaps, an index of every page, and no reference to a page that does not exist."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
DECISIONS = ROOT / "docs" / "decisions"
PAGES = sorted(page.name for page in DECISIONS.glob("*.md") if page.name != "README.md")
READ = ("*.md", "*.py", "*.toml", "*.json", "Makefile")
FOLDERS = ("docs", "functions", "infra", "local", "bench", "simulation", "tools", "tests")
_REFERENCE = re.compile(r"decisions?[ /](\d{4})(-[\w-]+\.md)?")
_LISTED = re.compile(r"^- \[(\d{4})\]\((\d{4}-[\w-]+\.md)\) (.+)$", re.MULTILINE)


def references() -> Iterator[tuple[Path, str, str]]:
    """(file, number, rest of the page's name if it is given) of every reference in code and pages."""
    files = [file for folder in FOLDERS for kind in READ for file in (ROOT / folder).rglob(kind)]
    for file in [*files, *ROOT.glob("*.md")]:
        for number, rest in _REFERENCE.findall(file.read_text()):
            yield file.relative_to(ROOT), number, rest


def test_numbers_have_no_gap() -> None:
    """The first page is 0001, and each next page takes the next number."""
    assert [page[:4] for page in PAGES] == [f"{number:04d}" for number in range(1, len(PAGES) + 1)]


def test_the_index_lists_every_page_with_its_title() -> None:
    """The index names each page once, in order, with the title that stands on the page."""
    listed = _LISTED.findall((DECISIONS / "README.md").read_text())
    titles = [(DECISIONS / page).read_text().splitlines()[0].removeprefix("# ") for page in PAGES]
    assert listed == [(page[:4], page, title) for page, title in zip(PAGES, titles, strict=True)]


def test_every_reference_leads_to_a_page() -> None:
    """Code and pages that name a decision name one that exists."""
    found = list(references())
    assert len(found) > 3
    by_number = {page[:4]: page for page in PAGES}
    lost = [where for where in found if where[1] not in by_number]
    renamed = [
        where for where in found if where[2] and where not in lost and by_number[where[1]] != where[1] + where[2]
    ]
    assert lost + renamed == []
