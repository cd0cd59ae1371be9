"""What a batch does to its account's credits on its way: set aside when it is validated, charged when it ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from batchyard.adapters import catalogue
from batchyard.adapters.aws.batches import Batches
from batchyard.adapters.aws.ledger import Ledger
from batchyard.adapters.aws.objects import Objects
from batchyard.adapters.aws.stores import Stores
from batchyard.adapters.aws.table import Key, Table
from batchyard.content.reading import Checks, InputLimits
from batchyard.core.accounts import Account, ApiKey, Billing
from batchyard.core.batches import Batch, Ending, Status
from batchyard.core.errors import NotReady
from batchyard.core.estimates import LanePrice
from batchyard.core.files import File
from batchyard.core.items import Item
from batchyard.core.keys import file_key, manifest_key, work_key
from batchyard.core.ledger import PICOUSD_PER_USD, Credits, EntryKind, too_busy, top_up
from batchyard.core.routing import eligible
from batchyard.core.usage import Price, Tally
from batchyard.steps.finalize import finalize
from batchyard.steps.validate import validate
from tests.invariants import check_credits
from tests.steps.running import ACCOUNT, BATCH, BATCH_ID, NOW, create_batch

LIMITS = InputLimits(50, 100_000, 2_000, 5, 4, 4_000, 8)
BODY = b'{"model":"gpt-4o-mini","max_tokens":10}'
ITEMS = 6
PRICE = Price(input_microusd=1, cached_microusd=1, output_microusd=100)
PK = f"account#{ACCOUNT}"


def parse(line: bytes, index: int, number: int) -> Item:
    return Item(index, f"id-{index}", "gpt-4o-mini", BODY)


CHECKS = Checks(
    limits=lambda surface: LIMITS,
    parser=lambda surface, endpoint: parse,
    route=lambda model, provider, endpoint, rules: eligible(model, provider, catalogue.load(), endpoint, rules),
    price_of=lambda lane: LanePrice(PRICE),
)


@dataclass
class Shop:
    """An account with credits, and a batch of six items that waits to be validated."""

    table: Table
    objects: Objects
    stores: Stores
    runs: int = 0

    def open(self, billing: Billing, credits: int, **account: Any) -> None:
        key = ApiKey("key_1", ACCOUNT, "default", "abcd", NOW)
        self.stores.accounts.create(Account(ACCOUNT, "a", NOW, billing=billing, **account), key, "hash")
        if credits:
            self.stores.ledger.top_up(ACCOUNT, top_up("first", credits, NOW))

    def batch(self, **changes: Any) -> Batch:
        data = b"x\n" * ITEMS
        self.objects.put(file_key(ACCOUNT, "file-1"), data)
        self.stores.files.put(File("file-1", ACCOUNT, "in.jsonl", "batch", len(data), NOW))
        return create_batch(self.stores.batches, **changes)

    def validate(self) -> Batch:
        self.runs += 1
        return validate(BATCH, run=f"run{self.runs}", clock=lambda: NOW + 5, checks=CHECKS, stores=self.stores)

    def finalize(self, asked: Ending) -> Batch:
        return finalize(BATCH, asked, clock=lambda: NOW + 9, stores=self.stores)

    def balance(self) -> Credits:
        """After its books were checked."""
        row = self.table.get(Key(PK, "balance"))
        check_credits(row, self.table.query(PK, prefix="ledger#"), self.table.query(PK, prefix="batch#"))
        return self.stores.ledger.balance(ACCOUNT)

    def kinds(self) -> list[EntryKind]:
        return [entry.kind for entry in self.stores.ledger.entries(ACCOUNT, about=BATCH_ID, limit=9)]


@pytest.fixture
def shop(table: Table, objects: Objects) -> Shop:
    return Shop(table, objects, Stores.of(table, objects))


def test_validation_reserves_what_the_batch_may_cost(shop: Shop) -> None:
    """Input by its length, output by what the items say that they take at most."""
    shop.open(Billing.PREPAID, 10_000)
    shop.batch(billing=Billing.PREPAID)
    batch = shop.validate()
    assert batch.status is Status.IN_PROGRESS
    output = ITEMS * 10 * 100
    assert output < batch.reserved_picousd < output + ITEMS * 100
    assert batch.estimate_picousd == batch.reserved_picousd
    assert shop.balance() == Credits(10_000 - batch.reserved_picousd, batch.reserved_picousd, 0)
    assert shop.validate() == batch, "once"
    assert shop.kinds() == [EntryKind.RESERVATION]


def test_too_few_credits_fail_the_batch(shop: Shop) -> None:
    """With an error that says what is missing; nothing of it is kept or reserved."""
    shop.open(Billing.PREPAID, 5_000)
    shop.batch(billing=Billing.PREPAID)
    batch = shop.validate()
    assert (batch.status, [error.code for error in batch.errors]) == (Status.FAILED, ["insufficient_credits"])
    assert shop.balance() == Credits(5_000)
    keys = work_key(ACCOUNT, BATCH_ID, "run1"), manifest_key(ACCOUNT, BATCH_ID, "run1")
    assert [shop.objects.head(key) for key in keys] == [None, None]


def test_a_cancelled_batch_pays_for_what_it_has_done(shop: Shop) -> None:
    """Nothing, if nothing ran: all that was reserved is given back, once, however often Finalize runs."""
    shop.open(Billing.PREPAID, 10_000)
    shop.batch(billing=Billing.PREPAID)
    batch = shop.validate()
    shop.stores.batches.enter(batch, Status.CANCELLING, NOW + 6)
    assert [shop.finalize(Ending.CANCELLED).status for _ in range(2)] == [Status.CANCELLED] * 2
    assert shop.balance() == Credits(10_000)
    assert sorted(shop.kinds()) == [EntryKind.RELEASE, EntryKind.RESERVATION, EntryKind.SETTLEMENT]


@pytest.mark.parametrize("cost", [0, 500, 6_000, 9_000])
def test_each_end_is_settled(shop: Shop, cost: int) -> None:
    """What was used is charged, whatever the ending, also if it is more than was reserved or than there is."""
    shop.open(Billing.PREPAID, 8_000)
    shop.batch(billing=Billing.PREPAID)
    batch = shop.validate()
    shop.stores.batches.finish(batch, Status.EXPIRED, NOW + 9, tally=Tally(expired=ITEMS, cost_picousd=cost))
    assert shop.balance() == Credits(8_000 - cost, 0, cost)
    assert shop.stores.ledger.spent_on_day(ACCOUNT, NOW) == cost


def test_a_reservation_from_creation_is_not_made_again(shop: Shop) -> None:
    """A batch whose quote was accepted runs on what was set aside then."""
    shop.open(Billing.PREPAID, 100)
    shop.batch(billing=Billing.PREPAID, reserved_picousd=70, estimate_picousd=70, max_price_picousd=80)
    assert shop.balance() == Credits(30, 70, 0)
    batch = shop.validate()
    assert (batch.status, batch.estimate_picousd) == (Status.IN_PROGRESS, 70)
    assert shop.balance() == Credits(30, 70, 0)


def test_an_account_that_is_free_of_credits_has_no_books(shop: Shop) -> None:
    """Nothing is estimated, reserved or charged; so it is for whoever brings a provider key."""
    shop.open(Billing.FREE, 0)
    shop.batch()
    batch = shop.validate()
    shop.stores.batches.finish(batch, Status.EXPIRED, NOW + 9, tally=Tally(expired=ITEMS, cost_picousd=500))
    assert (batch.estimate_picousd, shop.balance(), shop.kinds()) == (0, Credits(), [])


def test_who_pays_later_may_owe(shop: Shop) -> None:
    """Postpaid: the same books, and a balance below zero."""
    shop.open(Billing.POSTPAID, 0)
    shop.batch(billing=Billing.POSTPAID)
    batch = shop.validate()
    assert shop.balance() == Credits(-batch.reserved_picousd, batch.reserved_picousd, 0)


def test_a_daily_limit_holds_back_new_batches(shop: Shop) -> None:
    """What is reserved counts as spent; the batch fails with an error that says so."""
    shop.open(Billing.POSTPAID, 0, daily_limit_picousd=5_000)
    shop.batch(billing=Billing.POSTPAID)
    batch = shop.validate()
    assert [error.code for error in batch.errors] == ["spend_limit_reached"]
    assert shop.balance() == Credits()


def test_validation_is_run_again_if_the_limit_cannot_be_said(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches that end all the time are no reason to fail this one: its files are taken back, and it waits."""

    def busy(*_: Any, **__: Any) -> None:
        raise too_busy()

    shop.open(Billing.POSTPAID, 0, daily_limit_picousd=PICOUSD_PER_USD)
    shop.batch(billing=Billing.POSTPAID)
    with monkeypatch.context() as patch, pytest.raises(NotReady):
        patch.setattr(Batches, "set_plan", busy)
        shop.validate()
    keys = work_key(ACCOUNT, BATCH_ID, "run1"), manifest_key(ACCOUNT, BATCH_ID, "run1")
    assert [shop.objects.head(key) for key in keys] == [None, None]
    assert shop.validate().status is Status.IN_PROGRESS


def test_what_was_spent_on_a_day_is_counted_by_the_day(shop: Shop) -> None:
    """In UTC, until the next midnight."""
    shop.open(Billing.POSTPAID, 0)
    batch = shop.batch(billing=Billing.POSTPAID)
    shop.stores.batches.finish(batch, Status.FAILED, NOW, tally=Tally(cost_picousd=PICOUSD_PER_USD))
    ledger, day = Ledger(shop.table), 86_400
    assert [ledger.spent_on_day(ACCOUNT, NOW + days * day) for days in (-1, 0, 1)] == [0, PICOUSD_PER_USD, 0]


def test_two_validations_reserve_once(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second one finds the batch moved on, and takes back what it wrote."""
    shop.open(Billing.PREPAID, 100_000)
    shop.batch(billing=Billing.PREPAID)
    set_plan = Batches.set_plan

    def after_another(self: Batches, *args: Any, **kwargs: Any) -> Batch:
        monkeypatch.setattr(Batches, "set_plan", set_plan)
        shop.validate()
        return set_plan(self, *args, **kwargs)

    monkeypatch.setattr(Batches, "set_plan", after_another)
    batch = shop.validate()
    assert batch.plan is not None and batch.plan.run == "run2"
    assert shop.balance() == Credits(100_000 - batch.reserved_picousd, batch.reserved_picousd)
    assert shop.objects.head(work_key(ACCOUNT, BATCH_ID, "run1")) is None
