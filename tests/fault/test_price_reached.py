"""A batch whose items cost more than they were taken to: its price limit holds, on the local cloud."""

from __future__ import annotations

from decimal import Decimal

import orjson

from local.cloud import LocalCloud
from local.provider import SimulatedProvider
from tests.batchrouter import BatchRouter, item
from tests.customer import Customer, chat_line
from tests.fault.evidence import served

SHARD_ITEMS, SHARDS_AT_ONCE, WORKERS = 8, 2, 2
CLOUD = {"processes": WORKERS}
# A lease that does not end by itself, so that each item is sent once.
ENVIRONMENT = {"SHARD_ITEMS": str(SHARD_ITEMS), "SHARDS_AT_ONCE": str(SHARDS_AT_ONCE), "LEASE_SECONDS": "12"}
SHARDS = 12


def test_a_batch_that_reaches_its_price_limit_starts_nothing_more(
    cloud: LocalCloud, customer: Customer, provider: SimulatedProvider
) -> None:
    """Items that cost ten times what they were taken to cost: those that were in flight when the limit was reached are
    done and paid for, each other one says why it was not run, and its provider never saw it."""
    items = [item(number, "latency:100;output:3000") for number in range(SHARDS * SHARD_ITEMS)]
    router = BatchRouter(cloud.api_url, customer.api_key)
    with router.http:
        limit = Decimal(router.quote(items).pricing_estimate.amount) + Decimal("0.0001")
        quote = router.quote(items, max_price={"currency": "usd", "amount": str(limit)})
        made = router.create(quote.quote_id, items)
        batch = router.wait(made.id)
        rows = router.all_results(made.id, limit=1000)
    done = [row for row in rows if row.status == "succeeded"]
    others = [row for row in rows if row.status != "succeeded"]
    assert (batch.status, batch.item_count, batch.succeeded_count) == ("completed", len(items), len(done))
    assert {row.status for row in others} == {"failed"}
    assert {row.error.code for row in others if row.error} == {"max_price_reached"}
    bodies = [{"model": "gpt-4o-mini"} | items[row.index]["input"] for row in others]
    assert [count.received for count in served(provider, [{"body": body} for body in bodies])] == [0] * len(others)
    cost = Decimal(batch.cost.amount)
    in_flight = WORKERS * SHARDS_AT_ONCE * SHARD_ITEMS
    assert Decimal("0.9") * limit < cost <= limit + in_flight * cost / len(done)
    customer.check_credits()


def test_openais_clients_have_a_price_limit_too(customer: Customer) -> None:
    """`settings.max_price`, without a quote: its batch ends as completed once it has cost that much, give or take what
    was in flight, and what was not run says why. `check` holds the files to the counts, and the costs to the sum."""
    lines = [chat_line(number, "latency:100;output:3000") for number in range(SHARDS * SHARD_ITEMS)]
    limit = Decimal("0.02")
    batch, _ = customer.run(lines, extra_body={"settings": {"max_price": str(limit)}})
    assert batch.request_counts is not None and batch.usage is not None
    done, rest = batch.request_counts.completed, batch.request_counts.failed
    assert (batch.status, done + rest) == ("completed", len(lines))
    _, errors = customer.files(batch)
    codes = [orjson.loads(line)["error"]["code"] for line in (errors or b"").splitlines()]
    assert codes == ["max_price_reached"] * rest and rest > 0
    cost = Decimal(batch.usage.to_dict()["cost_usd"])  # type: ignore[arg-type]
    in_flight = WORKERS * SHARDS_AT_ONCE * SHARD_ITEMS
    assert Decimal("0.9") * limit < cost <= limit + in_flight * cost / done
    customer.check_credits()
