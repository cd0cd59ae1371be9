"""Credits as operators handle them, and as customers of each dialect meet them."""

from __future__ import annotations

from typing import Any

import openai
import pytest

from batchyard.adapters.aws.batches import Batches
from batchyard.core.batches import BatchRef, Status
from batchyard.core.lanes import Lane
from batchyard.handlers import admin, validate
from tests.api.api import Cloud, Customer, jsonl
from tests.api.gateway import Context, Gateway
from tests.batchrouter import BatchRouter, item
from tests.kushrouter import KushRouter, Refused, line


def ask(action: str, **fields: Any) -> dict[str, Any]:
    answer: dict[str, Any] = admin.handler({"action": action, **fields}, Context())
    return answer


def pay(customer: Customer, usd: str = "10", billing: str = "prepaid", top_up: str = "invoice-1") -> dict[str, Any]:
    assert ask("set_billing", account_id=customer.account_id, billing=billing)["billing"] == billing
    return ask("top_up", account_id=customer.account_id, id=top_up, usd=usd)


def balance(customer: Customer) -> dict[str, str]:
    shown: dict[str, str] = ask("show_balance", account_id=customer.account_id)["balance"]
    return shown


def test_a_top_up_counts_once(cloud: Cloud, alice: Customer) -> None:
    """The same id with the same amount is the same top-up; with another amount it is refused."""
    first = pay(alice)
    assert first["balance"] == {"available_usd": "10.000000", "reserved_usd": "0.000000", "charged_usd": "0.000000"}
    assert pay(alice) == first
    assert pay(alice, "11")["error"]["param"] == "id"
    assert pay(alice, "0.5", top_up="invoice-2")["balance"]["available_usd"] == "10.500000"
    listed = ask("list_entries", account_id=alice.account_id)
    assert [(entry["about"], entry["amount_usd"]) for entry in listed["entries"]] == [
        ("invoice-2", "0.500000"),
        ("invoice-1", "10.000000"),
    ]
    page = ask("list_entries", account_id=alice.account_id, limit=1)
    assert page["has_more"]
    rest = ask("list_entries", account_id=alice.account_id, after=page["entries"][0]["id"])
    assert [entry["about"] for entry in rest["entries"]] == ["invoice-1"] and not rest["has_more"]
    assert ask("check_books", account_id=alice.account_id)["balances"] is True


def test_a_wrong_top_up_is_taken_back(cloud: Cloud, alice: Customer) -> None:
    """As long as the credits are there."""
    pay(alice)
    assert pay(alice, "-4", top_up="mistake")["balance"]["available_usd"] == "6.000000"
    assert "6.000000" in pay(alice, "-7", top_up="too-much")["error"]["message"]
    assert pay(alice, "-6", top_up="rest")["balance"]["available_usd"] == "0.000000"
    assert pay(alice, "-6", top_up="rest")["balance"]["available_usd"] == "0.000000"


@pytest.mark.parametrize(
    ("action", "fields", "param"),
    [
        ("set_billing", {"billing": "gold"}, "billing"),
        ("set_billing", {}, "billing"),
        ("set_billing", {"billing": "prepaid", "account_id": "acct_nope"}, "account_id"),
        ("top_up", {"id": "x", "usd": "1"}, "account_id"),
        ("set_daily_limit", {"usd": "1"}, "account_id"),
        ("set_daily_limit", {"usd": "-1"}, "usd"),
        ("set_daily_limit", {}, "usd"),
        ("top_up", {"id": "x", "usd": 1.5}, "usd"),
        ("top_up", {"id": "x", "usd": "1e3"}, "usd"),
        ("top_up", {"id": "x", "usd": "0"}, "usd"),
        ("top_up", {"id": "x", "usd": "1000001"}, "usd"),
        ("top_up", {"id": "a b", "usd": "1"}, "id"),
        ("top_up", {"usd": "1"}, "id"),
        ("show_balance", {"account_id": "acct_nope"}, "account_id"),
        ("list_entries", {"account_id": "acct_nope"}, "account_id"),
        ("list_entries", {"limit": 0}, "limit"),
        ("list_entries", {"limit": True}, "limit"),
        ("check_books", {"account_id": "acct_nope"}, "account_id"),
    ],
)
def test_operators_are_told_what_is_wrong(
    cloud: Cloud, alice: Customer, action: str, fields: dict[str, Any], param: str
) -> None:
    """By the name of what they gave; credits for an account that needs none are refused, too."""
    assert ask(action, **{"account_id": alice.account_id} | fields)["error"]["param"] == param


def test_without_credits_no_batch_is_made(cloud: Cloud, alice: Customer) -> None:
    """402 with a code of its own, and nothing is left behind; with credits the same request is served."""
    file = alice.openai.files.create(file=jsonl(), purpose="batch")
    ask("set_billing", account_id=alice.account_id, billing="prepaid")
    arguments: dict[str, Any] = {
        "input_file_id": file.id,
        "endpoint": "/v1/chat/completions",
        "completion_window": "24h",
    }
    with pytest.raises(openai.APIStatusError) as refused:
        alice.openai.batches.create(**arguments)
    assert (refused.value.status_code, refused.value.code) == (402, "insufficient_credits")
    assert cloud.started == []
    pay(alice, "1")
    assert alice.openai.batches.create(**arguments).status == "validating"


def test_too_few_credits_for_a_small_file_are_402(cloud: Cloud, alice: Customer) -> None:
    """What a small file may cost is known when its batch is made; it is reserved then, once. A large one is left to
    validation, and so is one that cannot be a batch."""
    file = alice.openai.files.create(file=jsonl(), purpose="batch")
    broken = alice.openai.files.create(file=("b.jsonl", b"no line\n"), purpose="batch")
    pay(alice, "0.000001")

    def create(file_id: str) -> str:
        made = alice.openai.batches.create(
            input_file_id=file_id, endpoint="/v1/chat/completions", completion_window="24h"
        )
        return made.id

    with pytest.raises(openai.APIStatusError) as refused:
        create(file.id)
    assert (refused.value.status_code, refused.value.code) == (402, "insufficient_credits")
    assert cloud.started == [] and balance(alice)["reserved_usd"] == "0.000000"
    create(broken.id)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("batchyard.steps.reserve.SMALL_FILE_BYTES", 1)
        create(file.id)
    pay(alice, "1", top_up="more")
    made = create(file.id)
    reserved = balance(alice)["reserved_usd"]
    assert reserved != "0.000000"
    validate.handler({"account_id": alice.account_id, "batch_id": made}, Context())
    batch = Batches(cloud.table).current(BatchRef(alice.account_id, made))
    assert (batch.status, balance(alice)["reserved_usd"]) == (Status.IN_PROGRESS, reserved)


def test_too_few_credits_for_requests_in_a_body_are_402(cloud: Cloud, alice: Customer) -> None:
    """KushRouter's inline requests: nothing is made of more than the account can pay for, of less it is."""
    pay(alice, "0.001")
    kush = KushRouter(f"https://{Gateway.HOST}", alice.key, transport=Gateway())
    with kush.http:
        long = [line(number, max_tokens=9000) for number in range(9)]
        with pytest.raises(Refused) as refused:
            kush.ask("POST", "/batches", json={"requests": long})
        assert (refused.value.status, refused.value.detail.code) == (402, "insufficient_credits")
        assert "Contents" not in cloud.objects._client.list_objects_v2(Bucket=cloud.objects.bucket)
        kush.ask("POST", "/batches", json={"requests": [line(1)]})
    assert len(cloud.started) == 1 and balance(alice)["reserved_usd"] != "0.000000"


def test_kushrouter_answers_402(cloud: Cloud, alice: Customer) -> None:
    """In the shape that it documents."""
    ask("set_billing", account_id=alice.account_id, billing="prepaid")
    kush = KushRouter(f"https://{Gateway.HOST}", alice.key, transport=Gateway())
    with kush.http, pytest.raises(Refused) as refused:
        kush.ask("POST", "/batches", json={"requests": [line(1)]})
    assert (refused.value.status, refused.value.detail.code) == (402, "insufficient_credits")
    assert cloud.started == [] and "Contents" not in cloud.objects._client.list_objects_v2(Bucket=cloud.objects.bucket)


def test_a_day_has_a_limit(cloud: Cloud, alice: Customer) -> None:
    """New batches are refused when it is reached; null takes it away."""
    pay(alice, billing="postpaid")
    assert ask("set_daily_limit", account_id=alice.account_id, usd="0")["daily_limit_usd"] == "0.000000"
    file = alice.openai.files.create(file=jsonl(), purpose="batch")
    arguments: dict[str, Any] = {
        "input_file_id": file.id,
        "endpoint": "/v1/chat/completions",
        "completion_window": "24h",
    }
    with pytest.raises(openai.APIStatusError) as refused:
        alice.openai.batches.create(**arguments)
    assert (refused.value.status_code, refused.value.code) == (402, "spend_limit_reached")
    shown = ask("show_balance", account_id=alice.account_id)
    assert (shown["daily_limit_usd"], shown["spent_today_usd"]) == ("0.000000", "0.000000")
    assert ask("set_daily_limit", account_id=alice.account_id, usd=None)["daily_limit_usd"] is None
    assert alice.openai.batches.create(**arguments).status == "validating"
    (listed,) = ask("list_accounts")["accounts"]
    assert (listed["billing"], listed["daily_limit_usd"]) == ("postpaid", None)


def test_the_prices_of_a_quote_go_with_its_batch(cloud: Cloud, alice: Customer) -> None:
    """Those of every lane that the quote names, also of those that were not selected: items may move there."""
    client = BatchRouter(f"https://{Gateway.HOST}", alice.key, Gateway())
    with client.http:
        quote = client.quote([item()])
        made = client.post(quote.quote_id, [item()]).json()["batch"]
    batch = Batches(cloud.table).current(BatchRef(alice.account_id, made["id"].replace("bat_", "batch_")))
    assert {(each.provider, each.model) for each in batch.prices} == {(x.provider, x.model) for x in quote.quote_lanes}
    pinned = batch.pinned_price(Lane("openai", "gpt-4o-mini"))
    assert pinned is not None and (pinned.input_microusd, pinned.output_microusd) == (150_000, 600_000)
