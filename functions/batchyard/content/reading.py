"""Reading: one pass over a batch's input, line by line, which puts its items into the work file, or collects what is
wrong with them.

Memory is flat but for the digests that find repeated custom_ids: about 100 bytes an item, 100 MB for a million.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b

import orjson

from batchyard.content.lines import read_lines
from batchyard.content.workfile import OpenLane, TooManyLanes, WorkFile
from batchyard.core import exact_json
from batchyard.core.batches import Batch
from batchyard.core.catalogue import Offer
from batchyard.core.errors import BatchyardError
from batchyard.core.estimates import PriceOf
from batchyard.core.items import Item, LineError, work_line
from batchyard.core.lanes import Lane
from batchyard.core.routing import Refusal
from batchyard.core.sharding import LaneShards, Shard

ParseLine = Callable[[bytes, int, int], Item | LineError]
"""(line, index, line number) -> the item, or what is wrong with the line."""
PlanLanes = Callable[[Batch, Sequence[LaneShards], Sequence[Shard]], Sequence[LaneShards]]
"""(batch, lanes as routing found them, shards) -> the lanes of its plan."""
Route = Callable[[str, str | None, str], Offer | Refusal]
"""(model, provider or None, endpoint) -> where such items run, or why nowhere."""

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
    what parses its lines; `route`: where items run; `plan`: which modes are used, only realtime if it is not given;
    `price_of`: lane -> its price, if estimates can be made."""

    limits: Callable[[str], InputLimits]
    parser: Callable[[str, str], ParseLine]
    route: Route
    plan: PlanLanes = lambda batch, lanes, shards: lanes
    price_of: PriceOf | None = None


class InputRejected(BatchyardError):
    """The input fails the batch: `errors` say why."""

    def __init__(self, *errors: LineError) -> None:
        super().__init__(f"{len(errors)} errors, first: {errors[0].code}")
        self.errors = errors


class Reading:
    """One pass over the input."""

    def __init__(self, batch: Batch, limits: InputLimits, parse_line: ParseLine, route: Route) -> None:
        self._endpoint = batch.endpoint
        self._provider = batch.provider
        self._limits = limits
        self._parse_line = parse_line
        self._route = route
        self._errors: list[LineError] = []
        self._models: set[str] = set()
        self.items = 0
        self.bytes = 0

    @property
    def only_model(self) -> str | None:
        """The model of all items, if it is one and the same."""
        return next(iter(self._models)) if len(self._models) == 1 else None

    def read(self, chunks: Iterator[bytes], work: WorkFile) -> None:
        """Raises InputRejected if a line is wrong: at the end of the input, or as soon as there are too many errors or
        items."""
        limits, parse_line = self._limits, self._parse_line
        lanes: dict[tuple[str, str | None], tuple[OpenLane, str | None]] = {}
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
            raise InputRejected(file_error("empty_file", "The input file has no lines. A batch needs at least one."))
        self.items = index

    def _counted(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            self.bytes += len(chunk)
            if self.bytes > self._limits.max_file_bytes:
                raise InputRejected(*self._errors, too_large(self._limits))
            yield chunk

    def _place(self, item: Item, number: int, work: WorkFile) -> tuple[OpenLane, str | None] | None:
        """The item's lane, and the name of its model there, if that is another one. None: there is no lane, and the
        error was noted."""
        if len(item.model) > _MODEL_NAME_CHARS:
            message = f"A model's name has at most {_MODEL_NAME_CHARS} characters."
            self._wrong(LineError("model_not_found", message, number, "body.model"))
            return None
        if self._provider is not None and item.provider not in (None, self._provider):
            message = f"This batch goes to the provider '{self._provider}' with all its lines. Remove 'provider'."
            self._wrong(LineError("provider_mismatch", message, number, "provider"))
            return None
        offer = self._route(item.model, self._provider or item.provider, self._endpoint)
        if isinstance(offer, Refusal):
            self._wrong(LineError(offer.code, offer.message, number, offer.param))
            return None
        self._models.add(item.model)
        try:
            lane = work.lane(Lane(offer.provider, offer.model))
        except TooManyLanes:
            message = f"A batch takes at most {MODELS_AT_MOST} models. Split it into several batches."
            raise InputRejected(*self._errors, file_error("too_many_models", message)) from None
        return lane, offer.model if offer.model != item.model else None

    def _wrong(self, error: LineError) -> None:
        """Notes an error; raises InputRejected if there are as many as are reported."""
        message = error.message if len(error.message) <= _MESSAGE_CHARS else error.message[:_MESSAGE_CHARS] + "…"
        self._errors.append(replace(error, message=message))
        if len(self._errors) == self._limits.max_line_errors:
            message = f"Only the first {len(self._errors)} errors are listed; the rest of the file was not checked."
            raise InputRejected(*self._errors, LineError("too_many_errors", message))


def _renamed(body: bytes, model: str) -> bytes:
    """The request body with the model's name as the provider has it."""
    return orjson.dumps(exact_json.loads(body) | {"model": model})


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
