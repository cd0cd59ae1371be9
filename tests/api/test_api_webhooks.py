"""The API of webhooks and their deliveries, and the handlers of Notify, Deliver and Sweep, on moto."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

import pytest

from batchyard.adapters.aws.batches import Batches
from batchyard.adapters.webhook_sender import WebhookReply
from batchyard.core.batches import Batch, Status
from batchyard.core.deliveries import DeliveryProblem
from batchyard.core.webhooks import WebhookStyle, WebhookTarget
from batchyard.handlers import deliver, notify, resources, sweep
from batchyard.settings import WebhookSettings, load
from batchyard.steps.deliver import Outside
from tests.api.api import INSIDE, Cloud, Customer, jsonl
from tests.api.gateway import Context

PATH = "/v1/auth/account/delivery-webhook"
URL, SECRET = "https://example.com/hooks/batchrouter", "a-strong-shared-secret"
NOW, FAR = 1_790_000_000, 4_000_000_000


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any, bytes]]:
    """What the function that delivers has sent; the receiver says 500, then 200."""
    requests: list[tuple[str, Any, bytes]] = []
    replies = [WebhookReply(500, DeliveryProblem.STATUS, "The receiver said 500.", "oops"), WebhookReply(200)]

    def send(url: str, headers: Any, body: bytes) -> WebhookReply:
        requests.append((url, headers, body))
        return replies.pop(0)

    monkeypatch.setattr(deliver, "_outside", lambda: Outside(send, lambda: float(NOW), lambda: 0.0))
    return requests


def ended(account_id: str, number: int = 1) -> Batch:
    """A batch of the account that is over."""
    made = Batch(
        id=f"batch_01k9qvb2m4h8n6p0r3t5v7w9x{number}",
        account_id=account_id,
        surface="openai",
        endpoint="/v1/embeddings",
        input_file_id="file-1",
        completion_window="24h",
        status=Status.COMPLETED,
        created_at=NOW,
        expires_at=FAR,
    )
    made = replace(made, status_times={"completed": NOW})
    resources.batches().create(made)
    return made


def announced(batch: Batch) -> None:
    notify.handler({"account_id": batch.account_id, "batch_id": batch.id}, Context())


def test_a_webhook_is_set_shown_and_deleted(alice: Customer) -> None:
    """BatchRouter's body; the secret is never shown, another one replaces it, and what is gone is a 404."""
    assert alice.http.get(PATH).status_code == 404
    reply = alice.http.put(PATH, json={"url": URL, "secret": SECRET})
    assert reply.status_code == 200, reply.text
    shown = reply.json()
    assert shown == {
        "url": URL,
        "style": "batchrouter",
        "secret": None,
        "updated_at": shown["updated_at"],
    }
    assert alice.http.get(PATH).json() == shown
    alice.http.put(PATH, json={"url": f"{URL}/2", "secret": SECRET, "style": "kushrouter"})
    assert alice.http.get(PATH).json()["url"] == f"{URL}/2"
    assert alice.http.delete(PATH).json() == {"url": f"{URL}/2", "deleted": True}
    assert alice.http.get(PATH).status_code == alice.http.delete(PATH).status_code == 404


def test_a_secret_is_made_for_openais_style(alice: Customer) -> None:
    """Shown once, in the form that their SDK takes; another account sees nothing of it."""
    secret = alice.http.put(PATH, json={"url": URL, "style": "openai"}).json()["secret"]
    assert secret.startswith("whsec_")
    assert len(base64.b64decode(secret.removeprefix("whsec_"))) == 32
    assert alice.http.get(PATH).json()["secret"] is None
    stored = resources.webhooks().target(alice.account_id, "account", WebhookStyle.OPENAI)
    assert stored == WebhookTarget(URL, secret, WebhookStyle.OPENAI)


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({"secret": SECRET}, "url", "missing_field"),
        ({"url": URL}, "secret", "missing_field"),
        ({"url": URL, "secret": "1234567"}, "secret", "invalid_value"),
        ({"url": URL, "secret": "a" * 257}, "secret", "invalid_value"),
        ({"url": URL, "secret": 12345678}, "secret", "invalid_value"),
        ({"url": URL, "secret": "bell\x07 and more"}, "secret", "invalid_webhook_secret"),
        ({"url": URL, "secret": SECRET, "style": "slack"}, "style", "invalid_value"),
        ({"url": URL, "secret": SECRET, "events": []}, "events", "unknown_field"),
        ({"url": "http://example.com/", "secret": SECRET}, "url", "unsafe_webhook_url"),
        ({"url": "https://169.254.169.254/", "secret": SECRET}, "url", "unsafe_webhook_url"),
        ({"url": "http://127.0.0.1:9400/", "secret": SECRET}, "url", "unsafe_webhook_url"),
        ({"url": f"https://{INSIDE}/", "secret": SECRET}, "url", "unsafe_webhook_url"),
        ({"url": "", "secret": SECRET}, "url", "invalid_value"),
    ],
)
def test_bad_webhooks_are_refused(alice: Customer, body: dict[str, Any], param: str, code: str) -> None:
    """Each with the parameter and a code; nothing is kept."""
    reply = alice.http.put(PATH, json=body)
    assert reply.status_code == 400, reply.text
    assert (reply.json()["error"]["details"]["param"], reply.json()["error"]["code"]) == (param, code)
    assert alice.http.get(PATH).status_code == 404


def test_a_delivery_from_the_end_of_a_batch_to_a_replay(
    cloud: Cloud,
    alice: Customer,
    mallory: Customer,
    sent: list[tuple[str, Any, bytes]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Notify makes and starts it, the first attempt fails, the second succeeds; it is listed, read and replayed by its
    owner and nobody else."""
    alice.http.put(PATH, json={"url": URL, "style": "openai", "secret": SECRET})
    batch = ended(alice.account_id)
    monkeypatch.setattr(notify.time, "time", lambda: float(NOW))
    announced(batch)
    announced(batch)
    (event,) = cloud.delivered
    deliver.handler(event, Context())
    (listed,) = alice.http.get("/v1/webhooks/deliveries").json()["data"]
    assert listed == {
        "id": event["delivery_id"],
        "object": "webhook.delivery",
        "batch_id": batch.id,
        "event": "batch.completed",
        "style": "openai",
        "url": URL,
        "status": "pending",
        "created_at": NOW,
        "next_attempt_at": NOW + 60,
        "tries": 1,
        "replays": 0,
        "attempts": [
            {
                "attempted_at": NOW,
                "milliseconds": 0,
                "status": 500,
                "problem": "http_status",
                "detail": "The receiver said 500.",
                "reply": "oops",
            }
        ],
    }
    path = f"/v1/webhooks/deliveries/{listed['id']}"
    assert alice.http.get(path).json() == listed
    replayed = alice.http.post(f"{path}/replay").json()
    assert (replayed["status"], replayed["tries"], replayed["replays"]) == ("pending", 0, 1)
    assert cloud.delivered == [event, event]
    monkeypatch.setattr(deliver, "_outside", _later(deliver._outside(), replayed["next_attempt_at"]))
    deliver.handler(event, Context())
    assert alice.http.get(path).json()["status"] == "delivered"
    assert len({body for _, _, body in sent}) == 1
    assert mallory.http.get("/v1/webhooks/deliveries").json()["data"] == []
    assert mallory.http.get(path).status_code == mallory.http.post(f"{path}/replay").status_code == 404


def _later(outside: Outside, now: int) -> Any:
    return lambda: replace(outside, clock=lambda: float(now))


def test_deliveries_are_paged(alice: Customer) -> None:
    """Those of the newest batches first, each once."""
    alice.http.put(PATH, json={"url": URL, "secret": SECRET})
    for number in range(5):
        announced(ended(alice.account_id, number))
    seen: list[str] = []
    query: dict[str, str] = {"limit": "2"}
    while True:
        page = alice.http.get("/v1/webhooks/deliveries", params=query).json()
        seen += [each["id"] for each in page["data"]]
        if not page["has_more"]:
            break
        query["after"] = page["last_id"]
    assert len(seen) == len(set(seen)) == 5
    assert seen == sorted(seen, reverse=True)
    assert alice.http.get("/v1/webhooks/deliveries", params={"after": "evt_x"}).status_code == 400
    assert alice.http.get("/v1/webhooks/deliveries/evt_x").status_code == 404


def test_a_batch_brings_its_own_webhook(cloud: Cloud, alice: Customer, batches: Batches) -> None:
    """`BatchRequest.webhook` is kept with the batch, encrypted, in the transaction that makes it; it goes before the
    account's."""
    from batchyard.core.batches import BatchRef
    from batchyard.core.requests import BatchRequest
    from batchyard.handlers import batches as handler
    from batchyard.handlers.http import Call
    from batchyard.settings import ApiSettings
    from batchyard.surfaces import registry
    from batchyard.surfaces.http import Request

    alice.http.put(PATH, json={"url": URL, "secret": SECRET})
    file = alice.openai.files.create(file=jsonl(), purpose="batch")
    own = WebhookTarget("https://own.example/hook", "another-secret")
    request = Request("POST", "/v1/batches", "req_1", {}, {}, {}, b"")
    call = Call(request, registry.surface("openai"), alice.account_id, load(ApiSettings), NOW)
    wanted = BatchRequest("openai", "/v1/chat/completions", file.id, webhook=own)
    made = handler.create_batch(call, wanted)
    stored = batches.get(BatchRef(alice.account_id, made.id))
    assert stored is not None
    shown = resources.webhooks().of_batch(stored)
    assert shown is not None
    assert (shown.owner, shown.url) == (made.id, own.url)
    assert resources.webhooks().target(alice.account_id, made.id, own.style) == own
    rows = list(cloud.table.query(f"account#{alice.account_id}"))
    assert "another-secret" not in repr(rows)


def test_sweep_starts_what_is_due(cloud: Cloud, alice: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A delivery whose first start was lost; nothing for one that has arrived."""
    alice.http.put(PATH, json={"url": URL, "secret": SECRET})
    announced(ended(alice.account_id))
    cloud.delivered.clear()
    assert sweep.handler({}, Context())["deliveries"] == 1
    (event,) = cloud.delivered
    monkeypatch.setattr(
        deliver, "_outside", lambda: Outside(lambda *_: WebhookReply(200), notify.time.time, lambda: 0.0)
    )
    deliver.handler(event, Context())
    assert sweep.handler({}, Context())["deliveries"] == 0


def test_results_that_cannot_be_brought_back_keep_no_webhook_from_its_event(
    cloud: Cloud, alice: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Notify fails, and is repeated; the event is on its way all the same, once."""

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("the bucket is gone")

    alice.http.put(PATH, json={"url": URL, "secret": SECRET})
    batch = ended(alice.account_id)
    monkeypatch.setattr(notify, "notify", broken)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="gone"):
            announced(batch)
    assert len(cloud.delivered) == 1


def test_nothing_of_a_webhook_is_logged(
    cloud: Cloud, alice: Customer, sent: list[tuple[str, Any, bytes]], capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither secret nor URL, which with some receivers is a secret itself."""
    alice.http.put(PATH, json={"url": f"{URL}?token=hush", "secret": SECRET})
    announced(ended(alice.account_id))
    deliver.handler(cloud.delivered[0], Context())
    logged = capsys.readouterr().out
    assert "hush" not in logged
    assert SECRET not in logged


def test_a_deployed_function_allows_no_local_receiver(cloud: Cloud) -> None:
    """Without the local cloud's variable there are none."""
    assert load(WebhookSettings).webhook_hosts == ""
