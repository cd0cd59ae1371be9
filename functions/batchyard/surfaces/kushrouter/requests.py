"""The bodies that KushRouter's API takes, as pydantic models.

What OpenAI's clients send along (`endpoint`, `completion_window`, `purpose`) is accepted if it asks for what happens
anyway. Checks that pydantic cannot express clearly are in `reading.py`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import ErrorDetails

from batchyard.core.errors import InvalidRequest
from batchyard.core.json_types import JsonObject
from batchyard.surfaces.bodies import Body, parse_body

Purpose = Literal["batch", "user_data"]


class KushRouterSettings(Body):
    concurrency: int | None = Field(default=None, ge=1, le=10_000, description="Most calls in flight at once.")


class KushRouterCreateBatch(Body):
    """Exactly one of `input_file_id` and `requests`."""

    model_config = ConfigDict(
        json_schema_extra={"anyOf": [{"required": ["input_file_id"]}, {"required": ["requests"]}]}
    )

    input_file_id: str | None = Field(default=None, min_length=1, max_length=512)
    requests: Annotated[list[JsonObject], Field(fail_fast=True)] | None = Field(
        default=None, description="Bodies of chat completions, each with an optional custom_id."
    )
    metadata: JsonObject | None = None
    settings: KushRouterSettings | None = None
    endpoint: Literal["/v1/chat/completions"] = "/v1/chat/completions"
    completion_window: Literal["24h"] = "24h"


class KushRouterCreateFile(Body):
    """A file whose content is in memory."""

    content: str = Field(description="The file's text.")
    filename: str = "requests.jsonl"
    purpose: Purpose | None = None


class KushRouterPresignFile(Body):
    filename: str = "requests.jsonl"
    purpose: Purpose | None = None


M = TypeVar("M", bound=BaseModel)


def parsed(model: type[M], body: Any) -> M:
    """`body` as `model`. Raises InvalidRequest with the first problem."""
    return parse_body(model, body, _refusal)


def _refusal(problem: ErrorDetails) -> InvalidRequest:
    param = ".".join(str(step)[:64] for step in problem["loc"])
    match problem["type"]:
        case "missing":
            return InvalidRequest(f"'{param}' is missing.", param=param, code="missing_required_parameter")
        case "extra_forbidden":
            return InvalidRequest(f"There is no parameter '{param}'.", param=param, code="unknown_parameter")
    where = f"'{param}'" if param else "The request body"
    return InvalidRequest(f"{where}: {problem['msg']}.", param=param or None, code="invalid_value")
