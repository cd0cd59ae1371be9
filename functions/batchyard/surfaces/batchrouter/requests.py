"""The bodies that BatchRouter's API takes, as pydantic models."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, Field
from pydantic_core import ErrorDetails

from batchyard.core.errors import InvalidRequest
from batchyard.core.json_types import JsonObject
from batchyard.core.webhook_urls import MOST_CHARACTERS
from batchyard.core.webhooks import SECRET_CHARACTERS
from batchyard.surfaces.bodies import Body, parse_body

SlaTier = Literal["standard", "flex", "priority"]
Mode = Literal["cheapest", "sla_aware", "public_only", "edge_only", "hybrid", "privacy_constrained"]
PrivacyTier = Literal["standard", "confidential", "restricted"]
ModelName = Annotated[str, Field(min_length=1, max_length=256)]
Region = Annotated[str, Field(min_length=1, max_length=64)]
Items = Annotated[list[JsonObject], Field(fail_fast=True, max_length=50_000)]


def _as_text(amount: Any) -> Any:
    """Amounts may be numbers, too: as the decimal text that they were written as."""
    return format(Decimal(str(amount)), "f") if type(amount) in (int, float) else amount


class MoneyLimit(Body):
    currency: Literal["usd"] = "usd"
    amount: Annotated[str, BeforeValidator(_as_text, json_schema_input_type=str | float)] = Field(
        description="Dollars, as a decimal text or a number.", pattern=r"^[0-9]{1,9}(\.[0-9]{1,12})?$"
    )


class QuoteModel(Body):
    """`items`, or `input_file_id`. The items may be a sample: `item_count` says how many there will be."""

    items: Items | None = None
    input_file_id: str | None = Field(default=None, min_length=1, max_length=512)
    item_count: int | None = Field(default=None, ge=1, le=10**9)
    model: ModelName | None = Field(default=None, description="Of items that name none.")
    models: list[ModelName] | None = Field(default=None, min_length=1, max_length=10)
    sla_tier: SlaTier = "standard"
    routing_mode: Mode = "cheapest"
    privacy_tier: PrivacyTier = "standard"
    allowed_regions: list[Region] | None = Field(default=None, min_length=1, max_length=20)
    max_price: MoneyLimit | None = None


class BatchWebhook(Body):
    url: str = Field(min_length=1, max_length=MOST_CHARACTERS)
    secret: str = Field(min_length=SECRET_CHARACTERS[0], max_length=SECRET_CHARACTERS[1])


class CreateRoutedBatch(Body):
    """`items` or `input_file_id`, never both, never neither."""

    quote_id: str | None = Field(default=None, max_length=64)
    items: Items | None = None
    input_file_id: str | None = Field(default=None, min_length=1, max_length=512)
    sla_tier: SlaTier = "standard"
    routing_mode: Mode = "cheapest"
    privacy_tier: PrivacyTier = "standard"
    webhook: BatchWebhook | None = None
    metadata: JsonObject | None = None
    max_price: MoneyLimit | None = None


class CreateApiKey(Body):
    """`expires_at`: an ISO 8601 time; the key is refused from then on."""

    name: str = Field(default="api key", min_length=1, max_length=100)
    expires_at: str | None = Field(default=None, max_length=40)


M = TypeVar("M", bound=BaseModel)


def parsed(model: type[M], body: Any) -> M:
    """`body` as `model`. Raises InvalidRequest with the first problem."""
    return parse_body(model, body, _refusal)


def _refusal(problem: ErrorDetails) -> InvalidRequest:
    param = ".".join(str(step)[:64] for step in problem["loc"])
    match problem["type"]:
        case "missing":
            return InvalidRequest(f"'{param}' is missing.", param=param, code="missing_field")
        case "extra_forbidden":
            return InvalidRequest(f"There is no field '{param}'.", param=param, code="unknown_field")
    where = f"'{param}'" if param else "The request body"
    return InvalidRequest(f"{where}: {problem['msg']}.", param=param or None, code="invalid_value")
