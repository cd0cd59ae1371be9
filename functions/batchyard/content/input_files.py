"""Input files: what a batch is made from. Either a file that its account has uploaded, or lines that came with the
request for the batch and are kept as a file of their own.
"""

from __future__ import annotations

import orjson

from batchyard.adapters.aws.stores import Stores
from batchyard.content import files
from batchyard.core.batches import Batch
from batchyard.core.errors import InvalidRequest, NotFound, PayloadTooLarge
from batchyard.core.files import INPUT_PURPOSE, File, FileRef, FileStatus
from batchyard.core.ids import derive_id
from batchyard.core.limits import Bounds
from batchyard.core.requests import BatchRequest


def find_input(ref: FileRef, now: int, max_file_bytes: int, stores: Stores) -> File:
    """The file, if it can be a batch's input. Raises NotFound or InvalidRequest."""
    try:
        file = files.find(ref, now=now, max_file_bytes=max_file_bytes, stores=stores)
    except NotFound as error:
        raise NotFound(error.message, param="input_file_id", code=error.code) from error
    if file.purpose != INPUT_PURPOSE:
        raise InvalidRequest(
            f"The input file's purpose is '{file.purpose}'. Upload it with purpose '{INPUT_PURPOSE}'.",
            param="input_file_id",
            code="invalid_file_purpose",
        )
    if file.status is FileStatus.ERROR:
        raise InvalidRequest(
            f"The input file cannot be used: {file.status_details}", param="input_file_id", code="invalid_file"
        )
    if file.status is FileStatus.UPLOADED and file.upload_id is None:
        raise InvalidRequest(
            "The input file has no content yet. PUT its bytes to the presigned URL first.",
            param="input_file_id",
            code="file_not_uploaded",
        )
    return file


def check_size(request: BatchRequest, data: bytes, limits: Bounds) -> None:
    """Lines that came with the request are held to the limits of an input file at once. Raises InvalidRequest or
    PayloadTooLarge."""
    lines = data.splitlines()
    if len(lines) > limits.max_batch_items:
        raise InvalidRequest(
            f"The batch has {len(lines)} requests; {limits.max_batch_items} are allowed. Split it.",
            code="too_many_tasks",
        )
    for index, line in enumerate(lines):
        if len(line) > limits.max_line_bytes:
            raise PayloadTooLarge(
                f"Request {index} has {len(line)} bytes once encoded; {limits.max_line_bytes} are allowed.",
                code="line_too_long",
            )
    size = len(data) + len(orjson.dumps(request.metadata))
    if size > limits.max_file_bytes:
        raise PayloadTooLarge(
            f"The batch has {size} bytes with its metadata; {limits.max_file_bytes} are allowed. Split it.",
            code="batch_too_large",
        )


def own_file_id(batch_id: str) -> str:
    """The id of the file that holds an input which came with the request that made the batch. It derives from the
    batch's, so that a repeat makes the same file."""
    return derive_id("file-", batch_id, "input")


def own_file(batch: Batch, data: bytes, now: int, keep_days: int) -> File:
    """The file that holds the lines which came with the request for `batch`."""
    return File(
        id=own_file_id(batch.id),
        account_id=batch.account_id,
        filename=f"{batch.id}_input.jsonl",
        purpose=INPUT_PURPOSE,
        bytes=len(data),
        created_at=now,
        expires_at=files.expiry(None, now, keep_days),
        lines=files.count_lines(data),
    )
