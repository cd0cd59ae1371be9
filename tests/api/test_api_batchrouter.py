"""BatchRouter's API on moto: quotes, creation and its repeats, preflight, statuses, keys."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from batchyard.adapters.aws.batches import Batches
from batchyard.adapters.aws.table import Key
from batchyard.core.batches import BatchRef, Stage, Status
from batchyard.core.keys import manifest_key
from batchyard.core.messages import shard_message
from batchyard.core.sharding import read_manifest
from batchyard.core.usage import Tally
from batchyard.handlers import admin, validate
from tests.api.api import Cloud, Customer
from tests.api.gateway import Context, Gateway
from tests.batchrouter import BatchRouter, Error, Refused, item

KEY = "a-key-of-my-own"


@pytest.fixture
def router(alice: Customer) -> Iterator[BatchRouter]:
    client = BatchRouter(f"https://{Gateway.HOST}", alice.key, Gateway())
    with client.http:
        yield client


def ours(batch_id: str) -> str:
    return batch_id.replace("bat_", "batch_")


def rows_of(cloud: Cloud, alice: Customer, prefix: str) -> list[dict[str, Any]]:
    return list(cloud.table.query(f"account#{alice.account_id}", prefix=prefix, consistent=True))


def refused(router: BatchRouter, *arguments: Any, **body: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        router.create(*arguments, **body)
    assert caught.value.status == 400
    assert caught.value.error.code == "preflight_failed"
    return caught.value


# Quotes.


def test_a_quote_prices_the_items(router: BatchRouter) -> None:
    """The estimate is what the tokens cost at half the list price, as the vendor's batch API has it; its parts add up,
    and the lane that is taken is selected."""
    quote = router.quote([item(1), item(2)])
    parts = quote.pricing_estimate.breakdown
    expected = (parts.input_tokens * 150_000 + parts.output_tokens * 600_000) // 2
    assert quote.pricing_estimate.amount == parts.total.amount == f"{expected / 10**12:.6f}"
    assert (parts.items, quote.item_count, quote.sampled_items) == (2, 2, None)
    (lane,) = [each for each in quote.quote_lanes if each.selected]
    assert (lane.provider, lane.model, lane.mode, lane.reason) == ("openai", "gpt-4o-mini", "native", None)
    assert all(each.reason for each in quote.quote_lanes if not each.selected)


def test_a_quote_is_valid_for_ten_minutes(router: BatchRouter, cloud: Cloud, alice: Customer) -> None:
    """It says so, and its row is not kept for good."""
    quote = router.quote([item()])
    (row,) = rows_of(cloud, alice, "quote#")
    assert row["expires_at"] - row["created_at"] == 600
    assert row["ttl"] == row["expires_at"] + 86_400
    assert quote.quote_id == row["sk"].removeprefix("quote#")


def test_a_sample_stands_for_more(router: BatchRouter) -> None:
    """Ten items of which one is known cost ten times as much as that one."""
    one = router.quote([item()]).pricing_estimate.breakdown
    ten = router.quote([item()], item_count=10)
    assert (ten.item_count, ten.sampled_items) == (10, 1)
    assert ten.pricing_estimate.breakdown.input_tokens == pytest.approx(10 * one.input_tokens, rel=0.1)
    with pytest.raises(Refused) as caught:
        router.quote([item(1), item(2)], item_count=1)
    assert caught.value.issues == [("invalid_input", "item_count", None)]


def test_a_quote_counts_the_answers_that_items_allow(router: BatchRouter) -> None:
    """What `max_tokens` says, for a sample as for all items, or 300 tokens: what is reserved is what may be used."""
    messages = [{"role": "user", "content": "Tell all."}]
    long = item(1, input={"messages": messages, "max_tokens": 5000})
    assert router.quote([long, item(2)]).pricing_estimate.breakdown.output_tokens == 5300
    assert router.quote([long], item_count=10).pricing_estimate.breakdown.output_tokens == 50_000
    file = router.upload(json.dumps(long).encode())
    assert router.quote(input_file_id=file.id).pricing_estimate.breakdown.output_tokens == 5000


def test_a_file_can_be_quoted(router: BatchRouter) -> None:
    """By either spelling of its id; the file's items are read."""
    file = router.upload(b"".join(json.dumps(item(n)).encode() + b"\n" for n in range(3)))
    assert router.quote(input_file_id=file.id).item_count == 3
    assert router.quote(input_file_id=file.id.replace("file_", "file-")).item_count == 3
    with pytest.raises(Refused) as caught:
        router.quote([item()], input_file_id=file.id)
    assert caught.value.issues == [("invalid_input", "items", None)]


def test_a_model_of_the_quote_is_that_of_items_without_one(router: BatchRouter) -> None:
    """`model`, or the first of `models`."""
    assert router.quote([item(model=...)], model="gpt-4o").quote_lanes[0].model == "gpt-4o"  # type: ignore[arg-type]
    quote = router.quote([item(model=...)], models=["gpt-4o-mini", "gpt-4o"])  # type: ignore[arg-type]
    assert quote.models == ["gpt-4o-mini", "gpt-4o"]


def test_a_quote_above_the_price_limit_is_refused(router: BatchRouter) -> None:
    """A limit below the estimate; an exact decimal, as text or number."""
    for amount in ("0.000001", 0.000001):
        with pytest.raises(Refused) as caught:
            router.quote([item()], max_price={"currency": "usd", "amount": amount})
        assert caught.value.issues == [("max_price_exceeded", "max_price", None)]
    quote = router.quote([item()], max_price={"currency": "usd", "amount": 2})
    assert quote.max_price is not None and quote.max_price.amount == "2.000000"


def test_every_lane_is_listed_with_its_reason(router: BatchRouter) -> None:
    """Several models in two modes: the cheapest lane is selected, each other one says why it was not."""
    quote = router.quote([item(model="gpt-4o")], models=["gpt-4o", "gpt-4o-mini"], routing_mode="public_only")
    chosen = [lane for lane in quote.quote_lanes if lane.selected]
    assert [(lane.model, lane.items) for lane in chosen] == [("gpt-4o-mini", 1)]
    others = [(lane.model, lane.verdict, bool(lane.reason)) for lane in quote.quote_lanes if not lane.selected]
    assert others == [(model, "dearer", True) for model in ("gpt-4o-mini", "gpt-4o", "gpt-4o")]


@pytest.mark.parametrize(
    "rules", [{"privacy_tier": "restricted"}, {"routing_mode": "edge_only"}, {"allowed_regions": ["atlantis"]}]
)
def test_what_no_lane_satisfies_is_found_in_preflight(router: BatchRouter, rules: dict[str, Any]) -> None:
    """A tier, a mode or regions that leave no lane: the item says so."""
    with pytest.raises(Refused) as caught:
        router.quote([item()], **rules)
    ((code, path, _),) = caught.value.issues
    assert path == "items[0].model", code
    assert router.quote([item()], allowed_regions=["global"]).allowed_regions == ["global"]


# Creation.


def test_a_batch_is_made_from_its_quote(router: BatchRouter, cloud: Cloud, alice: Customer) -> None:
    """202 with the summary, pending, due in 24 hours; its quote is kept with it, and its execution was started."""
    quote = router.quote([item(1), item(2)])
    reply = router.post(quote.quote_id, [item(1), item(2)], metadata={"project": {"deep": 1}})
    assert reply.status_code == 202
    made = reply.json()["batch"]
    assert (made["status"], made["item_count"]) == ("pending", 2)
    shown = router.batch(made["id"])
    assert (shown.metadata, shown.quote_id, shown.status) == ({"project": {"deep": 1}}, quote.quote_id, "pending")
    assert cloud.started == [ours(made["id"])]
    (row,) = rows_of(cloud, alice, "quote#")
    assert "ttl" not in row
    batch = Batches(cloud.table).current(BatchRef(alice.account_id, ours(made["id"])))
    assert batch.expires_at - batch.created_at == 86_400


def test_flex_takes_up_to_two_days(router: BatchRouter, cloud: Cloud, alice: Customer) -> None:
    """The deadline follows from the tier."""
    made = router.run([item()], sla_tier="flex", routing_mode="sla_aware")
    batch = Batches(cloud.table).current(BatchRef(alice.account_id, ours(made.id)))
    assert (batch.expires_at - batch.created_at, batch.completion_window) == (172_800, "48h")
    shown = router.batch(made.id)
    assert (shown.sla_tier, shown.routing_mode, shown.privacy_tier) == ("flex", "sla_aware", "standard")


@pytest.mark.parametrize("key", ["short", "x" * 129, "", None])
def test_a_batch_needs_an_idempotency_key(router: BatchRouter, key: str | None) -> None:
    """Of 8 to 128 characters."""
    headers = {} if key is None else {"idempotency-key": key}
    reply = router.http.post("/v1/batches", json={"items": [item()]}, headers=headers)
    assert reply.status_code == 400
    assert Error.model_validate_json(reply.content).error.details.param == "Idempotency-Key"


@pytest.mark.parametrize("length", [8, 128])
def test_keys_of_the_documented_lengths_are_taken(router: BatchRouter, length: int) -> None:
    """The shortest and the longest."""
    router.create(router.quote([item()]).quote_id, [item()], key="k" * length)


def test_repeats_get_the_same_bytes(router: BatchRouter, cloud: Cloud, alice: Customer) -> None:
    """Also when the batch has gone on, and the quote is no longer valid, meanwhile."""
    quote = router.quote([item()])
    first = router.post(quote.quote_id, [item()], KEY)
    batches = Batches(cloud.table)
    batches.enter(batches.current(BatchRef(alice.account_id, ours(first.json()["batch"]["id"]))), Status.CANCELLING, 9)
    expire(cloud, alice, quote.quote_id)
    again = router.post(quote.quote_id, [item()], KEY)
    assert (again.status_code, again.content) == (202, first.content)
    assert len(rows_of(cloud, alice, "batch#")) == 1


def test_another_payload_is_a_conflict(router: BatchRouter, mallory: Customer) -> None:
    """Any other field makes another request; another account may use the same key."""
    quote = router.quote([item()])
    router.create(quote.quote_id, [item()], KEY)
    for number, other in ((2, {}), (1, {"metadata": {"a": 1}}), (1, {"sla_tier": "priority"})):
        reply = router.post(quote.quote_id, [item(number)], KEY, **other)
        assert reply.status_code == 409
        assert Error.model_validate_json(reply.content).error.code == "idempotency_key_reused"
    theirs = BatchRouter(f"https://{Gateway.HOST}", mallory.key, Gateway())
    theirs.create(theirs.quote([item()]).quote_id, [item()], KEY)


def test_fifty_copies_at_once_are_one_batch(router: BatchRouter, cloud: Cloud, alice: Customer) -> None:
    """All get the same bytes."""
    quote = router.quote([item()])
    replies: list[bytes] = []
    start = threading.Barrier(50)

    def send() -> None:
        start.wait()
        reply = router.post(quote.quote_id, [item()], KEY)
        replies.append(b"%d %b" % (reply.status_code, reply.content))

    senders = [threading.Thread(target=send) for _ in range(50)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    assert len(replies) == 50 and len(set(replies)) == 1 and replies[0].startswith(b"202 ")
    assert len(rows_of(cloud, alice, "batch#")) == len(rows_of(cloud, alice, "idempotency#")) == 1


def test_a_repeat_finishes_what_the_first_caller_left(
    router: BatchRouter, cloud: Cloud, alice: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first one died before it started the execution: the repeat gets the batch, and starts it."""
    quote = router.quote([item()])

    class Dead(BaseException):
        pass

    def die(*_: object) -> None:
        raise Dead

    with monkeypatch.context() as broken:
        broken.setattr("batchyard.adapters.aws.workflow.Workflow.start", die)
        with pytest.raises(Dead):
            router.post(quote.quote_id, [item()], KEY)
    assert cloud.started == []
    made = router.create(quote.quote_id, [item()], KEY)
    assert cloud.started == [ours(made.id)]
    assert len(rows_of(cloud, alice, "batch#")) == 1


# Preflight.


def test_preflight_lists_everything_that_is_wrong(router: BatchRouter) -> None:
    """Each with its code and its place, and nothing is made."""
    wrong = [
        item(1),
        item(1),
        item(2, operation="telepathy"),
        item(3, model="nobody-has-this"),
        item(4, model=...),  # type: ignore[arg-type]
        item(5, input={"prompt": "x"}),
        item(6, surprise=1),
    ]
    found = refused(router, None, wrong)
    assert found.issues == [
        ("quote_required", "quote_id", None),
        ("duplicate_customer_item_id", "items[1].customer_item_id", None),
        ("unknown_operation", "items[2].operation", None),
        ("model_not_found", "items[3].model", None),
        ("missing_field", "items[4].model", None),
        ("missing_field", "items[5].input.messages", None),
        ("unknown_field", "items[6].surprise", None),
    ]
    assert router.batches().batches == []


def test_preflight_goes_on_behind_empty_items(router: BatchRouter) -> None:
    """A batch of nothing with an unsafe webhook and no quote has three issues; a quote of nothing has one."""
    webhook = {"url": "https://127.0.0.1/", "secret": "a-strong-shared-secret"}
    assert [code for code, *_ in refused(router, None, [], webhook=webhook).issues] == [
        "quote_required",
        "empty_batch",
        "unsafe_webhook_url",
    ]
    with pytest.raises(Refused) as caught:
        router.quote([])
    assert caught.value.issues == [("empty_batch", "items", None)]


def test_preflight_lists_what_has_the_wrong_form_beside_the_rest(router: BatchRouter) -> None:
    """Every member of a wrong type or value, every unknown one, and what is wrong with those that can be read."""
    body = {
        "sla_tier": "fastest",
        "metadata": {"": 1},
        "max_price": {"amount": "much"},
        "webhook": {"url": "https://127.0.0.1/", "secret": "short", "retries": 3},
        "input_file_id": "no file",
        "item_count": 2,
        "surprise": True,
    }
    found = refused(router, 5, [item(1, operation="telepathy"), 7, item(2)], **body)
    assert sorted(found.issues, key=str) == sorted(
        [
            ("invalid_value", "quote_id", None),
            ("invalid_value", "sla_tier", None),
            ("invalid_value", "metadata", None),
            ("invalid_value", "max_price.amount", None),
            ("invalid_value", "webhook.secret", None),
            ("unknown_field", "webhook.retries", None),
            ("unsafe_webhook_url", "webhook.url", None),
            ("file_not_found", "input_file_id", None),
            ("unknown_field", "item_count", None),
            ("unknown_field", "surprise", None),
            ("invalid_input", "items", None),
            ("unknown_operation", "items[0].operation", None),
            ("invalid_json_line", "items[1]", None),
        ],
        key=str,
    )
    assert router.batches().batches == []


def test_a_quotes_preflight_lists_the_same(router: BatchRouter) -> None:
    """Wrong forms, unknown members and the items' own issues at once; nothing is quoted."""
    with pytest.raises(Refused) as caught:
        router.quote([item(1), item(1)], models=["gpt-4o", 3], privacy_tier="secret", surprise=1, item_count="many")
    assert sorted(caught.value.issues, key=str) == sorted(
        [
            ("invalid_value", "models[1]", None),
            ("invalid_value", "privacy_tier", None),
            ("unknown_field", "surprise", None),
            ("invalid_value", "item_count", None),
            ("duplicate_customer_item_id", "items[1].customer_item_id", None),
        ],
        key=str,
    )
    with pytest.raises(Refused) as caught:
        router.quote(7, sla_tier="fastest")  # type: ignore[arg-type]
    assert caught.value.issues == [("invalid_value", "items", None), ("invalid_value", "sla_tier", None)]


def test_a_quote_of_a_file_takes_nothing_that_it_would_not_use(router: BatchRouter) -> None:
    """How many items a sample stands for, and the model of items without one, are said of items: with a file they are
    refused, not left out."""
    file = router.upload(json.dumps(item(model=...)).encode())  # type: ignore[arg-type]
    with pytest.raises(Refused) as caught:
        router.quote(input_file_id=file.id, item_count=1, model="gpt-4o")
    assert caught.value.issues == [
        ("invalid_input", "item_count", None),
        ("invalid_input", "model", None),
        ("missing_field", "model", 1),
    ]


def test_a_broken_copy_of_a_request_is_another_request(router: BatchRouter) -> None:
    """What could not be read of it counts, too: it is a conflict, and no repeat of the request without it."""
    quote = router.quote([item()])
    router.create(quote.quote_id, [item()], KEY)
    reply = router.post(quote.quote_id, [item()], KEY, metadata=5)
    assert (reply.status_code, reply.json()["error"]["code"]) == (409, "idempotency_key_reused")


def test_a_batch_may_repeat_the_regions_of_its_quote(router: BatchRouter) -> None:
    """The same ones are taken, in any order; others are none that were quoted."""
    quote = router.quote([item()], allowed_regions=["global", "us"])
    router.create(quote.quote_id, [item()], allowed_regions=["us", "global"])
    found = refused(router, quote.quote_id, [item()], allowed_regions=["eu"])
    assert found.issues == [("quote_mismatch", "allowed_regions", None)]


def test_a_file_is_checked_by_its_lines(router: BatchRouter) -> None:
    """Bad JSONL is told by the number of its line."""
    content = json.dumps(item(1)).encode() + b'\n{"customer_item_id": \n' + json.dumps(item(3)).encode()
    file = router.upload(content)
    quote = router.quote([item()])
    assert refused(router, quote.quote_id, input_file_id=file.id).issues == [("invalid_json_line", None, 2)]


def test_exactly_one_input(router: BatchRouter) -> None:
    """Both or neither: preflight says so."""
    quote = router.quote([item()])
    file = router.upload(json.dumps(item(1)).encode())
    assert refused(router, quote.quote_id, [item()], input_file_id=file.id).issues == [("invalid_input", "items", None)]
    assert refused(router, quote.quote_id).issues == [("invalid_input", "items", None)]
    missing = "file_" + "0" * 26
    assert refused(router, quote.quote_id, input_file_id=missing).issues[0][1] == "input_file_id"


def expire(cloud: Cloud, alice: Customer, quote_id: str) -> None:
    key = Key(f"account#{alice.account_id}", f"quote#{quote_id}")
    cloud.table.update(key, set={"expires_at": int(time.time()) - 1})


def test_a_quote_must_be_ones_own_and_valid(
    router: BatchRouter, cloud: Cloud, alice: Customer, mallory: Customer
) -> None:
    """Unknown, another account's, expired: told apart only as far as one may know."""
    theirs = BatchRouter(f"https://{Gateway.HOST}", mallory.key, Gateway()).quote([item()])
    for quote_id in ("qlock_unknown", "no quote at all", theirs.quote_id):
        assert refused(router, quote_id, [item()]).issues == [("quote_not_found", "quote_id", None)]
    quote = router.quote([item()])
    expire(cloud, alice, quote.quote_id)
    assert refused(router, quote.quote_id, [item()]).issues == [("quote_expired", "quote_id", None)]


def test_a_batch_is_what_was_quoted(router: BatchRouter) -> None:
    """Another tier, another operation or another model needs a quote of its own."""
    quote = router.quote([item()])
    assert refused(router, quote.quote_id, [item()], sla_tier="flex").issues[0][0] == "quote_mismatch"
    embedding = item(operation="embeddings", model="text-embedding-3-small", input={"input": "x"})
    codes = {code for code, *_ in refused(router, quote.quote_id, [embedding]).issues}
    assert codes == {"quote_mismatch"}
    assert refused(router, quote.quote_id, [item(model="gpt-4o")]).issues == [("quote_mismatch", "items", None)]


def test_a_batch_of_more_items_keeps_the_price_limit(router: BatchRouter) -> None:
    """A quote of one item, accepted by a batch of a thousand."""
    quote = router.quote([item()], max_price={"currency": "usd", "amount": "0.001"})
    router.create(quote.quote_id, [item()])
    many = [item(number) for number in range(1000)]
    assert refused(router, quote.quote_id, many).issues == [("max_price_exceeded", "max_price", None)]


def test_items_too_long_for_their_model(router: BatchRouter) -> None:
    """Counted with the model's tokenizer: what exceeds the window by a token is refused, and nothing that fits."""

    def words(number: int) -> dict[str, Any]:
        return {"messages": [{"role": "user", "content": " word" * number}]}

    router.quote([item(input=words(127_997))])
    with pytest.raises(Refused) as caught:
        router.quote([item(), item(2, input=words(127_998))])
    assert caught.value.issues == [("context_window_exceeded", "items[1].input", None)]
    assert "128001 tokens at least, counted with o200k_base" in caught.value.error.message


def test_items_too_long_for_a_model_whose_tokenizer_is_secret(router: BatchRouter) -> None:
    """Refused is what would be too long at six bytes a token, and the answer says that this is an estimate."""
    content = "word " * 190_000
    router.quote([item(model="claude-sonnet-4-5", input={"messages": [{"role": "user", "content": content}]})])
    with pytest.raises(Refused) as caught:
        router.quote([item(model="mistral-embed", operation="embeddings", input={"input": content})])
    assert caught.value.issues == [("context_window_exceeded", "items[0].input", None)]
    assert "158333 tokens at least, estimated by its length" in caught.value.error.message


def test_items_of_one_batch_have_operations_of_their_own(router: BatchRouter, cloud: Cloud, alice: Customer) -> None:
    """Chat, vision, the responses form and embeddings in one quote and one batch: each shard is for what its items are
    for, and the sample's operations are those that the batch may have."""
    picture = [{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]
    vision = item(2, operation="vision", input={"messages": [{"role": "user", "content": picture}]})
    responses = item(3, input={"input": [{"role": "user", "content": "x"}]})
    embedding = item(4, operation="embeddings", model="text-embedding-3-small", input={"input": "x"})
    items = [item(1), vision, responses, embedding]
    quote = router.quote(items)
    assert (quote.item_count, quote.pricing_estimate.breakdown.output_tokens) == (4, 900)
    ref = BatchRef(alice.account_id, ours(router.create(quote.quote_id, items).id))
    validate.handler({"account_id": ref.account_id, "batch_id": ref.batch_id}, Context())
    batch = Batches(cloud.table).current(ref)
    assert batch.plan is not None
    shards = read_manifest(cloud.objects.get(manifest_key(ref.account_id, ref.batch_id, batch.plan.run)))
    assert [(each.items, shard_message(batch, each).endpoint) for each in shards] == [
        (2, "/v1/chat/completions"),
        (1, "/v1/responses"),
        (1, "/v1/embeddings"),
    ]
    less = router.quote([item(1)]).quote_id
    assert refused(router, less, [item(1), responses]).issues == [("quote_mismatch", "items", None)]


# Batches.


def test_each_status_is_one_that_the_batch_is_in(router: BatchRouter, cloud: Cloud, alice: Customer) -> None:
    """From made over picked up and routed to every way of ending, as the row says."""
    made = router.run([item()])
    batches, ref = Batches(cloud.table), BatchRef(alice.account_id, ours(made.id))

    def status() -> str:
        return router.batch(made.id).status

    assert status() == "pending"
    batches.note_stage(batches.current(ref), Stage.QUEUED)
    assert status() == "queued"
    batches.note_stage(batches.current(ref), Stage.ROUTING)
    assert status() == "routing"
    batches.enter(batches.current(ref), Status.IN_PROGRESS, 5)
    assert status() == "dispatched"
    batches.enter(batches.current(ref), Status.FINALIZING, 6)
    assert status() == "completing"
    batches.finish(batches.current(ref), Status.COMPLETED, 7, tally=Tally(succeeded=1))
    assert status() == "completed"


def test_lists_come_in_pages(router: BatchRouter, alice: Customer) -> None:
    """Newest first, each page says where the next one starts; a list without a cursor is OpenAI's."""
    made = [router.run([item(number)]).id for number in range(3)]
    first = router.batches(limit=2)
    assert [each.id for each in first.batches] == made[:0:-1]
    second = router.batches(first.next_cursor or "", limit=2)
    assert ([each.id for each in second.batches], second.next_cursor) == (made[:1], None)
    assert [each.id for each in alice.openai.batches.list().data] == [ours(each) for each in reversed(made)]


def test_a_batch_is_cancelled(router: BatchRouter) -> None:
    """What is left is drained; one that has ended cannot be cancelled."""
    made = router.run([item()])
    assert router.cancel(made.id).status == "completing"
    with pytest.raises(Refused) as caught:
        router.batch("bat_" + "0" * 26)
    assert (caught.value.status, caught.value.error.code) == (404, "batch_not_found")


def test_results_are_there_at_the_end(router: BatchRouter) -> None:
    """Before, pages and artifact are a conflict."""
    made = router.run([item()])
    for ask in (router.results, router.artifact):
        with pytest.raises(Refused) as caught:
            ask(made.id)
        assert (caught.value.status, caught.value.error.code) == (409, "results_not_ready")


def test_a_receipt_says_what_was_rejected(router: BatchRouter) -> None:
    """Nothing is charged yet; the lanes are those of the quote."""
    made = router.run([item()])
    receipt = router.billed(made.id).billing_receipt
    assert (receipt.status, receipt.charged.amount, receipt.provider_lanes) == ("open", "0.000000", [])


def test_openais_client_looks_after_it(router: BatchRouter, alice: Customer) -> None:
    """Under /v1/openai/v1, by BatchRouter's id or ours; and by ours on the usual path."""
    made = router.run([item()])
    client = alice.openai.with_options(base_url=f"https://{Gateway.HOST}/v1/openai/v1")
    assert client.batches.retrieve(made.id).status == "validating"
    assert alice.openai.batches.retrieve(ours(made.id)).id == ours(made.id)
    assert [each.id for each in client.batches.list()] == [ours(made.id)]
    file_id = router.batch(made.id).input_file_id
    assert client.files.content(file_id).content.startswith(b'{"customer_item_id"')
    assert client.models.list().data


# Accounts.


def test_an_account_looks_after_its_keys(router: BatchRouter, mallory: Customer) -> None:
    """A key is shown once and works; once revoked or expired it does not; nobody revokes another account's."""
    new = router.create_key(name="worker")
    listed = {key.api_key_id: key for key in router.api_keys()}
    assert listed[new.api_key_id].hint == new.api_key[-4:] and len(listed) == 2
    worker = BatchRouter(f"https://{Gateway.HOST}", new.api_key, Gateway())
    assert worker.account().id == router.account().id
    with pytest.raises(Refused) as caught:
        BatchRouter(f"https://{Gateway.HOST}", mallory.key, Gateway()).revoke_key(new.api_key_id)
    assert caught.value.status == 404
    assert router.revoke_key(new.api_key_id).revoked_at is not None


def test_a_key_expires(router: BatchRouter, cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the second on that it was made for."""
    with pytest.raises(Refused) as caught:
        router.create_key(expires_at="2001-01-01T00:00:00Z")
    assert caught.value.error.details.param == "expires_at"
    new = router.create_key(expires_at="2099-01-01T00:00:00+00:00")
    assert new.expires_at == "2099-01-01T00:00:00Z"
    client = BatchRouter(f"https://{Gateway.HOST}", new.api_key, Gateway())
    monkeypatch.setattr("batchyard.handlers.http.time.time", lambda: 4_102_444_800.0)
    with pytest.raises(Refused) as caught:
        client.account()
    assert caught.value.status == 401


def test_an_account_without_credits(router: BatchRouter, alice: Customer) -> None:
    """It is free of them unless its operator sells some."""
    account = router.account()
    assert (account.id, account.billing, account.credit_balance.amount) == (alice.account_id, "free", "0.000000")


def test_the_catalogue_is_public(router: BatchRouter) -> None:
    """Every model with its price and its context window."""
    models = {model.model: model for model in router.catalog()}
    mini = models["gpt-4o-mini"]
    assert (mini.provider, mini.context_window) == ("openai", 128_000)
    assert mini.price_per_million_tokens.input.amount == "0.150000"


# Which dialect a request is in.


@pytest.mark.parametrize(
    ("body", "headers", "is_batchrouters"),
    [
        ({"items": []}, {}, True),
        ({"quote_id": "x"}, {}, True),
        ({"sla_tier": "flex", "endpoint": "/v1/embeddings"}, {}, True),
        ({"input_file_id": "file-x"}, {"idempotency-key": KEY}, True),
        ({"input_file_id": "file-x"}, {}, False),
        ({"input_file_id": "file-x", "endpoint": "/v1/embeddings"}, {"idempotency-key": KEY}, False),
        ({}, {"idempotency-key": KEY}, True),
        ({"endpoint": "/v1/embeddings"}, {"idempotency-key": KEY}, False),
        ({}, {}, False),
        ([], {}, False),
        ([], {"idempotency-key": KEY}, True),
    ],
)
def test_the_body_decides(router: BatchRouter, body: Any, headers: dict[str, str], is_batchrouters: bool) -> None:
    """What is in neither form gets OpenAI's errors."""
    reply = router.http.post("/v1/batches", json=body, headers=headers)
    assert reply.status_code == 400
    assert ("details" in reply.json()["error"]) is is_batchrouters


@pytest.mark.parametrize(
    ("body", "headers", "is_batchrouters"),
    [
        (b'{"quote_id": "qlock_1", "items": [', {}, True),
        (b'{"metadata": {,}}', {"idempotency-key": KEY}, True),
        (b'{"input_file_id": "file-x", "endpoint": "/v1/embeddings"', {"idempotency-key": KEY}, False),
        (b'{"input_file_id": ', {}, False),
    ],
)
def test_a_broken_body_is_judged_by_what_stands_in_it(
    router: BatchRouter, body: bytes, headers: dict[str, str], is_batchrouters: bool
) -> None:
    """A body that is no JSON gets the envelope of the dialect that its names and headers belong to."""
    headers = headers | {"content-type": "application/json"}
    reply = router.http.post("/v1/batches", content=body, headers=headers)
    assert reply.status_code == 400
    assert ("details" in reply.json()["error"]) is is_batchrouters


def test_broken_json_is_an_issue_with_its_place(router: BatchRouter) -> None:
    """Line and column, for a batch as for a quote; a body that is no object is an issue, too."""
    broken = b'{"quote_id": "qlock_1",\n "items": [}'
    headers = {"content-type": "application/json", "idempotency-key": KEY}
    for path in ("/v1/batches", "/v1/quotes/model"):
        error = Error.model_validate_json(router.http.post(path, content=broken, headers=headers).content).error
        assert [(each.code, each.path, each.line) for each in error.details.preflight] == [("invalid_json", None, 2)]
        assert (error.code, "line 2, column 12" in error.message) == ("preflight_failed", True), error.message
        error = Error.model_validate_json(router.http.post(path, content=b"[]", headers=headers).content).error
        assert [each.code for each in error.details.preflight] == ["invalid_type"]


def test_files_of_openais_form_are_openais(alice: Customer, router: BatchRouter) -> None:
    """Whoever says what a file is for gets OpenAI's object; BatchRouter's lines without it get BatchRouter's."""
    line = json.dumps(item()).encode()
    theirs = alice.http.post("/v1/files", files={"file": ("a.jsonl", line)}, data={"purpose": "batch"}).json()
    assert theirs["object"] == "file" and theirs["id"].startswith("file-")
    mine = router.upload(line)
    assert router.file(mine.id) == mine
    assert alice.openai.files.retrieve(mine.id.replace("file_", "file-")).bytes == len(line)
    raw = router.http.post("/v1/files", content=line, headers={"content-type": "application/x-ndjson"}).json()
    assert raw["file_id"].startswith("file_")


# Money and webhooks.


def prepaid(owner: Customer, usd: str) -> None:
    """From now on the account pays, out of so many dollars."""
    for order in ({"action": "set_billing", "billing": "prepaid"}, {"action": "top_up", "id": "t-1", "usd": usd}):
        answer = admin.handler({**order, "account_id": owner.account_id}, Context())
        assert "error" not in answer, answer


def test_creation_reserves_the_quote(router: BatchRouter, alice: Customer) -> None:
    """Exactly what was quoted, once, however often it is asked for; the account and the receipt say so."""
    prepaid(alice, "1.00")
    quote = router.quote([item(1), item(2)])
    made = router.create(quote.quote_id, [item(1), item(2)], KEY)
    assert router.create(quote.quote_id, [item(1), item(2)], KEY) == made
    reserved = router.billed(made.id).billing_receipt.reserved
    account = router.account()
    assert reserved.amount == quote.pricing_estimate.amount == account.reserved.amount
    assert account.billing == "prepaid"
    assert Decimal(account.credit_balance.amount) + Decimal(account.reserved.amount) == 1


def test_more_items_than_were_quoted_reserve_more(router: BatchRouter, alice: Customer) -> None:
    """A quote of a sample is a price per item."""
    prepaid(alice, "1.00")
    quote = router.quote([item(1)])
    made = router.create(quote.quote_id, [item(number) for number in range(10)])
    one = Decimal(quote.pricing_estimate.amount)
    assert Decimal(router.billed(made.id).billing_receipt.reserved.amount) == pytest.approx(
        10 * one, abs=Decimal("0.00001")
    )


def test_longer_items_than_were_quoted_reserve_more(router: BatchRouter, alice: Customer) -> None:
    """A quote of a short item is no way to run a long one on a few credits: it is reserved at what it comes to."""
    long = item(input={"messages": [{"role": "user", "content": "word " * 60_000}]})
    short = router.quote([item()])
    cost = router.quote([long]).pricing_estimate.amount
    prepaid(alice, "0.001")
    assert router.post(short.quote_id, [long]).status_code == 402
    answer = admin.handler({"action": "top_up", "id": "t-2", "usd": "1", "account_id": alice.account_id}, Context())
    assert "error" not in answer
    made = router.create(short.quote_id, [long])
    assert router.billed(made.id).billing_receipt.reserved.amount == cost


def test_longer_items_keep_the_price_limit(router: BatchRouter) -> None:
    """A limit that the quoted item keeps to, and a batch of another item that does not."""
    quote = router.quote([item()], max_price={"currency": "usd", "amount": "0.001"})
    long = item(input={"messages": [{"role": "user", "content": "word " * 60_000}]})
    assert refused(router, quote.quote_id, [long]).issues == [("max_price_exceeded", "max_price", None)]


def test_without_credits_there_is_no_batch(router: BatchRouter, alice: Customer, cloud: Cloud) -> None:
    """402 with the documented code; nothing was made, and nothing reserved."""
    prepaid(alice, "0.000001")
    reply = router.post(router.quote([item()]).quote_id, [item()])
    assert reply.status_code == 402
    assert Error.model_validate_json(reply.content).error.code == "insufficient_credits"
    assert rows_of(cloud, alice, "batch#") == []
    assert router.account().reserved.amount == "0.000000"


def test_of_many_at_once_as_many_are_made_as_are_paid_for(router: BatchRouter, alice: Customer, cloud: Cloud) -> None:
    """Forty creations against credits for about ten: the balance never falls below zero, and no credit is lost."""
    quote = router.quote([item()])
    price = Decimal(quote.pricing_estimate.amount)
    prepaid(alice, f"{price * 10:f}")
    statuses: list[int] = []

    def send() -> None:
        statuses.append(router.post(quote.quote_id, [item()]).status_code)

    senders = [threading.Thread(target=send) for _ in range(40)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    made = statuses.count(202)
    assert 9 <= made <= 11 and statuses.count(402) == 40 - made
    account = router.account()
    assert Decimal(account.credit_balance.amount) >= 0
    assert len(rows_of(cloud, alice, "batch#")) == made


@pytest.mark.parametrize(
    "url", ["http://example.com/", "https://127.0.0.1/", "https://169.254.169.254/latest", "https://[::1]/", "ftp://x"]
)
def test_unsafe_webhooks_are_found_in_preflight(router: BatchRouter, url: str) -> None:
    """Beside whatever else is wrong."""
    webhook = {"url": url, "secret": "a-strong-shared-secret"}
    found = refused(router, None, [item()], webhook=webhook)
    assert found.issues == [("quote_required", "quote_id", None), ("unsafe_webhook_url", "webhook.url", None)]


def test_a_webhooks_secret_is_checked_in_preflight(router: BatchRouter) -> None:
    """As an account's is: one of control characters is none."""
    webhook = {"url": "https://example.com/", "secret": "\x00" * 8}
    found = refused(router, None, [item()], webhook=webhook)
    assert found.issues == [("quote_required", "quote_id", None), ("invalid_webhook_secret", "webhook.secret", None)]


def test_a_file_of_long_lines_behind_short_ones_costs_what_it_weighs(
    router: BatchRouter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a large file the beginning is read; the rest counts by its bytes, whose number is known."""
    monkeypatch.setattr("batchyard.steps.forecast.SAMPLE_LINES", 2)
    words = {"messages": [{"role": "user", "content": "word " * 20_000}]}
    lines = [item(1), item(2), *(item(number, input=words) for number in range(3, 7))]
    content = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    quote = router.quote(input_file_id=router.upload(content).id)
    assert (quote.item_count, quote.sampled_items) == (6, 2)
    assert quote.pricing_estimate.breakdown.input_tokens > 50_000
