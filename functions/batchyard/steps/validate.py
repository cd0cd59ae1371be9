"""Validate: read a batch's input once, check and route every line, and write what the batch will run from.

Writes two objects: the work file (each shard's items one after another) and the manifest (where each shard is), both
under keys that only this run uses; and a third one with the copies, if identical items are to be sent once. The batch
row then takes the plan in one conditional write; if two runs race, the second one deletes what it wrote. One wrong line
fails the whole batch, and nothing of it runs. What the batch may cost is reserved in the write that takes the plan; if
its account does not have that, the batch fails as well.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial

from batchyard.adapters.aws.batches import Batches
from batchyard.adapters.aws.files import Files
from batchyard.adapters.aws.objects import ObjectMissing, Objects
from batchyard.adapters.aws.stores import Stores
from batchyard.content.copies import CopyFinder
from batchyard.content.measuring import Measure
from batchyard.content.reading import (
    MODELS_AT_MOST,
    Checks,
    InputLimits,
    InputRejected,
    Reading,
    file_error,
    too_large,
)
from batchyard.content.workfile import WorkFile
from batchyard.core.accounts import Billing
from batchyard.core.batches import Batch, BatchRef, Stage, Status
from batchyard.core.errors import ConditionFailed, NotReady, RateLimited, RequestError
from batchyard.core.estimates import LanePrice, PriceOf, estimated_picousd
from batchyard.core.files import File, FileRef, FileStatus
from batchyard.core.items import LineError
from batchyard.core.keys import copies_key, file_key, manifest_key, work_key
from batchyard.core.lanes import Lane
from batchyard.core.ledger import InsufficientCredits, SpendLimitReached
from batchyard.core.sharding import Plan, manifest_record, shard_sizes, split_concurrency
from batchyard.steps.reserve import check_credits

_WAIT_FOR_FILE_SECONDS = 3600


def validate(ref: BatchRef, *, run: str, clock: Callable[[], int], checks: Checks, stores: Stores) -> Batch:
    """The batch as it stands afterwards: `in_progress` with a plan, `failed` with errors, or in any status that
    somebody else has moved it to meanwhile. `run` is a token that no other call has. Raises NotReady while the input
    file is on its way, ObjectChanged if it is overwritten: run again."""
    batches, objects = stores.batches, stores.objects
    batch = batches.current(ref)
    if batch.status is not Status.VALIDATING:
        return batch
    limits = checks.limits(batch.surface)
    try:
        _enter(batch, Stage.QUEUED, batches)
        file = _input_file(batch, clock(), limits, stores)
        _enter(batch, Stage.ROUTING, batches)
        reading = Reading(batch, limits, checks)
        plan, estimate = _write_work(batch, run, limits, reading, checks, objects)
    except ObjectMissing:
        return _fail(batch, (_file_not_found(batch),), clock(), batches)
    except InputRejected as rejection:
        return _fail(batch, rejection.errors, clock(), batches)
    _note_lines(file, reading, stores.files)
    try:
        return _plan(batch, plan, estimate, reading.only_model, clock(), stores)
    except ConditionFailed:
        return _overtaken(batch, run, batches, objects)
    except RateLimited as busy:
        _delete_work(batch, run, objects)
        raise NotReady("what its account may spend today could not be said") from busy
    except (InsufficientCredits, SpendLimitReached) as refusal:
        return _refuse(batch, run, refusal, clock(), stores)


def _enter(batch: Batch, stage: Stage, batches: Batches) -> None:
    """Notes how far validation is, for those who look at the batch. If it is cancelled meanwhile, that is found when
    the plan is to be set."""
    if batch.stage is stage or batch.stage is Stage.ROUTING:
        return
    try:
        batches.note_stage(batch, stage)
    except ConditionFailed:
        return


def _input_file(batch: Batch, now: int, limits: InputLimits, stores: Stores) -> File:
    file = stores.files.get(FileRef(batch.account_id, batch.input_file_id), consistent=True)
    if file is None or file.is_expired(now):
        raise InputRejected(_file_not_found(batch))
    file = file.as_of(now)
    if file.status is FileStatus.ERROR:
        raise InputRejected(file_error("invalid_file", f"The input file cannot be used: {file.status_details}"))
    if file.status is FileStatus.UPLOADED and stores.objects.head(file_key(file.account_id, file.id)) is None:
        if now < batch.created_at + _WAIT_FOR_FILE_SECONDS:
            raise NotReady(f"{file.id} has no content yet")
        raise InputRejected(file_error("file_not_ready", f"The content of the input file {file.id} never arrived."))
    if file.bytes > limits.max_file_bytes:
        raise InputRejected(too_large(limits))
    return file


def _plan(batch: Batch, plan: Plan, estimate: int, model: str | None, now: int, stores: Stores) -> Batch:
    """Takes the plan, and reserves what the batch may cost, unless that was done when it was made."""
    reserve = batch.billing is not Billing.FREE and not batch.reserved_picousd
    daily_limit_picousd = None
    if reserve:
        account = stores.accounts.glance(batch.account_id)
        check_credits(replace(account, billing=batch.billing), estimate, now, stores.ledger)
        daily_limit_picousd = account.daily_limit_picousd
    return stores.batches.set_plan(
        batch,
        plan,
        model,
        now,
        estimate_picousd=estimate,
        reserve=reserve,
        daily_limit_picousd=daily_limit_picousd,
    )


def _write_work(
    batch: Batch, run: str, limits: InputLimits, reading: Reading, checks: Checks, objects: Objects
) -> tuple[Plan, int]:
    """The plan, and what it may cost; 0 if nobody has to know."""
    stride, shard_concurrency = split_concurrency(batch.concurrency, limits.shard_items, limits.dispatch_stride)
    measure = Measure(batch.endpoint) if _needs_estimate(batch) else None
    with ExitStack() as stack:
        writer = stack.enter_context(objects.writer(work_key(batch.account_id, batch.id, run)))
        copies = None
        if batch.identical_once:
            copies_writer = stack.enter_context(objects.writer(copies_key(batch.account_id, batch.id, run)))
            copies = CopyFinder(copies_writer.write)
        work = WorkFile(
            writer.write,
            sizes=shard_sizes(batch.concurrency, limits.shard_items, limits.dispatch_stride),
            bytes_at_most=limits.shard_bytes,
            lanes_at_most=MODELS_AT_MOST,
            on_item=measure.count if measure else None,
        )
        reading.read(objects.stream(file_key(batch.account_id, batch.input_file_id)), work, copies)
        lanes, shards = work.finish()
    objects.put(manifest_key(batch.account_id, batch.id, run), b"".join(map(manifest_record, shards)))
    plan = Plan(
        run=run,
        items=reading.items,
        shards=len(shards),
        lanes=tuple(checks.plan(batch, lanes, shards)),
        stride=stride,
        one_chain=batch.concurrency is not None,
        shard_concurrency=shard_concurrency,
        copies=copies.found if copies else 0,
    )
    if measure is None or checks.price_of is None:
        return plan, 0
    price_of = partial(_price_of, batch, checks.price_of)
    return plan, estimated_picousd(plan.lanes, shards, measure.usages(), price_of)


def _price_of(batch: Batch, known: PriceOf, lane: Lane) -> LanePrice:
    price = known(lane)
    return LanePrice(batch.pinned_price(lane) or price.price, price.percent)


def _needs_estimate(batch: Batch) -> bool:
    """Whether anybody has to know what it may cost, and no quote has said so."""
    if batch.estimate_picousd:
        return False
    is_to_be_reserved = batch.billing is not Billing.FREE and not batch.reserved_picousd
    return is_to_be_reserved or batch.max_price_picousd is not None


def _fail(batch: Batch, errors: tuple[LineError, ...], now: int, batches: Batches) -> Batch:
    try:
        return batches.finish(batch, Status.FAILED, now, errors=errors)
    except ConditionFailed:
        return batches.current(batch.ref)


def _refuse(batch: Batch, run: str, refusal: RequestError, now: int, stores: Stores) -> Batch:
    """The batch, failed because its account does not have, or must not spend, what it may cost."""
    error = LineError(refusal.code or refusal.type, refusal.message)
    ended = _fail(batch, (error,), now, stores.batches)
    _delete_work(batch, run, stores.objects)
    return ended


def _overtaken(batch: Batch, run: str, batches: Batches, objects: Objects) -> Batch:
    """The batch as somebody else has left it; what this run wrote is deleted. (The other may be this very run: when the
    reply to a write is lost the SDK repeats it, and then its condition does not hold.)"""
    batch = batches.current(batch.ref)
    if batch.plan is None or batch.plan.run != run:
        _delete_work(batch, run, objects)
    return batch


def _delete_work(batch: Batch, run: str, objects: Objects) -> None:
    objects.delete_many(key(batch.account_id, batch.id, run) for key in (work_key, manifest_key, copies_key))


def _note_lines(file: File, reading: Reading, files: Files) -> None:
    """Notes how many lines the file has. If its owner has deleted it meanwhile, that does not matter: the work file is
    written."""
    if file.lines == reading.items and file.status is FileStatus.PROCESSED:
        return
    try:
        files.arrive(file, bytes=reading.bytes, lines=reading.items)
    except ConditionFailed:
        return


def _file_not_found(batch: Batch) -> LineError:
    return file_error(
        "file_not_found", f"The input file {batch.input_file_id} does not exist: it was deleted or has expired."
    )
