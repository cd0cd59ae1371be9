"""BatchRouter's API: its document's command lines, and a client that takes nothing but what it says."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import httpx
import pytest
from openai import OpenAI

from local.cloud import LocalCloud
from local.deployment.templates import ROOT
from local.provider import SimulatedProvider
from tests.batchrouter import ACTIVE, BatchRouter, Creation, Refused, Row, Shell, item
from tests.customer import Customer, eventually, jsonl

INLINE = """\
curl -X POST https://api.batchrouter.com/v1/batches \\
-H "Authorization: Bearer $BATCHROUTER_API_KEY" \\
-H "Content-Type: application/json" \\
-H "Idempotency-Key: $(uuidgen)" \\
-d '{
"quote_id": "qlock_abc123",
"sla_tier": "standard",
"routing_mode": "cheapest",
"privacy_tier": "standard",
"items": [
{
"customer_item_id": "item-1",
"operation": "responses",
"model": "gpt-4o-mini",
"input": {
"messages": [
{ "role": "user", "content": "Summarize: BatchRouter routes batch-AI workloads across providers." }
]
}
}
],
"webhook": {
"url": "https://example.com/hooks/batchrouter",
"secret": "a-strong-shared-secret"
},
"metadata": { "project": "docs-demo" }
}'"""
FROM_A_FILE = """\
curl -X POST https://api.batchrouter.com/v1/batches \\
-H "Authorization: Bearer $BATCHROUTER_API_KEY" \\
-H "Content-Type: application/json" \\
-H "Idempotency-Key: $(uuidgen)" \\
-d '{
"quote_id": "qlock_abc123",
"input_file_id": "file_xyz789",
"sla_tier": "flex",
"routing_mode": "sla_aware"
}'"""
ITEM = (
    '{"customer_item_id":"item-1","operation":"responses","model":"gpt-4o-mini","input":{"messages":[{"role":"user",'
    '"content":"Summarize: BatchRouter routes batch-AI workloads across providers."}]}}'
)
EDGE = "together"
EDGE_MODEL = f"""
[[models]]
provider = "{EDGE}"
id = "gpt-4o-mini"
input_microusd = 9_000_000
cached_microusd = 9_000_000
output_microusd = 9_000_000
"""
NOWHERE = {"https://example.com": "https://receiver.invalid"}
"""A receiver that does not exist, so that nothing leaves this machine."""


@pytest.fixture
def router(customer: Customer) -> Iterator[BatchRouter]:
    client = BatchRouter(customer.cloud.api_url, customer.api_key)
    with client.http:
        yield client


def ours(id: str) -> str:
    return id.replace("bat_", "batch_").replace("file_", "file-")


def test_the_documents_command_lines(customer: Customer, router: BatchRouter, tmp_path: Path) -> None:
    """Create inline and from a file, as printed, each with a quote of the same tier and mode; the answers are as shown,
    the deadline follows from the tier, and both batches complete."""
    curl = Shell(customer.cloud.api_url, customer.api_key, tmp_path)
    quote = router.quote([json.loads(ITEM)])
    made = Creation.model_validate_json(curl(INLINE, **{"qlock_abc123": quote.quote_id, **NOWHERE})).batch
    assert (made.status, made.item_count, made.sla_deadline[11:]) == ("pending", 1, made.created_at[11:])
    file = router.upload(ITEM.encode())
    quote = router.quote(input_file_id=file.id, sla_tier="flex", routing_mode="sla_aware")
    flex = Creation.model_validate_json(curl(FROM_A_FILE, qlock_abc123=quote.quote_id, file_xyz789=file.id)).batch
    for each in (made, flex):
        batch = router.wait(each.id)
        assert (batch.status, batch.item_count, batch.succeeded_count) == ("completed", 1, 1)
        (row,) = router.all_results(each.id)
        assert row.customer_item_id == "item-1" and row.response is not None
        assert row.response.body["choices"][0]["message"]["content"]
    assert router.batch(made.id).metadata == {"project": "docs-demo"}
    assert (router.batch(flex.id).sla_tier, router.batch(flex.id).routing_mode) == ("flex", "sla_aware")
    customer.check_credits()


def test_a_batch_goes_all_the_way(customer: Customer, router: BatchRouter, provider: SimulatedProvider) -> None:
    """Quote, batch, statuses in the documented order, pages, artifact, receipt: every item once, as each of them says;
    what was reserved is charged or released, exactly; a repeat of the creation gets the bytes of the first reply."""
    items = [item(number, "latency:700") for number in range(1, 12)] + [item(12, "status:400")]
    quote = router.quote(items)
    first = router.post(quote.quote_id, items, "one-key-for-all")
    made = Creation.model_validate_json(first.content).batch
    seen = [made.status]

    def ended() -> bool:
        status = router.batch(made.id).status
        if status != seen[-1]:
            seen.append(status)
        return status not in ACTIVE

    eventually(ended, f"the end of {made.id}")
    order = [*ACTIVE, "completed"]
    assert seen == sorted(seen, key=order.index) and seen[-1] == "completed" and "processing" in seen
    rows = router.all_results(made.id, limit=5)
    assert [row.index for row in rows] == list(range(12))
    assert [row.customer_item_id for row in rows] == [each["customer_item_id"] for each in items]
    assert [row.status for row in rows] == ["succeeded"] * 11 + ["failed"]
    assert rows[-1].response is not None and rows[-1].response.status_code == 400
    artifact = httpx.get(router.artifact(made.id).url).content
    assert [Row.model_validate_json(line) for line in artifact.splitlines()] == rows
    billed = router.billed(made.id)
    receipt = billed.billing_receipt
    assert (receipt.status, receipt.quote_id) == ("settled", quote.quote_id)
    assert receipt.reserved == quote.pricing_estimate.breakdown.total
    assert receipt.charged == billed.cost
    lost = Decimal(receipt.reserved.amount) - Decimal(receipt.charged.amount) - Decimal(receipt.released.amount)
    assert abs(lost) <= Decimal("0.000001")
    assert [(lane.provider, lane.items) for lane in receipt.provider_lanes] == [("openai", 12)]
    account = router.account()
    assert (account.billing, account.reserved.amount) == ("prepaid", "0.000000")
    assert router.post(quote.quote_id, items, "one-key-for-all").content == first.content
    assert provider.stats()["requests"] == 12
    customer.check_credits()


def test_openais_client_polls_and_retrieves(customer: Customer, router: BatchRouter) -> None:
    """Under /v1/openai/v1, by the ids that BatchRouter gives."""
    made = router.run([item(1), item(2, "status:400")])
    router.wait(made.id)
    with OpenAI(base_url=f"{customer.cloud.api_url}/v1/openai/v1", api_key=customer.api_key) as client:
        batch = client.batches.retrieve(made.id)
        assert (batch.id, batch.status) == (ours(made.id), "completed")
        assert batch.output_file_id and batch.error_file_id
        output = [json.loads(line) for line in client.files.content(batch.output_file_id).content.splitlines()]
        assert [line["custom_id"] for line in output] == ["item-1"]
        assert client.files.retrieve(router.batch(made.id).error_file_id or "").id == batch.error_file_id


def test_embeddings_and_files_of_either_dialect(customer: Customer, router: BatchRouter) -> None:
    """Items of one batch have operations of their own, each with its endpoint; a file that OpenAI's client uploaded is
    taken, and so are lines of its."""
    embedding = item(1, operation="embeddings", model="text-embedding-3-small", input={"input": "some text"})
    responses = item(2, input={"input": [{"role": "user", "content": "x"}]})
    made = router.run([embedding, responses, item(3)])
    theirs = customer.upload(jsonl([item(1)]))
    lines = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions"}
    raw = router.upload(jsonl([lines | {"body": {"model": "gpt-4o-mini", **item(3)["input"]}}, item(4)]))
    for batch_id in (
        made.id,
        router.create(router.quote(input_file_id=theirs).quote_id, input_file_id=theirs).id,
        router.create(router.quote(input_file_id=raw.id).quote_id, input_file_id=raw.id).id,
    ):
        assert router.wait(batch_id).status == "completed"
        assert all(row.status == "succeeded" for row in router.all_results(batch_id))
    embedded, responded, completed = [row.response.body for row in router.all_results(made.id) if row.response]
    assert embedded["data"][0]["embedding"] and responded["output"] and completed["choices"]


def test_a_cancelled_batch_keeps_what_is_done(customer: Customer, router: BatchRouter) -> None:
    """Each item has its row; what is not paid for is released, and a second cancel is a conflict."""
    made = router.run([item(number, "latency:3000") for number in range(20)])
    router.wait(made.id, frozenset({"dispatched", "processing"}))
    assert router.cancel(made.id).status in ("completing", "cancelled")
    assert router.wait(made.id).status == "cancelled"
    rows = router.all_results(made.id)
    assert len(rows) == 20 and {row.status for row in rows} <= {"succeeded", "cancelled"}
    assert router.account().reserved.amount == "0.000000"
    done = router.run([item()])
    router.wait(done.id)
    with pytest.raises(Refused) as caught:
        router.cancel(done.id)
    assert caught.value.status == 409
    customer.check_credits()


@pytest.fixture
def edge(cloud: LocalCloud, tmp_path: Path) -> Iterator[str]:
    """A provider that is in the deployment's own network and has the model of the items, at a price far above that of
    the public one."""
    copy = tmp_path / "functions"
    shutil.copytree(ROOT / "functions", copy, ignore=shutil.ignore_patterns("__pycache__"))
    providers = copy / "batchyard" / "providers.toml"
    text = providers.read_text()
    assert text.count(f'name = "{EDGE}"\n') == 1
    providers.write_text(text.replace(f'name = "{EDGE}"\n', f'name = "{EDGE}"\nprivate = true\n') + EDGE_MODEL)
    cloud.replace_code(copy)
    yield EDGE
    cloud.replace_code()


def test_restricted_items_stay_on_the_edge(
    customer: Customer, router: BatchRouter, provider: SimulatedProvider, edge: str
) -> None:
    """The public provider would be taken for its price; a batch whose privacy tier is restricted goes to the private
    one all the same, by its quote and by its receipt, and no item to any other."""
    items = [item(number) for number in range(5)]
    public = router.quote(items)
    assert {(lane.provider, lane.verdict) for lane in public.quote_lanes} == {("openai", "selected"), (edge, "dearer")}
    quote = router.quote(items, privacy_tier="restricted")
    assert {(lane.provider, lane.verdict) for lane in quote.quote_lanes} == {("openai", "privacy"), (edge, "selected")}
    made = router.create(quote.quote_id, items, privacy_tier="restricted")
    assert (router.wait(made.id).status, router.batch(made.id).succeeded_count) == ("completed", len(items))
    ran = router.billed(made.id).billing_receipt.provider_lanes
    assert {(lane.provider, lane.items) for lane in ran} == {(edge, len(items))}
    customer.check_credits()
