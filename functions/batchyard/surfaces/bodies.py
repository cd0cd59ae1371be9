"""What JSON bodies as pydantic models have in common: strict types, no unknown members, and a bounded number of
members.

pydantic lists every fault of a body, and a body of 4 MB has room for two million: more memory than a function has. So
if a body could be wrong in many places, the number of places is checked first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from batchyard.core.errors import InvalidRequest

_MEMBERS = 64

M = TypeVar("M", bound=BaseModel)


def at_most(members: int) -> BeforeValidator:
    """Refuses an object with more than `members` members."""
    return BeforeValidator(partial(_counted, members))


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _count(cls, value: Any) -> Any:
        return _counted(_MEMBERS, value)


def parse_body(model: type[M], body: Any, explain: Callable[[ErrorDetails], InvalidRequest]) -> M:
    """`body` as `model`. Raises InvalidRequest: `explain` puts the first thing that is wrong in the dialect's words."""
    if not isinstance(body, Mapping):
        raise InvalidRequest("The request body must be a JSON object.", code="invalid_type")
    try:
        return model.model_validate(body)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
    raise explain(problem)


def _counted(allowed: int, value: Any) -> Any:
    if isinstance(value, dict) and len(value) > allowed:
        found = {"members": len(value), "allowed": allowed}
        raise PydanticCustomError("too_many_members", "has {members} members; {allowed} are allowed", found)
    return value
