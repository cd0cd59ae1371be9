"""Refusals that a status alone does not tell from others: for which no request is to blame, because the provider does
not take the key or its account has no money, and for which the request's size is.

    what the provider says                                                          reason
    402 whose message begins like _TOO_DEAR_MESSAGES                                 unaffordable
    any other 402; a code or type of _NO_MONEY; a message like _NO_MONEY_MESSAGES    out_of_money
    429 with a rate limit of 0                                                       out_of_money
    401; a code or type of _KEY_REFUSED; a message like _KEY_REFUSED_MESSAGES        key_refused
    403 with a code or type of _KEY_REFUSED_BY_403                                   key_refused
    429 whose message begins like _TOO_LARGE_MESSAGES                                rejected

A vendor's batch API may refuse a model, or the account's plan, that calls are taken for: _NO_JOBS.

Any other 403 is about the request: moderation, region, a model that the account may not use, a context too long
(Together). Codes and types are the provider's own words. A message counts only if it begins with one of these texts,
which belong to vendors that have no code for it: further inside, many messages quote the prompt, and no prompt may stop
a lane.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

_NO_MONEY = frozenset(
    {"insufficient_quota", "billing_not_active", "billing_hard_limit_reached"}  # OpenAI
    | {"credit_balance_exhausted", "organization_spend_limit_exceeded"}
    | {"project_spend_limit_exceeded", "organization_usage_limit_exceeded"}
    | {"billing_error"}  # Anthropic
    | {"insufficient_balance", "insufficient_credits", "payment_required"}  # DeepSeek, OpenRouter, Together
    | {"exceeded_current_quota_error", "arrearage"}  # Moonshot, Alibaba
)
_NO_MONEY_MESSAGES = re.compile(
    r"Your credit balance is too low"  # Anthropic, 400
    r"|Key limit exceeded"  # OpenRouter, 403: the key's own spending cap
    r"|Your prepayment credits are depleted|Your project has exceeded its monthly spending cap"  # Gemini, 429
    r"|Your team \S{1,64} has either used all available credits"  # xAI, 403 and 429
    r"|Account \S{1,64} is suspended, possibly due to reaching the monthly spending limit",  # Fireworks, 412
)
_TOO_DEAR_MESSAGES = re.compile(r"This request requires more credits, or fewer max_tokens|Prompt tokens limit exceeded")
"""OpenRouter: what is left pays for smaller requests, but not for this one."""
_TOO_LARGE_MESSAGES = re.compile(r"Request too large for ")
"""OpenAI: the request alone exceeds the limit of a whole minute, so that no wait helps it."""
_NO_JOBS = frozenset(
    {"model_not_found", "model_not_supported", "unsupported_model", "invalid_model"}  # OpenAI, and what is like it
    | {"not_available_for_plan"}  # Groq
)
_NO_JOBS_MESSAGES = re.compile(
    r"Batch inference is not supported for the requested model"  # Bedrock
    r"|(?:The provided m|M)odel \S{1,200} is not (?:supported|available) (?:by|for|in) (?:the )?batch",  # OpenAI, xAI
    re.IGNORECASE,
)
_KEY_REFUSED = frozenset(
    {"invalid_api_key", "incorrect_api_key", "account_deactivated", "access_terminated", "invalid_organization"}
    | {"missing_scope", "ip_not_authorized", "authentication_error", "unauthenticated"}
    | {"organization_restricted"}  # Groq, 400
)
_KEY_REFUSED_MESSAGES = re.compile(
    r"Access denied due to Virtual Network/Firewall rules"  # Azure, 403
    r"|A Virtual Network is configured for this resource"
)
_KEY_REFUSED_BY_403 = _KEY_REFUSED | {"permission_error", "insufficient_permissions", "unauthorized"}


@dataclass(frozen=True, slots=True)
class ErrorDetails:
    """What an error object says, whichever vendor's shape it has. `code` and `type` in lower case; empty if missing."""

    code: str = ""
    type: str = ""
    message: str = ""

    @classmethod
    def of(cls, document: Any) -> ErrorDetails:
        """`document`: the parsed body. Its error stands in a member `error` (OpenAI, Anthropic, most others), is the
        body itself (Mistral), or is a text in `error` with its code beside it (xAI)."""
        if not isinstance(document, dict):
            return NO_DETAILS
        error = document.get("error")
        if isinstance(error, str):
            return cls(_word(document.get("code")), _word(document.get("type")), error)
        fields = error if isinstance(error, dict) else document
        message = fields.get("message")
        return cls(_word(fields.get("code")), _word(fields.get("type")), message if isinstance(message, str) else "")


NO_DETAILS = ErrorDetails()


def says_too_dear(status: int, details: ErrorDetails) -> bool:
    """Whether a 4xx says that the provider's account cannot pay for this request, though it could for smaller ones."""
    return status == 402 and _TOO_DEAR_MESSAGES.match(details.message) is not None


def says_too_large(status: int, details: ErrorDetails) -> bool:
    """Whether a 429 says that the rate limit never has room for this request."""
    return status == 429 and _TOO_LARGE_MESSAGES.match(details.message) is not None


def says_no_money(status: int, details: ErrorDetails, limit_is_zero: bool) -> bool:
    """Whether a 4xx says that the provider's account cannot pay. `limit_is_zero`: its rate limit is 0 requests or
    tokens, as vendors set it for accounts without a plan."""
    return (
        status == 402
        or (status == 429 and limit_is_zero)
        or details.code in _NO_MONEY
        or details.type in _NO_MONEY
        or _NO_MONEY_MESSAGES.match(details.message) is not None
    )


def says_key_refused(status: int, details: ErrorDetails) -> bool:
    """Whether a 4xx says that the provider does not accept the key."""
    words = _KEY_REFUSED_BY_403 if status == 403 else _KEY_REFUSED
    is_said = details.code in words or details.type in words
    return status == 401 or is_said or _KEY_REFUSED_MESSAGES.match(details.message) is not None


def says_no_jobs(details: ErrorDetails) -> bool:
    """Whether a vendor says that its batch API is not for this model, or not for the account's plan."""
    return details.code in _NO_JOBS or _NO_JOBS_MESSAGES.match(details.message) is not None


def _word(value: object) -> str:
    """`value` as a code or type; a number may be one, too."""
    if isinstance(value, str):
        return value.lower()
    return str(value) if type(value) is int and 0 <= value < 1_000_000 else ""
