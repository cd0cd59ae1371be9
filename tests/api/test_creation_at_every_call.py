"""A quote and a creation of BatchRouter's, of which each AWS call in turn goes wrong: its function dies before it was
made, or after, so that nobody hears the answer; or AWS refuses it, or throttles it for longer than anybody tries.
Whoever repeats the request gets one batch, one reservation and one reply."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import httpx
import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError

from batchyard.adapters.aws.ledger import Ledger
from batchyard.handlers import admin
from tests.api.api import Cloud, Customer
from tests.api.gateway import Context, Gateway
from tests.batchrouter import BatchRouter, item

CALLS_AT_MOST = 60
DEATHS = ("before", "after")
WAYS = (*DEATHS, "InternalFailure", "ThrottlingException")
ITEMS = [item(1), item(2)]


class Killed(BaseException):
    """The function's process is gone."""


class Spoiler:
    """Lets AWS calls through, but for the one with the number `at`. `way`: `before` and `after` it its caller dies;
    else the code of the error that AWS answers."""

    def __init__(self, call: Callable[..., Any], at: int, way: str) -> None:
        self._call = call
        self._at = at
        self._way = way
        self.calls = 0

    def __call__(self, client: BaseClient, operation: str, arguments: Any) -> Any:
        self.calls += 1
        if self.calls != self._at:
            return self._call(client, operation, arguments)
        if self._way not in DEATHS:
            raise ClientError({"Error": {"Code": self._way, "Message": "as the test wants"}}, operation)
        if self._way == "after":
            self._call(client, operation, arguments)
        raise Killed


def spoil(run: Callable[[], object], at: int, way: str) -> bool:
    """Whether call number `at` of `run` went wrong; False: it has fewer."""
    with pytest.MonkeyPatch.context() as patch:
        spoiler = Spoiler(BaseClient._make_api_call, at, way)  # type: ignore[attr-defined]
        patch.setattr(BaseClient, "_make_api_call", lambda *call: spoiler(*call))
        with suppress(Killed):
            run()
    return spoiler.calls >= at


@pytest.fixture
def router(alice: Customer) -> BatchRouter:
    for order in ({"action": "set_billing", "billing": "prepaid"}, {"action": "top_up", "id": "t", "usd": "100"}):
        admin.handler({**order, "account_id": alice.account_id}, Context())
    return BatchRouter(f"https://{Gateway.HOST}", alice.key, Gateway())


@pytest.mark.parametrize("way", WAYS)
def test_a_creation_survives_any_call(router: BatchRouter, cloud: Cloud, alice: Customer, way: str) -> None:
    """Call N goes wrong and the request is repeated with the same key, for each N: one more batch, its reservation, the
    same bytes."""
    ledger, partition = Ledger(cloud.table), f"account#{alice.account_id}"
    quote = router.quote(ITEMS)
    for at in range(1, CALLS_AT_MOST):
        key = f"attempt-{at}-of-many"

        def send(key: str = key) -> httpx.Response:
            return router.post(quote.quote_id, ITEMS, key, metadata={"attempt": key})

        def create(send: Callable[[], httpx.Response] = send) -> bytes:
            reply = send()
            assert reply.status_code == 202, reply.text
            return reply.content

        was_spoiled = spoil(send, at, way)
        assert create() == create()
        batches = list(cloud.table.query(partition, prefix="batch#", consistent=True))
        entries = list(cloud.table.query(partition, prefix="ledger#", consistent=True))
        assert len(batches) == at == [entry["kind"] for entry in entries].count("reservation")
        balance = ledger.balance(alice.account_id)
        assert balance.reserved_picousd == sum(batch["reserved_picousd"] for batch in batches) > 0
        assert balance == ledger.sum_of_entries(alice.account_id)
        if not was_spoiled:
            assert at > 8, "a creation has more calls than that"
            assert len(cloud.started) == at
            return
    raise AssertionError("there is no end of calls")


@pytest.mark.parametrize("way", WAYS)
def test_a_quote_survives_any_call(router: BatchRouter, way: str) -> None:
    """Call N goes wrong, for each N: asking again gives a quote that can be accepted."""
    for at in range(1, CALLS_AT_MOST):
        was_spoiled = spoil(lambda: router.http.post("/v1/quotes/model", json={"items": ITEMS}), at, way)
        if not was_spoiled:
            assert at > 2
            router.create(router.quote(ITEMS).quote_id, ITEMS)
            return
    raise AssertionError("there is no end of calls")
