"""The pages lead to each other: every relative link has a target."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_has_a_target(page: Path) -> None:
    """A page or file that was moved is moved in every link."""
    links = [link for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text()) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_file_that_is_named_exists(page: Path) -> None:
    """A path in the running text is that of a file: below the repository, the deployed code or the tests."""
    named = re.findall(r"`((?:[\w.-]+/)+[\w-]+\.(?:py|toml|jsonl?|md))(?:::\w+)?`", page.read_text())
    places = (ROOT, ROOT / "functions" / "batchyard", ROOT / "tests")
    assert [path for path in named if not any((place / path).exists() for place in places)] == []


def test_every_page_is_found_from_the_readme() -> None:
    """README or the index of the decisions links to each page."""
    indexes = [ROOT / "README.md", ROOT / "docs" / "decisions" / "README.md"]
    linked = {
        (index.parent / link).resolve()
        for index in indexes
        for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", index.read_text())
        if "://" not in link
    }
    assert [page for page in PAGES[1:] if page.resolve() not in linked] == []


def test_the_readme_is_short() -> None:
    """Under 250 lines; the rest is in docs."""
    assert len((ROOT / "README.md").read_text().splitlines()) < 250


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_page_is_half_merged(page: Path) -> None:
    """Both sides of a conflict, and the marks around them, are shown to readers if nobody has decided."""
    assert re.findall(r"^(?:<{7}|={7}|>{7})(?: .*)?$", page.read_text(), re.MULTILINE) == []
