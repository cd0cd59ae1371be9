"""Hundreds of batches made at once, for credits that suffice for some: never more than there are, none lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from random import Random
from threading import Lock
from typing import Any, cast

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from batchyard.adapters.aws import table as table_module
from batchyard.adapters.aws.accounts import Accounts
from batchyard.adapters.aws.ledger import Ledger
from batchyard.adapters.aws.stores import Stores
from batchyard.adapters.aws.table import Key, Table
from batchyard.core.accounts import Account, ApiKey, Billing
from batchyard.core.batches import Batch, BatchRef, Status
from batchyard.core.errors import RateLimited
from batchyard.core.files import File
from batchyard.core.ledger import Credits, InsufficientCredits, SpendLimitReached, top_up
from batchyard.core.limits import BatchTerms, Bounds, FileTerms
from batchyard.core.requests import BatchRequest
from batchyard.core.usage import Tally
from batchyard.steps.create import create
from local.table import create_table
from simulation.memory_objects import MemoryObjects
from simulation.memory_table import MemoryTable
from tests.invariants import check_credits
from tests.steps.running import ACCOUNT, NOW, RecordedWorkflow

PK = f"account#{ACCOUNT}"
EACH = 10
TERMS = BatchTerms(86_400, Bounds(1000, 10**6, 10**6, 0), FileTerms(10**6, 30), ("openai",))


class Conflicting:
    """A DynamoDB client whose transactions meet others: two of five are refused, at random, before they happen. One
    call at a time, because moto has no locks."""

    def __init__(self, client: Any, random: Random) -> None:
        self._client, self._random, self._lock = client, random, Lock()
        self.refused = 0

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(**arguments: Any) -> Any:
            with self._lock:
                if name == "transact_write_items" and self._random.random() < 0.4:
                    self.refused += 1
                    reasons = [{"Code": "None"}, {"Code": "TransactionConflict"}]
                    error: Any = {"Error": {"Code": "TransactionCanceledException"}, "CancellationReasons": reasons}
                    raise ClientError(error, "TransactWriteItems")
                return getattr(self._client, name)(**arguments)

        return call


@pytest.fixture
def conflicting(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Table, Conflicting]]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setattr(table_module, "_CONFLICT_PAUSE_SECONDS", 0)
    with mock_aws():
        client = boto3.client("dynamodb", region_name="us-east-1")
        create_table(client, "credits")
        busy = Conflicting(client, Random(7))
        yield Table(cast("Any", busy), "credits"), busy


class Meddling(MemoryTable):
    """The table; after what was spent today is read, and before anything is written, others do something."""

    def __init__(self, *meddle: Callable[[], object]) -> None:
        super().__init__()
        self.meddle = list(meddle)
        self.looked = 0

    def get(self, key: Key, *, consistent: bool = False) -> Any:
        row = super().get(key, consistent=consistent)
        if consistent and key.sk.startswith("spent#"):
            self.looked += 1
            if self.meddle:
                self.meddle.pop(0)()
        return row


def opened(
    table: Any, credits: int, billing: Billing = Billing.PREPAID, daily_limit_picousd: int | None = None
) -> Stores:
    """An account with so many credits, and a file."""
    stores = Stores.of(table, cast("Any", MemoryObjects()))
    key = ApiKey("key_1", ACCOUNT, "default", "abcd", NOW)
    Accounts(table).create(
        Account(ACCOUNT, "a", NOW, billing=billing, daily_limit_picousd=daily_limit_picousd), key, "hash"
    )
    Ledger(table).top_up(ACCOUNT, top_up("first", credits, NOW))
    stores.files.put(File("file-1", ACCOUNT, "in.jsonl", "batch", 2, NOW, lines=1))
    return stores


def request(**changes: Any) -> BatchRequest:
    return BatchRequest("openai", "/v1/chat/completions", "file-1", reserve_picousd=EACH, **changes)


def make(stores: Stores, number: int, **changes: Any) -> Batch | None:
    """A batch, if there are credits for it and the day's limit lets it."""
    ref = BatchRef(ACCOUNT, f"batch_{number:05d}")
    try:
        return create(
            request(**changes), ref, now=NOW, terms=TERMS, stores=stores, workflow=cast("Any", RecordedWorkflow())
        )
    except (InsufficientCredits, SpendLimitReached):
        return None


def at_once(count: int, call: Callable[[int], Batch | None]) -> list[Batch]:
    with ThreadPoolExecutor(32) as pool:
        return [batch for batch in pool.map(call, range(count)) if batch is not None]


def books(table: Any) -> Credits:
    """Checks them, and returns the balance."""
    row = table.get(Key(PK, "balance"))
    check_credits(row, table.query(PK, prefix="ledger#"), table.query(PK, prefix="batch#"))
    return Credits.from_row(row)


def test_no_more_batches_are_made_than_there_are_credits_for() -> None:
    """Four hundred at once, credits for 123: that many are made, and the rest of a reservation stays."""
    table = MemoryTable()
    stores = opened(table, 123 * EACH + 7)
    made = at_once(400, lambda number: make(stores, number))
    assert len(made) == 123
    assert books(table) == Credits(7, 123 * EACH, 0)


def test_what_batches_give_back_is_used_by_others() -> None:
    """While some are made others end, for less than was reserved: no credit is lost, and none is there twice."""
    table = MemoryTable()
    stores = opened(table, 50 * EACH)

    def life(number: int) -> Batch | None:
        batch = make(stores, number)
        if batch is None:
            return None
        cost = number % (EACH + 1)
        return stores.batches.finish(batch, Status.FAILED, NOW, tally=Tally(failed=1, cost_picousd=cost))

    ended = at_once(300, life)
    charged = sum(batch.tally.cost_picousd for batch in ended)
    assert books(table) == Credits(50 * EACH - charged, 0, charged)


def test_a_key_reserves_once_however_often_it_comes() -> None:
    """Fifty copies at once, with credits for one: all get the one batch."""
    table = MemoryTable()
    stores = opened(table, EACH)
    made = at_once(50, lambda number: make(stores, number, idempotency_key="the-same"))
    assert len(made) == 50 and len({batch.id for batch in made}) == 1
    assert books(table) == Credits(0, EACH, 0)


def test_an_account_that_pays_later_may_owe() -> None:
    """Its batches are all made, and what it owes is in the books."""
    table = MemoryTable()
    stores = opened(table, 1, Billing.POSTPAID)
    assert len(at_once(40, lambda number: make(stores, number))) == 40
    assert books(table) == Credits(1 - 40 * EACH, 40 * EACH, 0)


def test_transactions_that_meet_are_repeated(conflicting: tuple[Table, Conflicting]) -> None:
    """The same on the real conditions, with DynamoDB refusing two transactions of five: nobody notices."""
    table, busy = conflicting
    stores = opened(table, 20 * EACH)
    made = at_once(60, lambda number: make(stores, number))
    assert len(made) == 20 and busy.refused > 10
    assert books(table) == Credits(0, 20 * EACH, 0)
    for batch in made[:5]:
        stores.batches.finish(batch, Status.FAILED, NOW, tally=Tally(failed=1, cost_picousd=3))
    assert books(table) == Credits(5 * 7, 15 * EACH, 15)


# Daily limits.


def test_no_more_is_reserved_than_may_be_spent_in_a_day() -> None:
    """Four hundred at once, a limit for 123: that many are made, all others are refused, and nobody waits for ever."""
    table = MemoryTable()
    stores = opened(table, 1000 * EACH, daily_limit_picousd=123 * EACH + 7)
    assert len(at_once(400, lambda number: make(stores, number))) == 123
    assert books(table) == Credits(877 * EACH, 123 * EACH, 0)


@pytest.mark.parametrize("billing", [Billing.PREPAID, Billing.POSTPAID])
def test_a_batch_made_between_look_and_write_uses_the_limit_up(billing: Billing) -> None:
    """Both have looked, and there is room for one: the write says which, whether or not anything was reserved or
    charged before."""
    table = Meddling()
    stores = opened(table, 5 * EACH, billing, daily_limit_picousd=EACH)
    table.meddle = [lambda: None, lambda: make(stores, 2)]
    assert make(stores, 1) is None
    assert books(table) == Credits(4 * EACH, EACH, 0)


def test_what_is_charged_between_look_and_write_is_seen() -> None:
    """A batch ends for more than was reserved for it, after another has looked: that looks again and is refused."""
    table = Meddling()
    stores = opened(table, 9 * EACH, daily_limit_picousd=2 * EACH)
    first = make(stores, 1)
    assert first is not None
    cost = Tally(failed=1, cost_picousd=EACH + 1)
    table.meddle = [lambda: None, lambda: stores.batches.finish(first, Status.FAILED, NOW, tally=cost)]
    table.looked = 0
    assert make(stores, 2) is None
    assert table.looked == 3
    assert books(table) == Credits(8 * EACH - 1, 0, EACH + 1)


def test_what_is_given_back_between_look_and_write_lets_others_in() -> None:
    """A batch ends after another has looked, and there is room all the same: the second look finds it."""
    table = Meddling()
    stores = opened(table, 9 * EACH, daily_limit_picousd=2 * EACH)
    first = make(stores, 1)
    assert first is not None
    table.meddle = [lambda: None, lambda: stores.batches.finish(first, Status.FAILED, NOW, tally=Tally(cost_picousd=3))]
    assert make(stores, 2) is not None
    assert books(table) == Credits(8 * EACH - 3, EACH, 3)


def test_looking_again_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """If batches end each time that the limit is looked at, the caller is asked to try again; nothing is left."""
    monkeypatch.setattr(table_module, "_CONFLICT_PAUSE_SECONDS", 0)
    table = Meddling()
    stores = opened(table, 99 * EACH, daily_limit_picousd=99 * EACH)
    others = [batch for number in range(2, 14) if (batch := make(stores, number)) is not None]
    cost = Tally(failed=1, cost_picousd=1)

    def ends(batch: Batch) -> Callable[[], object]:
        return lambda: stores.batches.finish(batch, Status.FAILED, NOW, tally=cost)

    table.meddle, table.looked = [lambda: None, *map(ends, others)], 0
    with pytest.raises(RateLimited) as caught:
        make(stores, 1)
    assert (caught.value.code, caught.value.retry_after_seconds) == ("spend_limit_busy", 2)
    assert table.looked == 11
    assert stores.batches.get(BatchRef(ACCOUNT, "batch_00001")) is None
    table.meddle = []
    assert make(stores, 1) is not None
    assert books(table).charged_picousd == 10


def test_an_account_without_a_daily_limit_pays_nothing_for_it() -> None:
    """Nobody looks at what it has spent today."""
    table = Meddling()
    assert make(opened(table, EACH), 1) is not None
    assert table.looked == 0


def test_a_key_meets_the_limit_once() -> None:
    """Fifty copies at once, with a limit for one: all get the one batch."""
    table = MemoryTable()
    stores = opened(table, 99 * EACH, daily_limit_picousd=EACH)
    made = at_once(50, lambda number: make(stores, number, idempotency_key="the-same"))
    assert len(made) == 50 and len({batch.id for batch in made}) == 1
    assert books(table) == Credits(98 * EACH, EACH, 0)


def test_the_limit_is_a_condition_that_dynamodb_knows(conflicting: tuple[Table, Conflicting]) -> None:
    """The same on the real conditions, with two transactions of five refused; what batches give back is used again."""
    table, busy = conflicting
    stores = opened(table, 99 * EACH, daily_limit_picousd=20 * EACH)
    made = at_once(60, lambda number: make(stores, number))
    assert len(made) == 20 and busy.refused > 10
    assert books(table) == Credits(79 * EACH, 20 * EACH, 0)
    for batch in made[:5]:
        stores.batches.finish(batch, Status.FAILED, NOW, tally=Tally(failed=1, cost_picousd=2))
    assert len(at_once(20, lambda number: make(stores, 100 + number))) == 4
    assert books(table) == Credits(80 * EACH - 10, 19 * EACH, 10)
