"""`check`: the server's own rules, run here. `batchyard.content.reading` is the pass that Validate makes over an input,
and each dialect's surface reads its lines; only two things are different: nothing is written, and what the server knows
of itself is asked from its API: its limits (GET /v1/limits), and where it looks a model up in its catalogue (POST
/v1/plan), once for each model.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from batchyard.content.lines import read_lines
from batchyard.content.reading import MODELS_AT_MOST, Checks, InputLimits, InputRejected, Reading, Route
from batchyard.content.workfile import WorkFile
from batchyard.core.batches import Batch, Status
from batchyard.core.catalogue import Offer
from batchyard.core.items import Item, LineError
from batchyard.core.providers import ENDPOINTS, MESSAGES
from batchyard.core.routing import Refusal
from batchyard.core.rules import RoutingRules
from batchyard.core.sharding import ShardSizes
from batchyard.core.usage import Price
from batchyard.surfaces.anthropic.lines import parse_line as parse_anthropic_line
from batchyard.surfaces.batchrouter.lines import endpoint_of as endpoint_of_item
from batchyard.surfaces.batchrouter.lines import parse_line as parse_batchrouter_line
from batchyard.surfaces.kushrouter.lines import parse_line as parse_kushrouter_line
from batchyard.surfaces.openai.lines import parse_line as parse_openai_line
from batchyard.surfaces.surface import LineContext, ParseLine
from batchyard_cli.api import Api, Refused
from batchyard_cli.exits import CommandFailed
from batchyard_cli.forms import CHAT, DIALECTS, Form, dialect_of
from batchyard_cli.limits import Limits, limits_of
from batchyard_cli.uploading import chunks

PARSERS: dict[str, ParseLine] = {
    "openai": parse_openai_line,
    "anthropic": parse_anthropic_line,
    "batchrouter": parse_batchrouter_line,
    "kushrouter": parse_kushrouter_line,
}
_FIRST_LINES = 100
_BYTES_PER_TOKEN = 4
"""As the server estimates tokens (`batchyard.core.forecast`)."""


@dataclass(frozen=True)
class Asked:
    """Items of one model (at one provider, if they name it) for one endpoint: how many, and how many bytes their bodies
    have."""

    model: str
    provider: str | None
    endpoint: str
    items: int
    bytes: int

    @property
    def tokens(self) -> int:
        return max(1, self.bytes // _BYTES_PER_TOKEN)


@dataclass(frozen=True)
class Checked:
    """`errors`: what is wrong, in the server's words; none if the file is good. `models_known`: whether the deployment
    was asked about the models."""

    form: Form
    items: int
    bytes: int
    errors: tuple[LineError, ...] = ()
    asked: tuple[Asked, ...] = field(default=())
    models_known: bool = False


def form_of(path: Path, dialect: str | None = None, endpoint: str | None = None) -> Form:
    """What a file holds, by its first lines as far as it is not said: an endpoint is named by those of OpenAI's form
    only. Raises CommandFailed if none of the first lines says it."""
    if endpoint is not None:
        if dialect not in (None, "openai"):
            message = f"--endpoint is for lines in OpenAI's form, and not for those in {DIALECTS[dialect].title}."
            raise CommandFailed(message, "Leave --endpoint out.", code="usage")
        return Form("openai", endpoint)
    for number, line in read_lines(chunks(path), Limits().max_line_bytes):
        if number > _FIRST_LINES:
            break
        fields = _object(line)
        dialect = dialect or dialect_of(fields)
        if dialect == "batchrouter":
            found = endpoint_of_item(line or b"")
            return Form(dialect, found if found in ENDPOINTS else CHAT)
        url = fields.get("url")
        if dialect == "openai" and isinstance(url, str) and url.startswith("/v1/"):
            return Form(dialect, url)
        if dialect not in (None, "openai"):
            break
    if dialect is not None and (known := DIALECTS[dialect].endpoint):
        return Form(dialect, known)
    raise CommandFailed(
        f"No line at the beginning of {path} says where it goes.",
        f"A line looks like {DIALECTS['openai'].example}: name the endpoint with --endpoint. If the lines are in the "
        "form of Anthropic, BatchRouter or KushRouter, name that one with --lines.",
        code="no_endpoint",
    )


def check_file(path: Path, form: Form, api: Api | None) -> Checked:
    """Reads the file once. `api`: asked about limits and models if there is one."""
    told = limits_of(api, form.dialect) if api else Limits().within(form.dialect)
    limits = _of_input(told)
    asked: Counter[tuple[str, str | None, str]] = Counter()
    sizes: Counter[tuple[str, str | None, str]] = Counter()
    context, parse_line = LineContext(form.endpoint, told.max_custom_id_chars), PARSERS[form.dialect]

    def parse(raw: bytes, index: int, line: int) -> Item | LineError:
        item = parse_line(raw, index, line, context)
        if isinstance(item, Item):
            kind = (item.model, item.provider, item.endpoint or form.endpoint)
            asked[kind] += 1
            sizes[kind] += len(item.body)
        return item

    checks = Checks(
        limits=lambda surface: limits,
        parser=lambda surface, endpoint: parse,
        route=route_by(api) if api else _anywhere,
    )
    reading = Reading(_batch(form), limits, checks)
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
    counted = tuple(Asked(*kind, items, sizes[kind]) for kind, items in asked.items())
    return Checked(form, sum(asked.values()), reading.bytes, errors, counted, api is not None)


def planned_as(endpoint: str) -> str:
    """What POST /v1/plan is asked for: it knows OpenAI's endpoints. Who serves chat completions serves messages."""
    return CHAT if endpoint == MESSAGES else endpoint


def route_by(api: Api) -> Route:
    """The server's routing, asked for one item of each model."""
    known: dict[tuple[str, str | None, str], tuple[Offer, ...] | Refusal] = {}

    def route(model: str, provider: str | None, endpoint: str, rules: RoutingRules) -> tuple[Offer, ...] | Refusal:
        key = (model, provider, endpoint)
        if key not in known:
            body = {"endpoint": planned_as(endpoint), "items": 1, "model": model, "provider": provider}
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


def _batch(form: Form) -> Batch:
    return Batch(
        id="",
        account_id="",
        surface=form.dialect,
        endpoint=form.endpoint,
        input_file_id="",
        completion_window="24h",
        status=Status.VALIDATING,
        created_at=int(time.time()),
        expires_at=0,
    )


def _object(line: bytes | None) -> dict[str, Any]:
    """Empty if the line holds none."""
    try:
        found = json.loads(line or b"")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


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
