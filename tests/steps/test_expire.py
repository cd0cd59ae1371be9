"""Expire: what is past its time goes, bytes and rows, and nothing else does."""

from __future__ import annotations

from dataclasses import replace

import pytest

from batchyard.adapters.aws.batches import Batches
from batchyard.adapters.aws.files import Files
from batchyard.adapters.aws.objects import Objects
from batchyard.adapters.aws.stores import Stores
from batchyard.adapters.aws.table import Table
from batchyard.core.batches import Status
from batchyard.core.files import File, FileRef
from batchyard.core.keys import file_key
from batchyard.core.limits import FileTerms
from batchyard.core.requests import FileRequest
from batchyard.steps.expire import expire
from batchyard.steps.receive import receive
from tests.steps.running import create_batch

NOW = 1_800_000_000
FILE = File("file-1", "acct_a", "r.jsonl", "batch", 3, NOW - 10, expires_at=NOW)


def keep(files: Files, objects: Objects, file: File) -> File:
    files.put(file)
    objects.put(file_key(file.account_id, file.id), b"{}\n")
    return file


def test_only_what_is_past_its_time_goes(table: Table, objects: Objects) -> None:
    """At its second a file's object and both rows are gone; one second younger, or without a time, it stays."""
    files = Files(table)
    old = keep(files, objects, FILE)
    young = keep(files, objects, replace(FILE, id="file-2", expires_at=NOW + 1))
    lasting = keep(files, objects, replace(FILE, id="file-3", expires_at=None))
    assert expire(now=NOW, stores=Stores.of(table, objects)) == 1
    assert files.get(old.ref) is None and objects.head(file_key("acct_a", old.id)) is None
    for file in (young, lasting):
        assert files.get(file.ref) == file and objects.head(file_key("acct_a", file.id)) is not None
    assert [row["sk"] for row in table.query("expiring")] == [f"{NOW + 1:012d}#file-2"]
    assert expire(now=NOW, stores=Stores.of(table, objects)) == 0


def test_a_file_deleted_before_leaves_nothing_behind(table: Table, objects: Objects) -> None:
    """The row that waits for its time goes when the time comes, though the file went earlier."""
    files = Files(table)
    keep(files, objects, FILE)
    files.delete(FILE.ref)
    assert expire(now=NOW, stores=Stores.of(table, objects)) == 1
    assert list(table.query("expiring")) == []


def test_output_files_expire_too(table: Table, objects: Objects, batches: Batches) -> None:
    """Files that a batch's end makes are found as well."""
    batch = batches.enter(create_batch(batches), Status.CANCELLING, 5)
    batches.finish(batch, Status.CANCELLED, 6, files=(replace(FILE, account_id=batch.account_id), None))
    assert expire(now=NOW, stores=Stores.of(table, objects)) == 1
    assert Files(table).get(FileRef(batch.account_id, FILE.id)) is None


def test_bytes_whose_file_was_never_made_go(table: Table, objects: Objects, monkeypatch: pytest.MonkeyPatch) -> None:
    """The function dies between the bytes and their row: an hour later they are gone. A file that was made is expected
    no more, so that Sweep has nothing to do for it."""
    stores, terms = Stores.of(table, objects), FileTerms(max_bytes=100, keep_days=30)
    request = FileRequest("a.jsonl", "batch")

    def upload(file_id: str) -> File:
        return receive(request, b"{}\n", FileRef("acct_a", file_id), now=NOW, terms=terms, stores=stores)

    def die(*given: object, **named: object) -> None:
        raise SystemExit

    made = upload("file-made")
    assert list(table.query("expected")) == []
    assert stores.files.expired(NOW + 3600, 10) == []  # nor does an older version find it
    with monkeypatch.context() as dying, pytest.raises(SystemExit):
        dying.setattr(table, "transact", die)
        upload("file-lost")
    assert objects.head(file_key("acct_a", "file-lost")) is not None
    assert expire(now=NOW + 3599, stores=stores) == 0
    assert expire(now=NOW + 3600, stores=stores) == 1
    assert objects.head(file_key("acct_a", "file-lost")) is None
    assert objects.head(file_key("acct_a", made.id)) is not None and stores.files.get(made.ref) == made
    assert [row["sk"] for row in table.query("expiring")] == [f"{made.expires_at:012d}#file-made"]
    assert list(table.query("expected")) == []
