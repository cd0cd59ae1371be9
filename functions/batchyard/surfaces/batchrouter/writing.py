"""What Batchyard found -> BatchRouter's replies and errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from batchyard.core.accounts import AccountView, ApiKey
from batchyard.core.batches import Batch
from batchyard.core.catalogue import Offer
from batchyard.core.errors import PreflightFailed, RateLimited, RequestError
from batchyard.core.files import File
from batchyard.core.limits import Allowance
from batchyard.core.quotes import Quote
from batchyard.surfaces.batchrouter import accounts, quotes, replies
from batchyard.surfaces.batchrouter.times import iso, iso_or_none
from batchyard.surfaces.errors import error_detail
from batchyard.surfaces.http import JSON_TYPE, Reply, json_reply
from batchyard.surfaces.operations import ArtifactUrl, BilledBatch, Page, ShownApiKey, ShownFile

_FAULT = "The server had an error while processing your request. It is safe to send it again."


def write_quote(quote: Quote) -> Reply:
    return json_reply(quotes.quote_object(quote))


def write_created(batch: Batch) -> Reply:
    """The bytes that were kept when the batch was made, so that all repeats get the same."""
    if batch.first_reply is None:
        return json_reply(replies.created(batch), 202)
    return Reply(202, batch.first_reply, {"content-type": JSON_TYPE})


def write_batch(batch: Batch) -> Reply:
    return json_reply(replies.batch_object(batch))


def write_receipt(billed: BilledBatch) -> Reply:
    return json_reply(quotes.billed_batch(billed))


def write_batches(page: Page[Batch]) -> Reply:
    found = [replies.batch_object(batch) for batch in page.found]
    listed: replies.RoutedBatchList = {"batches": found, "next_cursor": found[-1]["id"] if page.has_more else None}
    return json_reply(listed)


def write_artifact(artifact: ArtifactUrl) -> Reply:
    body: replies.Artifact = {
        "batch_id": replies.batch_id(artifact.batch),
        "url": artifact.url,
        "content_type": "application/x-ndjson",
        "expires_at": iso(artifact.expires_at),
    }
    return json_reply(body)


def write_new_file(shown: ShownFile) -> Reply:
    return write_file(shown.file)


def write_file(file: File) -> Reply:
    return json_reply(replies.file_object(file))


def write_account(view: AccountView) -> Reply:
    return json_reply(accounts.account_object(view))


def write_new_api_key(shown: ShownApiKey) -> Reply:
    body: accounts.CreatedApiKey = {
        "api_key": shown.secret,
        "api_key_id": shown.key.id,
        "name": shown.key.name,
        "expires_at": iso_or_none(shown.key.expires_at),
    }
    return json_reply(body)


def write_api_keys(keys: list[ApiKey]) -> Reply:
    listed: accounts.ApiKeyList = {"api_keys": [accounts.api_key_object(key) for key in keys]}
    return json_reply(listed)


def write_api_key(key: ApiKey) -> Reply:
    return json_reply(accounts.api_key_object(key))


def write_catalog(offers: list[Offer]) -> Reply:
    catalog: accounts.Catalog = {"models": [accounts.catalog_model(offer) for offer in offers]}
    return json_reply(catalog)


def allowance_headers(allowance: Allowance) -> Mapping[str, str]:
    return {
        "x-ratelimit-limit": str(allowance.limit),
        "x-ratelimit-remaining": str(allowance.remaining),
        "x-ratelimit-reset": str(allowance.resets_at),
    }


def write_error(error: RequestError | None) -> Reply:
    if error is None:
        return _error("internal_error", _FAULT, {}, 500)
    detail = error_detail(error)
    details: dict[str, Any] = {} if error.param is None else {"param": error.param}
    if isinstance(error, PreflightFailed):
        issues = [replies.issue(each) for each in error.issues]
        message = issues[0]["message"] if len(issues) == 1 else f"{len(issues)} things are wrong with this batch."
        return _error("preflight_failed", message, {"preflight": issues}, error.status)
    headers = {"retry-after": str(error.retry_after_seconds)} if isinstance(error, RateLimited) else None
    return _error(detail["code"], error.message, details, error.status, headers)


def _error(
    code: str, message: str, details: dict[str, Any], status: int, headers: Mapping[str, str] | None = None
) -> Reply:
    body: replies.RoutedError = {"error": {"code": code, "message": message, "details": details}}
    return json_reply(body, status, headers)
