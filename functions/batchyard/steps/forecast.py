"""Forecast: the plan of a batch that may be made, by the code that validation plans with, without making it.

An input file is read as validation reads it, but only its beginning, so that the answer comes within the time of one
request. Nothing is written, and no provider is called.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from contextlib import closing
from dataclasses import dataclass, replace

from batchyard.adapters.aws.objects import ObjectMissing
from batchyard.adapters.aws.stores import Stores
from batchyard.content.input_files import find_input
from batchyard.content.measuring import Measure
from batchyard.content.reading import MODELS_AT_MOST, Asked, Checks, InputLimits, InputRejected, Reading
from batchyard.content.workfile import WorkFile
from batchyard.core.batches import Batch, BatchRef
from batchyard.core.catalogue import Catalogue
from batchyard.core.errors import InvalidRequest, PreflightFailed
from batchyard.core.files import File, FileRef
from batchyard.core.forecast import (
    Forecast,
    Load,
    expected_load,
    forecast_route,
    imagined_shards,
    unknown_usage,
)
from batchyard.core.items import LineError
from batchyard.core.keys import file_key
from batchyard.core.lanes import Lane
from batchyard.core.limits import BatchTerms
from batchyard.core.planning import Planned
from batchyard.core.requests import ExpectedItems, PlanRequest
from batchyard.core.routing import Refusal, Rejected, eligible, rejected
from batchyard.core.sharding import LaneShards, Shard, ShardSizes, routes, shard_sizes
from batchyard.core.usage import Price, Usage
from batchyard.steps.create import new_batch

PlanRoutes = Callable[[Batch, Sequence[LaneShards], Sequence[Shard]], Planned]
"""(batch, lanes as routing found them, shards) -> what is decided about them."""

SAMPLE_LINES = 10_000
_SAMPLE_BYTES = 16_000_000


@dataclass(frozen=True, slots=True)
class _Input:
    """The items of the batch as lanes and shards. `asked`: for which models, and providers if those were named.
    `usages`: what each lane's items may use together. `sampled_items`: those that were read, if not all were."""

    items: int
    lanes: Sequence[LaneShards]
    shards: Sequence[Shard]
    asked: Set[Asked]
    usages: Sequence[Usage]
    sampled_items: int | None = None


@dataclass(frozen=True, slots=True)
class _Sample:
    """The beginning of an input of `bytes` bytes. `lines`: how many lines the whole of it has, if that is known."""

    data: bytes
    bytes: int
    lines: int | None


def forecast(
    request: PlanRequest,
    account_id: str,
    *,
    now: int,
    terms: BatchTerms,
    checks: Checks,
    plan: PlanRoutes,
    catalogue: Catalogue,
    stores: Stores,
) -> Forecast:
    """What would come of the batch if it were made now. Raises NotFound or InvalidRequest if its input cannot be one,
    as far as it was read; PreflightFailed with everything that is wrong with its lines."""
    batch = new_batch(request.batch, BatchRef(account_id, ""), now, terms, stores.accounts.glance(account_id))
    limits = checks.limits(batch.surface)
    if request.expected is None:
        found = _read(request, batch, _sample(request, batch, now, terms, stores), limits, checks)
    else:
        found = _imagined(request, request.expected, batch, limits, catalogue)
    planned = plan(batch, found.lanes, found.shards)

    def price_of(provider: str, model: str) -> Price:
        return batch.pinned_price(Lane(provider, model)) or catalogue.price_of(provider, model)

    runs = zip(routes(found.shards), found.lanes, _usages(request, found), planned.considered, strict=True)
    return Forecast(
        request,
        found.items,
        found.sampled_items,
        batch.expires_at,
        tuple(
            forecast_route(
                run,
                usage,
                price_of,
                considered,
                _forbidden(batch, entry, run[0].endpoint, found.asked, catalogue),
            )
            for run, entry, usage, considered in runs
        ),
    )


def _usages(request: PlanRequest, found: _Input) -> Sequence[Usage]:
    """Of each lane: what the caller says of all items, shared out by their number, or what the items say."""
    if request.output_tokens is None:
        return found.usages
    said = [round(request.output_tokens * entry.items / found.items) for entry in found.lanes]
    return [usage.with_output(tokens) for usage, tokens in zip(found.usages, said, strict=True)]


def _forbidden(
    batch: Batch, entry: LaneShards, endpoint: str | None, asked: Set[Asked], catalogue: Catalogue
) -> list[Rejected]:
    """The offers that the items of `entry` may not take, though it is their model. `endpoint`: what they are for, if
    that is not what the batch is for."""
    found: dict[Rejected, None] = {}
    for model, provider, wanted in sorted(asked, key=str):
        offers = eligible(model, provider, catalogue, wanted or batch.endpoint, batch.rules)
        if wanted != endpoint or isinstance(offers, Refusal):
            continue
        if entry.lane in [Lane(each.provider, each.model) for each in offers]:
            found |= dict.fromkeys(rejected(model, provider, catalogue, wanted or batch.endpoint, batch.rules))
    return list(found)


def _imagined(
    request: PlanRequest, expected: ExpectedItems, batch: Batch, limits: InputLimits, catalogue: Catalogue
) -> _Input:
    _check_count(expected.count, limits)
    asked = expected.model, batch.provider or expected.provider
    offers = eligible(*asked, catalogue, batch.endpoint, batch.rules)
    if isinstance(offers, Refusal):
        raise InvalidRequest(offers.message, param=offers.param.removeprefix("body."), code=offers.code)
    lane, *others = [Lane(offer.provider, offer.model) for offer in offers]
    load = expected_load(request, lane, tuple(others))
    usage = unknown_usage(batch.endpoint, expected.count)
    return _Input(expected.count, *_cut([load], batch, limits), {(*asked, None)}, [usage])


def _sample(request: PlanRequest, batch: Batch, now: int, terms: BatchTerms, stores: Stores) -> _Sample:
    lines = request.batch.lines
    if lines == b"":
        raise PreflightFailed(
            [LineError("empty_batch", "'items' is empty. A batch needs one at least.", param="items")]
        )
    if lines is not None:
        return _Sample(lines, len(lines), request.of_items)
    file = find_input(FileRef(batch.account_id, batch.input_file_id), now, terms.files.max_bytes, stores)
    try:
        return _Sample(_beginning(file, stores), file.bytes, file.lines)
    except ObjectMissing as error:
        raise InvalidRequest(
            "The input file's parts are still being joined. Ask again in a while.",
            param="input_file_id",
            code="file_not_ready",
        ) from error


def _read(request: PlanRequest, batch: Batch, sample: _Sample, limits: InputLimits, checks: Checks) -> _Input:
    if sample.lines is not None:
        _check_count(sample.lines, limits)
    reading = Reading(batch, limits, checks)
    measure = Measure(batch.endpoint)
    work = WorkFile(
        lambda data: None,
        sizes=_sizes(batch, limits),
        bytes_at_most=limits.shard_bytes,
        lanes_at_most=MODELS_AT_MOST,
        on_item=measure.count,
    )
    try:
        reading.read(iter((sample.data,)), work)
    except InputRejected as rejection:
        errors = rejection.errors
        if request.batch.lines is not None:
            errors = tuple(_in_the_request(error) for error in errors)
        raise PreflightFailed(errors) from rejection
    lanes, shards = work.finish()
    measured = measure.usages()
    usages = [measured[position] for position in range(len(lanes))]
    if len(sample.data) >= sample.bytes and request.of_items in (None, reading.items):
        return _Input(reading.items, lanes, shards, reading.asked, usages)
    factor = (sample.lines / reading.items) if sample.lines else sample.bytes / len(sample.data)
    loads = [
        Load(
            entry.lane,
            entry.items,
            sum(shards[number].length for number in entry.numbers),
            entry.others,
            shards[entry.first_shard].endpoint,
        )
        for entry in lanes
    ]
    is_beginning = len(sample.data) < sample.bytes
    bytes_factor = sample.bytes / len(sample.data) if is_beginning else factor
    stretched = [load.stretched(factor, bytes_factor) for load in loads]
    return _Input(
        sum(load.items for load in stretched),
        *_cut(stretched, batch, limits),
        reading.asked,
        [usage.share(load.items, entry.items) for usage, load, entry in zip(usages, stretched, lanes, strict=True)],
        reading.items,
    )


def _in_the_request(error: LineError) -> LineError:
    """The error with the place in the request's body, instead of a line of a file."""
    if error.line is None:
        return replace(error, param="items")
    item = f"items[{error.line - 1}]"
    return replace(error, line=None, param=f"{item}.{error.param.removeprefix('body.')}" if error.param else item)


def _beginning(file: File, stores: Stores) -> bytes:
    """The whole lines that the file begins with: all of them, if there are not too many."""
    held = bytearray()
    with closing(stores.objects.stream(file_key(file.account_id, file.id))) as chunks:
        for chunk in chunks:
            held += chunk
            if len(held) >= _SAMPLE_BYTES:
                break
    *lines, rest = bytes(held).split(b"\n", SAMPLE_LINES)
    if len(lines) < SAMPLE_LINES and (len(held) >= file.bytes or not lines):
        lines.append(rest)
        return b"\n".join(lines)
    return b"\n".join(lines) + b"\n"


def _cut(loads: Sequence[Load], batch: Batch, limits: InputLimits) -> tuple[list[LaneShards], list[Shard]]:
    return imagined_shards(loads, _sizes(batch, limits), limits.shard_bytes)


def _sizes(batch: Batch, limits: InputLimits) -> ShardSizes:
    return shard_sizes(batch.concurrency, limits.shard_items, limits.dispatch_stride)


def _check_count(items: int, limits: InputLimits) -> None:
    if items > limits.max_items:
        raise InvalidRequest(
            f"The batch would have {items} requests; {limits.max_items} are allowed. Split it.", code="too_many_tasks"
        )
