"""Checks requests against the TypedDicts of vendors' own SDKs.

Not with pydantic: it leaves their arrays unread and ignores members that a TypedDict does not have.
"""

from __future__ import annotations

import typing
from collections.abc import Iterable, Sequence
from functools import cache
from types import UnionType
from typing import Any, Literal, Required, Union

from pydantic import BaseModel
from typing_extensions import TypeAliasType, is_typeddict

_NUMBERS = {float: (int, float), int: (int,)}


def assert_is(sdk_type: Any, document: object) -> None:
    """Fails if `document` is none of `sdk_type`, or has a member that the type does not know."""
    assert problems(sdk_type, document) == []


def problems(sdk_type: Any, value: Any, path: str = "") -> list[str]:
    """Where `value` is not what `sdk_type` allows."""
    if isinstance(sdk_type, TypeAliasType):
        return problems(sdk_type.__value__, value, path)
    if is_typeddict(sdk_type):
        return _of_members(sdk_type, value, path)
    origin, arguments = typing.get_origin(sdk_type), typing.get_args(sdk_type)
    if origin is typing.Annotated:
        return problems(arguments[0], value, path)
    if origin in (Union, UnionType):
        return min((problems(each, value, path) for each in arguments), key=len)
    if origin is Literal:
        return [] if value in arguments else [f"{path}: {value!r} is none of {arguments}"]
    if origin is dict:
        return [] if isinstance(value, dict) else [f"{path}: no object"]
    if sdk_type in (Any, object):
        return []
    if origin is typing.IO:
        return [f"{path}: no open file"]
    if isinstance(origin, type) and issubclass(origin, Iterable):
        if not isinstance(value, list):
            return [f"{path}: no array"]
        return [one for number, each in enumerate(value) for one in problems(arguments[0], each, f"{path}[{number}]")]
    return _of_plain(sdk_type, value, path)


def _of_members(sdk_type: Any, value: Any, path: str) -> list[str]:
    if not isinstance(value, dict):
        return [f"{path}: no object"]
    hints = members(sdk_type)
    found = [f"{path}.{name}: is missing" for name in _required(sdk_type) - value.keys()]
    if getattr(sdk_type, "__pydantic_config__", {}).get("extra") != "allow":
        found += [f"{path}.{name}: is unknown" for name in value.keys() - hints.keys()]
    return found + [
        one for name, each in value.items() if name in hints for one in problems(hints[name], each, f"{path}.{name}")
    ]


def _of_plain(sdk_type: Any, value: Any, path: str) -> list[str]:
    if sdk_type is type(None):
        return [] if value is None else [f"{path}: not null"]
    if isinstance(sdk_type, type) and issubclass(sdk_type, BaseModel):
        return [f"{path}: is no {sdk_type.__name__} object"]
    if isinstance(sdk_type, type) and issubclass(sdk_type, Sequence) and sdk_type is not str:
        return [] if isinstance(value, list) else [f"{path}: no array"]
    if getattr(sdk_type, "__name__", "") == "SequenceNotStr":
        return [] if isinstance(value, list) else [f"{path}: no array"]
    kinds = _NUMBERS.get(sdk_type, (sdk_type,))
    is_right = any(isinstance(value, kind) for kind in kinds) and (sdk_type is bool or not isinstance(value, bool))
    return [] if is_right else [f"{path}: {value!r} is no {getattr(sdk_type, '__name__', sdk_type)}"]


@cache
def members(sdk_type: Any) -> dict[str, Any]:
    """The members of a TypedDict and their types."""
    return typing.get_type_hints(sdk_type)


@cache
def _required(sdk_type: Any) -> frozenset[str]:
    """The members that must be there. (`__required_keys__` does not see through annotations that are text.)"""
    hints = typing.get_type_hints(sdk_type, include_extras=True)
    needed = {name for name, hint in hints.items() if typing.get_origin(hint) is Required}
    return frozenset(needed if not sdk_type.__total__ else sdk_type.__required_keys__ | needed)
