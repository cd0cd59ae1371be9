"""The drop folder: a file in, results beside it, the same version never twice."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.cloud import LocalCloud
from local.provider import SimulatedProvider, request_hash
from tests.customer import Customer, chat_line, eventually, jsonl
from tests.invariants import check_files


class Folder:
    """A customer's drop folder."""

    def __init__(self, customer: Customer) -> None:
        self._s3 = customer.cloud.client("s3")
        self._bucket = customer.cloud.drop_bucket
        self._account_id = customer.account_id

    def drop(self, name: str, content: bytes) -> None:
        self._s3.put_object(Bucket=self._bucket, Key=f"drop/{self._account_id}/{name}", Body=content)

    def result(self, name: str) -> bytes | None:
        try:
            found = self._s3.get_object(Bucket=self._bucket, Key=f"results/{self._account_id}/{name}")
        except ClientError as error:
            assert error.response["Error"]["Code"] == "NoSuchKey"
            return None
        content: bytes = found["Body"].read()
        return content

    def status(self, stem: str) -> dict[str, Any]:
        """Waits for the status file, which is written last."""
        found = eventually(lambda: self.result(f"{stem}.status.json"), f"{stem}.status.json")
        status: dict[str, Any] = json.loads(found)
        return status


@pytest.fixture
def folder(customer: Customer) -> Folder:
    return Folder(customer)


def test_a_dropped_file_becomes_results(customer: Customer, folder: Folder, provider: SimulatedProvider) -> None:
    """Output, errors and status arrive; parameters beside the file are taken; each item was sent once."""
    lines = [chat_line(number, "status:400" if number == 3 else None) for number in range(10)]
    folder.drop("nightly.batch.json", json.dumps({"metadata": {"team": "search"}}).encode())
    folder.drop("nightly.jsonl", jsonl(lines))
    status = folder.status("nightly")
    assert (status["status"], status["metadata"]) == ("completed", {"team": "search"})
    assert status["items"] | {"succeeded": 9, "failed": 1} == status["items"]
    ids = [line["custom_id"] for line in lines]
    checked = check_files(ids, folder.result("nightly.output.jsonl"), folder.result("nightly.errors.jsonl"))
    assert (checked.succeeded, checked.failed) == (9, 1)
    batch = customer.openai.batches.retrieve(status["batch_id"])
    customer.check(batch, lines)
    served = provider.counts()
    assert all(served[request_hash(line["body"])].received == 1 for line in lines)


def test_the_same_version_never_runs_twice(customer: Customer, folder: Folder, cloud: LocalCloud) -> None:
    """Its event delivered again makes no second batch; the same name put again is a new version and a new batch."""
    cloud.deliver(duplicate=True)
    try:
        folder.drop("twice.jsonl", jsonl([chat_line(1)]))
        first = folder.status("twice")["batch_id"]
    finally:
        cloud.deliver(duplicate=False)
    assert [batch.id for batch in customer.openai.batches.list()] == [first]
    folder.drop("twice.jsonl", jsonl([chat_line(2)]))
    second = eventually(
        lambda: next((b.id for b in customer.openai.batches.list() if b.id != first), None), "a second batch"
    )
    eventually(lambda: folder.status("twice")["batch_id"] == second, "the second batch's results")
    assert len(list(customer.openai.batches.list())) == 2


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("broken.jsonl", b"{not json}\n", "invalid_json_line"),
        ("empty.jsonl", b"", "empty_file"),
        ("table.csv", b"a,b\n", "invalid_file_name"),
    ],
)
def test_a_bad_file_leaves_a_clear_error(folder: Folder, name: str, content: bytes, code: str) -> None:
    """What is wrong, with the line if there is one, in the errors file and in the status."""
    folder.drop(name, content)
    stem = name.removesuffix(".jsonl")
    assert folder.status(stem)["status"] == "failed"
    errors = folder.result(f"{stem}.errors.jsonl")
    assert errors is not None
    first = json.loads(errors.splitlines()[0])
    assert code in json.dumps(first)
    assert folder.result(f"{stem}.output.jsonl") is None


def test_bad_parameters_and_unknown_accounts_are_explained(customer: Customer, folder: Folder) -> None:
    """A sidecar that is no JSON, and a folder that is nobody's, each leave a status that says so."""
    folder.drop("odd.batch.json", b"{")
    folder.drop("odd.jsonl", jsonl([chat_line(0)]))
    assert "JSON" in json.dumps(folder.status("odd"))
    s3, bucket = customer.cloud.client("s3"), customer.cloud.drop_bucket
    s3.put_object(Bucket=bucket, Key="drop/nobody/a.jsonl", Body=jsonl([chat_line(0)]))

    def found() -> bytes | None:
        listed = s3.list_objects_v2(Bucket=bucket, Prefix="results/nobody/a.status.json")
        return listed.get("Contents") and s3.get_object(Bucket=bucket, Key=listed["Contents"][0]["Key"])["Body"].read()

    assert b"account_not_found" in eventually(found, "a status for the unknown account")
    assert list(customer.openai.batches.list()) == []
