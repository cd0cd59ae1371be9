"""Rows and messages of other versions: what a newer one added is ignored, what an older one lacked has a default."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from batchyard.core.accounts import Account, ApiKey
from batchyard.core.batches import Batch, DropSource, Status
from batchyard.core.files import File, Upload, UploadPart
from batchyard.core.items import LineError
from batchyard.core.lanes import Lane
from batchyard.core.messages import ShardMessage
from batchyard.core.sharding import LaneShards, Plan, Shard, manifest_record, read_manifest
from batchyard.core.shards import ShardRow
from batchyard.core.usage import PinnedPrice, Price, Tally

SHARD = Shard(3, 0, 100, 50, 10, 30)
PLAN = Plan("run", 4, 1, (LaneShards(Lane("openai", "m"), 0, 1, 4),), 8, False, None)
PRICE = PinnedPrice("openai", "m", Price(1, 2, 3, 4, ((128, Price(5, 6, 7)),)))
BATCH = Batch(
    "batch_1",
    "acct_a",
    "openai",
    "/v1/embeddings",
    "file-1",
    "24h",
    Status.IN_PROGRESS,
    1,
    2,
    drop=DropSource("drop/a", "v1"),
    errors=(LineError("code", "message", 3, "param"),),
    plan=PLAN,
    prices=(PRICE,),
)
FILE = File("file-1", "acct_a", "a.jsonl", "batch", 7, 1, lines=2)
UPLOAD = Upload("upload_1", "acct_a", "a.jsonl", "batch", 7, 1, 2)
PART = UploadPart("part_1", "upload_1", 7, 1)
ACCOUNT = Account("acct_a", "team", 1)
API_KEY = ApiKey("key_1", "acct_a", "default", "abcd", 1)
MESSAGE = ShardMessage("acct_a", "batch_1", "run", "/v1/embeddings", "openai", "m", SHARD, 1, 1, None, None, 9)
SHARD_ROW: dict[str, Any] = {"number": 3, "state": "open", "version": 1, "succeeded": 2}

READERS: list[tuple[dict[str, Any], Callable[[dict[str, Any]], Any]]] = [
    (BATCH.to_row(), Batch.from_row),
    (PLAN.to_row(), Plan.from_row),
    (FILE.to_row(), File.from_row),
    (UPLOAD.to_row(), Upload.from_row),
    (PART.to_row(), UploadPart.from_row),
    (ACCOUNT.to_row(), Account.from_row),
    (API_KEY.to_row(), ApiKey.from_row),
    (SHARD_ROW, ShardRow.from_row),
    (Tally(succeeded=1).to_row(), Tally.from_row),
]


@pytest.mark.parametrize(("row", "read"), READERS, ids=lambda each: getattr(each, "__qualname__", ""))
def test_a_row_of_a_newer_version_is_read(row: dict[str, Any], read: Callable[[dict[str, Any]], Any]) -> None:
    """A field that this version has never heard of changes nothing."""
    assert read(row | {"invented": {"later": 1}}) == read(row)


def test_a_message_of_a_newer_version_is_read() -> None:
    """A rollback must not poison the queue: unknown fields are ignored, in the message and in its shard."""
    fields = orjson.loads(MESSAGE.to_json())
    fields |= {"invented": 1, "shard": fields["shard"] | {"invented": 2}}
    assert ShardMessage.from_json(orjson.dumps(fields).decode()) == MESSAGE


def test_a_message_of_an_older_version_is_read() -> None:
    """It says nothing of who pays and of weights: the deployment does, and all weigh the same."""
    fields = orjson.loads(MESSAGE.to_json())
    del fields["caller_pays"], fields["weight"]
    assert ShardMessage.from_json(orjson.dumps(fields).decode()) == MESSAGE


def test_lists_in_rows_may_grow_at_their_end() -> None:
    """Drop sources, errors, lanes and the manifest are stored as lists."""
    row = BATCH.to_row()
    row["drop"] = [*row["drop"], "invented"]
    row["errors"] = [[*error, "invented"] for error in row["errors"]]
    row["plan"]["lanes"] = [[*lane, "invented"] for lane in row["plan"]["lanes"]]
    assert Batch.from_row(row) == BATCH
    record = orjson.dumps([*orjson.loads(manifest_record(SHARD)), "invented"])
    assert read_manifest(record + b"\n") == [SHARD]


def test_a_batch_of_an_older_version_is_read() -> None:
    """Only what a batch cannot be without has to be there."""
    needed = ["id", "account_id", "surface", "endpoint", "input_file_id", "completion_window", "status"]
    row = {name: BATCH.to_row()[name] for name in [*needed, "created_at", "expires_at"]}
    batch = Batch.from_row(row)
    assert (batch.plan, batch.errors, batch.tally, batch.drop) == (None, (), Tally(), None)


def test_a_shard_of_an_older_version_is_read() -> None:
    """A number is enough."""
    assert ShardRow.from_row({"number": 3}) == ShardRow(3)


def test_the_lines_of_a_file_were_once_called_rows() -> None:
    """Both are read; the newer name counts if a row has both."""
    row = FILE.to_row()
    lines = row.pop("lines")
    assert File.from_row(row | {"rows": lines}) == FILE
    assert File.from_row(FILE.to_row() | {"rows": 99}) == FILE
