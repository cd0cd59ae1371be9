"""What was measured, as it is stored in JSON, and its tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

Findings = dict[str, Any]


def table(title: str, heads: list[str], rows: Iterable[list[str]]) -> str:
    """The first column to the left, all others to the right."""
    lines = [f"### {title}", "", _row(heads), _row(["---"] + ["---:"] * (len(heads) - 1))]
    return "\n".join([*lines, *(_row(row) for row in rows), ""])


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"
