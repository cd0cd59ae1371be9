"""DynamoDB refuses a write whose row is in somebody else's transaction, and a transaction when it is busy. That is no
answer, so it is asked again."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from batchyard.adapters.aws import table as module
from batchyard.adapters.aws.table import Key, Put, Table
from batchyard.core.errors import ConditionFailed

KEY = Key("a", "b")


def refusal(*codes: str) -> ClientError:
    """What boto3 raises for a cancelled transaction with these reasons."""
    error = {"Code": "TransactionCanceledException", "Message": ""}
    return ClientError(
        {"Error": error, "CancellationReasons": [{"Code": code} for code in codes]},  # type: ignore[typeddict-unknown-key]
        "TransactWriteItems",
    )


class Busy:
    """A client that refuses as many times as it has refusals."""

    def __init__(self, *refusals: ClientError) -> None:
        self.refusals = list(refusals)
        self.calls = 0

    def transact_write_items(self, **_: Any) -> dict[str, Any]:
        self.calls += 1
        if self.refusals:
            raise self.refusals.pop(0)
        return {}

    put_item = transact_write_items


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CONFLICT_PAUSE_SECONDS", 0)


def test_a_transaction_in_conflict_is_repeated() -> None:
    """Two callers that write the same row at once both get through."""
    client = Busy(refusal("None", "TransactionConflict"), refusal("TransactionConflict"))
    Table(client, "t").transact([Put(KEY, {})])
    assert client.calls == 3


def test_a_single_write_in_conflict_is_repeated() -> None:
    """A put that meets a transaction waits for it too."""
    conflict = ClientError({"Error": {"Code": "TransactionConflictException", "Message": ""}}, "PutItem")
    client = Busy(conflict)
    Table(client, "t").put(KEY, {})
    assert client.calls == 2


@pytest.mark.parametrize("code", ["ThrottlingError", "ProvisionedThroughputExceeded"])
def test_a_throttled_transaction_is_repeated(code: str) -> None:
    """SDKs repeat what is throttled, but not a transaction, whose error says so only in its reasons."""
    client = Busy(refusal("None", code))
    Table(client, "t").transact([Put(KEY, {})])
    assert client.calls == 2


def test_a_failed_condition_is_an_answer() -> None:
    """A condition that did not hold is raised at once, even if another row was in conflict."""
    client = Busy(refusal("ConditionalCheckFailed", "TransactionConflict"))
    with pytest.raises(ConditionFailed):
        Table(client, "t").transact([Put(KEY, {}, only_if_absent=True), Put(KEY, {})])
    assert client.calls == 1


def test_an_endless_conflict_ends() -> None:
    """A row that is never free is a fault, not a hang."""
    client = Busy(*[refusal("TransactionConflict")] * 50)
    with pytest.raises(ClientError):
        Table(client, "t").transact([Put(KEY, {})])
    assert client.calls == module._CONFLICT_ATTEMPTS
