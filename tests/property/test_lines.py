"""Line splitting: whatever a file's lines, line ends and chunks look like, each line comes out once, as it was."""

from __future__ import annotations

import itertools
import tracemalloc
from collections.abc import Iterator

import orjson
from hypothesis import given
from hypothesis import strategies as st

from batchyard.content.lines import read_lines

BOM = b"\xef\xbb\xbf"
LIMIT = 10_000

texts = st.text(
    st.one_of(
        st.sampled_from('\u2028\u2029\u0085\x1c\x0b\x0c\x00\r\n\ufeff\N{GRINNING FACE}é\t "\\'),
        st.characters(exclude_categories=["Cs"]),
    ),
    max_size=20,
)
documents = st.dictionaries(texts, st.one_of(texts, st.integers(-9, 9), st.none()), max_size=3)
line_ends = st.sampled_from([b"\n", b"\r\n", b" \r\n"])
blanks = st.sampled_from([b"", b" ", b"\t", b" \t "])


def in_chunks(data: bytes, cuts: list[int]) -> Iterator[bytes]:
    """`data` cut at `cuts`, with an empty chunk between two that are equal."""
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return (data[a:b] for a, b in itertools.pairwise(places))


@given(
    st.lists(st.tuples(st.one_of(documents, blanks), line_ends), max_size=12),
    st.one_of(st.none(), documents),
    st.booleans(),
    st.lists(st.integers(0, 5000), max_size=30),
)
def test_every_document_comes_back_with_its_line_number(
    ended: list[tuple[dict[str, object] | bytes, bytes]],
    last: dict[str, object] | None,
    with_mark: bool,
    cuts: list[int],
) -> None:
    """BOM, CRLF, blank lines, a missing last newline, exotic separators and any chunking leave every document whole."""
    data, expected = BOM if with_mark else b"", []
    for number, (line, end) in enumerate([*ended, (last if last is not None else b"", b"")], start=1):
        if isinstance(line, bytes):
            data += line + end
        else:
            data += orjson.dumps(line) + end
            expected.append((number, line))
    found = list(read_lines(in_chunks(data, cuts), LIMIT))
    assert [(number, orjson.loads(line or b"")) for number, line in found] == expected


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=30), st.integers(1, 40))
def test_chunks_do_not_matter(data: bytes, cuts: list[int], limit: int) -> None:
    """Any bytes give the same lines in one chunk and in many, and a line over the limit is None in both."""
    whole = list(read_lines([data], limit))
    assert list(read_lines(in_chunks(data, cuts), limit)) == whole
    for number, piece in enumerate(data.split(b"\n"), start=1):
        if len(piece) > limit:
            assert (number, None) in whole


@given(st.lists(st.binary(max_size=30).map(lambda line: line.replace(b"\n", b"")), max_size=20))
def test_lines_keep_their_bytes(lines: list[bytes]) -> None:
    """What comes out is the line itself, less what may stand around it: NUL and broken UTF-8 are left to the parser."""
    expected = [(n, line.strip(b" \t\r")) for n, line in enumerate(lines, start=1)]
    if lines:
        expected[0] = (1, lines[0].removeprefix(BOM).strip(b" \t\r"))
    data = b"\n".join(lines)
    assert list(read_lines([data], LIMIT)) == [(number, line) for number, line in expected if line]


def test_a_line_without_end_is_never_held() -> None:
    """A 64 MB line under a limit of 1,000 bytes costs no more memory than its chunks."""
    chunk = b"x" * 65_536
    tracemalloc.start()
    found = list(read_lines((chunk for _ in range(1000)), 1000))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found == [(1, None)]
    assert peak < 4 * len(chunk)
