"""Deliver: one attempt to bring an event to its webhook.

A delivery is claimed by a conditional write, so that two runs at once make one attempt. A run that dies has lost its
claim after a minute, and Sweep starts another one: a receiver may then see an event twice, with the same id.
A receiver that lets us wait is left alone by the account's other deliveries for a while, which costs them no try: so it
takes up few of the executions that all share.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from batchyard.adapters.aws.deliveries import Deliveries
from batchyard.adapters.aws.webhooks import Webhooks
from batchyard.adapters.webhook_sender import WebhookReply
from batchyard.core.deliveries import (
    LEASE_SECONDS,
    Attempt,
    Delivery,
    DeliveryProblem,
    DeliveryRef,
    leased,
    postponed,
    tried,
)
from batchyard.core.errors import ConditionFailed
from batchyard.core.webhook_urls import host_of
from batchyard.core.webhooks import WebhookTarget, headers

Send = Callable[[str, Mapping[str, str], bytes], WebhookReply]
"""URL, headers and body -> what came of it."""


@dataclass(frozen=True, slots=True)
class Outside:
    """What an attempt needs of the world. `clock`: unix seconds. `random`: 0 to 1. `pace`: a factor for the waits
    between tries. `lease_seconds`: how long an attempt holds others off."""

    send: Send
    clock: Callable[[], float]
    random: Callable[[], float]
    pace: float = 1.0
    lease_seconds: int = LEASE_SECONDS


def deliver(ref: DeliveryRef, *, deliveries: Deliveries, webhooks: Webhooks, outside: Outside) -> Delivery | None:
    """The delivery after an attempt, or put off; None if there is nothing to do (any more)."""
    now = int(outside.clock())
    delivery = deliveries.get(ref)
    if delivery is None or not delivery.is_pending or delivery.due_at > now:
        return None
    try:
        waits = _postponed(delivery, now, deliveries, outside)
        if waits is not None:
            return waits
        claimed = leased(delivery, now, outside.lease_seconds)
        deliveries.change(delivery, claimed)
    except ConditionFailed:  # somebody else has it
        return None
    target, attempt = _attempt(claimed, webhooks, outside)
    ended = int(outside.clock())
    sent_to = replace(claimed, url=target.url) if target else claimed
    done = tried(sent_to, attempt, ended, outside.random(), outside.pace)
    if attempt.problem is DeliveryProblem.TIMED_OUT:
        deliveries.note_slow(ref.account_id, host_of(sent_to.url), ended)
    try:
        deliveries.change(claimed, done)
    except ConditionFailed:  # it took longer than its lease, or was replayed meanwhile
        return None
    return done


def _postponed(delivery: Delivery, now: int, deliveries: Deliveries, outside: Outside) -> Delivery | None:
    """The delivery put off, if its receiver is to be left alone."""
    slow_until = deliveries.slow_until(delivery.account_id, host_of(delivery.url), now)
    if slow_until is None:
        return None
    later = postponed(delivery, slow_until, outside.random())
    if later is not None:
        deliveries.change(delivery, later)
    return later


def _attempt(delivery: Delivery, webhooks: Webhooks, outside: Outside) -> tuple[WebhookTarget | None, Attempt]:
    """To the webhook's URL of today, signed with its secret of today: what was wrong with them may have been mended. A
    fault of ours is raised, and the attempt made again, as long as the delivery has time."""
    now = int(outside.clock())
    try:
        target = webhooks.target(delivery.account_id, delivery.owner, delivery.style)
        return target, _sent(delivery, target, outside)
    except Exception:
        if now <= delivery.give_up_at:
            raise
        return None, Attempt(now, problem=DeliveryProblem.OURS, detail="It could not be sent, for a reason of ours.")


def _sent(delivery: Delivery, target: WebhookTarget | None, outside: Outside) -> Attempt:
    started = outside.clock()
    attempt = Attempt(at=int(started))
    if target is None:
        return replace(attempt, problem=DeliveryProblem.REMOVED, detail="The webhook was removed.")
    signed = headers(target, delivery.id, delivery.body, int(started))
    reply = outside.send(target.url, signed, delivery.body)
    return replace(
        attempt,
        milliseconds=math.ceil((outside.clock() - started) * 1000),
        status=reply.status,
        problem=reply.problem,
        detail=reply.detail,
        reply=reply.text,
    )
