"""The bodies that KushRouter's API takes, as pydantic models.

What OpenAI's clients send along (`endpoint`, `completion_window`, `purpose`) is accepted if it asks for what happens
anyway. Checks that pydantic cannot express clearly are in `reading.py`.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from batchyard.core.json_types import JsonObject
from batchyard.surfaces.batch_settings import BatchSettings
from batchyard.surfaces.bodies import Body, MemberWords, parse_body, refusal

Purpose = Literal["batch", "user_data"]


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
    settings: BatchSettings | None = None
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
_WORDS = MemberWords("parameter", "missing_required_parameter", "unknown_parameter")


def parsed(model: type[M], body: Any) -> M:
    """`body` as `model`. Raises InvalidRequest with the first problem."""
    return parse_body(model, body, partial(refusal, _WORDS))
