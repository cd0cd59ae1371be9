"""Fixtures: the table and the data bucket in moto. The rooms that need them import them in their conftest."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from threading import RLock
from typing import Any

import pytest
from moto import mock_aws
from moto.core import models as moto_of_all
from moto.core.botocore_stubber import BotocoreStubber
from moto.dynamodb.comparisons import ConditionExpressionParser
from moto.dynamodb.models import DynamoDBBackend
from moto.dynamodb.models import Table as MotoTable
from moto.dynamodb.parsing.ast_nodes import DepthFirstTraverser, Node
from moto.dynamodb.parsing.expressions import UpdateExpressionParser
from moto.dynamodb.responses import DynamoResult
from moto.kms import models as moto_of_kms

from batchyard.adapters.aws import clients
from batchyard.adapters.aws.batches import Batches
from batchyard.adapters.aws.objects import Objects
from batchyard.adapters.aws.progress import Progress
from batchyard.adapters.aws.shards import Shards
from batchyard.adapters.aws.stores import Stores
from batchyard.adapters.aws.table import Table
from local.simulated_aws.patches import dynamodb, dynamodb_updates
from local.table import create_table

REGION = "us-east-1"
TABLE_NAME = "batchyard-test"
DATA_BUCKET = "batchyard-test-data"
_QUICKER = (
    (DynamoResult, "execute_result"),
    (MotoTable, "query"),
    (MotoTable, "all_items"),
    (MotoTable, "__deepcopy__"),
    (DynamoDBBackend, "transact_write_items"),
    (ConditionExpressionParser, "_lex_condition_expression"),
    (UpdateExpressionParser, "make"),
    (DepthFirstTraverser, "traverse"),
    (Node, "find_clauses"),
    (Node, "__deepcopy__"),
)
"""What of moto the local cloud changes for the sake of speed alone."""


@pytest.fixture(autouse=True)
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """moto in the process, as quick as in the local cloud, with credentials that are good nowhere else. It listens to
    boto3 only, not to the package requests, for which it would make a thousand rules each time."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_REGION": REGION,
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.setattr(BotocoreStubber, "process_request", _one_call_at_a_time(BotocoreStubber.process_request))
    monkeypatch.setattr(moto_of_kms, "generate_private_key", _private_key_made_once)
    monkeypatch.setattr(moto_of_all, "RESPONSES_METHODS", [])
    for owner, name, quicker in _quicker():
        monkeypatch.setattr(owner, name, quicker, raising=False)
    with mock_aws():
        yield


_private_key_made_once = cache(moto_of_kms.generate_private_key)
"""Every key has one, an RSA key if it is symmetric, too; that takes longer than most tests, and nobody here signs."""


@cache
def _quicker() -> list[tuple[Any, str, Any]]:
    """(owner, name, what the local cloud puts there). moto stays as it is, for those who look at that."""
    with pytest.MonkeyPatch.context() as undone:
        for owner, name in _QUICKER:
            undone.setattr(owner, name, getattr(owner, name, None), raising=False)
        dynamodb.write_rows_without_the_serializer()
        dynamodb.query_one_partition()
        dynamodb.undo_transactions_by_row()
        dynamodb.split_conditions_once()
        dynamodb_updates.parse_update_expressions_once()
        dynamodb_updates.walk_trees_quickly()
        return [(owner, name, vars(owner)[name]) for owner, name in _QUICKER]


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
