"""Refusals for which no request is to blame, and those for which one is, in the words of the vendors."""

from __future__ import annotations

from typing import Any

import pytest

from batchyard.core.refusals import NO_DETAILS, ErrorDetails
from batchyard.core.retry import NO_ADVICE, FailureReason, failure_of

MONEY, KEY, THROTTLED, REJECTED = (
    FailureReason.OUT_OF_MONEY,
    FailureReason.KEY_REFUSED,
    FailureReason.THROTTLED,
    FailureReason.REJECTED,
)


def error(message: str = "No.", **fields: Any) -> dict[str, Any]:
    return {"error": {"message": message, **fields}}


QUOTA = "You exceeded your current quota, please check your plan and billing details."
TOO_DEAR = (
    "This request requires more credits, or fewer max_tokens. You requested up to 16384 tokens, but can only afford "
    "3919."
)
TOO_LARGE = "Request too large for gpt-4o in organization org-x on tokens per min (TPM): Limit 30000, Requested 40000."
BALANCE = "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing."
SUSPENDED = "Account a is suspended, possibly due to reaching the monthly spending limit or failure to pay invoices."
TEAM = "Your team 16f2151a has either used all available credits or reached its monthly spending limit."


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (429, error(QUOTA, type="insufficient_quota", code="insufficient_quota"), MONEY),
        (429, error(QUOTA, type="insufficient_quota", code="project_spend_limit_exceeded"), MONEY),
        (429, error(QUOTA, type="tokens", code="organization_usage_limit_exceeded"), MONEY),
        (429, error("Your account is not active.", type="billing_not_active", code="billing_not_active"), MONEY),
        (400, error("Limit reached.", type="invalid_request_error", code="billing_hard_limit_reached"), MONEY),
        (429, error("Rate limit reached for gpt-4o.", type="tokens", code="rate_limit_exceeded"), THROTTLED),
        (401, error("Incorrect API key provided.", type="invalid_request_error", code="invalid_api_key"), KEY),
        (401, error("You have insufficient permissions.", type="invalid_request_error", code=None), KEY),
        (403, error("Missing scopes: model.request", type="invalid_request_error", code="missing_scope"), KEY),
        (403, error("Country not supported", code="unsupported_country_region_territory"), REJECTED),
        (403, error("No access to model", type="invalid_request_error", code="model_not_found"), REJECTED),
        (401, {"type": "error", **error("invalid x-api-key", type="authentication_error")}, KEY),
        (403, {"type": "error", **error("Not for this key.", type="permission_error")}, KEY),
        (402, {"type": "error", **error("Billing.", type="billing_error")}, MONEY),
        (400, {"type": "error", **error(BALANCE, type="invalid_request_error")}, MONEY),
        (400, error(f"Bad prompt: '{BALANCE}'", type="invalid_request_error"), REJECTED),
        (402, error("Insufficient credits", code=402), MONEY),
        (402, error(TOO_DEAR, code=402, metadata={"provider_name": None}), FailureReason.UNAFFORDABLE),
        (402, error("Prompt tokens limit exceeded: 230799 > 91442.", code=402), FailureReason.UNAFFORDABLE),
        (429, error(TOO_LARGE, type="tokens", code="rate_limit_exceeded"), REJECTED),
        (429, error(f"Slow down: '{TOO_LARGE}'", type="tokens", code="rate_limit_exceeded"), THROTTLED),
        (403, error("Key limit exceeded (total limit). Manage it.", code=403), MONEY),
        (429, error("Your prepayment credits are depleted. Please go to AI Studio.", code=429), MONEY),
        (429, error("Your project has exceeded its monthly spending cap. Please go on.", code=429), MONEY),
        (403, error("Input was flagged", code=403, metadata={"reasons": ["violence"]}), REJECTED),
        (403, error("Blocked.", type="permissions_error", code="model_permission_blocked_project"), REJECTED),
        (403, error("Context too long.", type="invalid_request_error", code=None), REJECTED),
        (402, error("Insufficient Balance", type="unknown_error", code="invalid_request_error"), MONEY),
        (400, error("Access denied", type="Arrearage", code="Arrearage"), MONEY),
        (429, error("Suspended", type="exceeded_current_quota_error"), MONEY),
        (429, {"code": "Some resource has been exhausted", "error": TEAM}, MONEY),
        (403, {"code": "permission-denied", "error": TEAM}, MONEY),
        (412, error(SUSPENDED, param=None, code="PRECONDITION_FAILED", type="error"), MONEY),
        (400, error("Organization has been restricted.", code="organization_restricted"), KEY),
        (403, error("Access denied due to Virtual Network/Firewall rules.", code="403"), KEY),
        (403, error("Bad: 'Access denied due to Virtual Network/Firewall rules.'", code="403"), REJECTED),
        (401, {"message": "Unauthorized", "request_id": "x"}, KEY),
        (403, {"object": "error", "message": "No.", "type": "unauthorized", "code": "3000"}, KEY),
        (400, error("Not this way.", code="invalid_value"), REJECTED),
        (500, error("Oops", code="insufficient_quota"), FailureReason.SERVER_ERROR),
        (302, error("Elsewhere", code="invalid_api_key"), FailureReason.INVALID_RESPONSE),
    ],
)
def test_the_vendors_words(status: int, body: dict[str, Any], reason: FailureReason) -> None:
    """Codes and types decide, a message only from its first character on: no prompt that is quoted stops a lane."""
    assert failure_of(status, NO_ADVICE, ErrorDetails.of(body)) is reason


def test_a_limit_of_nothing_is_no_money() -> None:
    """A 429 under a limit of 0 does not pass by itself; other failures are what they are, whatever the limit."""
    assert failure_of(429, NO_ADVICE, limit_is_zero=True) is MONEY
    assert failure_of(429, NO_ADVICE, limit_is_zero=False) is THROTTLED
    assert failure_of(503, NO_ADVICE, limit_is_zero=True) is FailureReason.OVERLOADED
    assert failure_of(200, NO_ADVICE, limit_is_zero=True) is None


@pytest.mark.parametrize(
    "body",
    [
        *(None, [], "text", 7, {}),
        *({"error": None}, {"error": 7}, {"error": []}, {"error": {}}),
        *({"error": {"code": {}, "type": [], "message": 5}}, {"error": {"code": True, "type": 1.5}}),
    ],
)
def test_errors_of_no_known_shape_say_nothing(body: Any) -> None:
    """Whatever comes is read without a fault, and blocks nothing."""
    assert ErrorDetails.of(body) == NO_DETAILS
    assert failure_of(403, NO_ADVICE, ErrorDetails.of(body)) is REJECTED


def test_a_code_may_be_a_number() -> None:
    """OpenRouter and Gemini put the status there."""
    assert ErrorDetails.of({"error": {"code": 429}}).code == "429"
