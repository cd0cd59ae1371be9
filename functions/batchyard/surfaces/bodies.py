"""What JSON bodies as pydantic models have in common: strict types, no unknown members, and a bounded number of
members.

pydantic lists every fault of a body, and a body of 4 MB has room for two million: more memory than a function has. So
if a body could be wrong in many places, the number of places is checked first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class MemberWords:
    """How a dialect calls a member of a body, and the codes of one that is missing and of one that it does not know."""

    member: str
    missing: str
    unknown: str


def refusal(words: MemberWords, problem: ErrorDetails) -> InvalidRequest:
    """The answer to a body that does not fit, in a dialect's words."""
    param = path_of(problem["loc"])
    match problem["type"]:
        case "missing":
            return InvalidRequest(f"'{param}' is missing.", param=param, code=words.missing)
        case "extra_forbidden":
            return InvalidRequest(f"There is no {words.member} '{param}'.", param=param, code=words.unknown)
    where = f"'{param}'" if param else "The request body"
    return InvalidRequest(f"{where}: {problem['msg']}.", param=param or None, code="invalid_value")


def path_of(location: tuple[int | str, ...]) -> str:
    """`("metadata", "key", "[key]")` -> `metadata.key`; list positions in brackets."""
    path = ""
    for step in location:
        if isinstance(step, int):
            path += f"[{step}]"
        elif step != "[key]":
            path += f".{step[:64]}" if path else step[:64]
    return path


def parse_body(model: type[M], body: Any, explain: Callable[[ErrorDetails], InvalidRequest]) -> M:
    """`body` as `model`. Raises InvalidRequest: `explain` puts the first thing that is wrong in the dialect's words."""
    if not isinstance(body, Mapping):
        raise InvalidRequest("The request body must be a JSON object.", code="invalid_type")
    try:
        return model.model_validate(body)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
    raise explain(problem)


def parse_all_that_fits(model: type[M], body: Mapping[str, Any]) -> tuple[M, list[ErrorDetails]]:
    """`body` as `model` without the members that are wrong, and everything that is wrong with them. For models that
    need none of their members."""
    try:
        return model.model_validate(body), []
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False)
    is_wrong_as_a_whole = any(not problem["loc"] for problem in problems)
    wrong = {problem["loc"][0] for problem in problems if problem["loc"]}
    fits = {} if is_wrong_as_a_whole else {name: value for name, value in body.items() if name not in wrong}
    return model.model_validate(fits), problems


def _counted(allowed: int, value: Any) -> Any:
    if isinstance(value, dict) and len(value) > allowed:
        found = {"members": len(value), "allowed": allowed}
        raise PydanticCustomError("too_many_members", "has {members} members; {allowed} are allowed", found)
    return value
