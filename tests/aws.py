"""Fixtures: the table and the data bucket in moto. The rooms that need them import them in their conftest."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from moto import mock_aws

from batchyard.adapters.aws import clients
from batchyard.adapters.aws.batches import Batches
from batchyard.adapters.aws.objects import Objects
from batchyard.adapters.aws.progress import Progress
from batchyard.adapters.aws.shards import Shards
from batchyard.adapters.aws.stores import Stores
from batchyard.adapters.aws.table import Table

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
    with mock_aws():
        yield


@pytest.fixture
def table(aws: None, aws_clients: None) -> Table:
    client = clients.client("dynamodb")
    client.create_table(
        TableName=TABLE_NAME,
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        AttributeDefinitions=[
            {"AttributeName": "pk", "AttributeType": "S"},
            {"AttributeName": "sk", "AttributeType": "S"},
        ],
        BillingMode="PAY_PER_REQUEST",
    )
    return Table(client, TABLE_NAME)


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
