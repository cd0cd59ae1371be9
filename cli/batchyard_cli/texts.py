"""Figures and tables as people read them. What comes from elsewhere passes `printable` before a terminal sees it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


def printable(text: str) -> str:
    """`text` without what a terminal would obey: control characters, escape sequences, changes of direction."""
    return "".join(each if each.isprintable() else "�" for each in text)


def duration(seconds: float) -> str:
    """`75` -> `1 min 15 s`: the two largest units."""
    seconds = max(0, round(seconds))
    if seconds < _MINUTE:
        return f"{seconds} s"
    if seconds < _HOUR:
        return f"{seconds // _MINUTE} min {seconds % _MINUTE} s"
    if seconds < _DAY:
        return f"{seconds // _HOUR} h {seconds % _HOUR // _MINUTE} min"
    return f"{seconds // _DAY} d {seconds % _DAY // _HOUR} h"


def moment(unix_seconds: float | None) -> str:
    """In local time, or `-` if there is none."""
    if unix_seconds is None:
        return "-"
    return datetime.fromtimestamp(unix_seconds, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def size(count: int) -> str:
    """`105186` -> `105.2 kB`."""
    amount = float(count)
    for unit in ("bytes", "kB", "MB"):
        if amount < 1000:
            return f"{count} {unit}" if unit == "bytes" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} GB"


def aligned(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A table; columns of figures are aligned to the right."""
    cells = [[printable(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in [list(header), *cells]) for column in range(len(header))]
    figures = [bool(cells) and all(_is_figure(row[column]) for row in cells) for column in range(len(header))]
    lines = []
    for row in [[name.upper() for name in header], *cells]:
        padded = (
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, figures, strict=True)
        )
        lines.append("  ".join(padded).rstrip())
    return lines


def _is_figure(cell: str) -> bool:
    return cell == "-" or cell.lstrip("$-").replace(",", "").replace(".", "").replace("%", "").isdigit()
