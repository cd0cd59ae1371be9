"""The bodies that OpenAI's API takes, as pydantic models, and what it answers if one does not fit.

Only the first problem is reported, with OpenAI's words and codes, as OpenAI does.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, Field
from pydantic_core import ErrorDetails, PydanticCustomError

from batchyard.core.errors import InvalidRequest
from batchyard.surfaces.batch_settings import BatchSettings
from batchyard.surfaces.bodies import Body, at_most, parse_body, path_of

_REFUSED_ENDPOINTS = {"/v1/videos": "it answers before there is a video, which nobody would wait for"}
"""Those that OpenAI has batches for, and why there are none here."""


def _refuse_with_reason(endpoint: object) -> object:
    reason = _REFUSED_ENDPOINTS.get(endpoint) if isinstance(endpoint, str) else None
    if reason is not None:
        raise PydanticCustomError(
            "refused_endpoint", "{why}", {"why": f"There are no batches for {endpoint}: {reason}."}
        )
    return endpoint


Endpoint = Annotated[
    Literal[
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/embeddings",
        "/v1/responses",
        "/v1/moderations",
        "/v1/images/generations",
        "/v1/images/edits",
    ],
    BeforeValidator(_refuse_with_reason),
]
Purpose = Literal["assistants", "batch", "fine-tune", "vision", "user_data", "evals"]
FileName = Annotated[str, Field(min_length=1, max_length=255)]
_METADATA_PAIRS = 16
Metadata = Annotated[
    dict[Annotated[str, Field(min_length=1, max_length=64)], Annotated[str, Field(max_length=512)]],
    Field(max_length=_METADATA_PAIRS),
    at_most(_METADATA_PAIRS),
]
_SUBJECT = re.compile("^(Input|Value|String|List|Dictionary) ")
"""The words that pydantic's messages begin with."""


class ExpiresAfter(Body):
    """When something is deleted: `seconds` after it was created."""

    anchor: Literal["created_at"]
    seconds: int = Field(ge=3600, le=2_592_000)


class CreateBatch(Body):
    """`settings`: ours, OpenAI has no such member."""

    input_file_id: str = Field(min_length=1, max_length=512)
    endpoint: Endpoint
    completion_window: Literal["24h"]
    metadata: Metadata | None = None
    output_expires_after: ExpiresAfter | None = None
    settings: BatchSettings | None = None


class PlanBatch(Body):
    """What a batch would be made from: the body of its creation, or instead of `input_file_id` how many requests for
    which model there will be. `metadata`, `output_expires_after`, and the webhook and price limit in `settings` change
    nothing."""

    endpoint: Endpoint
    completion_window: Literal["24h"] = "24h"
    input_file_id: str | None = Field(default=None, min_length=1, max_length=512)
    items: int | None = Field(default=None, ge=1, le=10**9)
    model: str | None = Field(default=None, min_length=1, max_length=256)
    provider: str | None = Field(default=None, min_length=1, max_length=64)
    tokens: int | None = Field(default=None, ge=1, le=10**13, description="Input tokens of all items together.")
    output_tokens: int | None = Field(default=None, ge=0, le=10**13, description="Of all items together.")
    metadata: Metadata | None = None
    output_expires_after: ExpiresAfter | None = None
    settings: BatchSettings | None = None


class CreateFile(Body):
    """The fields of the form beside `file`."""

    purpose: Purpose = "batch"
    expires_after: ExpiresAfter | None = None


class PresignFile(Body):
    filename: FileName
    purpose: Purpose = "batch"
    expires_after: ExpiresAfter | None = None


class CreateUpload(Body):
    """`mime_type` is accepted because OpenAI asks for it, and ignored: the ending of its name decides how a file is
    served."""

    bytes: int = Field(ge=1, le=10**13)
    filename: FileName
    mime_type: str = Field(min_length=1, max_length=255)
    purpose: Purpose
    expires_after: ExpiresAfter | None = None


class CompleteUpload(Body):
    part_ids: list[Annotated[str, Field(max_length=64)]] = Field(min_length=1, max_length=10_000)
    md5: str | None = Field(default=None, pattern="^[0-9a-fA-F]{32}$")


M = TypeVar("M", bound=BaseModel)


def parsed(model: type[M], body: Any) -> M:
    """`body` as `model`. Raises InvalidRequest."""
    return parse_body(model, body, _refusal)


def _refusal(problem: ErrorDetails) -> InvalidRequest:
    """OpenAI's answer to a body that does not fit."""
    param = path_of(problem["loc"])
    context = problem.get("ctx", {})
    match problem["type"]:
        case "missing":
            return InvalidRequest(
                f"Missing required parameter: '{param}'.", param=param, code="missing_required_parameter"
            )
        case "extra_forbidden":
            return InvalidRequest(f"Unknown parameter: '{param}'.", param=param, code="unknown_parameter")
        case "literal_error":
            message = f"Invalid value for '{param}'. Supported values are: {context['expected']}."
            return InvalidRequest(message, param=param, code="invalid_value")
        case "refused_endpoint":
            return InvalidRequest(problem["msg"], param=param, code="invalid_value")
        case kind if kind.endswith("_type"):
            message = f"Invalid type for '{param}': {problem['msg'].removeprefix('Input should be ')} was expected."
            return InvalidRequest(message, param=param, code="invalid_type")
        case _:
            wrong = f"Invalid '{param}': it" if param else "Invalid request body: it"
            message = f"{wrong} {_SUBJECT.sub('', problem['msg'])}."
            return InvalidRequest(message, param=param or None, code="invalid_value")
