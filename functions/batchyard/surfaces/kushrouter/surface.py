"""KushRouter's dialect as a table.

Requests are read in `reading.py`, their bodies are in `requests.py`; replies are written in `writing.py`, their objects
are in `replies.py`; lines are read in `lines.py`, results written in `results.py`.
"""

from __future__ import annotations

from batchyard.core.limits import Limits
from batchyard.surfaces.kushrouter import reading, replies, requests, writing
from batchyard.surfaces.kushrouter.lines import parse_line
from batchyard.surfaces.kushrouter.results import write_result
from batchyard.surfaces.operations import FILE_TYPES, Operation, OperationDoc, ResultsForm, as_it_is
from batchyard.surfaces.surface import Surface, SurfaceRules

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

SURFACE = Surface(
    name="kushrouter",
    rules=SurfaceRules(
        read_api_key=reading.read_api_key,
        write_error=writing.write_error,
        error_shape=replies.KushRouterError,
        allowance_headers=writing.allowance_headers,
        limits=Limits(
            max_batch_items=50_000, max_file_bytes=500_000_000, max_line_bytes=256 * 1024, requests_per_minute=6_000
        ),
        deleting_a_file_ends_its_batches=True,
    ),
    parse_line=parse_line,
    results=ResultsForm(write_result, writing.frame_results),
    create_file=Operation(
        reading.read_file,
        writing.write_new_file,
        OperationDoc(
            "Upload a file, as a form or as JSON",
            request=requests.KushRouterCreateFile,
            form=_FORM,
            reply=replies.KushRouterFile,
        ),
    ),
    list_files=Operation(
        reading.read_files_page,
        writing.write_files,
        OperationDoc("List files, newest first", query=_FILE_QUERY, reply=replies.KushRouterFileList),
    ),
    presign_file=Operation(
        reading.read_presigned,
        writing.write_presigned,
        OperationDoc(
            "Get a URL to which the bytes of a large file can be sent",
            request=requests.KushRouterPresignFile,
            reply=replies.KushRouterPresignedFile,
        ),
    ),
    retrieve_file=Operation(
        reading.read_file_id, writing.write_file, OperationDoc("Retrieve a file", reply=replies.KushRouterFile)
    ),
    delete_file=Operation(
        reading.read_file_id,
        writing.write_deleted_file,
        OperationDoc(
            "Delete a file; batches that refer to it and are not finished fail", reply=replies.KushRouterDeletedFile
        ),
    ),
    download_file=Operation(
        reading.read_file_id,
        as_it_is,
        OperationDoc("Download a file; a large one is answered by a redirect", content_types=FILE_TYPES, redirect=True),
    ),
    create_batch=Operation(
        reading.read_batch,
        writing.write_batch,
        OperationDoc(
            "Create a batch from a file or from requests",
            request=requests.KushRouterCreateBatch,
            headers={"Idempotency-Key": "The same key with the same request is the same batch."},
            reply=replies.KushRouterBatch,
        ),
    ),
    list_batches=Operation(
        reading.read_batches_page,
        writing.write_batches,
        OperationDoc("List batches, newest first", query=_BATCH_QUERY, reply=replies.KushRouterBatchList),
    ),
    retrieve_batch=Operation(
        reading.read_batch_id, writing.write_batch, OperationDoc("Retrieve a batch", reply=replies.KushRouterBatch)
    ),
    cancel_batch=Operation(
        reading.read_batch_id,
        writing.write_batch,
        OperationDoc("Cancel a batch; what is done is kept", reply=replies.KushRouterBatch),
    ),
    list_results=Operation(
        reading.read_results,
        as_it_is,
        OperationDoc(
            "Results in input order, also while the batch runs; a large page is answered by a redirect",
            query=_RESULTS_QUERY,
            redirect=True,
            reply=replies.KushRouterResults,
        ),
    ),
    export_results=Operation(
        reading.read_export,
        as_it_is,
        OperationDoc(
            "Results as one file; a large one is answered by a redirect",
            query=_EXPORT_QUERY,
            content_types=("application/x-ndjson", "application/gzip", "application/zip"),
            redirect=True,
        ),
    ),
)
