"""The paths of Anthropic's Message Batches."""

from __future__ import annotations

from batchyard.surfaces.route import Route

_BATCHES = "/v1/messages/batches"
_BATCH = _BATCHES + "/{message_batch_id}"


def _route(method: str, path: str, function: str, operation: str) -> Route:
    return Route(method, path, function, operation, "anthropic")


ROUTES = (
    _route("POST", _BATCHES, "batches", "create_batch"),
    _route("GET", _BATCHES, "batches", "list_batches"),
    _route("GET", _BATCH, "batches", "retrieve_batch"),
    _route("POST", _BATCH + "/cancel", "batches", "cancel_batch"),
    _route("DELETE", _BATCH, "files", "delete_batch"),
    _route("GET", _BATCH + "/results", "results", "export_results"),
)
