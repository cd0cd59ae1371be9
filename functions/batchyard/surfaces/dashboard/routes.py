"""The paths of the dashboard: its files, which anybody may have, and what its page reads, which takes an API key.

Everything else that the page does (uploads, new batches, keys, webhooks) goes through the API's other routes.
"""

from __future__ import annotations

from batchyard.surfaces.route import Route

_API = "/dashboard/api"


def _route(path: str, function: str, operation: str, *, public: bool = False) -> Route:
    return Route("GET", path, function, operation, "dashboard", public)


ROUTES = (
    _route("/dashboard", "account", "show_page", public=True),
    _route("/dashboard/{file+}", "account", "show_page", public=True),
    _route(f"{_API}/session", "account", "show_session"),
    _route(f"{_API}/usage", "account", "view_usage"),
    _route(f"{_API}/operator/accounts", "account", "view_accounts"),
    _route(f"{_API}/operator/lanes", "account", "view_lanes"),
    _route(f"{_API}/batches", "batches", "view_batches"),
    _route(f"{_API}/batches/{{batch_id}}", "batches", "view_batch"),
    _route(f"{_API}/batches/{{batch_id}}/throughput", "batches", "view_throughput"),
    _route(f"{_API}/batches/{{batch_id}}/items", "results", "view_items"),
    _route(f"{_API}/batches/{{batch_id}}/items/{{index}}", "results", "view_item"),
    _route(f"{_API}/files/{{file_id}}/download", "files", "show_download"),
)
