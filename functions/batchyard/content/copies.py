"""Copies (`core.copies`): found while the input is read, and given their results while the batch is merged.

    Reading ─▶ CopyFinder ─▶ file of copies ─▶ CopiedResults ─▶ the original's result once more, in its place

An original always comes before its copies, so one pass over the results is enough: what is kept of an original that
went by is where its answer is, and answers are read again for some copies at a time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from hashlib import blake2b
from itertools import islice

from batchyard.adapters.aws.objects import Objects, Span
from batchyard.content.lines import read_lines
from batchyard.content.workfile import OpenLane
from batchyard.core.copies import Copy, copy_line, read_copy_line
from batchyard.core.errors import BooksDoNotBalance
from batchyard.core.items import Item
from batchyard.core.parts import body_places
from batchyard.core.results import StoredResult, result_id

_TOGETHER = 256
"""For so many copies answers are held at a time, as for the items of a shard."""
_READS_AT_ONCE = 24
_HELD_BYTES = 96 * 1024 * 1024
_LONGEST_LINE_BYTES = 1024 * 1024
_DIGEST_BYTES = 16


class CopyFinder:
    """`write` gets the line of each copy. Memory: about 130 bytes for each item that is none."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._write = write
        self._originals: dict[tuple[int, bytes], int] = {}
        self.found = 0

    def is_copy(self, lane: OpenLane, item: Item) -> bool:
        """Whether the item is like an earlier one of its lane; if so it is written down."""
        digest = blake2b(item.body, digest_size=_DIGEST_BYTES).digest()
        original = self._originals.setdefault((lane.position, digest), item.index)
        if original == item.index:
            return False
        self._write(copy_line(Copy(item.index, item.custom_id, original)))
        self.found += 1
        return True


class CopiedResults:
    """The results of a batch's copies. `key`: of the file that they stand in. `note_part` is called with each part that
    is read, `among` goes over all results that parts hold."""

    def __init__(self, batch_id: str, key: str, objects: Objects) -> None:
        self._batch_id = batch_id
        self._objects = objects
        self._wanted = {copy.original for copy in read_copies(key, objects)}
        self._places: dict[int, Span] = {}
        self._originals: dict[int, StoredResult] = {}
        """Of originals that went by, without their answers."""
        self._answers: dict[int, bytes] = {}
        """Of the next copies' originals, as far as they fit into memory; others are read when it is their turn."""
        self._held = 0
        self._copies = read_copies(key, objects)
        self._next: deque[Copy] = deque()
        self._needed: set[int] = set()
        """The originals of the next copies."""

    def note_part(self, key: str, data: bytes) -> None:
        """Where the answers are that copies will need."""
        for index, offset, length in body_places(data):
            if index in self._wanted:
                self._places[index] = Span(key, offset, length)

    def among(self, results: Iterable[StoredResult]) -> Iterator[StoredResult]:
        """`results`, which rise by index, and those of the copies between them. Raises BooksDoNotBalance if an original
        has none."""
        self._take_some()
        for result in results:
            while self._next and self._next[0].index < result.index:
                yield self._result()
            if result.index in self._wanted:
                self._keep(result)
            yield result
        while self._next:
            yield self._result()

    def _keep(self, result: StoredResult) -> None:
        self._originals[result.index] = result._replace(body=b"")
        if result.index in self._needed and self._held + len(result.body) <= _HELD_BYTES:
            self._answers[result.index] = result.body
            self._held += len(result.body)

    def _result(self) -> StoredResult:
        copy = self._next.popleft()
        original = self._originals.get(copy.original)
        if original is None:
            raise BooksDoNotBalance(f"item {copy.index} is to have the result of item {copy.original}, which has none")
        answer = self._answer(original)
        if not self._next:
            self._take_some()
        return original._replace(
            index=copy.index, id=result_id(self._batch_id, copy.index), custom_id=copy.custom_id, body=answer
        )

    def _answer(self, original: StoredResult) -> bytes:
        held = self._answers.get(original.index)
        if held is not None or original.index not in self._places:
            return held or b""
        return self._objects.get(*self._places[original.index])

    def _take_some(self) -> None:
        """The next copies, and the answers of those originals that went by already."""
        self._next = deque(islice(self._copies, _TOGETHER))
        self._needed = {copy.original for copy in self._next}
        gone_by = self._needed & self._originals.keys()
        answered = self._that_fit(index for index in gone_by if self._originals[index].status_code is not None)
        spans = [self._places[index] for index in answered]
        with closing(self._objects.get_many(spans, at_most=_READS_AT_ONCE, held_bytes=_HELD_BYTES)) as reads:
            self._answers = dict(zip(answered, reads, strict=True))

    def _that_fit(self, originals: Iterable[int]) -> list[int]:
        """Those whose answers may be held together."""
        self._held, found = 0, []
        for index in originals:
            length = self._places[index].length or 0
            if self._held + length <= _HELD_BYTES:
                self._held += length
                found.append(index)
        return found


def read_copies(key: str, objects: Objects) -> Generator[Copy]:
    """The copies that stand in the file `key`, by index."""
    with closing(objects.stream(key)) as chunks:
        for _, line in read_lines(chunks, _LONGEST_LINE_BYTES):
            if line:
                yield read_copy_line(line)
