"""The drop folder, both ways: Drop makes a batch of a file once, Notify brings results back beside a status file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest

from batchyard.adapters.aws import clients
from batchyard.adapters.aws.accounts import Accounts
from batchyard.adapters.aws.batches import Batches
from batchyard.adapters.aws.objects import Objects
from batchyard.adapters.aws.stores import Stores
from batchyard.adapters.aws.table import Table
from batchyard.core.accounts import Account, ApiKey
from batchyard.core.batches import Batch, DropSource, Status
from batchyard.core.dropfolder import result_keys
from batchyard.core.errors import NotReady
from batchyard.core.files import File, FileRef
from batchyard.core.items import LineError
from batchyard.core.keys import file_key
from batchyard.core.limits import BatchTerms, Bounds, FileTerms
from batchyard.core.usage import Tally
from batchyard.steps.drop import Folder, Refused, drop
from batchyard.steps.notify import notify
from batchyard.surfaces.openai.reading import batch_request
from tests.steps.running import ACCOUNT, NOW, RecordedWorkflow

BUCKET = "batchyard-test-drop"
KEY = f"drop/{ACCOUNT}/night run+1.jsonl"
STATUS = f"results/{ACCOUNT}/night run+1.status.json"
OUTPUT = f"results/{ACCOUNT}/night run+1.output.jsonl"
ERRORS = f"results/{ACCOUNT}/night run+1.errors.jsonl"
LINE = (
    b'{"custom_id":"a","method":"POST","url":"/v1/embeddings","body":{"model":"text-embedding-3-small","input":"x"}}\n'
)


@dataclass
class Dropbox:
    s3: Any
    folder: Folder
    workflow: RecordedWorkflow
    sources: list[DropSource] = field(default_factory=list)

    def put(self, data: bytes = LINE, key: str = KEY) -> DropSource:
        """Put a file in the folder; what its event says."""
        version = self.s3.put_object(Bucket=BUCKET, Key=key, Body=data)["VersionId"]
        return DropSource(key, version)

    def take(self, source: DropSource) -> Batch | Refused | None:
        return drop(source, now=NOW, folder=self.folder)

    def taken(self, data: bytes = LINE, key: str = KEY) -> Batch:
        batch = self.take(self.put(data, key))
        assert isinstance(batch, Batch)
        return batch

    def refused(self, data: bytes = LINE, key: str = KEY) -> str:
        """The code of the refusal, after checking that its owner can read it."""
        refused = self.take(self.put(data, key))
        assert isinstance(refused, Refused)
        status = self.json(refused.keys.status)
        (line,) = self.read(refused.keys.errors).splitlines()
        assert status["status"] == "failed" and status["batch_id"] is None
        assert status["errors"] == [orjson.loads(line)]
        assert status["error_key"] == refused.keys.errors
        assert self.workflow.started == []
        code: str = status["errors"][0]["code"]
        return code

    def finish(self, batch: Batch, output: bytes | None = None, errors: bytes | None = None) -> Batch:
        """What Validate, the workers and Finalize would do."""
        files = [
            File(f"file-{batch.id[-4:]}{name}", ACCOUNT, f"{name}.jsonl", "batch_output", len(data), NOW)
            if data
            else None
            for name, data in (("out", output), ("err", errors))
        ]
        for file, data in zip(files, (output, errors), strict=True):
            if file is not None and data is not None:
                self.folder.stores.objects.put(file_key(ACCOUNT, file.id), data)
        tally = Tally(succeeded=1, input_tokens=7, cost_picousd=140_000_000)
        return self.folder.stores.batches.finish(
            batch, Status.EXPIRED, NOW + 60, tally=tally, files=(files[0], files[1])
        )

    def notify(self, batch: Batch) -> None:
        folder = self.folder
        notify(batch.ref, stores=folder.stores, drop=folder.drop)

    def read(self, key: str) -> bytes:
        return self.folder.drop.get(key)

    def json(self, key: str) -> dict[str, Any]:
        document: dict[str, Any] = orjson.loads(self.read(key))
        return document

    def names(self) -> list[str]:
        listed = self.s3.list_objects_v2(Bucket=BUCKET, Prefix="results/").get("Contents", [])
        return [entry["Key"] for entry in listed]


@pytest.fixture
def dropbox(table: Table, batches: Batches, objects: Objects) -> Dropbox:
    s3 = clients.client("s3")
    s3.create_bucket(Bucket=BUCKET)
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    accounts = Accounts(table)
    accounts.create(Account(ACCOUNT, "a", NOW), ApiKey("key_1", ACCOUNT, "k", "0000", NOW), "0" * 64)
    workflow = RecordedWorkflow()
    folder = Folder(
        drop=Objects(s3, BUCKET),
        stores=Stores.of(table, objects),
        workflow=workflow,  # type: ignore[arg-type]
        read_batch=batch_request,
        terms=BatchTerms(86_400, Bounds(100, 10_000, 1_000, 0), FileTerms(10_000, 30)),
    )
    return Dropbox(s3, folder, workflow)


def test_a_dropped_file_becomes_a_batch(dropbox: Dropbox) -> None:
    """Its bytes are a file of the account, its endpoint is its first line's, and its execution is started."""
    source = dropbox.put()
    batch = dropbox.take(source)
    assert isinstance(batch, Batch)
    assert (batch.status, batch.endpoint, batch.drop) == (Status.VALIDATING, "/v1/embeddings", source)
    assert dropbox.folder.stores.objects.get(file_key(ACCOUNT, batch.input_file_id)) == LINE
    file = dropbox.folder.stores.files.get(FileRef(ACCOUNT, batch.input_file_id))
    assert file is not None
    assert (file.filename, file.purpose, file.bytes) == ("night run+1.jsonl", "batch", len(LINE))
    assert dropbox.workflow.started == [(batch.id, 0, None)]


def test_a_name_of_any_kind_is_only_a_name(dropbox: Dropbox) -> None:
    """Dots, spaces, other scripts, as long as they may be: a batch, whose results lie under the same name."""
    for name in ("../../a", "..", "a b/c?d=e&f", "日本語 🚚", "%2e%2e%2fb", "'\"<x>", "x" * 900):
        batch = dropbox.finish(dropbox.taken(key=f"drop/{ACCOUNT}/{name}.jsonl"), output=b"{}\n")
        dropbox.notify(batch)
        assert dropbox.read(f"results/{ACCOUNT}/{name}.output.jsonl") == b"{}\n"
        assert dropbox.json(f"results/{ACCOUNT}/{name}.status.json")["batch_id"] == batch.id


def test_the_same_version_never_becomes_two_batches(dropbox: Dropbox) -> None:
    """A message that comes again finds the batch; it starts the execution again only while that may be missing."""
    source = dropbox.put()
    batch = dropbox.take(source)
    assert isinstance(batch, Batch)
    assert dropbox.take(source) == batch
    assert [started[0] for started in dropbox.workflow.started] == [batch.id, batch.id]
    finished = dropbox.finish(batch)
    assert dropbox.take(source) == finished
    assert len(dropbox.workflow.started) == 2
    page, _ = dropbox.folder.stores.batches.page(ACCOUNT, after=None, limit=10)
    assert len(page) == 1


def test_a_new_version_is_a_new_batch_with_its_own_bytes(dropbox: Dropbox) -> None:
    """Each version runs as it was, also when the older message comes later."""
    first = dropbox.put(LINE)
    second = dropbox.put(LINE * 2)
    batches = [dropbox.take(source) for source in (second, first)]
    sizes = []
    for batch in batches:
        assert isinstance(batch, Batch)
        sizes.append(len(dropbox.folder.stores.objects.get(file_key(ACCOUNT, batch.input_file_id))))
    assert sizes == [2 * len(LINE), len(LINE)]


def test_parameters_beside_the_file_are_those_of_the_api(dropbox: Dropbox) -> None:
    """`<name>.batch.json` sets endpoint, metadata, expiry of outputs, concurrency and a price limit."""
    parameters = {
        "endpoint": "/v1/responses",
        "completion_window": "24h",
        "metadata": {"team": "search"},
        "output_expires_after": {"anchor": "created_at", "seconds": 7200},
        "settings": {"concurrency": 5, "max_price": "0.50"},
    }
    dropbox.put(orjson.dumps(parameters), KEY.replace(".jsonl", ".batch.json"))
    batch = dropbox.taken()
    assert (batch.endpoint, batch.metadata) == ("/v1/responses", {"team": "search"})
    assert (batch.output_expires_after_seconds, batch.concurrency) == (7200, 5)
    assert batch.max_price_picousd == 500_000_000_000


@pytest.mark.parametrize("key", [f"drop/{ACCOUNT}/", f"drop/{ACCOUNT}/a/", f"drop/{ACCOUNT}/a.batch.json", OUTPUT])
def test_what_is_no_file_of_its_own_is_ignored(dropbox: Dropbox, key: str) -> None:
    """Folders, parameters and results make no batch and leave no trace."""
    assert dropbox.take(dropbox.put(b"{}", key)) is None
    assert dropbox.names() == ([key] if key.startswith("results/") else [])


def test_a_version_that_was_deleted_is_ignored(dropbox: Dropbox) -> None:
    """There is nothing to run, and nobody who waits for a result."""
    source = dropbox.put()
    dropbox.s3.delete_object(Bucket=BUCKET, Key=KEY, VersionId=source.version_id)
    assert dropbox.take(source) is None


@pytest.mark.parametrize(
    ("key", "data", "code"),
    [
        ("drop/nobody/a.jsonl", LINE, "account_not_found"),
        ("drop/a.jsonl", LINE, "account_not_found"),
        (f"drop/{ACCOUNT}/a.csv", LINE, "invalid_file_name"),
        (f"drop/{ACCOUNT}/.jsonl", LINE, "invalid_file_name"),
        (f"drop/{ACCOUNT}/{'a' * 1000}.jsonl", LINE, "invalid_file_name"),
        (f"drop/{ACCOUNT}/{'日本語' * 112}", LINE, "invalid_file_name"),
        (f"drop/{'a' * 500}/{'b' * 500}.jsonl", LINE, "account_not_found"),
        (f"drop/{ACCOUNT}/../../../{ACCOUNT}/a", LINE, "invalid_file_name"),
        (f"drop/..#{ACCOUNT}/a.jsonl", LINE, "account_not_found"),
        (KEY, b"", "empty_file"),
        (KEY, b"x" * 10_001, "file_too_large"),
        (KEY, b'{"url":"/v1/nonsense"}', "invalid_value"),
    ],
)
def test_what_cannot_be_a_batch_leaves_its_reason(dropbox: Dropbox, key: str, data: bytes, code: str) -> None:
    """Unknown account, wrong name, wrong size, wrong endpoint: a status and an error file say which."""
    assert dropbox.refused(data, key) == code


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        (b"{", "invalid_json"),
        (b"[]", "invalid_json"),
        (b'{"a":"' + b"x" * 70_000 + b'"}', "invalid_json"),
        (b'{"metadata":{"a":1}}', "invalid_type"),
        (b'{"colour":"red"}', "unknown_parameter"),
        (b'{"completion_window":"1h"}', "invalid_value"),
        (b'{"settings":{"webhook":{"url":"https://a.example/","secret":"12345678"}}}', "webhook_not_supported"),
        (b'{"metadata":' + b'{"a":' * 300 + b"1" + b"}" * 301, "invalid_type"),
    ],
)
def test_bad_parameters_leave_their_reason(dropbox: Dropbox, parameters: bytes, code: str) -> None:
    """They are refused with the API's message, before anything is copied."""
    dropbox.put(parameters, KEY.replace(".jsonl", ".batch.json"))
    assert dropbox.refused() == code


def test_a_first_line_that_says_nothing_is_left_to_validation(dropbox: Dropbox) -> None:
    """Bad JSON becomes a batch, which fails with the number of the line."""
    assert dropbox.taken(b"\xef\xbb\xbf\r\n{bad\n").endpoint == "/v1/chat/completions"


def test_results_come_back_beside_a_status(dropbox: Dropbox) -> None:
    """Output, errors and a status with counts, tokens, cost and the source; twice is the same as once."""
    batch = dropbox.finish(dropbox.taken(), b"out\n", b"err\n")
    dropbox.notify(batch)
    dropbox.notify(batch)
    assert dropbox.names() == sorted([OUTPUT, ERRORS, STATUS])
    assert (dropbox.read(OUTPUT), dropbox.read(ERRORS)) == (b"out\n", b"err\n")
    status = dropbox.json(STATUS)
    assert (status["status"], status["batch_id"], status["expired_at"]) == ("expired", batch.id, NOW + 60)
    assert batch.drop is not None
    assert status["source"] == {"key": KEY, "version_id": batch.drop.version_id}
    assert (status["items"]["succeeded"], status["usage"]["input_tokens"]) == (1, 7)
    assert status["cost_usd"] == "0.000140"
    assert (status["output_key"], status["error_key"], status["errors"]) == (OUTPUT, ERRORS, [])


def test_a_batch_that_failed_validation_brings_its_line_errors(dropbox: Dropbox) -> None:
    """They stand in the status and, one a line, in the error file."""
    errors = (LineError("invalid_json_line", "bad", 3), LineError("duplicate_custom_id", "again", 4, "custom_id"))
    batch = dropbox.folder.stores.batches.finish(dropbox.taken(), Status.FAILED, NOW, errors=errors)
    dropbox.notify(batch)
    assert dropbox.names() == sorted([ERRORS, STATUS])
    lines = [orjson.loads(line) for line in dropbox.read(ERRORS).splitlines()]
    assert [(line["code"], line["line"]) for line in lines] == [("invalid_json_line", 3), ("duplicate_custom_id", 4)]
    assert dropbox.json(STATUS)["errors"] == lines


def test_a_newer_version_replaces_results_whole(dropbox: Dropbox) -> None:
    """What the older run left and the newer one has not is gone, so that files and status belong together."""
    dropbox.notify(dropbox.finish(dropbox.taken(), b"old\n", b"old errors\n"))
    newer = dropbox.finish(dropbox.taken(LINE * 2), b"new\n")
    dropbox.notify(newer)
    assert dropbox.names() == sorted([OUTPUT, STATUS])
    assert dropbox.read(OUTPUT) == b"new\n"
    assert dropbox.json(STATUS)["batch_id"] == newer.id


def test_an_older_version_that_ends_later_does_not_overwrite(dropbox: Dropbox) -> None:
    """Its results get names with its batch id."""
    older = dropbox.taken()
    newer = dropbox.finish(dropbox.taken(LINE * 2), b"new\n")
    dropbox.notify(newer)
    dropbox.notify(dropbox.finish(older, b"old\n"))
    assert dropbox.read(OUTPUT) == b"new\n"
    assert dropbox.json(STATUS)["batch_id"] == newer.id
    keys = result_keys(KEY, older.id)
    assert dropbox.read(keys.output) == b"old\n"
    assert dropbox.json(keys.status)["output_key"] == keys.output


def test_a_source_that_is_gone_still_gets_its_results(dropbox: Dropbox) -> None:
    """Deleting the file after dropping it is allowed; a later batch's results are left alone all the same."""
    batch = dropbox.finish(dropbox.taken(), b"out\n")
    dropbox.s3.delete_object(Bucket=BUCKET, Key=KEY)
    dropbox.notify(batch)
    assert dropbox.json(STATUS)["batch_id"] == batch.id
    later = batch.id[:-1] + chr(ord(batch.id[-1]) + 1)
    dropbox.folder.drop.put(STATUS, orjson.dumps({"batch_id": later}))
    dropbox.notify(batch)
    assert dropbox.json(STATUS)["batch_id"] == later
    assert dropbox.read(result_keys(KEY, batch.id).output) == b"out\n"


def test_an_output_that_its_owner_deleted_is_not_delivered(dropbox: Dropbox) -> None:
    """The status says that there is none."""
    batch = dropbox.finish(dropbox.taken(), b"out\n", b"err\n")
    dropbox.folder.stores.objects.delete(file_key(ACCOUNT, batch.output_file_id or ""))
    dropbox.notify(batch)
    assert dropbox.names() == sorted([ERRORS, STATUS])
    assert dropbox.json(STATUS)["output_key"] is None


@pytest.mark.parametrize("is_still_there", [True, False])
def test_a_file_of_another_kind_touches_no_results(dropbox: Dropbox, is_still_there: bool) -> None:
    """`night run+1` beside `night run+1.jsonl` is refused under names of its own; the results of the latter stay."""
    batch = dropbox.taken()
    dropbox.notify(dropbox.finish(batch, output=b"{}\n"))
    if not is_still_there:
        dropbox.s3.delete_object(Bucket=BUCKET, Key=KEY)
    assert dropbox.take(dropbox.put(key=KEY.removesuffix(".jsonl"))) is not None
    assert dropbox.json(STATUS)["batch_id"] == batch.id and dropbox.read(OUTPUT) == b"{}\n"
    assert len(dropbox.names()) == 4


def test_a_batch_that_still_runs_is_not_delivered(dropbox: Dropbox) -> None:
    """Nothing is written before the end."""
    batch = dropbox.taken()
    with pytest.raises(NotReady):
        dropbox.notify(batch)
    assert dropbox.names() == []
