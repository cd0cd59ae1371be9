"""The body that makes a message batch, as a pydantic model, and what is answered if it does not fit."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field
from pydantic_core import ErrorDetails

from batchyard.core.errors import InvalidRequest
from batchyard.core.json_types import JsonObject
from batchyard.surfaces.batch_settings import BatchSettings
from batchyard.surfaces.bodies import Body, parse_body


class CreateMessageBatch(Body):
    """`input_file_id` is ours: a file that holds the requests, one on each line, for more than a body can carry.
    `requests` is empty then. `settings` is ours, too."""

    requests: Annotated[list[JsonObject], Field(fail_fast=True)] = Field(
        default=[], description="Objects with a custom_id and the params of a message."
    )
    input_file_id: str | None = Field(default=None, min_length=1, max_length=512)
    settings: BatchSettings | None = None


def parsed(body: Any) -> CreateMessageBatch:
    """Raises InvalidRequest with the first problem."""
    return parse_body(CreateMessageBatch, body, _refusal)


def _refusal(problem: ErrorDetails) -> InvalidRequest:
    param = ".".join(str(step)[:64] for step in problem["loc"])
    where = f"{param}: " if param else ""
    return InvalidRequest(where + problem["msg"], param=param or None, code="invalid_value")
