"""What the OpenAPI document says of each operation of the KushRouter surface."""

from __future__ import annotations

from batchyard.surfaces.kushrouter import replies, requests
from batchyard.surfaces.surface import FILE_TYPES, OperationDoc

_AFTER = {"type": "string", "description": "The id of the object the page starts behind."}
_OFFSET = {"type": "integer", "minimum": 0, "default": 0, "description": "The item of the input to start with."}
_FILE_QUERY = {"limit": {"type": "integer", "minimum": 1, "maximum": 10_000, "default": 1000}, "after": _AFTER}
_BATCH_QUERY = {"limit": {"type": "integer", "minimum": 1, "maximum": 100, "default": 20}, "after": _AFTER}
_RESULTS_QUERY = {"offset": _OFFSET, "limit": {"type": "integer", "minimum": 1, "maximum": 50_000, "default": 100}}
_EXPORT_QUERY = {
    "format": {"type": "string", "enum": ["ndjson", "zip"], "default": "ndjson"},
    "gzip": {"type": "boolean", "default": False, "description": "Compress NDJSON; a ZIP is compressed anyway."},
    "offset": _OFFSET,
    "limit": {"type": "integer", "minimum": 1, "description": "All items from the offset on, unless given."},
}
_FORM = {
    "type": "object",
    "required": ["file"],
    "properties": {
        "file": {"type": "string", "format": "binary"},
        "purpose": {"type": "string", "enum": ["batch", "user_data"], "default": "batch"},
    },
}

DOCS = {
    "create_file": OperationDoc(
        "Upload a file, as a form or as JSON",
        request=requests.KushRouterCreateFile,
        form=_FORM,
        reply=replies.KushRouterFile,
    ),
    "list_files": OperationDoc("List files, newest first", query=_FILE_QUERY, reply=replies.KushRouterFileList),
    "presign_file": OperationDoc(
        "Get a URL to which the bytes of a large file can be sent",
        request=requests.KushRouterPresignFile,
        reply=replies.KushRouterPresignedFile,
    ),
    "retrieve_file": OperationDoc("Retrieve a file", reply=replies.KushRouterFile),
    "delete_file": OperationDoc(
        "Delete a file; batches that refer to it and are not finished fail", reply=replies.KushRouterDeletedFile
    ),
    "download_file": OperationDoc(
        "Download a file; a large one is answered by a redirect", content_types=FILE_TYPES, redirect=True
    ),
    "create_batch": OperationDoc(
        "Create a batch from a file or from requests",
        request=requests.KushRouterCreateBatch,
        headers={"Idempotency-Key": "The same key with the same request is the same batch."},
        reply=replies.KushRouterBatch,
    ),
    "list_batches": OperationDoc("List batches, newest first", query=_BATCH_QUERY, reply=replies.KushRouterBatchList),
    "retrieve_batch": OperationDoc("Retrieve a batch", reply=replies.KushRouterBatch),
    "cancel_batch": OperationDoc("Cancel a batch; what is done is kept", reply=replies.KushRouterBatch),
    "list_results": OperationDoc(
        "Results in input order, also while the batch runs; a large page is answered by a redirect",
        query=_RESULTS_QUERY,
        redirect=True,
        reply=replies.KushRouterResults,
    ),
    "export_results": OperationDoc(
        "Results as one file; a large one is answered by a redirect",
        query=_EXPORT_QUERY,
        content_types=("application/x-ndjson", "application/gzip", "application/zip"),
        redirect=True,
    ),
}
