"""Webhooks on the local cloud: told about every ending, signed for the clients that check it, and delivered past
receivers that hang, redirect, answer garbage or fail."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

import httpx
import openai
import pytest

from local.cloud import LocalCloud
from tests.customer import NO_TLS, Customer, chat_line, eventually
from tests.webhook_receiver import Received, WebhookReceiver

SECRET = "a-strong-shared-secret"


class Hooked:
    """A customer with a webhook at a path of its own, whose name says the receiver's manners."""

    def __init__(self, customer: Customer, receiver: WebhookReceiver, manner: str, **webhook: str) -> None:
        self.customer = customer
        self.receiver = receiver
        self.path = f"/{manner}/{customer.account_id}"
        self.webhook = self.ask(
            "PUT", "/v1/auth/account/delivery-webhook", {"url": receiver.url + self.path, **webhook}
        )

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        reply = httpx.request(
            method,
            self.customer.cloud.api_url + path,
            json=body,
            headers={"authorization": f"Bearer {self.customer.api_key}", **headers},
            timeout=300,
            verify=NO_TLS,
        )
        assert reply.is_success, reply.text
        return reply.json()

    def deliveries(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ask("GET", "/v1/webhooks/deliveries")["data"]
        return found

    def received(self, count: int = 1) -> list[Received]:
        """The first `count` requests, once they have come."""

        def look() -> list[Received] | None:
            found = self.receiver.at(self.path)
            return found[:count] if len(found) >= count else None

        return eventually(look, f"{count} requests at {self.path}")

    def swept_until(self, status: str) -> dict[str, Any]:
        """The only delivery, once it has this status; Sweep runs until then."""

        def look() -> dict[str, Any] | None:
            found = self.deliveries()
            if found and found[0]["status"] == status:
                return found[0]
            self.customer.cloud.fire("sweep")
            return None

        return eventually(look, f"the delivery is {status}")


def test_openais_sdk_takes_every_ending(customer: Customer, receiver: WebhookReceiver) -> None:
    """A batch that completes, one that is cancelled and one that fails: one event each, at once, which
    `client.webhooks.unwrap` accepts as it came."""
    hooked = Hooked(customer, receiver, "ok", style="openai")
    client = openai.OpenAI(api_key="none", webhook_secret=hooked.webhook["secret"])
    done, _ = customer.run([chat_line(1)])
    broken = customer.wait(customer.submit(b"no json\n").id)
    stopped = customer.submit([chat_line(2, "latency:3000")])
    customer.openai.batches.cancel(stopped.id)
    customer.wait(stopped.id)
    requests = hooked.received(3)
    events = [client.webhooks.unwrap(each.body, dict(each.headers)) for each in requests]
    told = {json.loads(each.body)["data"]["id"]: event.type for each, event in zip(requests, events, strict=True)}
    assert told == {done.id: "batch.completed", broken.id: "batch.failed", stopped.id: "batch.cancelled"}
    eventually(lambda: {each["status"] for each in hooked.deliveries()} == {"delivered"}, "all delivered")
    assert {each["id"] for each in hooked.deliveries()} == {each.headers["webhook-id"] for each in requests}


def test_kushrouters_batches_are_told_about_too(customer: Customer, receiver: WebhookReceiver) -> None:
    """Another surface, in KushRouter's style: HMAC of the raw body, and the time."""
    hooked = Hooked(customer, receiver, "ok", style="kushrouter", secret=SECRET)
    made = hooked.ask(
        "POST",
        "/api/openai/v1/batches",
        {"requests": [{"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]}]},
    )
    (request,) = hooked.received()
    assert request.headers["x-kr-signature"] == hmac.new(SECRET.encode(), request.body, hashlib.sha256).hexdigest()
    assert int(request.headers["x-kr-timestamp"]) > 0
    event = json.loads(request.body)
    assert (event["event"], event["data"]["id"]) == ("batch.completed", made["id"])


def test_a_batch_tells_its_own_webhook(customer: Customer, receiver: WebhookReceiver) -> None:
    """BatchRouter's `webhook` of a batch: its URL and secret, and nothing for the account's."""
    hooked = Hooked(customer, receiver, "ok", style="openai")
    own = {"url": f"{receiver.url}/ok/own-{customer.account_id}", "secret": "a-secret-of-this-batch"}
    messages = [{"role": "user", "content": "hi"}]
    items = [
        {"customer_item_id": "1", "operation": "responses", "model": "gpt-4o-mini", "input": {"messages": messages}}
    ]
    quote = hooked.ask("POST", "/v1/quotes/model", {"items": items})["quote_id"]
    wanted = {"quote_id": quote, "items": items, "webhook": own}
    made = hooked.ask("POST", "/v1/batches", wanted, **{"idempotency-key": f"own-{customer.account_id}"})["batch"]
    path = own["url"].removeprefix(receiver.url)
    (request,) = eventually(lambda: receiver.at(path) or None, "the batch's own webhook is told")
    signature = hmac.new(own["secret"].encode(), request.body, hashlib.sha256).hexdigest()
    assert request.headers["x-batchrouter-signature"] == signature
    event = json.loads(request.body)
    assert (event["type"], event["data"]["batch_id"]) == ("batch.completed", made["id"])
    assert len(hooked.deliveries()) == 1
    assert receiver.at(hooked.path) == []


def test_a_receiver_that_fails_twice_has_it_at_the_third_try(customer: Customer, receiver: WebhookReceiver) -> None:
    """BatchRouter's signature, the same body each time; then a replay brings it once more."""
    hooked = Hooked(customer, receiver, "flaky", secret=SECRET)
    batch, _ = customer.run([chat_line(3)])
    delivery = hooked.swept_until("delivered")
    assert delivery["batch_id"] == batch.id
    assert [each["status"] for each in delivery["attempts"]] == [500, 500, 200]
    hooked.ask("POST", f"/v1/webhooks/deliveries/{delivery['id']}/replay")
    requests = hooked.received(4)
    signature = hmac.new(SECRET.encode(), requests[0].body, hashlib.sha256).hexdigest()
    assert {(each.body, each.headers["x-batchrouter-signature"]) for each in requests} == {
        (requests[0].body, signature)
    }
    assert json.loads(requests[0].body)["type"] == "batch.completed"


@pytest.mark.parametrize(("manner", "problem"), [("redirect", "http_status"), ("garbage", "no_http_reply")])
def test_bad_manners_are_recorded_and_given_up(
    customer: Customer, receiver: WebhookReceiver, manner: str, problem: str
) -> None:
    """Redirects are not followed, garbage is no success: eight tries, each recorded, and it has failed."""
    hooked = Hooked(customer, receiver, manner, secret=SECRET)
    customer.run([chat_line(4)])
    delivery = hooked.swept_until("failed")
    assert [each["problem"] for each in delivery["attempts"]] == [problem] * 8
    assert len(receiver.at(hooked.path)) == 8
    assert receiver.at("/ok/redirected") == []


def test_a_receiver_that_hangs_delays_nobody_else(
    customer: Customer, stranger: Customer, receiver: WebhookReceiver
) -> None:
    """While one account's receiver holds its request, the other account's event arrives."""
    hanging = Hooked(customer, receiver, "hang", secret=SECRET)
    quick = Hooked(stranger, receiver, "ok", secret=SECRET)
    customer.run([chat_line(5)])
    hanging.received()
    stranger.run([chat_line(6)])
    quick.received()
    receiver.release()


def test_no_other_place_on_this_machine_is_delivered_to(customer: Customer, cloud: LocalCloud) -> None:
    """The one receiver is allowed by address and port; the local cloud's own API is not, nor is any name for it."""
    for url in (cloud.api_url, cloud.aws_endpoint, "https://127.0.0.1/", "https://localhost/", "https://10.0.0.1/"):
        reply = httpx.put(
            f"{cloud.api_url}/v1/auth/account/delivery-webhook",
            json={"url": url, "secret": SECRET},
            headers={"authorization": f"Bearer {customer.api_key}"},
        )
        assert reply.status_code == 400
        assert reply.json()["error"]["code"] == "unsafe_webhook_url"


def test_no_grant_was_missing(cloud: LocalCloud) -> None:
    """Of all the functions that webhooks use."""
    functions = {"deliver", "notify", "account", "sweep", "batches"}
    assert [each for each in cloud.denials() if each["function"] in functions] == []
