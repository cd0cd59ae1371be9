"""An item that ends every worker process that sends it."""

from __future__ import annotations

from local.cloud import LocalCloud
from local.provider import SimulatedProvider, request_hash
from tests.customer import Customer, chat_line, eventually
from tests.fault.evidence import note, served
from tests.invariants import TERMINAL

ENVIRONMENT = {"SHARD_ITEMS": "16", "MAX_IN_FLIGHT": "4"}
# One process, so that whoever is killed is the one that sent the item, with all shards that it has beside it.
CLOUD = {"processes": 1}


def test_an_item_that_kills_its_worker_is_found(
    cloud: LocalCloud, customer: Customer, provider: SimulatedProvider
) -> None:
    """Whoever sends it dies. It ends as an error line of its own, and takes no other item with it, neither of its own
    shard nor of those beside it."""
    provider.configure(latency_ms=200)
    poison = 3
    lines = [chat_line(number, "hang" if number == poison else None) for number in range(48)]
    body = request_hash(lines[poison]["body"])
    batch = customer.submit(lines)
    kills, restarts, parts = 0, 0, 0

    def dies_or_ends() -> bool:
        counts = provider.counts()
        return (body in counts and counts[body].received > kills) or customer.status(batch.id) in TERMINAL

    while eventually(dies_or_ends, "the poison is sent, or the batch ends"):
        if customer.status(batch.id) in TERMINAL:
            break
        kills = provider.counts()[body].received
        cloud.kill("work")
        # An owner that keeps results before it dies shows that its shard goes on: owners are counted anew. The first
        # one that runs its items one by one always does, as it comes to the poison after others; on a loaded machine,
        # where a kill comes late, others do too.
        rows = customer.rows(batch.id)[1]
        before, parts = parts, sum(len(row.get("parts", ())) for row in rows if row["number"] == 0)
        restarts += parts > before
    batch = customer.wait(batch.id)
    checked = customer.check(batch, lines)
    repeats = sum(count.received - 1 for count in served(provider, lines))
    note("poison", {"kills": kills, "restarts": restarts, "repeats": repeats})
    assert checked.codes == {"item_crashed_worker": 1}
    assert customer.output(batch)[f"item-{poison}"]["error"]["code"] == "item_crashed_worker"
    assert checked.succeeded == len(lines) - 1
    assert 2 <= kills <= 8 * max(1, restarts)
