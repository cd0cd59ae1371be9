"""What JSON bodies as pydantic models have in common: strict types, no unknown members, and few of them.

pydantic lists every fault of a body, and a body of 4 MB has room for two million: more memory than a function has. So
where a body could be wrong in many places, the number of places is checked first.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, model_validator
from pydantic_core import PydanticCustomError

_MEMBERS = 64


def at_most(members: int) -> BeforeValidator:
    """Refuses an object with more members, whatever they are."""
    return BeforeValidator(partial(_counted, members))


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _count(cls, value: Any) -> Any:
        return _counted(_MEMBERS, value)


def _counted(allowed: int, value: Any) -> Any:
    if isinstance(value, dict) and len(value) > allowed:
        found = {"members": len(value), "allowed": allowed}
        raise PydanticCustomError("too_many_members", "has {members} members; {allowed} are allowed", found)
    return value
