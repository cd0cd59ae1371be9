"""The paths of the OpenAI surface, Portkey's `/output` among them, and some of our own: presigned uploads, /v1/plan,
/v1/limits, deliveries of webhooks, /openapi.json. Under /v1/openai/v1 are those by which OpenAI's clients look after
BatchRouter's batches."""

from __future__ import annotations

from batchyard.surfaces.route import Route


def _route(method: str, path: str, function: str, operation: str, *, public: bool = False) -> Route:
    return Route(method, path, function, operation, "openai", public)


ROUTES = (
    _route("POST", "/v1/files", "files", "create_file"),
    _route("GET", "/v1/files", "files", "list_files"),
    _route("POST", "/v1/files/presigned", "files", "presign_file"),
    _route("GET", "/v1/files/{file_id}", "files", "retrieve_file"),
    _route("DELETE", "/v1/files/{file_id}", "files", "delete_file"),
    _route("GET", "/v1/files/{file_id}/content", "files", "download_file"),
    _route("POST", "/v1/uploads", "files", "create_upload"),
    _route("POST", "/v1/uploads/{upload_id}/parts", "files", "add_upload_part"),
    _route("POST", "/v1/uploads/{upload_id}/complete", "files", "complete_upload"),
    _route("POST", "/v1/uploads/{upload_id}/cancel", "files", "cancel_upload"),
    _route("POST", "/v1/batches", "batches", "create_batch"),
    _route("GET", "/v1/batches", "batches", "list_batches"),
    _route("GET", "/v1/batches/{batch_id}", "batches", "retrieve_batch"),
    _route("POST", "/v1/batches/{batch_id}/cancel", "batches", "cancel_batch"),
    _route("GET", "/v1/batches/{batch_id}/output", "batches", "download_output"),
    _route("POST", "/v1/plan", "batches", "plan_batch"),
    _route("GET", "/v1/webhooks/deliveries", "account", "list_deliveries"),
    _route("GET", "/v1/webhooks/deliveries/{delivery_id}", "account", "retrieve_delivery"),
    _route("POST", "/v1/webhooks/deliveries/{delivery_id}/replay", "account", "replay_delivery"),
    _route("GET", "/v1/models", "account", "list_models"),
    _route("GET", "/v1/models/{model+}", "account", "retrieve_model"),
    _route("GET", "/v1/limits", "account", "describe_limits"),
    _route("GET", "/openapi.json", "account", "describe_api", public=True),
    _route("GET", "/v1/openai/v1/batches", "batches", "list_batches"),
    _route("GET", "/v1/openai/v1/batches/{batch_id}", "batches", "retrieve_batch"),
    _route("GET", "/v1/openai/v1/files/{file_id}", "files", "retrieve_file"),
    _route("GET", "/v1/openai/v1/files/{file_id}/content", "files", "download_file"),
    _route("GET", "/v1/openai/v1/models", "account", "list_models"),
)
