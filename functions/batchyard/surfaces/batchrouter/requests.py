"""The bodies that BatchRouter's API takes, as pydantic models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Generic, Literal, TypeVar

import orjson
from pydantic import BaseModel, Field, WithJsonSchema

from batchyard.core.errors import InvalidRequest, PreflightFailed
from batchyard.core.items import LineError
from batchyard.core.json_types import JsonObject
from batchyard.surfaces.batch_settings import BatchWebhook, Dollars, PrivacyTierName, RoutingModeName
from batchyard.surfaces.bodies import Body, MemberWords, parse_all_that_fits, parse_body, refusal
from batchyard.surfaces.http import Request
from batchyard.surfaces.json_lines import json_type

SlaTier = Literal["standard", "flex", "priority"]
ModelName = Annotated[str, Field(min_length=1, max_length=256)]
Region = Annotated[str, Field(min_length=1, max_length=64)]
Item = Annotated[Any, WithJsonSchema({"type": "object", "additionalProperties": True})]
"""What is wrong with an item is told where lines of files are read, so that an item in a body is no other one."""
Items = Annotated[list[Item], Field(max_length=50_000)]
Regions = Annotated[list[Region], Field(min_length=1, max_length=20)]


class MoneyLimit(Body):
    currency: Literal["usd"] = "usd"
    amount: Dollars


class QuoteModel(Body):
    """`items`, or `input_file_id`. The items may be a sample: `item_count` says how many there will be.
    `item_count` and `model` go with items only: a file has all of its lines, and each names its model."""

    items: Items | None = None
    input_file_id: str | None = Field(default=None, min_length=1, max_length=512)
    item_count: int | None = Field(default=None, ge=1, le=10**9)
    model: ModelName | None = Field(default=None, description="Of items that name none.")
    models: list[ModelName] | None = Field(default=None, min_length=1, max_length=10)
    sla_tier: SlaTier = "standard"
    routing_mode: RoutingModeName = "cheapest"
    privacy_tier: PrivacyTierName = "standard"
    allowed_regions: Regions | None = None
    max_price: MoneyLimit | None = None


class RoutedBatchSettings(Body):
    """How a batch is to be run."""

    identical_once: bool = Field(default=False, description="Send identical requests once; all have that result.")
    early_failover: bool | None = Field(
        default=None, description="Leave a provider in trouble at once, and not only when the deadline is in danger."
    )


class CreateRoutedBatch(Body):
    """`items` or `input_file_id`, never both, never neither. `allowed_regions`: none but those of the quote.
    `settings` is ours, and no part of a quote: what is not sent costs less than was quoted."""

    quote_id: str | None = Field(default=None, max_length=64)
    items: Items | None = None
    input_file_id: str | None = Field(default=None, min_length=1, max_length=512)
    sla_tier: SlaTier = "standard"
    routing_mode: RoutingModeName = "cheapest"
    privacy_tier: PrivacyTierName = "standard"
    allowed_regions: Regions | None = None
    webhook: BatchWebhook | None = None
    metadata: JsonObject | None = None
    max_price: MoneyLimit | None = None
    settings: RoutedBatchSettings | None = None


class CreateApiKey(Body):
    """`expires_at`: an ISO 8601 time; the key is refused from then on."""

    name: str = Field(default="api key", min_length=1, max_length=100)
    expires_at: str | None = Field(default=None, max_length=40)


M = TypeVar("M", bound=BaseModel)
_WORDS = MemberWords("field", "missing_field", "unknown_field")


@dataclass(frozen=True, slots=True)
class Sent(Generic[M]):
    """A body as far as it can be read. `body`: without the members that are wrong; `given`: with them; `issues`: what
    is wrong with it, to which its reader adds."""

    body: M
    given: Mapping[str, Any]
    issues: list[LineError]

    def has(self, name: str) -> bool:
        """Whether the member was sent, right or wrong."""
        return self.given.get(name) is not None

    def note(self, code: str, message: str, path: str) -> None:
        self.issues.append(LineError(code, message, param=path))


def parsed(model: type[M], body: Any) -> M:
    """`body` as `model`. Raises InvalidRequest with the first problem."""
    return parse_body(model, body, partial(refusal, _WORDS))


def sent(model: type[M], request: Request) -> Sent[M]:
    """The request's body, for preflight, which lists all that is wrong. Raises PreflightFailed if it is no JSON object,
    so that nothing else can be said about it."""
    try:
        given = request.json()
    except InvalidRequest as error:
        broken = error.__cause__
        if not isinstance(broken, orjson.JSONDecodeError):
            raise
        message = f"The body is not JSON: {broken.msg}, in line {broken.lineno}, column {broken.colno}."
        raise PreflightFailed([LineError("invalid_json", message, broken.lineno)]) from error
    if not isinstance(given, dict):
        message = f"The request body must be a JSON object; it is {json_type(given)}."
        raise PreflightFailed([LineError("invalid_type", message)])
    body, problems = parse_all_that_fits(model, given)
    found = [refusal(_WORDS, problem) for problem in problems]
    issues = [LineError(each.code or "invalid_value", each.message, param=each.param) for each in found]
    return Sent(body, given, issues)
