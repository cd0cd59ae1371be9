"""Reading: one pass over a batch's input, line by line, which puts its items into the work file, or collects what is
wrong with them.

Memory is flat but for the digests that find repeated custom_ids: about 100 bytes an item, 100 MB for a million.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b

from batchyard.content.copies import CopyFinder
from batchyard.content.lines import read_lines
from batchyard.content.workfile import OpenLane, TooManyLanes, WorkFile
from batchyard.core.batches import Batch
from batchyard.core.catalogue import Offer
from batchyard.core.errors import BatchyardError
from batchyard.core.estimates import PriceOf
from batchyard.core.items import Item, LineError, work_line
from batchyard.core.lanes import Lane
from batchyard.core.routing import Refusal
from batchyard.core.rules import RoutingRules
from batchyard.core.sharding import LaneShards, Shard, ShardSizes

ParseLine = Callable[[bytes, int, int], Item | LineError]
"""(line, index, line number) -> the item, or what is wrong with the line."""
PlanLanes = Callable[[Batch, Sequence[LaneShards], Sequence[Shard]], Sequence[LaneShards]]
"""(batch, lanes as routing found them, shards) -> the lanes of its plan."""
Route = Callable[[str, str | None, str, RoutingRules], tuple[Offer, ...] | Refusal]
"""(model, provider or None, endpoint, rules) -> where such items may run, the best offer first, or why nowhere."""
CanRun = Callable[[Offer, str, bytes], bool]
"""(offer, endpoint, body) -> whether its provider can be asked for that."""

Asked = tuple[str, str | None, str | None]
"""What items ask for: (model, provider or None, endpoint or None if it is the batch's)."""

MODELS_AT_MOST = 100
"""The most models of one batch: its row lists the lane of each."""

_MODEL_NAME_CHARS = 256
_MESSAGE_CHARS = 500
_DIGEST_BYTES = 16


@dataclass(frozen=True, slots=True)
class InputLimits:
    """The deployment's limits on a batch's input, and on the shards that it is cut into."""

    max_items: int
    max_file_bytes: int
    max_line_bytes: int
    max_line_errors: int
    shard_items: int
    shard_bytes: int
    dispatch_stride: int


@dataclass(frozen=True, slots=True)
class Checks:
    """What the lines of an input are checked against. `limits`: surface -> its limits; `parser`: (surface, endpoint) ->
    what parses its lines; `route`: where items may run; `plan`: which lanes are used, the best one in realtime if it is
    not given; `can_run`: asked of items that may run at several providers; `price_of`: lane -> its price, if estimates
    can be made."""

    limits: Callable[[str], InputLimits]
    parser: Callable[[str, str], ParseLine]
    route: Route
    plan: PlanLanes = lambda batch, lanes, shards: lanes
    can_run: CanRun = lambda offer, endpoint, body: True
    price_of: PriceOf | None = None


class InputRejected(BatchyardError):
    """The input fails the batch: `errors` say why."""

    def __init__(self, *errors: LineError) -> None:
        super().__init__(f"{len(errors)} errors, first: {errors[0].code}")
        self.errors = errors


class Reading:
    """One pass over the input."""

    def __init__(self, batch: Batch, limits: InputLimits, checks: Checks) -> None:
        self._endpoint = batch.endpoint
        self._provider = batch.provider
        self._rules = batch.rules
        self._limits = limits
        self._parse_line = checks.parser(batch.surface, batch.endpoint)
        self._route = checks.route
        self._can_run = checks.can_run
        self._errors: list[LineError] = []
        self._models: set[str] = set()
        self.asked: set[Asked] = set()
        self.items = 0
        self.bytes = 0

    @property
    def only_model(self) -> str | None:
        """The model of all items, if it is one and the same."""
        return next(iter(self._models)) if len(self._models) == 1 else None

    def read(self, chunks: Iterator[bytes], work: WorkFile, copies: CopyFinder | None = None) -> None:
        """`copies`: gets the items that it finds to be copies, instead of the work file. Raises InputRejected if a line
        is wrong: at the end of the input, or as soon as there are too many errors or items."""
        limits, parse_line = self._limits, self._parse_line
        offers: dict[Asked, tuple[Offer, ...]] = {}
        only_lanes: dict[Asked, OpenLane] = {}
        seen: set[bytes] = set()
        index = 0
        for number, line in read_lines(self._counted(chunks), limits.max_line_bytes):
            if index == limits.max_items:
                raise InputRejected(*self._errors, _too_many_items(limits))
            if line is None:
                self._wrong(_line_too_long(number, limits))
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
            asked = (item.model, item.provider, self._own_endpoint(item))
            found = offers.get(asked)
            if found is None:
                found = self._offers(item, number)
                if found is None:
                    continue
                offers[asked] = found
            if self._errors:
                continue
            lane = only_lanes.get(asked)
            if lane is None:
                lane = self._lane(item, found, work)
                if len(found) == 1:
                    only_lanes[asked] = lane
            if copies is not None and copies.is_copy(lane, item):
                continue
            work.add(lane, item.index, work_line(item))
        if self._errors:
            raise InputRejected(*self._errors)
        if index == 0:
            raise InputRejected(file_error("empty_file", "The input file has no lines. A batch needs at least one."))
        self.items = index

    def _counted(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            self.bytes += len(chunk)
            if self.bytes > self._limits.max_file_bytes:
                raise InputRejected(*self._errors, too_large(self._limits))
            yield chunk

    def _offers(self, item: Item, number: int) -> tuple[Offer, ...] | None:
        """Where such items may run, the best one first. None: nowhere, and the error was noted."""
        if len(item.model) > _MODEL_NAME_CHARS:
            message = f"A model's name has at most {_MODEL_NAME_CHARS} characters."
            self._wrong(LineError("model_not_found", message, number, "body.model"))
            return None
        if self._provider is not None and item.provider not in (None, self._provider):
            message = f"This batch goes to the provider '{self._provider}' with all its lines. Remove 'provider'."
            self._wrong(LineError("provider_mismatch", message, number, "provider"))
            return None
        found = self._route(item.model, self._provider or item.provider, item.endpoint or self._endpoint, self._rules)
        if isinstance(found, Refusal):
            self._wrong(LineError(found.code, found.message, number, found.param))
            return None
        self._models.add(item.model)
        self.asked.add((item.model, self._provider or item.provider, self._own_endpoint(item)))
        return found

    def _own_endpoint(self, item: Item) -> str | None:
        """What the item is for, if that is not what the batch is for."""
        return None if item.endpoint == self._endpoint else item.endpoint

    def _lane(self, item: Item, offers: tuple[Offer, ...], work: WorkFile) -> OpenLane:
        """The item's lane. Of several offers only those count that can do what the item asks for, so that no change of
        lanes fails it; if none can, the first one will say so."""
        if len(offers) > 1:
            endpoint = item.endpoint or self._endpoint
            able = tuple(offer for offer in offers if self._can_run(offer, endpoint, item.body))
            offers = able or offers[:1]
        try:
            lanes = [Lane(offer.provider, offer.model) for offer in offers]
            return work.lane(*lanes, endpoint=self._own_endpoint(item))
        except TooManyLanes:
            message = f"A batch takes at most {MODELS_AT_MOST} models. Split it into several batches."
            raise InputRejected(*self._errors, file_error("too_many_models", message)) from None

    def _wrong(self, error: LineError) -> None:
        """Notes an error; raises InputRejected if there are as many as are reported."""
        message = error.message if len(error.message) <= _MESSAGE_CHARS else error.message[:_MESSAGE_CHARS] + "…"
        self._errors.append(replace(error, message=message))
        if len(self._errors) == self._limits.max_line_errors:
            message = f"Only the first {len(self._errors)} errors are listed; the rest of the file was not checked."
            raise InputRejected(*self._errors, LineError("too_many_errors", message))


def check_lines(data: bytes, batch: Batch, checks: Checks) -> None:
    """Raises InputRejected if `data` cannot be the input of `batch`. Nothing is written."""
    limits = checks.limits(batch.surface)
    nowhere = WorkFile(
        lambda written: None,
        sizes=ShardSizes(limits.shard_items),
        bytes_at_most=limits.shard_bytes,
        lanes_at_most=MODELS_AT_MOST,
    )
    reading = Reading(batch, limits, checks)
    reading.read(iter((data,)), nowhere)


def file_error(code: str, message: str) -> LineError:
    """What is wrong with the input as a whole."""
    return LineError(code, message, param="input_file_id")


def too_large(limits: InputLimits) -> LineError:
    return file_error("file_too_large", f"The input file has more than {limits.max_file_bytes} bytes. Split it.")


def _too_many_items(limits: InputLimits) -> LineError:
    return file_error("too_many_tasks", f"The input file has more than {limits.max_items} requests. Split it.")


def _line_too_long(number: int, limits: InputLimits) -> LineError:
    return LineError("line_too_long", f"This line has more than {limits.max_line_bytes} bytes.", number)


def _repeated(number: int) -> LineError:
    return LineError(
        "duplicate_custom_id",
        "Another line has the same custom_id. It must be unique for each request in a batch.",
        number,
        "custom_id",
    )
