"""Validate: read a batch's input once, check and route every line, and write what the batch will run from.

Writes two objects: the work file (each shard's items one after another) and the manifest (where each shard is), both
under keys that only this run uses. The batch row then takes the plan in one conditional write; a run that comes second
deletes what it wrote. One wrong line fails the whole batch and nothing of it runs.

Memory is flat but for the digests that find repeated custom_ids: about 100 bytes an item, 100 MB for a million.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from hashlib import blake2b

import orjson

from batchyard.adapters.aws.batches import Batches
from batchyard.adapters.aws.files import Files
from batchyard.adapters.aws.objects import ObjectMissing, Objects
from batchyard.core.batches import Batch, Status
from batchyard.core.catalogue import Offer
from batchyard.core.errors import BatchyardError, BooksDoNotBalance, ConditionFailed, NotReady
from batchyard.core.files import File, FileStatus
from batchyard.core.items import Item, LineError, work_line
from batchyard.core.keys import file_key, manifest_key, work_key
from batchyard.core.lanes import Lane
from batchyard.core.routing import Refusal
from batchyard.core.sharding import Plan, manifest_record, split_concurrency
from batchyard.steps.lines import read_lines
from batchyard.steps.workfile import OpenLane, TooManyLanes, WorkFile

ParseLine = Callable[[bytes, int, int], Item | LineError]
"""(line, index, line number) -> the item, or why it is none."""
Route = Callable[[str, str | None, str], Offer | Refusal]
"""(model, provider or None, endpoint) -> where such items run, or why nowhere."""

MODELS_AT_MOST = 100
"""Lanes of one batch: they all stand in its row."""

_WAIT_FOR_FILE_SECONDS = 3600
_MODEL_NAME_CHARS = 256
_MESSAGE_CHARS = 500
_DIGEST_BYTES = 16


@dataclass(frozen=True, slots=True)
class Rules:
    """The deployment's limits (`batchyard.settings`) that matter here."""

    max_items: int
    max_file_bytes: int
    max_line_bytes: int
    max_line_errors: int
    shard_items: int
    shard_bytes: int
    dispatch_stride: int


class InputRejected(BatchyardError):
    """The input fails the batch: `errors` say why."""

    def __init__(self, *errors: LineError) -> None:
        super().__init__(f"{len(errors)} errors, first: {errors[0].code}")
        self.errors = errors


def validate(
    account_id: str,
    batch_id: str,
    *,
    run: str,
    clock: Callable[[], int],
    rules: Rules,
    parser: Callable[[str, str], ParseLine],
    route: Route,
    batches: Batches,
    files: Files,
    objects: Objects,
) -> Batch:
    """The batch as it stands afterwards: `in_progress` with a plan, `failed` with errors, or whatever somebody else
    made of it meanwhile. `run` is a token that no other call has. `parser`: (surface, endpoint) -> its ParseLine.
    Raises NotReady while the input file is on its way, ObjectChanged if it is overwritten: run again."""
    batch = _found(account_id, batch_id, batches)
    if batch.status is not Status.VALIDATING:
        return batch
    try:
        file = _input_file(batch, clock(), rules, files, objects)
        reading = _Reading(batch, rules, parser(batch.surface, batch.endpoint), route)
        plan = _write_work(batch, run, rules, reading, objects)
    except ObjectMissing:
        return _fail(batch, (_gone(batch),), clock(), batches)
    except InputRejected as rejection:
        return _fail(batch, rejection.errors, clock(), batches)
    _note_rows(file, reading, files)
    try:
        return batches.set_plan(batch, plan, reading.only_model, clock())
    except ConditionFailed:
        return _overtaken(batch, run, batches, objects)


def _input_file(batch: Batch, now: int, rules: Rules, files: Files, objects: Objects) -> File:
    file = files.get(batch.account_id, batch.input_file_id, consistent=True)
    if file is None or file.is_expired(now):
        raise InputRejected(_gone(batch))
    if file.status is FileStatus.ERROR:
        raise InputRejected(_of_file("invalid_file", f"The input file cannot be used: {file.status_details}"))
    if file.status is FileStatus.UPLOADED and objects.head(file_key(file.account_id, file.id)) is None:
        if now < batch.created_at + _WAIT_FOR_FILE_SECONDS:
            raise NotReady(f"{file.id} has no content yet")
        raise InputRejected(_of_file("file_not_ready", f"The content of the input file {file.id} never arrived."))
    if file.bytes > rules.max_file_bytes:
        raise InputRejected(_too_large(rules))
    return file


def _write_work(batch: Batch, run: str, rules: Rules, reading: _Reading, objects: Objects) -> Plan:
    with objects.writer(work_key(batch.account_id, batch.id, run)) as writer:
        work = WorkFile(
            writer.write,
            items_at_most=rules.shard_items,
            bytes_at_most=rules.shard_bytes,
            lanes_at_most=MODELS_AT_MOST,
        )
        reading.read(objects.stream(file_key(batch.account_id, batch.input_file_id)), work)
        lanes, shards = work.finish()
    objects.put(manifest_key(batch.account_id, batch.id, run), b"".join(map(manifest_record, shards)))
    stride, shard_concurrency = split_concurrency(batch.concurrency, rules.shard_items, rules.dispatch_stride)
    return Plan(
        run=run,
        items=reading.items,
        shards=len(shards),
        lanes=tuple(lanes),
        stride=stride,
        one_chain=batch.concurrency is not None,
        shard_concurrency=shard_concurrency,
    )


class _Reading:
    """One pass over the input."""

    def __init__(self, batch: Batch, rules: Rules, parse_line: ParseLine, route: Route) -> None:
        self._endpoint = batch.endpoint
        self._rules = rules
        self._parse_line = parse_line
        self._route = route
        self._errors: list[LineError] = []
        self._models: set[str] = set()
        self.items = 0
        self.bytes = 0

    @property
    def only_model(self) -> str | None:
        """The model that all items name, where they name the same."""
        return next(iter(self._models)) if len(self._models) == 1 else None

    def read(self, chunks: Iterator[bytes], work: WorkFile) -> None:
        """Raises InputRejected, once all is read or as soon as there are too many errors or items."""
        rules, parse_line = self._rules, self._parse_line
        lanes: dict[tuple[str, str | None], tuple[OpenLane, str | None]] = {}
        seen: set[bytes] = set()
        index = 0
        for number, line in read_lines(self._counted(chunks), rules.max_line_bytes):
            if index == rules.max_items:
                raise InputRejected(*self._errors, _too_many_items(rules))
            if line is None:
                self._wrong(_line_too_long(number, rules))
                index += 1
                continue
            item = parse_line(line, index, number)
            index += 1
            if isinstance(item, LineError):
                self._wrong(item)
                continue
            custom_id = item.custom_id.encode()
            digest = custom_id if len(custom_id) < _DIGEST_BYTES else blake2b(custom_id, digest_size=16).digest()
            if digest in seen:
                self._wrong(_repeated(number))
                continue
            seen.add(digest)
            place = lanes.get((item.model, item.provider))
            if place is None:
                place = self._place(item, number, work)
                if place is None:
                    continue
                lanes[item.model, item.provider] = place
            if self._errors:
                continue
            lane, rename = place
            if rename is not None:
                item = replace(item, body=_renamed(item.body, rename))
            work.add(lane, item.index, work_line(item))
        if self._errors:
            raise InputRejected(*self._errors)
        if index == 0:
            raise InputRejected(_of_file("empty_file", "The input file has no lines. A batch needs at least one."))
        self.items = index

    def _counted(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            self.bytes += len(chunk)
            if self.bytes > self._rules.max_file_bytes:
                raise InputRejected(*self._errors, _too_large(self._rules))
            yield chunk

    def _place(self, item: Item, number: int, work: WorkFile) -> tuple[OpenLane, str | None] | None:
        """The lane of such items, and the name that their model has there where it is another; None: an error."""
        if len(item.model) > _MODEL_NAME_CHARS:
            message = f"A model's name has at most {_MODEL_NAME_CHARS} characters."
            self._wrong(LineError("model_not_found", message, number, "body.model"))
            return None
        offer = self._route(item.model, item.provider, self._endpoint)
        if isinstance(offer, Refusal):
            self._wrong(LineError(offer.code, offer.message, number, offer.param))
            return None
        self._models.add(item.model)
        try:
            lane = work.lane(Lane(offer.provider, offer.model))
        except TooManyLanes:
            message = f"A batch takes at most {MODELS_AT_MOST} models. Split it into several batches."
            raise InputRejected(*self._errors, _of_file("too_many_models", message)) from None
        return lane, offer.model if offer.model != item.model else None

    def _wrong(self, error: LineError) -> None:
        """Notes an error; raises InputRejected when there are enough."""
        message = error.message if len(error.message) <= _MESSAGE_CHARS else error.message[:_MESSAGE_CHARS] + "…"
        self._errors.append(replace(error, message=message))
        if len(self._errors) == self._rules.max_line_errors:
            message = f"Only the first {len(self._errors)} errors are listed; the rest of the file was not checked."
            raise InputRejected(*self._errors, LineError("too_many_errors", message))


def _fail(batch: Batch, errors: tuple[LineError, ...], now: int, batches: Batches) -> Batch:
    try:
        return batches.finish(batch, Status.FAILED, now, errors=errors)
    except ConditionFailed:
        return _found(batch.account_id, batch.id, batches)


def _overtaken(batch: Batch, run: str, batches: Batches, objects: Objects) -> Batch:
    """The batch as somebody else left it, and what this run wrote is gone. (That somebody may be this run: a write
    whose answer was lost is sent again by the SDK, and then its condition does not hold.)"""
    batch = _found(batch.account_id, batch.id, batches)
    if batch.plan is None or batch.plan.run != run:
        objects.delete_many([work_key(batch.account_id, batch.id, run), manifest_key(batch.account_id, batch.id, run)])
    return batch


def _found(account_id: str, batch_id: str, batches: Batches) -> Batch:
    batch = batches.get(account_id, batch_id, consistent=True)
    if batch is None:
        raise BooksDoNotBalance(f"{batch_id} is not a batch of {account_id}")
    return batch


def _note_rows(file: File, reading: _Reading, files: Files) -> None:
    """The number of lines is known now. Deleting the file meanwhile is its owner's right: the work file is written."""
    if file.rows == reading.items and file.status is FileStatus.PROCESSED:
        return
    try:
        files.arrive(file, bytes=reading.bytes, rows=reading.items)
    except ConditionFailed:
        return


def _renamed(body: bytes, model: str) -> bytes:
    """The request body with the model's name as the provider has it."""
    return orjson.dumps(orjson.loads(body) | {"model": model})


def _of_file(code: str, message: str) -> LineError:
    return LineError(code, message, param="input_file_id")


def _gone(batch: Batch) -> LineError:
    return _of_file(
        "file_not_found", f"The input file {batch.input_file_id} does not exist: it was deleted or has expired."
    )


def _too_large(rules: Rules) -> LineError:
    return _of_file("file_too_large", f"The input file has more than {rules.max_file_bytes} bytes. Split it.")


def _too_many_items(rules: Rules) -> LineError:
    return _of_file("too_many_tasks", f"The input file has more than {rules.max_items} requests. Split it.")


def _line_too_long(number: int, rules: Rules) -> LineError:
    return LineError("line_too_long", f"This line has more than {rules.max_line_bytes} bytes.", number)


def _repeated(number: int) -> LineError:
    return LineError(
        "duplicate_custom_id",
        "Another line has the same custom_id. It must be unique for each request in a batch.",
        number,
        "custom_id",
    )
