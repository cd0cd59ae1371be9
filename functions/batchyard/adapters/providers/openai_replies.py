"""What an answer in OpenAI's dialect means: its status, headers and bytes become a reply. No I/O.

A success keeps the provider's bytes. A failure keeps its error object; if it has none it gets one of ours, with the
beginning of what the provider sent. A 2xx that holds nothing but an error is a failure with the status that the error
names: OpenRouter answers so when the provider behind it fails, and OpenAI's responses endpoint when a response failed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from batchyard.adapters.providers.events import EventStream, StreamBroken, StreamFailed
from batchyard.core import exact_json
from batchyard.core.calls import Answer, NoAnswer, ProviderReply
from batchyard.core.json_types import JsonObject
from batchyard.core.one_line import one_line
from batchyard.core.ratelimits import RATE_LIMIT_HEADERS, read_rate_advice
from batchyard.core.refusals import ErrorDetails
from batchyard.core.retry import FailureReason, failure_of, read_retry_advice
from batchyard.core.usage import Usage, plausible_usage

HEADERS_READ = frozenset(
    {"content-length", "content-encoding", "content-type", "x-request-id", "request-id"}
    | {"x-amzn-requestid", "x-amzn-errortype"}
    | {"retry-after", "retry-after-ms", "x-should-retry"}
    | RATE_LIMIT_HEADERS
)
"""In lower case; all other headers are ignored."""

MOST_ERROR_BYTES = 65_536
"""How much of a failure's body is kept: many calls may fail at once, and their bodies must not fill a worker's
memory."""

_ERROR_TEXT_CHARS = 2000
"""How much of an error that is no JSON, or too long, the customer gets to see."""

_ANSWER_MEMBERS = ("choices", "output", "data", "results", "content", "candidates")
"""The members that hold the answer, at the endpoints of OpenAI's dialect and of those close to it."""

_STATUS_BY_WORD = {
    "rate_limit_exceeded": 429,
    "rate_limit_error": 429,
    "overloaded_error": 529,
    "invalid_request_error": 400,
    "content_filter": 400,
    "content_policy_violation": 400,
}
"""The status of errors inside a 2xx, by their code or type."""
_BAD_GATEWAY = 502
"""The status of all others: something behind the server went wrong."""


@dataclass(frozen=True, slots=True)
class Received:
    """A body as it came. If it is too long, reading stopped and `is_whole` is false."""

    content: bytes
    is_whole: bool = True


def reply_of(status: int, headers: Mapping[str, str], received: Received, now: float) -> ProviderReply:
    """`headers`: those of HEADERS_READ; `now` in unix seconds."""
    if not 200 <= status < 300:
        return _failed(status, headers, received, now)
    if not received.is_whole or exact_json.has_too_many_parts(received.content):
        return NoAnswer(FailureReason.TOO_LARGE)
    try:
        document = exact_json.loads_anything(received.content)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        return NoAnswer(FailureReason.INVALID_RESPONSE)
    if _is_error_only(document):
        return _failed(_status_inside(document), headers, received, now)
    return _succeeded(status, headers, received.content, document, now)


def streamed_reply_of(status: int, headers: Mapping[str, str], events: EventStream, now: float) -> ProviderReply:
    """The reply to a 2xx that came as events."""
    try:
        document = events.answer()
        is_failed = _is_error_only(document)
    except StreamFailed as failed:
        document, is_failed = failed.error, True
    except (StreamBroken, RecursionError):
        return NoAnswer(FailureReason.TOO_LARGE if events.is_too_large else FailureReason.INVALID_RESPONSE)
    try:
        content = exact_json.dumps_anything(document)
    except TypeError:
        return NoAnswer(FailureReason.INVALID_RESPONSE)
    if is_failed:
        return _failed(_status_inside(document), headers, Received(content), now)
    return _succeeded(status, headers, content, document, now)


def _succeeded(status: int, headers: Mapping[str, str], content: bytes, document: JsonObject, now: float) -> Answer:
    return Answer(
        status,
        one_line(content),
        _request_id(headers),
        usage_of(document),
        rate_advice=read_rate_advice(headers, now),
    )


def _failed(status: int, headers: Mapping[str, str], received: Received, now: float) -> Answer:
    retry_advice, rate_advice = read_retry_advice(headers, now), read_rate_advice(headers, now)
    document = _error_document(received)
    if document is not None and "x-amzn-errortype" in headers:
        document = _of_aws(headers["x-amzn-errortype"], document)
        body = one_line(exact_json.dumps_anything(document))
    elif document is None or len(received.content) > MOST_ERROR_BYTES:
        body = _wrapped(status, received)
    else:
        body = one_line(received.content)
    allows_nothing = rate_advice is not None and rate_advice.allows_nothing
    failure = failure_of(
        status,
        retry_advice,
        ErrorDetails.of(document),
        limit_is_zero=allows_nothing,
        is_object=document is not None or not received.is_whole,
    )
    return Answer(status, body, _request_id(headers), Usage(), failure, retry_advice, rate_advice)


def _request_id(headers: Mapping[str, str]) -> str | None:
    return headers.get("x-request-id") or headers.get("request-id") or headers.get("x-amzn-requestid")


def _of_aws(kind: str, document: JsonObject) -> JsonObject:
    """An error of AWS, which names its kind in a header: `ThrottlingException:http://…`."""
    message = document.get("message") or document.get("Message")
    error = {"message": message if isinstance(message, str) else None, "type": kind.partition(":")[0]}
    return {"error": error | {"param": None, "code": None}}


def _error_document(received: Received) -> JsonObject | None:
    if not received.is_whole:
        return None
    try:
        document = exact_json.loads_anything(received.content)
    except ValueError:
        return None
    return document if isinstance(document, dict) else None


def _is_error_only(document: JsonObject) -> bool:
    return bool(document.get("error")) and not any(document.get(member) for member in _ANSWER_MEMBERS)


def _status_inside(document: JsonObject) -> int:
    """The status that the error of a 2xx stands for."""
    details = ErrorDetails.of(document)
    if len(details.code) == 3 and details.code.isdecimal() and 400 <= int(details.code) < 600:
        return int(details.code)
    return _STATUS_BY_WORD.get(details.code) or _STATUS_BY_WORD.get(details.type) or _BAD_GATEWAY


def _wrapped(status: int, received: Received) -> bytes:
    """An error object of ours with the beginning of what the provider sent."""
    text = received.content[: 4 * _ERROR_TEXT_CHARS].decode("utf-8", "replace").strip()[:_ERROR_TEXT_CHARS]
    if not received.is_whole or len(received.content) > MOST_ERROR_BYTES:
        text += "… (The provider's error was too long and is cut off here.)"
    error = {
        "message": text or f"The provider answered with status {status} and no error object.",
        "type": "provider_error",
        "param": None,
        "code": None,
    }
    return one_line(orjson.dumps({"error": error}))


def usage_of(document: JsonObject) -> Usage:
    """Token counts of an answer, by the names of chat completions and embeddings, or by those of responses, images."""
    usage = document.get("usage")
    if not isinstance(usage, dict):
        return Usage()
    if "input_tokens" in usage:
        given, made = usage["input_tokens"], usage.get("output_tokens")
        given_details, made_details = usage.get("input_tokens_details"), usage.get("output_tokens_details")
    else:
        given, made = usage.get("prompt_tokens"), usage.get("completion_tokens")
        given_details, made_details = usage.get("prompt_tokens_details"), usage.get("completion_tokens_details")
    cached, reasoning = _member(given_details, "cached_tokens"), _member(made_details, "reasoning_tokens")
    found = plausible_usage(given, cached, made, reasoning, _member(given_details, "cache_write_tokens"))
    images_given, images_made = _member(given_details, "image_tokens"), _member(made_details, "image_tokens")
    if images_made is None and _is_of_images(document):
        images_made = made
    return found if images_given is None and images_made is None else found.with_images(images_given, images_made)


def _is_of_images(document: JsonObject) -> bool:
    """Whether it answers a request for images. The first models' answers do not say of what their output tokens are."""
    data = document.get("data")
    first = data[0] if isinstance(data, list) and data else None
    return isinstance(first, dict) and ("b64_json" in first or "url" in first)


def _member(mapping: object, name: str) -> object:
    return mapping.get(name) if isinstance(mapping, dict) else None
