"""JSON on one line, whatever a reader takes for the end of a line: customers read their files with all kinds of
tools."""

from __future__ import annotations


def one_line(text: bytes) -> bytes:
    """`text`, which is JSON in UTF-8, without anything that Python's `splitlines` would split at. Raw line ends
    are only found between its tokens, so they become spaces. The other separators (U+0085, U+2028, U+2029) are only
    found inside its strings, so they are escaped. (Form feeds and the like have to be escaped in JSON anyway.)"""
    if b"\n" in text or b"\r" in text:
        text = text.replace(b"\n", b" ").replace(b"\r", b" ")
    return text if text.isascii() else escape_separators(text)


def escape_separators(text: bytes) -> bytes:
    """`one_line` for JSON that holds no raw line ends, as orjson writes it."""
    return (
        text.replace(b"\xe2\x80\xa8", b"\\u2028").replace(b"\xe2\x80\xa9", b"\\u2029").replace(b"\xc2\x85", b"\\u0085")
    )
