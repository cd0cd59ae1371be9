"""Webhooks: signatures against fixed vectors and a client's own verifier, events, how long deliveries are tried."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from dataclasses import replace
from typing import Any

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchyard.core.batches import Batch, Ending, Status
from batchyard.core.deliveries import (
    KEPT_SECONDS,
    LEASE_SECONDS,
    MOST_TRIES,
    OF_ACCOUNT,
    Attempt,
    Delivery,
    DeliveryProblem,
    DeliveryState,
    delivery_id,
    leased,
    new_give_up_at,
    postponed,
    replayed,
    slow_seconds,
    tried,
    wait_seconds,
)
from batchyard.core.lanes import Lane
from batchyard.core.requests import BatchRequest
from batchyard.core.sharding import LaneShards, Plan
from batchyard.core.usage import Tally
from batchyard.core.webhooks import WebhookStyle, WebhookTarget, headers, new_secret, secret_problem
from batchyard.surfaces.webhook_events import write_event

NOW = 1_790_000_000
BATCH_ID = "batch_01k9qvb2m4h8n6p0r3t5v7w9x1"
EVENT_ID = delivery_id(BATCH_ID, OF_ACCOUNT)
BODY = b'{"id":"evt_1","type":"batch.completed"}'
DAY = 86_400


def batch(status: Status = Status.COMPLETED) -> Batch:
    made = Batch(BATCH_ID, "acct_1", "openai", "/v1/embeddings", "file-1", "24h", status, NOW, NOW + DAY)
    tally = Tally(succeeded=2, failed=1, cost_picousd=1_234_560_000_000)
    plan = Plan("run1", 3, 1, (LaneShards(Lane("openai", "gpt-4o-mini"), 0, 1, 3),), 128, False, None)
    return replace(made, status_times={str(status): NOW + 60}, tally=tally, plan=plan)


def target(style: WebhookStyle, secret: str = "a-strong-shared-secret") -> WebhookTarget:
    return WebhookTarget("https://example.com/hook", secret, style)


def delivery(**fields: Any) -> Delivery:
    return Delivery(
        id=EVENT_ID,
        account_id="acct_1",
        batch_id=BATCH_ID,
        owner=OF_ACCOUNT,
        event="batch.completed",
        style=WebhookStyle.OPENAI,
        url="https://example.com/hook",
        body=BODY,
        created_at=NOW,
        due_at=NOW,
        give_up_at=new_give_up_at(NOW),
        **fields,
    )


FAILED = Attempt(NOW, 12, 500, DeliveryProblem.STATUS, "The receiver said 500.", "oops")


# Signatures.


def test_batchrouters_signature_is_the_hex_hmac_of_the_raw_body() -> None:
    """Against a fixed vector, worked out with another program (openssl dgst -sha256 -hmac)."""
    signed = headers(target(WebhookStyle.BATCHROUTER), EVENT_ID, BODY, NOW)
    assert signed["x-batchrouter-signature"] == "e4df41af40dc9348c7f0412a1430dfc2bd98b3be39bfb34f53f96d9cad061d60"
    assert signed["content-type"] == "application/json"


def test_kushrouters_signature_has_its_time_beside_it() -> None:
    """The same HMAC in their header, and the second at which it was sent."""
    signed = headers(target(WebhookStyle.KUSHROUTER), EVENT_ID, BODY, NOW)
    assert signed["x-kr-signature"] == "e4df41af40dc9348c7f0412a1430dfc2bd98b3be39bfb34f53f96d9cad061d60"
    assert signed["x-kr-timestamp"] == str(NOW)


def test_standard_webhooks_own_example_comes_out() -> None:
    """The example of the specification's reference libraries: id, time, body and secret give that very signature."""
    secret = WebhookTarget("https://example.com", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", WebhookStyle.OPENAI)
    signed = headers(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", b'{"test": 2432232314}', 1614265330)
    assert signed["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("secret", [new_secret(bytes(range(32))), "a-strong-shared-secret"])
@pytest.mark.parametrize("ending", list(Ending))
def test_openais_sdk_accepts_each_event(secret: str, ending: Ending) -> None:
    """`client.webhooks.unwrap`, unmodified: it checks the signature, and parses the event as the type it is."""
    client = openai.OpenAI(api_key="none", webhook_secret=secret)
    body = write_event(batch(ending.status), WebhookStyle.OPENAI, EVENT_ID)
    now = int(time.time())
    signed = headers(target(WebhookStyle.OPENAI, secret), EVENT_ID, body, now)
    event = client.webhooks.unwrap(body, dict(signed))
    assert event.type == f"batch.{ending.status}"
    assert event.id == EVENT_ID == signed["webhook-id"]
    assert event.object == "event"
    assert event.created_at == NOW + 60
    assert json.loads(event.to_json())["data"] == {"id": BATCH_ID}
    with pytest.raises(openai.InvalidWebhookSignatureError):
        client.webhooks.unwrap(body + b" ", dict(signed))
    with pytest.raises(openai.InvalidWebhookSignatureError):
        client.webhooks.unwrap(body, {**signed, "webhook-id": "evt_2"})
    with pytest.raises(openai.InvalidWebhookSignatureError):
        client.webhooks.unwrap(body, dict(headers(target(WebhookStyle.OPENAI, secret), EVENT_ID, body, now - 999)))


@given(secret=st.text(st.characters(exclude_categories=["Cs"]), min_size=8, max_size=40), body=st.binary(max_size=50))
def test_a_receiver_that_does_what_the_documents_say_agrees(secret: str, body: bytes) -> None:
    """For any secret and body."""
    signature = headers(target(WebhookStyle.BATCHROUTER, secret), EVENT_ID, body, NOW)["x-batchrouter-signature"]
    assert hmac.compare_digest(signature, hmac.new(secret.encode(), body, hashlib.sha256).hexdigest())


def test_a_secret_is_never_shown_by_accident() -> None:
    """Not in the repr of what holds it, and a request's fingerprint is a digest that does not give it away."""
    webhook = target(WebhookStyle.BATCHROUTER, "hush-hush-hush")
    assert "hush" not in repr(webhook)
    request = BatchRequest("batchrouter", "/v1/chat/completions", "file-1", webhook=webhook)
    assert "hush" not in repr(request)
    assert "hush" not in request.fingerprint
    assert request.fingerprint != replace(request, webhook=replace(webhook, secret="another")).fingerprint
    assert request.fingerprint != replace(request, webhook=replace(webhook, url="https://example.org/")).fingerprint
    assert request.fingerprint != replace(request, webhook=None).fingerprint


@pytest.mark.parametrize(
    ("secret", "style"),
    [
        ("1234567", WebhookStyle.BATCHROUTER),
        ("a" * 257, WebhookStyle.BATCHROUTER),
        ("with\na line", WebhookStyle.KUSHROUTER),
        ("whsec_", WebhookStyle.OPENAI),
        ("whsec_!!!!!!!!!!!!!!!!!!!!!!!!", WebhookStyle.OPENAI),
        ("whsec_" + base64.b64encode(b"short").decode(), WebhookStyle.OPENAI),
    ],
)
def test_bad_secrets_are_refused(secret: str, style: WebhookStyle) -> None:
    """Too short, too long, not printable, or what a verifier could not decode."""
    assert secret_problem(secret, style) is not None


def test_good_secrets_are_taken() -> None:
    """8 to 256 characters; in OpenAI's style also those of Standard Webhooks, and the ones made here."""
    for style in WebhookStyle:
        assert secret_problem("12345678", style) is None
        assert secret_problem("a" * 256, style) is None
    assert secret_problem(new_secret(bytes(32)), WebhookStyle.OPENAI) is None
    with pytest.raises(ValueError, match="32 random bytes"):
        new_secret(b"few")


# Events.


def test_openais_event_is_theirs_to_the_letter() -> None:
    """Five members, the batch's id only."""
    assert json.loads(write_event(batch(), WebhookStyle.OPENAI, EVENT_ID)) == {
        "id": EVENT_ID,
        "object": "event",
        "type": "batch.completed",
        "created_at": NOW + 60,
        "data": {"id": BATCH_ID},
    }


def test_batchrouters_event_says_how_the_batch_went() -> None:
    """Counts and cost, in ISO times."""
    assert json.loads(write_event(batch(Status.FAILED), WebhookStyle.BATCHROUTER, EVENT_ID)) == {
        "id": EVENT_ID,
        "type": "batch.failed",
        "created_at": "2026-09-21T14:14:20Z",
        "data": {
            "batch_id": BATCH_ID.replace("batch_", "bat_"),
            "status": "failed",
            "items_total": 3,
            "items_completed": 2,
            "items_failed": 1,
            "cost_usd": "1.234560",
            "created_at": "2026-09-21T14:13:20Z",
        },
    }


def test_kushrouters_event_has_its_name_under_event() -> None:
    """With the batch's counts."""
    event = json.loads(write_event(batch(Status.EXPIRED), WebhookStyle.KUSHROUTER, EVENT_ID))
    assert (event["id"], event["event"], event["created_at"]) == (EVENT_ID, "batch.expired", NOW + 60)
    assert event["data"]["id"] == BATCH_ID
    assert event["data"]["request_counts"] == {"total": 3, "completed": 2, "failed": 1}


# Deliveries.


def test_the_id_follows_from_batch_and_webhook() -> None:
    """The same again and again; another one for another webhook."""
    assert delivery_id(BATCH_ID, OF_ACCOUNT) == EVENT_ID
    assert EVENT_ID.startswith("evt_")
    assert delivery_id(BATCH_ID, BATCH_ID) != EVENT_ID


@given(randoms=st.lists(st.floats(0, 1), min_size=MOST_TRIES, max_size=MOST_TRIES))
def test_eight_tries_within_a_day(randoms: list[float]) -> None:
    """Whatever the jitter: the eighth try comes, and comes within 24 hours; then the delivery has failed."""
    one, now = delivery(), NOW
    for random in randoms:
        assert one.is_pending
        now = one.due_at
        one = tried(leased(one, now), replace(FAILED, at=now), now, random)
    assert one.state is DeliveryState.FAILED
    assert one.tries == len(one.attempts) == MOST_TRIES
    assert NOW + 0.75 * DAY < now <= NOW + DAY


@given(late=st.lists(st.integers(0, 960), min_size=MOST_TRIES, max_size=MOST_TRIES))
def test_eight_tries_however_late_they_are(late: list[int]) -> None:
    """Each up to a quarter of an hour, as those are whose receiver lets others wait: the last wait is cut short, and
    the eighth try comes as the day ends."""
    one, now = delivery(), NOW
    for seconds in late:
        assert one.is_pending
        now = one.due_at + seconds
        one = tried(leased(one, now), replace(FAILED, at=now), now, 0.0)
    assert (one.state, one.tries) == (DeliveryState.FAILED, MOST_TRIES)
    assert now <= NOW + DAY + 960


def test_nothing_is_tried_again_when_its_day_is_over() -> None:
    """Also if tries are left: they come within a day."""
    assert tried(delivery(), FAILED, NOW + DAY, 0.0).state is DeliveryState.FAILED
    assert tried(delivery(), FAILED, NOW + DAY - 5, 0.0).due_at == NOW + DAY


def test_waits_grow_and_are_spread() -> None:
    """Each at least twice the one before, by up to a fifth shorter at random; none after the eighth try."""
    longest = [wait_seconds(tries, 0.0) for tries in range(1, MOST_TRIES)]
    shortest = [wait_seconds(tries, 1.0) for tries in range(1, MOST_TRIES)]
    assert longest == [60, 300, 1_800, 7_200, 14_400, 21_600, 39_600]
    assert shortest == [48, 240, 1_440, 5_760, 11_520, 17_280, 31_680]
    assert wait_seconds(MOST_TRIES, 0.5) is None


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_a_success_ends_it(status: int) -> None:
    """With what the receiver said kept."""
    done = tried(delivery(), Attempt(NOW, 5, status), NOW, 0.5)
    assert done.state is DeliveryState.DELIVERED
    assert done.attempts == (Attempt(NOW, 5, status),)


def test_a_removed_webhook_is_not_tried_again() -> None:
    """There is nobody to deliver to."""
    gone = Attempt(NOW, problem=DeliveryProblem.REMOVED)
    assert tried(delivery(), gone, NOW, 0.5).state is DeliveryState.FAILED


def test_a_replay_begins_anew() -> None:
    """Due now, eight tries, a day of its own; id, body and the attempts so far stay."""
    one = delivery()
    for _ in range(MOST_TRIES):
        one = tried(one, FAILED, NOW, 0.0)
    again = replayed(one, NOW + 5 * DAY)
    assert (again.state, again.tries, again.replays) == (DeliveryState.PENDING, 0, 1)
    assert (again.due_at, again.give_up_at) == (NOW + 5 * DAY, NOW + 6 * DAY)
    assert (again.id, again.body, again.attempts) == (one.id, one.body, one.attempts)
    assert again.to_row()["ttl"] == NOW + 5 * DAY + KEPT_SECONDS


def test_attempts_are_bounded() -> None:
    """However often it is replayed, a row stays small: the last 24 are kept."""
    one = delivery()
    for number in range(100):
        one = tried(replayed(one, NOW), replace(FAILED, at=number), NOW, 0.0)
    assert [attempt.at for attempt in one.attempts] == list(range(76, 100))


def test_waiting_for_a_slow_receiver_costs_no_try_and_ends_in_time() -> None:
    """It is put off at random within half a minute, and no longer than the delivery lives."""
    later = postponed(delivery(tries=3), NOW + 60, 1.0)
    assert later is not None
    assert (later.tries, later.due_at) == (3, NOW + 90)
    assert postponed(delivery(), NOW + DAY, 0.0) is None
    assert [slow_seconds(times) for times in range(7)] == [30, 60, 120, 240, 480, 900, 900]
    assert slow_seconds(10_000) == 900


def test_a_claim_holds_others_off_for_a_minute() -> None:
    """And moves the version, so that whoever read it before loses."""
    claimed = leased(delivery(), NOW)
    assert (claimed.due_at, claimed.version) == (NOW + LEASE_SECONDS, 1)


@pytest.mark.parametrize("state", list(DeliveryState))
def test_a_row_brings_back_what_was_put(state: DeliveryState) -> None:
    """Also if a later version has written more into it."""
    one = delivery(state=state, tries=1, attempts=(FAILED, Attempt(NOW, 3, 200)))
    row = one.to_row() | {"from_the_future": 1}
    row["attempts"][0]["from_the_future"] = 1
    assert Delivery.from_row(row) == one
