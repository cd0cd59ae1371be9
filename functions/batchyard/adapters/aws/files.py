"""Rows of files, of uploads and of their parts. The bytes are `objects.py`'s.

A file that expires has a second row, under `expiring` by the second it expires at, which is what Sweep reads. One whose
bytes are written before its row has, for an hour, a row under `expected`: not under `expiring`, where an older version
would take the file for one whose time is over.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

from batchyard.adapters.aws.table import Delete, Key, Put, Table, Update
from batchyard.core.errors import ConditionFailed
from batchyard.core.files import File, FileRef, FileStatus, Upload, UploadPart, UploadRef, UploadStatus
from batchyard.core.json_types import Row
from batchyard.core.requests import PageRequest

_EXPIRING = "expiring"
_EXPECTED = "expected"
_TIME_DIGITS = 12
_FILE = "file#"
_ROWS_PER_READ = 100


def file_writes(file: File) -> list[Put]:
    """What a transaction writes to make the file's rows, or to replace them."""
    writes = [Put(_file_key(file.ref), file.to_row())]
    if file.expires_at is not None:
        writes.append(Put(_due_key(_EXPIRING, file.ref, file.expires_at), {"account_id": file.account_id}))
    return writes


_EXPECTED_SECONDS = 3600
"""Far longer than a request takes that writes bytes and then their row."""


class DueFile(NamedTuple):
    """A file whose time is over, or that was expected until now. `sk`: the sort key of the row that says so."""

    account_id: str
    file_id: str
    sk: str

    @property
    def ref(self) -> FileRef:
        return FileRef(self.account_id, self.file_id)


class Files:
    def __init__(self, table: Table) -> None:
        self._table = table

    def get(self, ref: FileRef, *, consistent: bool = False) -> File | None:
        """The file, even if it has expired, as long as its row is there."""
        row = self._table.get(_file_key(ref), consistent=consistent)
        return File.from_row(row) if row else None

    def put(self, file: File, *, beside: Sequence[Update | Delete] = ()) -> None:
        """Make the file's rows, or replace them, with what else belongs `beside` them. Raises ConditionFailed if a
        condition of that does not hold."""
        self._table.transact([*file_writes(file), *beside])

    def expect(self, ref: FileRef, now: int) -> Delete:
        """Bytes of a file are about to be written whose row comes after them. Should it never come, nobody else would
        find them: `expected` names them an hour later, unless the write that is returned went with the file's row."""
        key = _due_key(_EXPECTED, ref, now + _EXPECTED_SECONDS)
        self._table.put(key, {"account_id": ref.account_id})
        return Delete(key)

    def arrive(self, file: File, *, bytes: int, lines: int | None = None) -> File:
        """The file's bytes are there. Raises ConditionFailed if the file was deleted meanwhile."""
        return self._change(file, {"status": str(FileStatus.PROCESSED), "bytes": bytes, "lines": lines})

    def keep(self, file: File, *, bytes: int) -> File:
        """The bytes of a file that waited for them are there. Raises ConditionFailed if it does not wait any more."""
        row = self._table.update(
            _file_key(file.ref),
            set={"status": str(FileStatus.PROCESSED), "bytes": bytes},
            condition="#status = :waiting",
            values={"waiting": str(FileStatus.UPLOADED)},
        )
        return File.from_row(row)

    def mark_broken(self, file: File, details: str) -> File:
        """The file will never be readable; `details` says why. Raises ConditionFailed if it was deleted."""
        return self._change(file, {"status": str(FileStatus.ERROR), "status_details": details})

    def delete(self, ref: FileRef) -> File | None:
        """The file that was deleted, or None if there was none."""
        row = self._table.delete(_file_key(ref))
        return File.from_row(row) if row else None

    def expired(self, now: int, at_most: int) -> list[DueFile]:
        """Files to be removed, those that expired first at the beginning; also files that were deleted before their
        time."""
        return self._due(_EXPIRING, now, at_most)

    def expected(self, now: int, at_most: int) -> list[DueFile]:
        """Files whose rows should have been there for long. Of some they are."""
        return self._due(_EXPECTED, now, at_most)

    def remove(self, expired: DueFile) -> None:
        """Drop both rows of a file whose bytes are gone."""
        self._table.delete(_file_key(expired.ref))
        self._table.delete(Key(_EXPIRING, expired.sk))

    def expect_no_more(self, expected: DueFile) -> None:
        """Drop the row of a file that was expected."""
        self._table.delete(Key(_EXPECTED, expected.sk))

    def _due(self, partition: str, now: int, at_most: int) -> list[DueFile]:
        rows = self._table.query(partition, limit=at_most)
        found = [DueFile(row["account_id"], row["sk"].partition("#")[2], row["sk"]) for row in rows]
        return [file for file in found if int(file.sk[:_TIME_DIGITS]) <= now]

    def page(self, account_id: str, page: PageRequest, now: int) -> tuple[list[File], bool]:
        """The page's files by time of creation, and whether there are more behind them."""
        found: list[File] = []
        for file in self._files(account_id, page):
            if file.is_expired(now):
                continue
            if len(found) == page.limit:
                return found, True
            found.append(file.as_of(now))
        return found, False

    def _files(self, account_id: str, page: PageRequest) -> Iterator[File]:
        """The account's files behind `page.after`, with its purpose, read as they are asked for."""
        query = partial(self._table.query, f"account#{account_id}", prefix=_FILE, descending=page.descending)
        after = _FILE + page.after if page.after else None
        if page.purpose is not None:
            yield from map(File.from_row, query(after=after, where=("purpose", page.purpose)))
            return
        limit = max(page.limit + 1, _ROWS_PER_READ)
        while True:
            rows = list(query(after=after, limit=limit))
            yield from map(File.from_row, rows)
            if len(rows) < limit:
                return
            after = rows[-1]["sk"]

    def _change(self, file: File, fields: Row) -> File:
        key = _file_key(file.ref)
        return File.from_row(self._table.update(key, set=fields, condition="attribute_exists(pk)"))


class Uploads:
    def __init__(self, table: Table) -> None:
        self._table = table

    def create(self, upload: Upload) -> None:
        self._table.put(_upload_key(upload.ref), upload.to_row())

    def get(self, ref: UploadRef) -> Upload | None:
        row = self._table.get(_upload_key(ref), consistent=True)
        return Upload.from_row(row) if row else None

    def add_part(self, part: UploadPart, ttl: int) -> None:
        """`ttl`: unix second after which the row may be forgotten."""
        self._table.put(Key(f"upload#{part.upload_id}", f"part#{part.id}"), part.to_row(), ttl=ttl)

    def parts(self, upload_id: str) -> dict[str, UploadPart]:
        """Every part that was sent, by id."""
        rows = self._table.query(f"upload#{upload_id}", prefix="part#", consistent=True)
        return {row["id"]: UploadPart.from_row(row) for row in rows}

    def cancel(self, upload: Upload) -> Upload:
        """Raises ConditionFailed if the upload is not pending any more."""
        row = self._table.update(
            _upload_key(upload.ref),
            set={"status": str(UploadStatus.CANCELLED)},
            condition="#status = :pending",
            values={"pending": str(UploadStatus.PENDING)},
        )
        return Upload.from_row(row)

    def complete(self, upload: Upload, file: File, part_ids: tuple[str, ...], md5: str | None) -> Upload:
        """One transaction: the upload is completed, its file exists (its bytes not yet). Raises ConditionFailed if
        the upload is not pending any more."""
        completed = Update(
            _upload_key(upload.ref),
            set={
                "status": str(UploadStatus.COMPLETED),
                "file_id": file.id,
                "part_ids": list(part_ids),
                "md5": md5,
            },
            condition="#status = :pending",
            values={"pending": str(UploadStatus.PENDING)},
        )
        self._table.transact([completed, *file_writes(file)])
        after = self.get(upload.ref)
        if after is None:
            raise ConditionFailed(f"{upload.id} was deleted as it was completed")
        return after


def _due_key(partition: str, ref: FileRef, at: int) -> Key:
    return Key(partition, f"{at:0{_TIME_DIGITS}d}#{ref.file_id}")


def _file_key(ref: FileRef) -> Key:
    return Key(f"account#{ref.account_id}", _FILE + ref.file_id)


def _upload_key(ref: UploadRef) -> Key:
    return Key(f"account#{ref.account_id}", f"upload#{ref.upload_id}")
