"""Create: one batch from one request, however often the request comes.

The same idempotency key with the same request is the same batch, and so is the same batch id: a repeat answers what
the first call made, and starts the execution again in case the first call died before it did (AWS starts it once).
An input that came with the request is kept as a file of the account, so that all batches are run from files.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import orjson

from batchyard.adapters.aws.batches import Batches, Idempotency, IdempotencyKeyUsed
from batchyard.adapters.aws.caller_keys import CallerKeys
from batchyard.adapters.aws.files import Files
from batchyard.adapters.aws.objects import Objects
from batchyard.adapters.aws.table import Put
from batchyard.adapters.aws.workflow import Workflow
from batchyard.content import files as stored
from batchyard.core.batches import Batch, Status
from batchyard.core.errors import (
    BatchyardError,
    BooksDoNotBalance,
    ConditionFailed,
    Conflict,
    InvalidRequest,
    NotFound,
    PayloadTooLarge,
)
from batchyard.core.files import File, FileStatus
from batchyard.core.ids import derive_id
from batchyard.core.keys import file_key
from batchyard.core.limits import Bounds
from batchyard.core.requests import BatchRequest

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
    limits: Bounds,
    keep_days: int,
    files: Files,
    objects: Objects,
    batches: Batches,
    workflow: Workflow,
    providers: Collection[str] = (),
    caller_keys: CallerKeys | None = None,
) -> Batch:
    """The batch, `validating` when it is new. Raises NotFound, InvalidRequest or PayloadTooLarge where its input cannot
    be one, Conflict where its idempotency key stands for another request, NotStarted where only its execution is
    missing. `max_file_bytes`: of any file here; `limits`: of this batch; `keep_days`: how long an input that came with
    the request is kept. `providers`: those that a request may name; `caller_keys`: for requests that may bring a key of
    their own."""
    _check_provider(request, providers)
    used = batches.used(account_id, request.idempotency_key)
    batch = _repeated(request, account_id, used, batches) if used else None
    if batch is None:
        batch = _new_batch(request, account_id, batch_id, now, window_seconds)
        own_file = None
        if request.lines is None:
            _check_input(request.input_file_id, account_id, now, max_file_bytes, files, objects)
        else:
            _check_lines(request, request.lines, limits)
            own_file = _own_file(batch, request.lines, now, keep_days)
            batch = replace(batch, input_file_id=own_file.id)
            objects.put(file_key(account_id, own_file.id), request.lines)
        try:
            beside = _own_key(request, batch, caller_keys)
            batches.create(batch, _idempotency(request, now), input_file=own_file, beside=beside)
        except IdempotencyKeyUsed as winner:
            if own_file is not None:
                objects.delete(file_key(account_id, own_file.id))
            batch = _repeated(request, account_id, winner, batches)
        except ConditionFailed:
            batch = _found(account_id, batch_id, batches)
    if batch.status is Status.VALIDATING:
        try:
            workflow.start(account_id, batch.id)
        except Exception as error:
            raise NotStarted(batch) from error
    return batch


def _check_provider(request: BatchRequest, providers: Collection[str]) -> None:
    if request.provider is not None and request.provider not in providers:
        raise InvalidRequest(
            f"The provider '{request.provider[:64]}' does not exist here. Use one of: {', '.join(providers)}.",
            param="provider",
            code="provider_not_found",
        )


def _own_key(request: BatchRequest, batch: Batch, caller_keys: CallerKeys | None) -> list[Put]:
    """What keeps the key that the caller brought, encrypted for this batch only."""
    if request.caller_key is None:
        return []
    if caller_keys is None:
        raise BooksDoNotBalance("a request brought a key where none is taken")
    return [caller_keys.write_of(batch, request.caller_key)]


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
        file = stored.find(account_id, file_id, now=now, max_file_bytes=max_file_bytes, files=files, objects=objects)
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


def _check_lines(request: BatchRequest, data: bytes, limits: Bounds) -> None:
    """An input that came with the request is held to the limits of an input file at once."""
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


def _own_file(batch: Batch, data: bytes, now: int, keep_days: int) -> File:
    """The same batch has the same file, however often it is made."""
    return File(
        id=derive_id("file-", batch.id, "input"),
        account_id=batch.account_id,
        filename=f"{batch.id}_input.jsonl",
        purpose=PURPOSE,
        bytes=len(data),
        created_at=now,
        expires_at=stored.expiry(None, now, keep_days),
        rows=stored.count_rows(data),
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
        provider=request.provider,
        caller_pays=request.caller_key is not None,
        drop=request.drop,
    )


def _idempotency(request: BatchRequest, now: int) -> Idempotency | None:
    if request.idempotency_key is None:
        return None
    return Idempotency(request.idempotency_key, request.fingerprint, now + _KEEP_IDEMPOTENCY_KEY_SECONDS)
