"""What the OpenAPI document says of each operation of the OpenAI surface."""

from __future__ import annotations

from batchyard.surfaces.openai import replies, requests
from batchyard.surfaces.surface import FILE_TYPES, OperationDoc

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
            "enum": list(requests.Purpose.__args__),  # type: ignore[attr-defined]
            "default": "batch",
        },
        "expires_after[anchor]": {"type": "string", "enum": ["created_at"]},
        "expires_after[seconds]": {"type": "integer", "minimum": 3600, "maximum": 2_592_000},
    },
}
_PART_FORM = {"type": "object", "required": ["data"], "properties": {"data": _BINARY}}

DOCS = {
    "create_file": OperationDoc("Upload a file", form=_FILE_FORM, reply=replies.UploadedFile),
    "list_files": OperationDoc("List files, newest first", query=_FILE_QUERY, reply=replies.FileList),
    "presign_file": OperationDoc(
        "Get a URL to which the bytes of a large file can be sent",
        request=requests.PresignFile,
        reply=replies.PresignedFile,
    ),
    "retrieve_file": OperationDoc("Retrieve a file", reply=replies.FileObject),
    "delete_file": OperationDoc("Delete a file", reply=replies.DeletedFile),
    "download_file": OperationDoc(
        "Download a file; a large one is answered by a redirect", content_types=FILE_TYPES, redirect=True
    ),
    "create_upload": OperationDoc(
        "Start an upload in parts", request=requests.CreateUpload, reply=replies.UploadObject
    ),
    "add_upload_part": OperationDoc("Send a part of an upload", form=_PART_FORM, reply=replies.PartObject),
    "complete_upload": OperationDoc(
        "Join the parts of an upload into a file", request=requests.CompleteUpload, reply=replies.UploadObject
    ),
    "cancel_upload": OperationDoc("Cancel an upload", reply=replies.UploadObject),
    "create_batch": OperationDoc(
        "Create a batch",
        request=requests.CreateBatch,
        headers={"Idempotency-Key": "The same key with the same request is the same batch."},
        reply=replies.BatchObject,
    ),
    "list_batches": OperationDoc("List batches, newest first", query=_BATCH_QUERY, reply=replies.BatchList),
    "retrieve_batch": OperationDoc("Retrieve a batch", reply=replies.BatchObject),
    "cancel_batch": OperationDoc("Cancel a batch; what is done is kept", reply=replies.BatchObject),
    "download_output": OperationDoc(
        "Download a batch's output file; a large one is answered by a redirect",
        content_types=FILE_TYPES,
        redirect=True,
    ),
    "list_models": OperationDoc("List the models that batches can use", reply=replies.ModelList),
    "retrieve_model": OperationDoc("Retrieve a model", reply=replies.ModelObject),
    "describe_api": OperationDoc("This document"),
}
