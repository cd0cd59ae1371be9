"""OpenAI's dialect as a table.

Requests are read in `reading.py`, their bodies are in `requests.py`; replies are written in `writing.py`, their objects
are in `replies.py`; lines are read in `lines.py`.
"""

from __future__ import annotations

from typing import get_args

from batchyard.core.limits import Limits
from batchyard.surfaces.openai import deliveries, plans, reading, replies, requests, writing
from batchyard.surfaces.openai.lines import parse_line
from batchyard.surfaces.operations import FILE_TYPES, Operation, OperationDoc, as_it_is, nothing
from batchyard.surfaces.surface import Surface, SurfaceRules

_REQUESTS_PER_MINUTE = 6_000
"""Of one API key: nobody who polls reasonably meets it, and nobody who does not can use up what all keys share."""
_AFTER = {"type": "string", "description": "The id of the object the page starts behind."}
_FILE_QUERY = {
    "purpose": {"type": "string", "description": "Only files with this purpose."},
    "limit": {"type": "integer", "minimum": 1, "maximum": 10_000, "default": 10_000},
    "order": {"type": "string", "enum": ["asc", "desc"], "default": "desc"},
    "after": _AFTER,
}
_BATCH_QUERY = {"limit": {"type": "integer", "minimum": 1, "maximum": 100, "default": 20}, "after": _AFTER}
_BINARY = {"type": "string", "format": "binary"}
_FILE_FORM = {
    "type": "object",
    "required": ["file"],
    "properties": {
        "file": _BINARY,
        "purpose": {
            "type": "string",
            "enum": list(get_args(requests.Purpose)),
            "default": "batch",
        },
        "expires_after[anchor]": {"type": "string", "enum": ["created_at"]},
        "expires_after[seconds]": {"type": "integer", "minimum": 3600, "maximum": 2_592_000},
    },
}
_PART_FORM = {"type": "object", "required": ["data"], "properties": {"data": _BINARY}}
CREATE_BATCH_DOC = OperationDoc(
    "Create a batch",
    request=requests.CreateBatch,
    headers={"Idempotency-Key": "The same key with the same request is the same batch."},
    reply=replies.BatchObject,
)
PLAN_BATCH_DOC = OperationDoc(
    "Say how a batch would run, what it would cost, and when it would be done; nothing is made or spent",
    request=requests.PlanBatch,
    reply=plans.PlanObject,
)

SURFACE = Surface(
    name="openai",
    rules=SurfaceRules(
        read_api_key=reading.read_api_key,
        write_error=writing.write_error,
        error_shape=replies.ErrorObject,
        allowance_headers=writing.allowance_headers,
        limits=Limits(requests_per_minute=_REQUESTS_PER_MINUTE),
    ),
    parse_line=parse_line,
    create_file=Operation(
        reading.read_file,
        writing.write_new_file,
        OperationDoc("Upload a file", form=_FILE_FORM, reply=replies.UploadedFile),
    ),
    list_files=Operation(
        reading.read_files_page,
        writing.write_files,
        OperationDoc("List files, newest first", query=_FILE_QUERY, reply=replies.FileList),
    ),
    presign_file=Operation(
        reading.read_presigned,
        writing.write_presigned,
        OperationDoc(
            "Get a URL to which the bytes of a large file can be sent",
            request=requests.PresignFile,
            reply=replies.PresignedFile,
        ),
    ),
    retrieve_file=Operation(
        reading.read_file_id, writing.write_file, OperationDoc("Retrieve a file", reply=replies.FileObject)
    ),
    delete_file=Operation(
        reading.read_file_id, writing.write_deleted_file, OperationDoc("Delete a file", reply=replies.DeletedFile)
    ),
    download_file=Operation(
        reading.read_file_id,
        as_it_is,
        OperationDoc("Download a file; a large one is answered by a redirect", content_types=FILE_TYPES, redirect=True),
    ),
    create_upload=Operation(
        reading.read_upload,
        writing.write_upload,
        OperationDoc("Start an upload in parts", request=requests.CreateUpload, reply=replies.UploadObject),
    ),
    add_upload_part=Operation(
        reading.read_upload_part,
        writing.write_upload_part,
        OperationDoc("Send a part of an upload", form=_PART_FORM, reply=replies.PartObject),
    ),
    complete_upload=Operation(
        reading.read_completion,
        writing.write_upload,
        OperationDoc(
            "Join the parts of an upload into a file", request=requests.CompleteUpload, reply=replies.UploadObject
        ),
    ),
    cancel_upload=Operation(
        reading.read_upload_id, writing.write_upload, OperationDoc("Cancel an upload", reply=replies.UploadObject)
    ),
    create_batch=Operation(reading.read_batch, writing.write_batch, CREATE_BATCH_DOC),
    list_batches=Operation(
        reading.read_batches_page,
        writing.write_batches,
        OperationDoc("List batches, newest first", query=_BATCH_QUERY, reply=replies.BatchList),
    ),
    retrieve_batch=Operation(
        reading.read_batch_id, writing.write_batch, OperationDoc("Retrieve a batch", reply=replies.BatchObject)
    ),
    cancel_batch=Operation(
        reading.read_batch_id,
        writing.write_batch,
        OperationDoc("Cancel a batch; what is done is kept", reply=replies.BatchObject),
    ),
    download_output=Operation(
        reading.read_batch_id,
        as_it_is,
        OperationDoc(
            "Download a batch's output file; a large one is answered by a redirect",
            content_types=FILE_TYPES,
            redirect=True,
        ),
    ),
    plan_batch=Operation(reading.read_plan, writing.write_plan, PLAN_BATCH_DOC),
    list_deliveries=Operation(
        reading.read_deliveries_page,
        writing.write_deliveries,
        OperationDoc(
            "List the deliveries of webhooks, those of the newest batches first",
            query=_BATCH_QUERY,
            reply=deliveries.DeliveryList,
        ),
    ),
    retrieve_delivery=Operation(
        reading.read_delivery_id,
        writing.write_delivery,
        OperationDoc("Retrieve a delivery with its attempts", reply=deliveries.DeliveryObject),
    ),
    replay_delivery=Operation(
        reading.read_delivery_id,
        writing.write_delivery,
        OperationDoc("Deliver an event again, with the same id", reply=deliveries.DeliveryObject),
    ),
    list_models=Operation(
        nothing,
        writing.write_models,
        OperationDoc("List the models that batches can use", reply=replies.ModelList),
    ),
    retrieve_model=Operation(
        reading.read_model, writing.write_model, OperationDoc("Retrieve a model", reply=replies.ModelObject)
    ),
    describe_limits=Operation(
        nothing,
        writing.write_limits,
        OperationDoc("What a file and a batch may have in this deployment", reply=replies.LimitsObject),
    ),
    describe_api=Operation(nothing, as_it_is, OperationDoc("This document")),
)
