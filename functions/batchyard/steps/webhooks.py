"""Webhooks of an account: set, shown, removed; its deliveries: replayed."""

from __future__ import annotations

from collections.abc import Callable

from batchyard.adapters.aws.deliveries import Deliveries
from batchyard.adapters.aws.webhooks import Webhooks
from batchyard.core.deliveries import Delivery, DeliveryRef, replayed
from batchyard.core.errors import ConditionFailed, Conflict, InvalidRequest, NotFound
from batchyard.core.webhooks import ShownWebhook, WebhookTarget, secret_problem

CheckUrl = Callable[[str], str | None]
"""What is wrong with a webhook's URL; None if nothing is (`adapters.receivers.Receivers.check_url`)."""


def check_webhook(target: WebhookTarget, check_url: CheckUrl, *, within: str = "") -> None:
    """Raises InvalidRequest if nothing could or should be delivered to it. `within`: where in the body it stands, with
    a dot behind."""
    problem = check_url(target.url)
    if problem is not None:
        raise InvalidRequest(f"This webhook cannot be used. {problem}", param=f"{within}url", code="unsafe_webhook_url")
    problem = secret_problem(target.secret, target.style)
    if problem is not None:
        raise InvalidRequest(problem, param=f"{within}secret", code="invalid_webhook_secret")


def set_webhook(
    account_id: str, target: WebhookTarget, *, now: int, webhooks: Webhooks, check_url: CheckUrl
) -> ShownWebhook:
    """From now on the account is told so about each batch that ends and has no webhook of its own. Raises
    InvalidRequest."""
    check_webhook(target, check_url)
    return webhooks.set_of_account(account_id, target, now)


def show_webhook(account_id: str, *, webhooks: Webhooks) -> ShownWebhook:
    shown = webhooks.of_account(account_id)
    if shown is None:
        raise _no_webhook()
    return shown


def remove_webhook(account_id: str, *, webhooks: Webhooks) -> ShownWebhook:
    """Deliveries that are on their way fail at their next attempt."""
    removed = webhooks.remove_of_account(account_id)
    if removed is None:
        raise _no_webhook()
    return removed


def show_delivery(ref: DeliveryRef, *, deliveries: Deliveries) -> Delivery:
    delivery = deliveries.get(ref)
    if delivery is None:
        raise NotFound(f"There is no delivery {ref.delivery_id}.", param="delivery_id", code="delivery_not_found")
    return delivery


def replay(ref: DeliveryRef, *, now: int, deliveries: Deliveries, start: Callable[[DeliveryRef], None]) -> Delivery:
    """The delivery, due at once with all its tries. It is the same event, with the same id and body. Raises NotFound,
    or Conflict if it is being attempted at this moment."""
    seen = show_delivery(ref, deliveries=deliveries)
    again = replayed(seen, now)
    try:
        deliveries.change(seen, again)
    except ConditionFailed as error:
        raise Conflict(
            "An attempt is being made at this moment. See what comes of it first.", code="delivery_in_progress"
        ) from error
    start(ref)
    return again


def _no_webhook() -> NotFound:
    return NotFound("The account has no webhook.", code="webhook_not_found")
