"""`settings.webhook` and `settings.max_price`: what BatchRouter's bodies have as members of their own, every other
dialect takes as well, on moto."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from batchyard.adapters.aws.batches import Batches
from batchyard.adapters.webhook_sender import WebhookReply
from batchyard.core.batches import Batch, BatchRef, Status
from batchyard.core.deliveries import DeliveryProblem
from batchyard.core.webhooks import WebhookStyle, WebhookTarget, headers
from batchyard.handlers import deliver, notify, resources
from batchyard.steps.deliver import Outside
from tests.api.api import INSIDE, Cloud, Customer, jsonl
from tests.api.gateway import Context

URL, SECRET = "https://own.example/hook", "a-secret-of-its-own"
WEBHOOK = {"url": URL, "secret": SECRET}
NOW = 1_790_000_000
CHAT = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "x"}]}


@dataclass(frozen=True)
class Dialect:
    """How a batch is made in it. `style`: of its webhooks."""

    path: str
    body: Callable[[Customer], dict[str, Any]]
    style: WebhookStyle
    headers: Callable[[Customer], dict[str, str]] = field(default=lambda _: {})


def from_a_file(customer: Customer) -> dict[str, Any]:
    file = customer.openai.files.create(file=jsonl(), purpose="batch")
    return {"input_file_id": file.id, "endpoint": "/v1/chat/completions", "completion_window": "24h"}


DIALECTS = {
    "openai": Dialect("/v1/batches", from_a_file, WebhookStyle.OPENAI),
    "portkey": Dialect(
        "/v1/batches",
        from_a_file,
        WebhookStyle.OPENAI,
        lambda customer: {"x-portkey-api-key": customer.key, "x-portkey-provider": "@openai"},
    ),
    "kushrouter": Dialect("/api/v1/batches", lambda _: {"requests": [CHAT]}, WebhookStyle.KUSHROUTER),
    "anthropic": Dialect(
        "/v1/messages/batches",
        lambda _: {"requests": [{"custom_id": "a", "params": CHAT | {"max_tokens": 9}}]},
        WebhookStyle.OPENAI,
        lambda _: {"anthropic-version": "2023-06-01"},
    ),
}
every_dialect = pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)


def create(customer: Customer, dialect: Dialect, settings: Any, key: str | None = None, **body: Any) -> httpx.Response:
    sent = dialect.headers(customer) | ({"idempotency-key": key} if key else {})
    return customer.http.post(
        dialect.path, headers=sent, json=(body or dialect.body(customer)) | {"settings": settings}
    )


def made(customer: Customer, dialect: Dialect, settings: Any) -> Batch:
    reply = create(customer, dialect, settings)
    assert reply.status_code == 200, reply.text
    batch = resources.batches().get(BatchRef(customer.account_id, reply.json()["id"].removeprefix("msg")))
    assert batch is not None
    return batch


@every_dialect
def test_a_batch_of_any_dialect_brings_its_webhook(cloud: Cloud, alice: Customer, dialect: Dialect) -> None:
    """It goes before the account's, has the style of the dialect, and its secret is encrypted."""
    account = {"url": "https://example.com/hook", "secret": "the-accounts-secret"}
    alice.http.put("/v1/auth/account/delivery-webhook", json=account)
    batch = made(alice, dialect, {"webhook": WEBHOOK})
    shown = resources.webhooks().of_batch(batch)
    assert shown is not None
    assert (shown.owner, shown.url, shown.style) == (batch.id, URL, dialect.style)
    assert SECRET not in repr(list(cloud.table.query(f"account#{alice.account_id}")))
    without = made(alice, dialect, {"concurrency": 3})
    shown = resources.webhooks().of_batch(without)
    assert shown is not None
    assert (shown.url, without.concurrency, without.max_price_picousd) == (account["url"], 3, None)


@every_dialect
def test_its_event_is_signed_as_the_dialect_does(
    alice: Customer, batches: Batches, dialect: Dialect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The batch ends, and its webhook is told in the dialect's style, with its own secret."""
    sent: list[tuple[str, Any, bytes]] = []

    def send(url: str, given: Any, body: bytes) -> WebhookReply:
        sent.append((url, given, body))
        return WebhookReply(500, DeliveryProblem.STATUS, "The receiver said 500.", "oops")

    monkeypatch.setattr(deliver, "_outside", lambda: Outside(send, lambda: float(NOW), lambda: 0.0))
    monkeypatch.setattr(notify.time, "time", lambda: float(NOW))
    batch = made(alice, dialect, {"webhook": WEBHOOK})
    batches.finish(batch, Status.FAILED, NOW)
    notify.handler({"account_id": batch.account_id, "batch_id": batch.id}, Context())
    (delivery,) = alice.http.get("/v1/webhooks/deliveries").json()["data"]
    deliver.handler({"account_id": batch.account_id, "delivery_id": delivery["id"]}, Context())
    ((url, given, body),) = sent
    assert url == URL and batch.id.encode() in body
    assert given == headers(WebhookTarget(URL, SECRET, dialect.style), delivery["id"], body, NOW)


@every_dialect
@pytest.mark.parametrize(
    ("amount", "picousd"), [("12.50", 12_500_000_000_000), (0.01, 10_000_000_000), (3, 3 * 10**12)]
)
def test_a_batch_of_any_dialect_has_a_price_limit(
    cloud: Cloud, alice: Customer, dialect: Dialect, amount: Any, picousd: int
) -> None:
    """It is kept with the batch, which validation, shards and jobs hold to it; a number is read as it was written."""
    assert made(alice, dialect, {"max_price": amount}).max_price_picousd == picousd


@every_dialect
@pytest.mark.parametrize(
    ("settings", "param"),
    [
        ({"webhook": {"url": URL}}, "settings.webhook.secret"),
        ({"webhook": WEBHOOK | {"secret": "short"}}, "settings.webhook.secret"),
        ({"webhook": WEBHOOK | {"secret": "bell\x07 and more"}}, "settings.webhook.secret"),
        ({"webhook": WEBHOOK | {"url": "http://own.example/"}}, "settings.webhook.url"),
        ({"webhook": WEBHOOK | {"url": "https://169.254.169.254/"}}, "settings.webhook.url"),
        ({"webhook": WEBHOOK | {"url": f"https://{INSIDE}/"}}, "settings.webhook.url"),
        ({"webhook": WEBHOOK | {"style": "openai"}}, "settings.webhook.style"),
        ({"max_price": "-1"}, "settings.max_price"),
        ({"max_price": "1e3"}, "settings.max_price"),
        ({"max_price": True}, "settings.max_price"),
        ({"max_price": {"currency": "usd", "amount": "1"}}, "settings.max_price"),
    ],
)
def test_bad_settings_are_refused(
    cloud: Cloud, alice: Customer, dialect: Dialect, settings: dict[str, Any], param: str
) -> None:
    """The error names the member, or is about it, and nothing is made."""
    reply = create(alice, dialect, settings)
    assert reply.status_code == 400, reply.text
    error = reply.json()["error"]
    assert error.get("param", param) == param and (param in error["message"] or "webhook" in error["message"])
    assert cloud.started == []


@every_dialect
@pytest.mark.parametrize(
    "other",
    [
        {"max_price": "2", "webhook": WEBHOOK},
        {"max_price": "1", "webhook": WEBHOOK | {"url": URL + "s"}},
        {"max_price": "1", "webhook": WEBHOOK | {"secret": SECRET + "s"}},
        {"max_price": "1"},
    ],
)
def test_settings_are_a_part_of_the_request(alice: Customer, dialect: Dialect, other: dict[str, Any]) -> None:
    """The same idempotency key with the same settings is the same batch, with others a conflict."""
    body = dialect.body(alice)
    first, again, changed = (
        create(alice, dialect, settings, "the-same-key", **body)
        for settings in ({"max_price": "1", "webhook": WEBHOOK}, {"max_price": "1", "webhook": WEBHOOK}, other)
    )
    assert (first.status_code, again.status_code, changed.status_code) == (200, 200, 409), changed.text
    assert first.json()["id"] == again.json()["id"]
