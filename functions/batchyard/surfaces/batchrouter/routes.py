"""The paths of the BatchRouter surface, and which requests are its own on those that it shares with OpenAI's.

A request that makes something is BatchRouter's by what is in it, one about a batch or a file by the form of the id
(`bat_…`, `file_…`: another spelling of ours), a list by its `cursor`. Cancel, list and the ways to API keys but the
first are ours, in its style.
"""

from __future__ import annotations

from collections.abc import Collection

from batchyard.surfaces.route import Asked, Route

_MEMBERS = ("items", "quote_id", "sla_tier", "routing_mode", "privacy_tier", "customer_item_id")
"""A body with one of them is BatchRouter's."""
_OPENAIS_MEMBERS = ("endpoint", "completion_window")
_RECEIPT = "include_billing_receipt"


def makes_a_batch(asked: Asked) -> bool:
    """By what is in the body, and else by the header that BatchRouter's clients have to send and OpenAI's do not. A
    body that is no JSON object is judged by the names that stand in it."""
    named = _members_of(asked.body)
    if any(name in named for name in _MEMBERS):
        return True
    return "idempotency-key" in asked.headers and not any(name in named for name in _OPENAIS_MEMBERS)


def _members_of(body: bytes) -> Collection[str]:
    import orjson  # routes are imported at synth, which has no use for it

    try:
        found = orjson.loads(body)
    except ValueError:
        found = None
    if isinstance(found, dict):
        return found
    return [name for name in (*_MEMBERS, *_OPENAIS_MEMBERS) if f'"{name}"'.encode() in body]


def makes_a_file(asked: Asked) -> bool:
    """By its lines. OpenAI's clients say what a file is for, and get OpenAI's reply whatever is in it; batches of
    either dialect take both files."""
    return b'"customer_item_id"' in asked.body and b'name="purpose"' not in asked.body


def names_a_batch(asked: Asked) -> bool:
    return asked.parameters.get("batch_id", "").startswith("bat_")


def asks_for_a_receipt(asked: Asked) -> bool:
    return names_a_batch(asked) and asked.query.get(_RECEIPT, "").lower() in ("true", "1")


def names_a_file(asked: Asked) -> bool:
    return asked.parameters.get("file_id", "").startswith("file_")


def lists_by_cursor(asked: Asked) -> bool:
    return "cursor" in asked.query


ROUTES = (
    Route("POST", "/v1/quotes/model", "batches", "quote_batch", "batchrouter"),
    Route("POST", "/v1/files", "files", "create_file", "batchrouter", claims=makes_a_file),
    Route("GET", "/v1/files/{file_id}", "files", "retrieve_file", "batchrouter", claims=names_a_file),
    Route("POST", "/v1/batches", "batches", "create_batch", "batchrouter", claims=makes_a_batch),
    Route("GET", "/v1/batches", "batches", "list_batches", "batchrouter", claims=lists_by_cursor),
    Route("GET", "/v1/batches/{batch_id}", "batches", "show_receipt", "batchrouter", claims=asks_for_a_receipt),
    Route("GET", "/v1/batches/{batch_id}", "batches", "retrieve_batch", "batchrouter", claims=names_a_batch),
    Route("POST", "/v1/batches/{batch_id}/cancel", "batches", "cancel_batch", "batchrouter", claims=names_a_batch),
    Route("GET", "/v1/batches/{batch_id}/results", "results", "list_results", "batchrouter"),
    Route("GET", "/v1/batches/{batch_id}/artifact-url", "results", "show_artifact", "batchrouter"),
    Route("GET", "/v1/auth/account", "account", "show_account", "batchrouter"),
    Route("POST", "/v1/auth/account/api-keys", "account", "create_api_key", "batchrouter"),
    Route("GET", "/v1/auth/account/api-keys", "account", "list_api_keys", "batchrouter"),
    Route("DELETE", "/v1/auth/account/api-keys/{api_key_id}", "account", "revoke_api_key", "batchrouter"),
    Route("PUT", "/v1/auth/account/delivery-webhook", "account", "set_webhook", "batchrouter"),
    Route("GET", "/v1/auth/account/delivery-webhook", "account", "retrieve_webhook", "batchrouter"),
    Route("DELETE", "/v1/auth/account/delivery-webhook", "account", "delete_webhook", "batchrouter"),
    Route("GET", "/v1/catalog/models", "account", "list_models", "batchrouter", public=True),
)
