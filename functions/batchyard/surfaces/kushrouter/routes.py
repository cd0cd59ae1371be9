"""The paths of the KushRouter surface. Files and batches are the same under `/api/v1` and `/api/openai/v1`.

Presigned uploads are ours: the way in for files that no request can carry.
"""

from __future__ import annotations

from batchyard.surfaces.route import Route

_FAMILIES = ("/api/v1", "/api/openai/v1")
_OPERATIONS = (
    ("POST", "/files", "files", "create_file"),
    ("GET", "/files", "files", "list_files"),
    ("POST", "/files/presigned", "files", "presign_file"),
    ("GET", "/files/{file_id}", "files", "retrieve_file"),
    ("DELETE", "/files/{file_id}", "files", "delete_file"),
    ("GET", "/files/{file_id}/content", "files", "download_file"),
    ("POST", "/batches", "batches", "create_batch"),
    ("GET", "/batches", "batches", "list_batches"),
    ("GET", "/batches/{batch_id}", "batches", "retrieve_batch"),
    ("POST", "/batches/{batch_id}/cancel", "batches", "cancel_batch"),
    ("GET", "/batches/{batch_id}/results", "results", "list_results"),
    ("GET", "/batches/{batch_id}/export", "results", "export_results"),
)

ROUTES = tuple(
    Route(method, family + path, function, operation, "kushrouter")
    for family in _FAMILIES
    for method, path, function, operation in _OPERATIONS
)
