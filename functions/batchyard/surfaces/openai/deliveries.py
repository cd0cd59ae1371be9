"""Deliveries of webhooks as the API shows them. No vendor has such an operation: they are ours, in the style of
OpenAI's objects."""

from __future__ import annotations

from typing import Literal

from typing_extensions import TypedDict

from batchyard.core.deliveries import Attempt, Delivery

Style = Literal["batchrouter", "openai", "kushrouter"]


class DeliveryAttempt(TypedDict):
    """`status`: of the receiver's reply. `problem` is null if it was 2xx; `detail` says it in words."""

    attempted_at: int
    milliseconds: int
    status: int | None
    problem: str | None
    detail: str
    reply: str


class DeliveryObject(TypedDict):
    """The event of one batch on its way to one webhook. `id` is also the event's. `next_attempt_at` is null if there is
    none. `tries`: since it was made or replayed. `attempts`: the last ones, oldest first."""

    id: str
    object: Literal["webhook.delivery"]
    batch_id: str
    event: str
    style: Style
    url: str
    status: Literal["pending", "delivered", "failed"]
    created_at: int
    next_attempt_at: int | None
    tries: int
    replays: int
    attempts: list[DeliveryAttempt]


class DeliveryList(TypedDict):
    object: Literal["list"]
    data: list[DeliveryObject]
    first_id: str | None
    last_id: str | None
    has_more: bool


def delivery_object(delivery: Delivery) -> DeliveryObject:
    return {
        "id": delivery.id,
        "object": "webhook.delivery",
        "batch_id": delivery.batch_id,
        "event": delivery.event,
        "style": delivery.style.value,
        "url": delivery.url,
        "status": delivery.state.value,
        "created_at": delivery.created_at,
        "next_attempt_at": delivery.due_at if delivery.is_pending else None,
        "tries": delivery.tries,
        "replays": delivery.replays,
        "attempts": [_attempt(attempt) for attempt in delivery.attempts],
    }


def _attempt(attempt: Attempt) -> DeliveryAttempt:
    return {
        "attempted_at": attempt.at,
        "milliseconds": attempt.milliseconds,
        "status": attempt.status,
        "problem": attempt.problem.value if attempt.problem else None,
        "detail": attempt.detail,
        "reply": attempt.reply,
    }
