"""Drop: make a batch of one version of a file put in the drop folder, once.

File id and batch id derive from bucket, key and version, so that a message that comes twice, now or in a month, finds
the batch that the first one made. If a file cannot become a batch, the reason is put where its results would be.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson

from batchyard.adapters.aws.objects import ObjectInfo, ObjectMissing, Objects
from batchyard.adapters.aws.stores import Stores
from batchyard.adapters.aws.workflow import Workflow
from batchyard.content import files as stored
from batchyard.content.delivery import Delivery, deliver, keys_for
from batchyard.content.lines import read_lines
from batchyard.core.batches import Batch, BatchRef, DropSource, Status
from batchyard.core.dropfolder import JSONL, MOST_KEY_BYTES, Dropped, ResultKeys, is_too_long, read_key
from batchyard.core.errors import InvalidRequest, NotFound, RequestError
from batchyard.core.files import INPUT_PURPOSE, File
from batchyard.core.ids import RANDOM_BYTES, new_id
from batchyard.core.items import LineError
from batchyard.core.json_types import JsonObject
from batchyard.core.keys import file_key
from batchyard.core.limits import BatchTerms
from batchyard.core.requests import BatchRequest
from batchyard.steps.create import create

ReadBatch = Callable[[Mapping[str, Any]], BatchRequest]
"""The parameters of POST /v1/batches -> the request. Raises RequestError."""

_PARAMETERS_BYTES = 64 * 1024
_DEFAULT_ENDPOINT = "/v1/chat/completions"
_DEFAULT_WINDOW = "24h"
_CONTENT_TYPE = "application/jsonl"


@dataclass(frozen=True, slots=True)
class Refused:
    """The file cannot become a batch. `keys`: where its owner finds the reason."""

    error: RequestError
    keys: ResultKeys


@dataclass(frozen=True, slots=True)
class Folder:
    """The drop folder of a deployment. `drop`: its bucket; `terms`: those of batches that come through it."""

    drop: Objects
    stores: Stores
    workflow: Workflow
    read_batch: ReadBatch
    terms: BatchTerms


def drop(source: DropSource, *, now: int, folder: Folder) -> Batch | Refused | None:
    """The batch of this version of the file, made now or earlier. None if there is nothing to do: the object is no file
    that can become a batch, or this version was deleted before anybody looked."""
    dropped = read_key(source.key)
    if dropped is None:
        return None
    info = folder.drop.head(source.key, version_id=source.version_id)
    if info is None:
        return None
    batch_id = _derived_id("batch_", source, info, folder)
    ref = BatchRef(dropped.account_id, batch_id)
    batch = folder.stores.batches.get(ref, consistent=True) if dropped.account_id else None
    if batch is not None:
        if batch.status is Status.VALIDATING:
            folder.workflow.start(batch.ref)
        return batch
    try:
        return _make(source, dropped, info, ref, now, folder)
    except RequestError as error:
        return _refuse(source, batch_id, error, folder)


def _make(source: DropSource, dropped: Dropped, info: ObjectInfo, ref: BatchRef, now: int, folder: Folder) -> Batch:
    _check(dropped, info, folder)
    parameters = _parameters(dropped, folder)
    parameters.setdefault("completion_window", _DEFAULT_WINDOW)
    if "endpoint" not in parameters:
        parameters["endpoint"] = _first_url(source, folder)
    file_id = _derived_id("file-", source, info, folder)
    request = folder.read_batch({**parameters, "input_file_id": file_id})
    if request.webhook is not None:
        raise InvalidRequest(
            "A webhook's secret has no place in a bucket. Set the account's webhook: it is told of batches of the drop "
            "folder, too.",
            param="settings.webhook",
            code="webhook_not_supported",
        )
    _copy(source, dropped, file_id, now, folder)
    return create(
        replace(request, drop=source, idempotency_key=None),
        ref,
        now=now,
        terms=folder.terms,
        stores=folder.stores,
        workflow=folder.workflow,
    )


def _check(dropped: Dropped, info: ObjectInfo, folder: Folder) -> None:
    """Raises RequestError if this cannot become a batch."""
    if not dropped.account_id or folder.stores.accounts.get(dropped.account_id) is None:
        raise NotFound(
            f"The account '{dropped.account_id}' does not exist. Put files under drop/<account id>/<name>.jsonl.",
            code="account_not_found",
        )
    if not dropped.name.removesuffix(JSONL) or not dropped.name.endswith(JSONL):
        raise InvalidRequest("The file's name must end in .jsonl.", code="invalid_file_name")
    if is_too_long(dropped.key):
        message = f"The file's key has {len(dropped.key.encode())} bytes; {MOST_KEY_BYTES} bytes are allowed."
        raise InvalidRequest(message, code="invalid_file_name")
    if info.size == 0:
        raise InvalidRequest("The file is empty.", code="empty_file")
    allowed = folder.terms.files.max_bytes
    if info.size > allowed:
        raise InvalidRequest(f"The file has {info.size} bytes; {allowed} bytes are allowed.", code="file_too_large")


def _parameters(dropped: Dropped, folder: Folder) -> JsonObject:
    """The parameters in `<name>.batch.json` beside the file; empty if there is no such object."""
    try:
        data = folder.drop.get(dropped.parameters_key, 0, _PARAMETERS_BYTES + 1)
    except ObjectMissing:
        return {}
    name = dropped.parameters_key.rpartition("/")[2]
    try:
        parameters = orjson.loads(data) if len(data) <= _PARAMETERS_BYTES else None
    except orjson.JSONDecodeError as error:
        message = f"{name} is not valid JSON: {error.msg} at character {error.pos}."
        raise InvalidRequest(message, code="invalid_json") from error
    if not isinstance(parameters, dict):
        message = f"{name} must hold one JSON object of at most {_PARAMETERS_BYTES} bytes."
        raise InvalidRequest(message, code="invalid_json")
    return parameters


def _first_url(source: DropSource, folder: Folder) -> str:
    """The `url` of the first line. If it has none, any other one serves: Validate then says what is wrong with the
    line."""
    limit = folder.terms.limits.max_line_bytes
    head = folder.drop.get(source.key, 0, limit, version_id=source.version_id)
    line = next((line for _, line in read_lines([head], limit)), None)
    try:
        fields = orjson.loads(line or b"null")
    except orjson.JSONDecodeError:
        return _DEFAULT_ENDPOINT
    url = fields.get("url") if isinstance(fields, dict) else None
    return url if isinstance(url, str) else _DEFAULT_ENDPOINT


def _copy(source: DropSource, dropped: Dropped, file_id: str, now: int, folder: Folder) -> None:
    info = folder.stores.objects.copy_from(
        folder.drop.bucket, source.key, source.version_id, file_key(dropped.account_id, file_id), _CONTENT_TYPE
    )
    file = File(
        id=file_id,
        account_id=dropped.account_id,
        filename=dropped.name.rpartition("/")[2],
        purpose=INPUT_PURPOSE,
        bytes=info.size,
        created_at=now,
        expires_at=stored.expiry(None, now, folder.terms.files.keep_days),
    )
    folder.stores.files.put(file)


def _refuse(source: DropSource, batch_id: str, error: RequestError, folder: Folder) -> Refused:
    keys = keys_for(source, source.version_id, batch_id, folder.drop)
    reason = LineError(error.code or error.type, error.message, param=error.param)
    status = {
        "status": "failed",
        "batch_id": None,
        "source": {"key": source.key, "version_id": source.version_id},
    }
    deliver(Delivery(status, errors=(reason,)), keys, objects=folder.stores.objects, drop=folder.drop)
    return Refused(error, keys)


def _derived_id(prefix: str, source: DropSource, info: ObjectInfo, folder: Folder) -> str:
    """The id that this version of the file always gets, made of its time and a hash of bucket, key and version."""
    place = f"{folder.drop.bucket}\0{source.key}\0{source.version_id}"
    random = hashlib.blake2b(place.encode(), digest_size=RANDOM_BYTES).digest()
    return new_id(prefix, info.modified_at * 1000, random)
