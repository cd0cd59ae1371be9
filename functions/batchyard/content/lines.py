"""The lines of a JSONL file that comes in chunks: numbered, in flat memory, whatever the file looks like.

Only a line feed ends a line (a JSON string may hold U+2028 or U+0085 as they are). A carriage return before it, spaces
around the line and a byte order mark in front of the first one are not part of it. Blank lines are left out, but they
count when lines are numbered.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_AROUND_A_LINE = b" \t\r"


def read_lines(chunks: Iterable[bytes], max_line_bytes: int) -> Iterator[tuple[int, bytes | None]]:
    """(number, line) of each line that is not blank; numbers start at 1. A line of more than `max_line_bytes`, spaces
    around it included, is None and is never held whole: memory stays below one chunk plus one line."""
    for number, piece in enumerate(_pieces(chunks, max_line_bytes), start=1):
        if piece is None or len(piece) > max_line_bytes:
            yield number, None
            continue
        if number == 1:
            piece = piece.removeprefix(_BYTE_ORDER_MARK)
        line = piece.strip(_AROUND_A_LINE)
        if line:
            yield number, line


def _pieces(chunks: Iterable[bytes], max_line_bytes: int) -> Iterator[bytes | None]:
    """What is between line feeds. None: it was too long."""
    rest: bytes | None = b""
    for chunk in chunks:
        first, *others = chunk.split(b"\n")
        rest = None if rest is None or len(rest) + len(first) > max_line_bytes else rest + first
        if others:
            yield rest
            rest = others.pop()
            yield from others
    yield rest
