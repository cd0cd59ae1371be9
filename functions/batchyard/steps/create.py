"""Create: one batch from one request, however often the request comes.

The same idempotency key with the same request is the same batch, and so is the same batch id: a repeat answers what
the first call made, and starts the execution again in case the first call died before it did (AWS starts it once).
"""

from __future__ import annotations

from batchyard.adapters.aws.batches import Batches, Idempotency, IdempotencyKeyUsed
from batchyard.adapters.aws.files import Files
from batchyard.adapters.aws.objects import Objects
from batchyard.adapters.aws.workflow import Workflow
from batchyard.core.batches import Batch, Status
from batchyard.core.errors import (
    BatchyardError,
    BooksDoNotBalance,
    ConditionFailed,
    Conflict,
    InvalidRequest,
    NotFound,
)
from batchyard.core.files import FileStatus
from batchyard.core.requests import BatchRequest
from batchyard.steps import receive

PURPOSE = "batch"
_KEEP_IDEMPOTENCY_KEY_SECONDS = 86_400


class NotStarted(BatchyardError):
    """The batch exists, its execution could not be started. The same request again starts it, and so does Sweep."""

    def __init__(self, batch: Batch) -> None:
        super().__init__(f"the execution of {batch.id} could not be started")
        self.batch = batch


def create(
    request: BatchRequest,
    *,
    account_id: str,
    batch_id: str,
    now: int,
    window_seconds: int,
    max_file_bytes: int,
    files: Files,
    objects: Objects,
    batches: Batches,
    workflow: Workflow,
) -> Batch:
    """The batch, `validating` when it is new. Raises NotFound or InvalidRequest where its input file cannot be one,
    Conflict where its idempotency key stands for another request, NotStarted where only its execution is missing."""
    used = batches.used(account_id, request.idempotency_key)
    batch = _repeated(request, account_id, used, batches) if used else None
    if batch is None:
        _check_input(request.input_file_id, account_id, now, max_file_bytes, files, objects)
        batch = _new_batch(request, account_id, batch_id, now, window_seconds)
        try:
            batches.create(batch, _idempotency(request, now))
        except IdempotencyKeyUsed as winner:
            batch = _repeated(request, account_id, winner, batches)
        except ConditionFailed:
            batch = _found(account_id, batch_id, batches)
    if batch.status is Status.VALIDATING:
        try:
            workflow.start(account_id, batch.id)
        except Exception as error:
            raise NotStarted(batch) from error
    return batch


def _repeated(request: BatchRequest, account_id: str, used: IdempotencyKeyUsed, batches: Batches) -> Batch:
    """The batch that an earlier request with this idempotency key made."""
    if used.fingerprint != request.fingerprint:
        raise Conflict(
            "This Idempotency-Key was used for a request with other parameters. Use a new key for a new batch.",
            param="Idempotency-Key",
            code="idempotency_key_reused",
        )
    return _found(account_id, used.batch_id, batches)


def _found(account_id: str, batch_id: str, batches: Batches) -> Batch:
    batch = batches.get(account_id, batch_id, consistent=True)
    if batch is None:
        raise BooksDoNotBalance(f"{batch_id} was created and is gone")
    return batch


def _check_input(file_id: str, account_id: str, now: int, max_file_bytes: int, files: Files, objects: Objects) -> None:
    try:
        file = receive.find(account_id, file_id, now=now, max_file_bytes=max_file_bytes, files=files, objects=objects)
    except NotFound as error:
        raise NotFound(error.message, param="input_file_id", code=error.code) from error
    if file.purpose != PURPOSE:
        raise InvalidRequest(
            f"The input file's purpose is '{file.purpose}'. Upload it with purpose '{PURPOSE}'.",
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


def _new_batch(request: BatchRequest, account_id: str, batch_id: str, now: int, window_seconds: int) -> Batch:
    return Batch(
        id=batch_id,
        account_id=account_id,
        surface=request.surface,
        endpoint=request.endpoint,
        input_file_id=request.input_file_id,
        completion_window=request.completion_window,
        status=Status.VALIDATING,
        created_at=now,
        expires_at=now + window_seconds,
        metadata=request.metadata,
        output_expires_after_seconds=request.output_expires_after_seconds,
        concurrency=request.concurrency,
        drop=request.drop,
    )


def _idempotency(request: BatchRequest, now: int) -> Idempotency | None:
    if request.idempotency_key is None:
        return None
    return Idempotency(request.idempotency_key, request.fingerprint, now + _KEEP_IDEMPOTENCY_KEY_SECONDS)
