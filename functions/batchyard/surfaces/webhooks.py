"""Webhooks and their deliveries as the API shows them: bodies, objects, and what is read of a request.

OpenAI has webhooks in its dashboard only, and BatchRouter documents how one is set, so most of this is ours, in the
style of OpenAI's objects.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from typing_extensions import TypedDict

from batchyard.core.deliveries import Attempt, Delivery
from batchyard.core.errors import InvalidRequest
from batchyard.core.webhook_urls import MOST_CHARACTERS
from batchyard.core.webhooks import SECRET_CHARACTERS, ShownWebhook, WebhookStyle, WebhookTarget
from batchyard.surfaces.bodies import Body

Style = Literal["batchrouter", "openai", "kushrouter"]


class Webhook(Body):
    """Where events are sent, and the secret that signs them. Only in the style `openai` a secret may be left out: then
    one is made and shown once."""

    url: str = Field(min_length=1, max_length=MOST_CHARACTERS)
    secret: str | None = Field(default=None, min_length=SECRET_CHARACTERS[0], max_length=SECRET_CHARACTERS[1])
    style: Style = "batchrouter"


class WebhookObject(TypedDict):
    """`secret`: only in the reply that set the webhook, and only if it was made then."""

    object: Literal["webhook"]
    url: str
    style: Style
    secret: str | None
    updated_at: int


class DeletedWebhook(TypedDict):
    object: Literal["webhook"]
    url: str
    deleted: Literal[True]


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


def webhook_target(wanted: Webhook) -> WebhookTarget:
    """Raises InvalidRequest if a secret is missing. An empty one stands for one that is to be made."""
    if wanted.secret is None and wanted.style != "openai":
        raise InvalidRequest("Missing required parameter: 'secret'.", param="secret", code="missing_required_parameter")
    return WebhookTarget(wanted.url, wanted.secret or "", WebhookStyle(wanted.style))


def webhook_object(webhook: ShownWebhook) -> WebhookObject:
    return {
        "object": "webhook",
        "url": webhook.url,
        "style": webhook.style.value,
        "secret": webhook.secret,
        "updated_at": webhook.set_at,
    }


def deleted_webhook(webhook: ShownWebhook) -> DeletedWebhook:
    return {"object": "webhook", "url": webhook.url, "deleted": True}


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
