"""A quote and a creation of BatchRouter's, of which each AWS call in turn ends its function: before it was made, or
after, so that nobody hears the answer. Whoever repeats the request gets one batch, one reservation and one reply."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.client import BaseClient

from batchyard.adapters.aws.ledger import Ledger
from batchyard.handlers import admin
from tests.api.api import Cloud, Customer
from tests.api.gateway import Context, Gateway
from tests.batchrouter import BatchRouter, item

CALLS_AT_MOST = 60
ITEMS = [item(1), item(2)]


class Killed(BaseException):
    """The function's process is gone."""


class Killer:
    """Lets AWS calls through, but for the one with the number `at`."""

    def __init__(self, call: Callable[..., Any], at: int, *, is_made: bool) -> None:
        self._call = call
        self._at = at
        self._is_made = is_made
        self.calls = 0

    def __call__(self, client: BaseClient, operation: str, arguments: Any) -> Any:
        self.calls += 1
        if self.calls != self._at:
            return self._call(client, operation, arguments)
        if self._is_made:
            self._call(client, operation, arguments)
        raise Killed


def kill(run: Callable[[], object], at: int, is_made: bool) -> bool:
    """Whether `run` was killed at its call number `at`; False: it has fewer."""
    with pytest.MonkeyPatch.context() as patch:
        killer = Killer(BaseClient._make_api_call, at, is_made=is_made)  # type: ignore[attr-defined]
        patch.setattr(BaseClient, "_make_api_call", lambda *call: killer(*call))
        try:
            run()
        except Killed:
            return True
    return False


@pytest.fixture
def router(alice: Customer) -> BatchRouter:
    for order in ({"action": "set_billing", "billing": "prepaid"}, {"action": "top_up", "id": "t", "usd": "100"}):
        admin.handler({**order, "account_id": alice.account_id}, Context())
    return BatchRouter(f"https://{Gateway.HOST}", alice.key, Gateway())


@pytest.mark.parametrize("is_made", [False, True], ids=["before", "after"])
def test_a_creation_survives_any_call(router: BatchRouter, cloud: Cloud, alice: Customer, is_made: bool) -> None:
    """Killed at call N and repeated with the same key, for each N: one more batch, its reservation, the same bytes."""
    ledger, partition = Ledger(cloud.table), f"account#{alice.account_id}"
    quote = router.quote(ITEMS)
    for at in range(1, CALLS_AT_MOST):
        key = f"attempt-{at}-of-many"

        def create(key: str = key) -> bytes:
            reply = router.post(quote.quote_id, ITEMS, key, metadata={"attempt": key})
            assert reply.status_code == 202, reply.text
            return reply.content

        was_killed = kill(create, at, is_made)
        assert create() == create()
        batches = list(cloud.table.query(partition, prefix="batch#", consistent=True))
        entries = list(cloud.table.query(partition, prefix="ledger#", consistent=True))
        assert len(batches) == at == [entry["kind"] for entry in entries].count("reservation")
        balance = ledger.balance(alice.account_id)
        assert balance.reserved_picousd == sum(batch["reserved_picousd"] for batch in batches) > 0
        assert balance == ledger.sum_of_entries(alice.account_id)
        if not was_killed:
            assert at > 8, "a creation has more calls than that"
            assert len(cloud.started) == at
            return
    raise AssertionError("there is no end of calls")


@pytest.mark.parametrize("is_made", [False, True], ids=["before", "after"])
def test_a_quote_survives_any_call(router: BatchRouter, is_made: bool) -> None:
    """Killed at call N, for each N: asking again gives a quote that can be accepted."""
    for at in range(1, CALLS_AT_MOST):
        was_killed = kill(lambda: router.quote(ITEMS), at, is_made)
        if not was_killed:
            assert at > 2
            router.create(router.quote(ITEMS).quote_id, ITEMS)
            return
    raise AssertionError("there is no end of calls")
