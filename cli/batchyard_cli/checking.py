"""`check`: the server's own rules, run here. `batchyard.content.reading` is the pass that Validate makes over an input;
only two things are different: nothing is written, and what the server knows of itself is asked from its API: its limits
(GET /v1/limits), and where it looks a model up in its catalogue (POST /v1/plan), once for each model.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from batchyard.content.lines import read_lines
from batchyard.content.reading import MODELS_AT_MOST, Checks, InputLimits, InputRejected, Reading, Route
from batchyard.content.workfile import WorkFile
from batchyard.core.batches import Batch, Status
from batchyard.core.catalogue import Offer
from batchyard.core.items import Item, LineError
from batchyard.core.routing import Refusal, RoutingRules
from batchyard.core.sharding import ShardSizes
from batchyard.core.usage import Price
from batchyard.surfaces.openai.lines import parse_line
from batchyard.surfaces.surface import LineContext
from batchyard_cli.api import Api, Refused
from batchyard_cli.exits import CommandFailed
from batchyard_cli.limits import Limits, limits_of
from batchyard_cli.uploading import chunks

_FIRST_LINES = 100
_BYTES_PER_TOKEN = 4
"""As the server estimates tokens (`batchyard.core.forecast`)."""


@dataclass(frozen=True)
class Asked:
    """Items of one model (at one provider, if they name it): how many, and how many bytes their bodies have."""

    model: str
    provider: str | None
    items: int
    bytes: int

    @property
    def tokens(self) -> int:
        return max(1, self.bytes // _BYTES_PER_TOKEN)


@dataclass(frozen=True)
class Checked:
    """`errors`: what is wrong, in the server's words; none if the file is good. `models_known`: whether the deployment
    was asked about the models."""

    endpoint: str
    items: int
    bytes: int
    errors: tuple[LineError, ...] = ()
    asked: tuple[Asked, ...] = field(default=())
    models_known: bool = False


def endpoint_of(path: Path) -> str:
    """The `url` of the first line that has one. Raises CommandFailed if none of the first lines has."""
    for number, line in read_lines(chunks(path), Limits().max_line_bytes):
        if number > _FIRST_LINES:
            break
        try:
            url = json.loads(line or b"")["url"]
        except (ValueError, KeyError, TypeError):
            continue
        if isinstance(url, str) and url.startswith("/v1/"):
            return url
    raise CommandFailed(
        f"No line at the beginning of {path} says where it goes.",
        'A line looks like {"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": {…}}; '
        "or name the endpoint with --endpoint.",
        code="no_endpoint",
    )


def check_file(path: Path, endpoint: str, api: Api | None) -> Checked:
    """Reads the file once. `api`: asked about limits and models if there is one."""
    told = limits_of(api) if api else Limits()
    limits = _of_input(told)
    asked: Counter[tuple[str, str | None]] = Counter()
    sizes: Counter[tuple[str, str | None]] = Counter()
    context = LineContext(endpoint, told.max_custom_id_chars)

    def parse(raw: bytes, index: int, line: int) -> Item | LineError:
        item = parse_line(raw, index, line, context)
        if isinstance(item, Item):
            asked[item.model, item.provider] += 1
            sizes[item.model, item.provider] += len(item.body)
        return item

    checks = Checks(
        limits=lambda surface: limits,
        parser=lambda surface, endpoint: parse,
        route=route_by(api) if api else _anywhere,
    )
    reading = Reading(_batch(endpoint), limits, checks)
    nowhere = WorkFile(
        lambda data: None,
        sizes=ShardSizes(limits.shard_items),
        bytes_at_most=limits.shard_bytes,
        lanes_at_most=MODELS_AT_MOST,
    )
    errors: tuple[LineError, ...] = ()
    try:
        reading.read(_whole(path), nowhere)
    except InputRejected as rejection:
        errors = rejection.errors
    counted = tuple(Asked(model, provider, n, sizes[model, provider]) for (model, provider), n in asked.items())
    return Checked(endpoint, sum(asked.values()), reading.bytes, errors, counted, api is not None)


def route_by(api: Api) -> Route:
    """The server's routing, asked for one item of each model."""
    known: dict[tuple[str, str | None], tuple[Offer, ...] | Refusal] = {}

    def route(model: str, provider: str | None, endpoint: str, rules: RoutingRules) -> tuple[Offer, ...] | Refusal:
        key = (model, provider)
        if key not in known:
            body = {"endpoint": endpoint, "items": 1, "model": model, "provider": provider}
            try:
                plan = api.post("/plan", {name: value for name, value in body.items() if value is not None})
                found = plan["routes"][0]
                known[key] = _offer(found["provider"], found["model"])
            except Refused as refusal:
                if refusal.status not in (400, 404):
                    raise
                param = "provider" if refusal.code == "provider_not_found" else "body.model"
                known[key] = Refusal(refusal.code, refusal.message, param)
        return known[key]

    return route


def _anywhere(model: str, provider: str | None, endpoint: str, rules: RoutingRules) -> tuple[Offer, ...] | Refusal:
    return _offer(provider or "unknown", model)


def _offer(provider: str, model: str) -> tuple[Offer, ...]:
    return (Offer(provider=provider, model=model, price=Price(0, 0, 0)),)


def _batch(endpoint: str) -> Batch:
    return Batch(
        id="",
        account_id="",
        surface="openai",
        endpoint=endpoint,
        input_file_id="",
        completion_window="24h",
        status=Status.VALIDATING,
        created_at=int(time.time()),
        expires_at=0,
    )


def _whole(path: Path) -> Iterator[bytes]:
    try:
        yield from chunks(path)
    except OSError as error:
        raise CommandFailed(f"{path} cannot be read: {error}.", "Mend that, and call it again.") from error


def _of_input(limits: Limits) -> InputLimits:
    return InputLimits(
        max_items=limits.max_batch_items,
        max_file_bytes=limits.max_file_bytes,
        max_line_bytes=limits.max_line_bytes,
        max_line_errors=limits.max_line_errors,
        # Nothing is cut here: any figures do.
        shard_items=256,
        shard_bytes=4_000_000,
        dispatch_stride=128,
    )
