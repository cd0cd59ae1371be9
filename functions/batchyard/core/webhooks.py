"""Webhooks: who is told that a batch is over, in which style, and how a receiver knows that it was us.

    style         signature                                                        of
    batchrouter   X-BatchRouter-Signature: hex HMAC-SHA256                         the raw body
    kushrouter    X-KR-Signature: hex HMAC-SHA256, X-KR-Timestamp: unix seconds    the raw body
    openai        webhook-signature: `v1,` + base64 HMAC-SHA256, webhook-id,       `<id>.<timestamp>.<body>`
                  webhook-timestamp (https://www.standardwebhooks.com)

KushRouter's timestamp is outside of its signature, as they document it. What an event says is the affair of
`surfaces/webhook_events.py`.
"""

from __future__ import annotations

import base64
import binascii
import enum
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field

SECRET_CHARACTERS = (8, 256)
RANDOM_SECRET_BYTES = 32
_STANDARD_PREFIX = "whsec_"
_SMALLEST_STANDARD_BYTES = 16
_USER_AGENT = "batchyard-webhooks/1"


class WebhookStyle(enum.StrEnum):
    BATCHROUTER = "batchrouter"
    OPENAI = "openai"
    KUSHROUTER = "kushrouter"


@dataclass(frozen=True, slots=True)
class WebhookTarget:
    """Where events go. `secret` signs them; it is encrypted before it is kept, and never logged."""

    url: str
    secret: str = field(repr=False)
    style: WebhookStyle = WebhookStyle.BATCHROUTER


@dataclass(frozen=True, slots=True)
class ShownWebhook:
    """A webhook as people may see it. `owner`: `core.deliveries.OF_ACCOUNT`, or the id of the batch that it came with.
    `secret`: shown once, if it was made here."""

    owner: str
    url: str
    style: WebhookStyle
    set_at: int
    secret: str | None = field(default=None, repr=False)


def new_secret(random: bytes) -> str:
    """A secret in the form of Standard Webhooks, of 32 random bytes."""
    if len(random) != RANDOM_SECRET_BYTES:
        raise ValueError(f"a secret takes {RANDOM_SECRET_BYTES} random bytes, got {len(random)}")
    return _STANDARD_PREFIX + base64.b64encode(random).decode()


def secret_problem(secret: str, style: WebhookStyle) -> str | None:
    """What is wrong with a secret that a caller has chosen; None if it is good."""
    least, most = SECRET_CHARACTERS
    if not least <= len(secret) <= most or not secret.isprintable():
        return f"A webhook's secret has {least} to {most} printable characters."
    if style is WebhookStyle.OPENAI and secret.startswith(_STANDARD_PREFIX):
        try:
            decoded = base64.b64decode(secret.removeprefix(_STANDARD_PREFIX), validate=True)
        except (binascii.Error, ValueError):
            decoded = b""
        if len(decoded) < _SMALLEST_STANDARD_BYTES:
            return f"After 'whsec_' a secret has {_SMALLEST_STANDARD_BYTES} bytes or more, in base64."
    return None


def headers(target: WebhookTarget, event_id: str, body: bytes, now: int) -> Mapping[str, str]:
    """The headers of one attempt to deliver `body` at unix second `now`, its signature among them."""
    return {
        "content-type": "application/json",
        "user-agent": _USER_AGENT,
        **_signed(target, event_id, body, now),
    }


def _signed(target: WebhookTarget, event_id: str, body: bytes, now: int) -> Mapping[str, str]:
    match target.style:
        case WebhookStyle.BATCHROUTER:
            return {"x-batchrouter-signature": _mac(target.secret.encode(), body).hex()}
        case WebhookStyle.KUSHROUTER:
            return {"x-kr-signature": _mac(target.secret.encode(), body).hex(), "x-kr-timestamp": str(now)}
        case WebhookStyle.OPENAI:
            signature = _mac(_standard_key(target.secret), f"{event_id}.{now}.".encode() + body)
            return {
                "webhook-id": event_id,
                "webhook-timestamp": str(now),
                "webhook-signature": "v1," + base64.b64encode(signature).decode(),
            }


def _standard_key(secret: str) -> bytes:
    """After `whsec_` a secret is base64; any other one is taken as it is."""
    if secret.startswith(_STANDARD_PREFIX):
        return base64.b64decode(secret.removeprefix(_STANDARD_PREFIX))
    return secret.encode()


def _mac(key: bytes, data: bytes) -> bytes:
    return hmac.new(key, data, hashlib.sha256).digest()
