"""Fixtures: the table and the data bucket in moto. The rooms that need them import them in their conftest."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from threading import RLock
from typing import Any

import pytest
from moto import mock_aws
from moto.core.botocore_stubber import BotocoreStubber

from batchyard.adapters.aws import clients
from batchyard.adapters.aws.batches import Batches
from batchyard.adapters.aws.objects import Objects
from batchyard.adapters.aws.progress import Progress
from batchyard.adapters.aws.shards import Shards
from batchyard.adapters.aws.stores import Stores
from batchyard.adapters.aws.table import Table
from local.table import create_table

REGION = "us-east-1"
TABLE_NAME = "batchyard-test"
DATA_BUCKET = "batchyard-test-data"


@pytest.fixture(autouse=True)
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """moto in the process, with credentials that are good nowhere else."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_REGION": REGION,
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.setattr(BotocoreStubber, "process_request", _one_call_at_a_time(BotocoreStubber.process_request))
    with mock_aws():
        yield


def _one_call_at_a_time(process: Callable[..., Any]) -> Callable[..., Any]:
    """moto has no locks: of two threads both could find their condition true, or one could copy the tables while the
    other writes to them."""
    lock = RLock()

    def guarded(*args: Any, **kwargs: Any) -> Any:
        with lock:
            return process(*args, **kwargs)

    return guarded


@pytest.fixture(scope="session")
def aws_clients() -> Iterator[None]:
    """Clients are kept from test to test: moto answers all of them, and a new one costs more than a test."""
    yield
    clients._client.cache_clear()
    clients._session.cache_clear()


@pytest.fixture
def table(aws: None, aws_clients: None) -> Table:
    return create_table(clients.client("dynamodb"), TABLE_NAME)


@pytest.fixture
def objects(aws: None, aws_clients: None) -> Objects:
    client = clients.client("s3")
    client.create_bucket(Bucket=DATA_BUCKET)
    return Objects(client, DATA_BUCKET)


@pytest.fixture
def stores(table: Table, objects: Objects) -> Stores:
    return Stores.of(table, objects)


@pytest.fixture
def batches(table: Table) -> Batches:
    return Batches(table)


@pytest.fixture
def shards(table: Table) -> Shards:
    return Shards(table)


@pytest.fixture
def progress(table: Table) -> Progress:
    return Progress(table)
