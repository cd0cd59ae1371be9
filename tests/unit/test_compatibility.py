"""docs/compatibility.md names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TABLE = (ROOT / "docs" / "compatibility.md").read_text()


def test_every_test_that_is_named_exists() -> None:
    """Names of tests and paths of their files, wherever they stand in the tables."""
    sources = {path: path.read_text() for path in (ROOT / "tests").rglob("test_*.py")}
    defined = {name for text in sources.values() for name in re.findall(r"^def (test_\w+)", text, re.MULTILINE)}
    named = set(re.findall(r"(?:`|::)(test_\w+)`", TABLE))
    assert len(named) > 20
    assert named <= defined, sorted(named - defined)
    for path, name in re.findall(r"`(tests/[\w/]+\.py)(?:::(test_\w+))?`", TABLE):
        assert (ROOT / path).exists(), path
        assert not name or f"def {name}(" in (ROOT / path).read_text(), f"{path}::{name}"


def test_every_decision_that_is_named_exists() -> None:
    """Links to docs/decisions/ lead somewhere."""
    for link in re.findall(r"\]\((decisions/[^)]+)\)", TABLE):
        assert (ROOT / "docs" / link).exists(), link
