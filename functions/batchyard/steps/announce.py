"""Announce: once a batch is over, have the event delivered to its webhook, or to that of its account.

Run twice it makes one delivery, because the delivery's id follows from the batch and the webhook's owner.
"""

from __future__ import annotations

from collections.abc import Callable

from batchyard.adapters.aws.batches import Batches
from batchyard.adapters.aws.deliveries import Deliveries
from batchyard.adapters.aws.webhooks import Webhooks
from batchyard.core.batches import Batch, BatchRef
from batchyard.core.deliveries import Delivery, DeliveryRef, delivery_id, new_give_up_at
from batchyard.core.errors import NotReady
from batchyard.core.webhooks import WebhookStyle

WriteEvent = Callable[[Batch, WebhookStyle, str], bytes]
"""A terminal batch, the style and the event's id -> the event's body."""


def announce(
    ref: BatchRef,
    *,
    now: int,
    batches: Batches,
    webhooks: Webhooks,
    deliveries: Deliveries,
    write_event: WriteEvent,
    start: Callable[[DeliveryRef], None],
) -> DeliveryRef | None:
    """The delivery, which `start` has begun unless it was made before; None if nobody wants to be told."""
    batch = batches.get(ref, consistent=True)
    if batch is None:  # its owner has deleted it since it ended, which announces it
        return None
    if not batch.status.is_terminal:
        raise NotReady(f"{batch.id} is {batch.status}")
    webhook = webhooks.of_batch(batch)
    if webhook is None:
        return None
    event_id = delivery_id(batch.id, webhook.owner)
    delivery = Delivery(
        id=event_id,
        account_id=batch.account_id,
        batch_id=batch.id,
        owner=webhook.owner,
        event=f"batch.{batch.status}",
        style=webhook.style,
        url=webhook.url,
        body=write_event(batch, webhook.style, event_id),
        created_at=now,
        due_at=now,
        give_up_at=new_give_up_at(now),
    )
    if deliveries.make(delivery):
        start(delivery.ref)
    return delivery.ref
