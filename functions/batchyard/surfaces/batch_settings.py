"""How a batch is to be run: the member `settings`, which several dialects take for what they have no member of their
own for; and the forms of a webhook and of an amount of dollars, wherever a body has one."""

from __future__ import annotations

from dataclasses import fields, replace
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from batchyard.core.ledger import read_dollars
from batchyard.core.policies import Policy, read_modes, read_policy
from batchyard.core.requests import BatchRequest
from batchyard.core.webhook_urls import MOST_CHARACTERS
from batchyard.core.webhooks import SECRET_CHARACTERS, WebhookStyle, WebhookTarget
from batchyard.surfaces.bodies import Body


def _as_text(amount: Any) -> Any:
    """Amounts may be numbers, too: as the decimal text that they were written as."""
    return format(Decimal(str(amount)), "f") if type(amount) in (int, float) else amount


Dollars = Annotated[
    str,
    BeforeValidator(_as_text, json_schema_input_type=str | float),
    Field(description="Dollars, as a decimal text or a number.", pattern=r"^[0-9]{1,9}(\.[0-9]{1,12})?$"),
]


RoutingModeName = Literal["cheapest", "sla_aware", "public_only", "edge_only", "hybrid", "privacy_constrained"]
PrivacyTierName = Literal["standard", "confidential", "restricted"]


def _with_realtime(modes: list[str]) -> list[str]:
    read_modes(modes)
    return modes


Modes = Annotated[
    list[Literal["realtime", "flex", "native"]], Field(min_length=1, max_length=3), AfterValidator(_with_realtime)
]


class BatchWebhook(Body):
    url: str = Field(min_length=1, max_length=MOST_CHARACTERS)
    secret: str = Field(min_length=SECRET_CHARACTERS[0], max_length=SECRET_CHARACTERS[1])


class BatchSettings(Body):
    """How a batch is to be run. `webhook`: told of this batch instead of the account's. `max_price`: the batch starts
    nothing more once it has cost so much. What is left out of `modes`, `routing_mode`, `privacy_tier` and
    `early_failover` is as the policy of the account says, or else that of the deployment."""

    concurrency: int | None = Field(default=None, ge=1, le=10_000, description="Most calls in flight at once.")
    identical_once: bool = Field(default=False, description="Send identical requests once; all have that result.")
    webhook: BatchWebhook | None = None
    max_price: Dollars | None = None
    modes: Modes | None = Field(default=None, description="How items may run; 'realtime' has to be among them.")
    routing_mode: RoutingModeName | None = None
    privacy_tier: PrivacyTierName | None = None
    early_failover: bool | None = Field(
        default=None, description="Leave a provider in trouble at once, and not only when the deadline is in danger."
    )


def with_settings(request: BatchRequest, settings: BatchSettings | None, style: WebhookStyle) -> BatchRequest:
    """The request with what its settings ask for. `style`: of the dialect's webhooks."""
    if settings is None:
        return request
    webhook = settings.webhook
    return replace(
        request,
        concurrency=settings.concurrency,
        identical_once=settings.identical_once,
        webhook=None if webhook is None else WebhookTarget(webhook.url, webhook.secret, style),
        max_price_picousd=None if settings.max_price is None else read_dollars(settings.max_price),
        policy=read_policy(settings.model_dump(include={field.name for field in fields(Policy)})),
    )
