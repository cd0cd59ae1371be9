"""The events of the state machine's Validate, Finalize and Notify and of the drop folder's queue, each through its
handler, on one batch from its first state to its last."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import orjson
import pytest

from batchyard.adapters.aws import clients
from batchyard.adapters.aws.accounts import Accounts
from batchyard.adapters.aws.batches import Batches
from batchyard.adapters.aws.files import Files
from batchyard.adapters.aws.objects import Objects
from batchyard.adapters.aws.shards import Shards
from batchyard.adapters.aws.table import Table
from batchyard.core.accounts import Account, ApiKey
from batchyard.core.batches import Batch, BatchRef, DropSource, Status
from batchyard.core.dropfolder import result_keys
from batchyard.core.files import File
from batchyard.core.keys import file_key, part_key
from batchyard.core.parts import encode_part
from batchyard.core.results import Outcome, Result, tally
from batchyard.core.usage import Tally
from batchyard.handlers import drop, endings, finalize, notify, validate
from tests.api.api import Cloud
from tests.api.gateway import Context, event

ACCOUNT = event("validate")["account_id"]
BATCH_ID = event("validate")["batch_id"]
CREATED = orjson.loads(event("drop")["Records"][0]["body"])
DROP_BUCKET = CREATED["detail"]["bucket"]["name"]
DROP_KEY = CREATED["detail"]["object"]["key"]
NOW = 1_790_000_000
FAR = 4_000_000_000
LINE = (
    b'{"custom_id":"a","method":"POST","url":"/v1/embeddings","body":{"model":"text-embedding-3-small","input":"x"}}\n'
)


@pytest.fixture(autouse=True)
def drop_bucket(cloud: Cloud, table: Table, monkeypatch: pytest.MonkeyPatch) -> Iterator[Objects]:
    """The account and the bucket that the events name."""
    monkeypatch.setenv("DROP_BUCKET", DROP_BUCKET)
    s3 = clients.client("s3")
    s3.create_bucket(Bucket=DROP_BUCKET)
    s3.put_bucket_versioning(Bucket=DROP_BUCKET, VersioningConfiguration={"Status": "Enabled"})
    Accounts(table).create(Account(ACCOUNT, "team", 1), ApiKey("key_1", ACCOUNT, "default", "aesi", 1), "0" * 64)
    yield Objects(s3, DROP_BUCKET)


def create(batches: Batches, table: Table, objects: Objects, data: bytes, source: DropSource | None = None) -> Batch:
    objects.put(file_key(ACCOUNT, "file-1"), data)
    Files(table).put(File("file-1", ACCOUNT, "in.jsonl", "batch", len(data), 1, expires_at=FAR))
    batch = Batch(
        BATCH_ID, ACCOUNT, "openai", "/v1/embeddings", "file-1", "24h", Status.VALIDATING, NOW, FAR, drop=source
    )
    batches.create(batch)
    return batch


def test_validate_answers_with_the_status_and_the_time_left(batches: Batches, table: Table, objects: Objects) -> None:
    """A good file is in progress; asked again it still is. If another execution had it finalizing, it stays
    finalizing."""
    create(batches, table, objects, LINE)
    for _ in range(2):
        reply = validate.handler(event("validate"), Context())
        assert reply["status"] == "in_progress"
        assert 0 < reply["seconds_left"] <= FAR - NOW
    batch = batches.get(BatchRef(ACCOUNT, BATCH_ID))
    assert batch is not None
    batches.enter(batch, Status.FINALIZING, NOW)
    assert validate.handler(event("validate"), Context())["status"] == "finalizing"


def test_validate_leaves_a_cancelled_batch_alone(batches: Batches, table: Table, objects: Objects) -> None:
    """`cancelling`, before anything was read."""
    batch = create(batches, table, objects, b"{bad\n")
    batches.enter(batch, Status.CANCELLING, NOW)
    assert validate.handler(event("validate"), Context())["status"] == "cancelling"


def emitted(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """The EMF records on standard output."""
    records = [orjson.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    return [record for record in records if "_aws" in record]


def test_a_callers_own_bill_is_not_the_operators(capsys: pytest.CaptureFixture[str]) -> None:
    """What a batch cost on the key its caller brought is counted under a name of its own."""
    batch = Batch(BATCH_ID, ACCOUNT, "portkey", "/v1/embeddings", "file-1", "24h", Status.COMPLETED, 1, 2)
    spent = Tally(succeeded=1, cost_picousd=7_000_000)
    endings.report(replace(batch, caller_pays=True, tally=spent, status_times={"completed": 5}), since=5)
    _, figures = emitted(capsys)
    assert figures["CallerCostMicrousd"] == [7.0]
    assert "CostMicrousd" not in figures


def test_an_end_is_counted_once_with_its_figures(
    batches: Batches, table: Table, objects: Objects, shards: Shards, capsys: pytest.CaptureFixture[str]
) -> None:
    """Batches by status, items and cost, under the dimensions that alarms read; a repeat counts nothing."""
    create(batches, table, objects, LINE)
    validate.handler(event("validate"), Context())
    work(objects, shards)
    capsys.readouterr()
    finalize.handler(event("finalize"), Context())
    ended, figures = emitted(capsys)
    assert (ended["status"], ended["service"], ended["BatchesEnded"]) == ("completed", "test", [1.0])
    assert (figures["ItemsSucceeded"], figures["ItemsFailed"], figures["CostMicrousd"]) == ([1.0], [0.0], [0.0])
    assert "status" not in figures
    batch = batches.get(BatchRef(ACCOUNT, BATCH_ID))
    assert batch is not None
    endings.report(batch, batch.status_times["completed"] + 1)
    assert emitted(capsys) == []


def test_validate_fails_a_bad_file(batches: Batches, table: Table, objects: Objects) -> None:
    """The reply says `failed`, the row says why."""
    create(batches, table, objects, b"{bad\n")
    assert validate.handler(event("validate"), Context())["status"] == "failed"
    batch = batches.get(BatchRef(ACCOUNT, BATCH_ID))
    assert batch is not None and [error.code for error in batch.errors] == ["invalid_json_line"]


def work(objects: Objects, shards: Shards) -> None:
    """Run the batch's only item."""
    claim = shards.claim(BATCH_ID, 0, "worker", NOW, NOW + 60)
    results = [Result(0, "a", Outcome.SUCCEEDED, 200, "r", b"{}")]
    key = part_key(ACCOUNT, BATCH_ID, 0, 1, 0)
    objects.put(key, encode_part(BATCH_ID, results))
    shards.flush(BATCH_ID, claim, part_key=key, done=b"\x01", tally=tally(results), lease_until=NOW, settled=True)


def test_a_batch_from_the_drop_folder_goes_from_validate_to_its_results(
    batches: Batches,
    table: Table,
    objects: Objects,
    shards: Shards,
    drop_bucket: Objects,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Validate, the work, Finalize and Notify, each by its event, end in an output and a status in the drop folder."""
    version = clients.client("s3").put_object(Bucket=DROP_BUCKET, Key=DROP_KEY, Body=LINE)["VersionId"]
    create(batches, table, objects, LINE, DropSource(DROP_KEY, version))
    validate.handler(event("validate"), Context())
    work(objects, shards)
    capsys.readouterr()
    assert finalize.handler(event("finalize"), Context()) == {"status": "completed"}
    assert [metric["BatchesEnded"] for metric in emitted(capsys) if "BatchesEnded" in metric] == [[1.0]]
    assert notify.handler(event("notify"), Context()) == {}
    keys = result_keys(DROP_KEY)
    assert orjson.loads(drop_bucket.get(keys.output))["custom_id"] == "a"
    assert orjson.loads(drop_bucket.get(keys.status))["status"] == "completed"


def test_notify_has_nothing_to_do_for_other_batches(batches: Batches, table: Table, objects: Objects) -> None:
    """A batch that came by the API leaves the drop folder alone, and without a webhook nobody is told."""
    batches.finish(create(batches, table, objects, LINE), Status.FAILED, NOW)
    assert notify.handler(event("notify"), Context()) == {}
    assert clients.client("s3").list_objects_v2(Bucket=DROP_BUCKET)["KeyCount"] == 0


def dropped(version_id: str) -> dict[str, Any]:
    """events/drop.json with a version that this bucket has."""
    sent = event("drop")
    body = orjson.loads(sent["Records"][0]["body"])
    body["detail"]["object"]["version-id"] = version_id
    sent["Records"][0]["body"] = orjson.dumps(body).decode()
    return sent


def test_a_dropped_file_starts_an_execution(cloud: Cloud, batches: Batches) -> None:
    """A key with a space, a colon and a plus sign is used as it stands; the second delivery changes nothing."""
    version = clients.client("s3").put_object(Bucket=DROP_BUCKET, Key=DROP_KEY, Body=LINE)["VersionId"]
    for _ in range(2):
        assert drop.handler(dropped(version), Context()) == {"batchItemFailures": []}
    (batch,), _ = batches.page(ACCOUNT, after=None, limit=10)
    assert batch.drop == DropSource(DROP_KEY, version)
    assert cloud.started == [batch.id]


def test_a_record_that_fails_is_reported_alone(cloud: Cloud) -> None:
    """Two records, one of which cannot be read: only that one is delivered again."""
    version = clients.client("s3").put_object(Bucket=DROP_BUCKET, Key=DROP_KEY, Body=LINE)["VersionId"]
    sent = dropped(version)
    sent["Records"].insert(0, sent["Records"][0] | {"messageId": "bad", "body": "{}"})
    assert drop.handler(sent, Context()) == {"batchItemFailures": [{"itemIdentifier": "bad"}]}
    assert len(cloud.started) == 1
