"""Delivery of results to the drop folder: where they go, and in which order they appear."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import orjson

from batchyard.adapters.aws.objects import ObjectMissing, Objects
from batchyard.core.batches import DropSource
from batchyard.core.dropfolder import JSONL, ResultKeys, is_too_long, result_keys
from batchyard.core.items import LineError
from batchyard.core.json_types import JsonObject
from batchyard.core.one_line import escape_separators

_LINES = "application/jsonl"
_DOCUMENT = "application/json"


@dataclass(frozen=True, slots=True)
class Delivery:
    """What is delivered. `output_key`, `error_key`: objects of the data bucket, if there are such files. `errors`: why
    the whole file failed; they become the error file if the batch has none. `status`: the other members of the status
    document."""

    status: JsonObject
    output_key: str | None = None
    error_key: str | None = None
    errors: tuple[LineError, ...] = ()


def deliver(delivery: Delivery, keys: ResultKeys, *, objects: Objects, drop: Objects) -> None:
    """Output and errors appear before the status document, which names them. Results of an earlier version of the file
    that this one has no counterpart for are deleted."""
    with_output = _copy(delivery.output_key, keys.output, objects, drop)
    with_errors = _copy(delivery.error_key, keys.errors, objects, drop)
    if not with_errors and delivery.errors:
        lines = [
            escape_separators(orjson.dumps(asdict(error), option=orjson.OPT_APPEND_NEWLINE))
            for error in delivery.errors
        ]
        drop.put(keys.errors, b"".join(lines), _LINES)
        with_errors = True
    document = delivery.status | {
        "errors": [asdict(error) for error in delivery.errors],
        "output_key": keys.output if with_output else None,
        "error_key": keys.errors if with_errors else None,
    }
    drop.put(keys.status, orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE), _DOCUMENT)


def keys_for(source: DropSource, qualifier: str, batch_id: str, drop: Objects) -> ResultKeys:
    """The plain names for the newest version of a dropped file, names with `qualifier` for one that was replaced: late
    results of an old version never replace those of a newer one. Nor does the refusal of `a` replace the results of
    `a.jsonl`."""
    plain = result_keys(source.key)
    if is_too_long(source.key):
        return plain
    newest = drop.head(source.key)
    if not source.key.endswith(JSONL):
        replaced = drop.head(source.key + JSONL) is not None or _delivered_batch(plain, drop) != ""
    elif newest is not None:
        replaced = newest.version_id != source.version_id
    else:
        replaced = _delivered_batch(plain, drop) > batch_id
    return result_keys(source.key, qualifier) if replaced else plain


def _delivered_batch(keys: ResultKeys, drop: Objects) -> str:
    """The id of the batch whose results stand under the plain names; ids sort by time. Empty if there is none."""
    try:
        return str(orjson.loads(drop.get(keys.status)).get("batch_id") or "")
    except ObjectMissing:
        return ""


def _copy(key: str | None, to_key: str, objects: Objects, drop: Objects) -> bool:
    """Copies the object `key` of the data bucket, or deletes `to_key` if there is no such object (any more). Whether it
    was copied."""
    if key is not None:
        try:
            objects.copy_to(key, drop.bucket, to_key, _LINES)
            return True
        except ObjectMissing:
            pass
    if drop.head(to_key) is not None:
        drop.delete(to_key)
    return False
