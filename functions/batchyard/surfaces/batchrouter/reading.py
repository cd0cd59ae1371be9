"""BatchRouter's requests -> what Batchyard is asked for."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime
from typing import Any

import orjson

from batchyard.core.batches import Batch
from batchyard.core.errors import InvalidRequest, NotFound, Unauthenticated
from batchyard.core.json_types import JsonObject
from batchyard.core.ledger import read_dollars
from batchyard.core.policies import Policy
from batchyard.core.quotes import PREFIX
from batchyard.core.requests import (
    ApiKeyRequest,
    BatchRequest,
    ExportRequest,
    FileRequest,
    Packing,
    PageRequest,
    PlanRequest,
    ResultWindow,
)
from batchyard.core.rules import PrivacyTier, RoutingMode, RoutingRules, ServiceTier
from batchyard.core.webhooks import WebhookTarget
from batchyard.surfaces.batchrouter import replies, requests
from batchyard.surfaces.checks import (
    Kind,
    bearer_key,
    cursor,
    file_name,
    file_of_form,
    is_id,
    known_id,
    nests_within,
    whole_number,
)
from batchyard.surfaces.http import Request
from batchyard.surfaces.operations import BatchExport, NewFile, ResultsRequest

_IDEMPOTENCY_KEY = re.compile(r"[\x20-\x7e]{8,128}")
_CURSOR = re.compile(r"item_([0-9]{1,9})")
_BATCHES_AT_MOST = (20, 100)
_RESULTS_AT_MOST = (100, 10_000)
"""Default and most objects per page."""
_METADATA_BYTES = 16_384
_METADATA_LEVELS = 16
_FILE_NAME = "batch.jsonl"
_QUOTE_ID = re.compile(PREFIX + r"[0-9a-z_]{1,58}")


def read_api_key(request: Request) -> str:
    key = bearer_key(request) or request.headers.get("x-api-key", "").strip()
    if not key:
        raise Unauthenticated("No API key. Send it as 'Authorization: Bearer <key>'.", code="missing_api_key")
    return key


def read_quote(request: Request) -> PlanRequest:
    sent = requests.sent(requests.QuoteModel, request)
    body = sent.body
    _check_input(sent)
    if sent.has("input_file_id") and not sent.has("items"):
        _check_for_a_file(sent)
    default = body.model or (body.models[0] if body.models else None)
    rules = replace(_rules(body), models=tuple(body.models or ()))
    batch = _batch_request(sent, rules, _lines(body.items, default, sent))
    of_items = body.item_count if body.items is not None else None
    if of_items is not None and body.items is not None and of_items < len(body.items):
        message = f"'item_count' is less than the {len(body.items)} items that were sent."
        sent.note("invalid_input", message, "item_count")
    return PlanRequest(replace(batch, issues=tuple(sent.issues)), of_items=of_items)


def read_batch(request: Request) -> BatchRequest:
    key = request.headers.get("idempotency-key")
    if key is None or not _IDEMPOTENCY_KEY.fullmatch(key):
        wrong = "is missing" if key is None else "is too short, too long, or has characters that no header takes"
        raise InvalidRequest(
            f"The header 'Idempotency-Key' {wrong}. It takes 8 to 128 characters of your own, new for each batch.",
            param="Idempotency-Key",
            code="idempotency_key_required" if key is None else "invalid_idempotency_key",
        )
    sent = requests.sent(requests.CreateRoutedBatch, request)
    body = sent.body
    _check_input(sent)
    found = _batch_request(sent, _rules(body), _lines(body.items, None, sent))
    batch = replace(
        found,
        policy=replace(found.policy, early_failover=body.settings.early_failover if body.settings else None),
        metadata=_metadata(body.metadata, sent),
        identical_once=body.settings.identical_once if body.settings else False,
        idempotency_key=key,
        quote_id=_quote_id(body.quote_id),
        webhook=_webhook(sent.given.get("webhook")),
        first_reply=_first_reply,
    )
    return replace(batch, issues=tuple(sent.issues))


def _batch_request(
    sent: requests.Sent[requests.QuoteModel] | requests.Sent[requests.CreateRoutedBatch],
    rules: RoutingRules,
    lines: bytes | None,
) -> BatchRequest:
    """What a quote and a batch have in common."""
    return BatchRequest(
        surface="batchrouter",
        endpoint="",
        input_file_id=_file_id(sent.body.input_file_id, sent),
        completion_window=replies.windows[rules.tier],
        lines=lines,
        rules=rules,
        policy=Policy(
            routing_mode=rules.mode if sent.has("routing_mode") else None,
            privacy_tier=rules.privacy if sent.has("privacy_tier") else None,
        ),
        max_price_picousd=_limit(sent.body.max_price),
    )


def _check_input(sent: requests.Sent[Any]) -> None:
    """Notes if there is not exactly one input."""
    if sent.has("items") == sent.has("input_file_id"):
        which = "both were sent" if sent.has("items") else "neither was sent"
        sent.note("invalid_input", f"Send either 'items' or 'input_file_id': {which}.", "items")


def _check_for_a_file(sent: requests.Sent[Any]) -> None:
    """Notes what says nothing about a file."""
    if sent.has("item_count"):
        message = "'item_count' is for 'items' that are a sample. A file is quoted with all of its lines: leave it out."
        sent.note("invalid_input", message, "item_count")
    if sent.has("model"):
        message = "'model' is for 'items' that name none. Each line of a file names its own: leave it out."
        sent.note("invalid_input", message, "model")


def read_batch_id(request: Request) -> str:
    return _read_id(request, "batch")


def read_file_id(request: Request) -> str:
    return _read_id(request, "file")


def read_batches_page(request: Request) -> PageRequest:
    default, most = _BATCHES_AT_MOST
    return PageRequest(whole_number(request, "limit", 1, most, default), cursor(request, "batch", "cursor"))


def read_results(request: Request) -> ResultsRequest:
    default, most = _RESULTS_AT_MOST
    offset = _offset(request.query.get("cursor") or None)
    return ResultsRequest(
        read_batch_id(request), ResultWindow(offset, whole_number(request, "limit", 1, most, default))
    )


def read_artifact(request: Request) -> BatchExport:
    return BatchExport(read_batch_id(request), ExportRequest(ResultWindow(), Packing.PLAIN))


def read_file(request: Request) -> NewFile:
    if not request.content_type.lower().startswith("multipart/form-data"):
        return NewFile(FileRequest(_FILE_NAME, "batch", any_name=True), request.body)
    form, file = file_of_form(request, "file", "'file' is missing. Send it as a form part with a file name.")
    for name in form.fields:
        raise InvalidRequest(f"There is no field '{name[:64]}'.", param=name[:64], code="unknown_field")
    return NewFile(FileRequest(file_name(file.filename, "file"), "batch", any_name=True), file.data)


def read_api_key_request(request: Request) -> ApiKeyRequest:
    body = requests.parsed(requests.CreateApiKey, request.json())
    return ApiKeyRequest(body.name, None if body.expires_at is None else _time(body.expires_at))


def read_api_key_id(request: Request) -> str:
    value = request.parameters.get("api_key_id", "")
    if not is_id("api_key", value):
        raise NotFound(f"There is no API key with the id '{value[:128]}'.", code="api_key_not_found")
    return value


def _first_reply(batch: Batch) -> bytes:
    return orjson.dumps(replies.created(batch))


def _read_id(request: Request, kind: Kind) -> str:
    value = request.parameters.get(f"{kind}_id", "")
    known = known_id(kind, value)
    if known is None:
        raise NotFound(f"There is no {kind} with the id '{value[:128]}'.", code=f"{kind}_not_found")
    return known


def _file_id(given: str | None, sent: requests.Sent[Any]) -> str:
    """The file's id; empty if none was given, or none that can be one."""
    known = known_id("file", given) if given is not None else None
    if given is not None and known is None:
        sent.note("file_not_found", f"There is no file with the id '{given[:128]}'.", "input_file_id")
    return known or ""


def _quote_id(given: str | None) -> str | None:
    """The quote's id; empty if what was given cannot be one."""
    return given if given is None or _QUOTE_ID.fullmatch(given) else ""


def _rules(body: requests.QuoteModel | requests.CreateRoutedBatch) -> RoutingRules:
    return RoutingRules(
        RoutingMode(body.routing_mode),
        PrivacyTier(body.privacy_tier),
        ServiceTier(body.sla_tier),
        regions=tuple(body.allowed_regions or ()),
    )


def _webhook(given: Any) -> WebhookTarget | None:
    """As it was sent, so that its URL is checked whatever else is wrong with it."""
    if not isinstance(given, dict) or not isinstance(given.get("url"), str):
        return None
    secret = given.get("secret")
    return WebhookTarget(given["url"], secret if isinstance(secret, str) else "")


def _limit(max_price: requests.MoneyLimit | None) -> int | None:
    return None if max_price is None else read_dollars(max_price.amount)


def _lines(items: list[Any] | None, default_model: str | None, sent: requests.Sent[Any]) -> bytes | None:
    """Inline items as the bytes of an input file; empty if there are none, None if there is no such input."""
    if items is None:
        return None
    if default_model is not None:
        items = [{"model": default_model} | item if isinstance(item, dict) else item for item in items]
    try:
        return b"".join(orjson.dumps(item, option=orjson.OPT_APPEND_NEWLINE) for item in items)
    except orjson.JSONEncodeError:
        sent.note("invalid_json_line", "One of 'items' is nested too deeply. 250 levels are allowed.", "items")
        return None


def _metadata(metadata: JsonObject | None, sent: requests.Sent[Any]) -> JsonObject | None:
    if metadata is None:
        return None
    is_shallow = nests_within(_METADATA_LEVELS, metadata)
    if not is_shallow or len(orjson.dumps(metadata)) > _METADATA_BYTES or "" in metadata:
        message = (
            f"'metadata' takes {_METADATA_BYTES} bytes of JSON at most, {_METADATA_LEVELS} levels, and no empty name."
        )
        sent.note("invalid_value", message, "metadata")
        return None
    return metadata


def _offset(text: str | None) -> int:
    """The number of the item that a page of results starts with."""
    if text is None:
        return 0
    found = _CURSOR.fullmatch(text)
    if found is None:
        raise InvalidRequest("'cursor' is none of this batch's results.", param="cursor", code="invalid_value")
    return int(found[1])


def _time(text: str) -> int:
    try:
        at = datetime.fromisoformat(text)
        if at.tzinfo is None:
            raise ValueError("no time zone")
        return int(at.timestamp())
    except (ValueError, OverflowError) as error:
        message = "'expires_at' must be a time such as 2027-01-01T00:00:00Z."
        raise InvalidRequest(message, param="expires_at", code="invalid_value") from error
