"""The API's operations on webhooks and their deliveries. The account function serves them."""

from __future__ import annotations

import secrets
from dataclasses import replace

from batchyard.core.deliveries import Delivery, DeliveryRef
from batchyard.core.requests import PageRequest
from batchyard.core.webhooks import RANDOM_SECRET_BYTES, ShownWebhook, WebhookTarget, new_secret
from batchyard.handlers import resources
from batchyard.handlers.http import Call
from batchyard.steps import webhooks
from batchyard.surfaces.operations import Page


def set_webhook(call: Call, wanted: WebhookTarget) -> ShownWebhook:
    """The webhook as it is set; with a new secret, shown now and never again, if the caller brought none."""
    made = None if wanted.secret else new_secret(secrets.token_bytes(RANDOM_SECRET_BYTES))
    target = replace(wanted, secret=made) if made else wanted
    shown = webhooks.set_webhook(
        call.account_id,
        target,
        now=call.now,
        webhooks=resources.webhooks(),
        check_url=resources.receivers().check_url,
    )
    return replace(shown, secret=made)


def retrieve_webhook(call: Call, _: None) -> ShownWebhook:
    return webhooks.show_webhook(call.account_id, webhooks=resources.webhooks())


def delete_webhook(call: Call, _: None) -> ShownWebhook:
    return webhooks.remove_webhook(call.account_id, webhooks=resources.webhooks())


def list_deliveries(call: Call, wanted: PageRequest) -> Page[Delivery]:
    return Page(*resources.deliveries().page(call.account_id, after=wanted.after, limit=wanted.limit))


def retrieve_delivery(call: Call, delivery_id: str) -> Delivery:
    return webhooks.show_delivery(DeliveryRef(call.account_id, delivery_id), deliveries=resources.deliveries())


def replay_delivery(call: Call, delivery_id: str) -> Delivery:
    return webhooks.replay(
        DeliveryRef(call.account_id, delivery_id),
        now=call.now,
        deliveries=resources.deliveries(),
        start=resources.start_delivery,
    )
