"""Google's error objects as OpenAI's, and what they say about the key, money, and when to call again.

    {"error": {"code": 429, "message": "…", "status": "RESOURCE_EXHAUSTED", "details": [ErrorInfo, RetryInfo, …]}}

What a failure is cannot be told from its status alone: a key that is not valid is a 400 here. The details are those of
https://cloud.google.com/apis/design/errors.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from batchyard.adapters.providers.translator import read_document, rewritten
from batchyard.core.calls import Answer, ProviderReply
from batchyard.core.json_types import JsonObject
from batchyard.core.refusals import ErrorDetails
from batchyard.core.retry import FailureReason, RetryAdvice, failure_of, read_retry_advice

_TYPES = {
    "INVALID_ARGUMENT": "invalid_request_error",
    "FAILED_PRECONDITION": "invalid_request_error",
    "OUT_OF_RANGE": "invalid_request_error",
    "NOT_FOUND": "invalid_request_error",
    "UNAUTHENTICATED": "authentication_error",
    "PERMISSION_DENIED": "permission_error",
    "RESOURCE_EXHAUSTED": "rate_limit_error",
}
_KEY_REFUSED = frozenset(
    {"API_KEY_INVALID", "API_KEY_SERVICE_BLOCKED", "API_KEY_HTTP_REFERRER_BLOCKED", "API_KEY_IP_ADDRESS_BLOCKED"}
    | {"API_KEY_ANDROID_APP_BLOCKED", "API_KEY_IOS_APP_BLOCKED"}
    | {"SERVICE_DISABLED", "CONSUMER_INVALID", "CONSUMER_SUSPENDED"}
)
_KEY_REFUSED_MESSAGES = re.compile(
    r"API key (not valid|expired)|Your API key was reported as leaked|Method doesn't allow unregistered callers"
)
_NO_MONEY = frozenset({"BILLING_DISABLED"})
_NO_QUOTA_MESSAGE = re.compile(r"You exceeded your current quota\b.*\blimit: 0(,|\s|$)", re.DOTALL)


def as_openai_error(answer: Answer) -> ProviderReply:
    """A failure in OpenAI's form; as it is if it is none of Google's."""
    document = read_document(answer)
    error = document.get("error") if document is not None else None
    if not isinstance(error, dict) or not isinstance(error.get("status"), str):
        return answer
    details = [detail for detail in _items(error, "details") if isinstance(detail, dict)]
    advice = _retry_advice(answer.retry_advice, details)
    told: JsonObject = {
        "message": error.get("message"),
        "type": _TYPES.get(error["status"], "server_error"),
        "param": _field(details),
        "code": error["status"].lower(),
    }
    if details:
        told["details"] = details
    answer = replace(answer, retry_advice=advice, failure=_failure(answer.status, error, details, advice))
    return rewritten(answer, {"error": told})


def _failure(status: int, error: JsonObject, details: list[JsonObject], advice: RetryAdvice) -> FailureReason | None:
    message = error["message"] if isinstance(error.get("message"), str) else ""
    reasons = {reason for detail in details if isinstance(reason := detail.get("reason"), str)}
    code = ""
    if reasons & _NO_MONEY:
        code = "billing_not_active"
    elif reasons & _KEY_REFUSED or _KEY_REFUSED_MESSAGES.match(message):
        code = "invalid_api_key"
    limit_is_zero = any(each.get("quotaValue") == "0" for each in _violations(details))
    limit_is_zero = limit_is_zero or _NO_QUOTA_MESSAGE.match(message) is not None
    return failure_of(status, advice, ErrorDetails(code, "", message), limit_is_zero=limit_is_zero)


def _retry_advice(advice: RetryAdvice, details: list[JsonObject]) -> RetryAdvice:
    """A header, which Google does not send, would come first."""
    if advice.retry_after_seconds is not None:
        return advice
    for detail in details:
        delay = detail.get("retryDelay")
        if isinstance(delay, str) and delay.endswith("s"):
            told = read_retry_advice({"retry-after": delay[:-1]}, 0.0)
            return replace(advice, retry_after_seconds=told.retry_after_seconds)
    return advice


def _field(details: list[JsonObject]) -> str | None:
    """The field of the request that Google names first."""
    for detail in details:
        for violation in _items(detail, "fieldViolations"):
            if isinstance(violation, dict) and isinstance(violation.get("field"), str):
                return str(violation["field"])
    return None


def _violations(details: list[JsonObject]) -> Iterator[JsonObject]:
    for detail in details:
        yield from (each for each in _items(detail, "violations") if isinstance(each, dict))


def _items(holder: JsonObject, name: str) -> list[Any]:
    value = holder.get(name)
    return value if isinstance(value, list) else []
