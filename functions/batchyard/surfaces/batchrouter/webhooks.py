"""The webhook of an account, as BatchRouter has one set: `{url, secret}`. The style of its events is ours: receivers
that were made for OpenAI's or KushRouter's webhooks work as they are."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from typing_extensions import TypedDict

from batchyard.core.errors import InvalidRequest
from batchyard.core.webhook_urls import MOST_CHARACTERS
from batchyard.core.webhooks import SECRET_CHARACTERS, ShownWebhook, WebhookStyle, WebhookTarget
from batchyard.surfaces.batchrouter import requests
from batchyard.surfaces.batchrouter.times import iso
from batchyard.surfaces.bodies import Body
from batchyard.surfaces.http import Reply, Request, json_reply

Style = Literal["batchrouter", "openai", "kushrouter"]


class SetWebhook(Body):
    """Where events are sent, and the secret that signs them. Only in the style `openai` a secret may be left out: then
    one is made and shown once."""

    url: str = Field(min_length=1, max_length=MOST_CHARACTERS)
    secret: str | None = Field(default=None, min_length=SECRET_CHARACTERS[0], max_length=SECRET_CHARACTERS[1])
    style: Style = "batchrouter"


class DeliveryWebhook(TypedDict):
    """`secret`: only in the reply that set the webhook, and only if it was made then."""

    url: str
    style: Style
    secret: str | None
    updated_at: str


class RemovedWebhook(TypedDict):
    url: str
    deleted: Literal[True]


def read_webhook(request: Request) -> WebhookTarget:
    """An empty secret stands for one that is to be made."""
    wanted = requests.parsed(SetWebhook, request.json())
    if wanted.secret is None and wanted.style != "openai":
        raise InvalidRequest("'secret' is missing.", param="secret", code="missing_field")
    return WebhookTarget(wanted.url, wanted.secret or "", WebhookStyle(wanted.style))


def write_webhook(webhook: ShownWebhook) -> Reply:
    shown: DeliveryWebhook = {
        "url": webhook.url,
        "style": webhook.style.value,
        "secret": webhook.secret,
        "updated_at": iso(webhook.set_at),
    }
    return json_reply(shown)


def write_removed_webhook(webhook: ShownWebhook) -> Reply:
    removed: RemovedWebhook = {"url": webhook.url, "deleted": True}
    return json_reply(removed)
