"""Each AWS call of each step of the state machine fails, throttles, loses its answer or its caller: the books are exact
all the same, and the account's webhook is told."""

from __future__ import annotations

from typing import Any

import httpx

from local.cloud import LocalCloud
from local.provider import SimulatedProvider
from tests.customer import END_POLL_SECONDS, NO_TLS, Customer, chat_line, eventually
from tests.fault.every_call import Attempt, each_way, swept, walk
from tests.fault.evidence import ended, note
from tests.webhook_receiver import WebhookReceiver

# A function that waits between its tries holds up nobody else.
CLOUD = {"processes": 6}
WEBHOOK = "/v1/auth/account/delivery-webhook"
LINES = [chat_line(number, "status:400" if number == 5 else None) for number in range(12)]
CALLS_AT_LEAST = {"validate": 5, "dispatch": 4, "finalize": 8, "notify": 4, "deliver": 5}


@each_way
def test_a_batch_survives_any_call(
    cloud: LocalCloud, provider: SimulatedProvider, receiver: WebhookReceiver, way: str
) -> None:
    """Call N of Validate, of Dispatch, of Finalize, of Notify and of the function that delivers: twelve items in three
    shards end as they would have without, each in its file once, and are paid for once; the event arrives, under one
    id."""

    def run(attempt: Attempt) -> None:
        path = f"/ok/{attempt.customer.account_id}"
        ask(attempt.customer, "PUT", WEBHOOK, {"url": receiver.url + path, "secret": "a-strong-shared-secret"})
        attempt.strike()
        batch, checked = attempt.run(LINES)
        assert (batch.status, checked.succeeded, checked.failed) == ("completed", 11, 1)
        notified = "Notify, which comes after the end of the batch, is through"
        eventually(lambda: ended(cloud, batch.id), notified, pause=END_POLL_SECONDS)
        told = "the webhook is told"
        eventually(lambda: bool(receiver.at(path)) or (swept(cloud) and None), told, pause=END_POLL_SECONDS)
        known = "the account knows it"
        eventually(lambda: delivered(attempt.customer) or (swept(cloud) and None), known, pause=END_POLL_SECONDS)
        assert len({request.body for request in receiver.at(path)}) == 1

    met = walk(cloud, tuple(CALLS_AT_LEAST), way, run, side_by_side=14 if way == "throttled" else 8)
    note(f"calls of a step, {way}", met)
    assert all(met[function] >= calls for function, calls in CALLS_AT_LEAST.items()), met


def ask(customer: Customer, method: str, path: str, body: Any = None) -> Any:
    headers = {"authorization": f"Bearer {customer.api_key}"}
    url = customer.cloud.api_url + path
    reply = httpx.request(method, url, json=body, headers=headers, timeout=300, verify=NO_TLS)
    assert reply.is_success, reply.text
    return reply.json()


def delivered(customer: Customer) -> bool:
    """Whether its only event has arrived."""
    (delivery,) = ask(customer, "GET", "/v1/webhooks/deliveries")["data"]
    return bool(delivery["status"] == "delivered")
