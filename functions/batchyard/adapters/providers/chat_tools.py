"""Tools of a chat completion and how they may be used, read and checked once; the vendor's own module says what they
become there. All raise Untranslatable."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from typing import Any

from batchyard.adapters.providers.members import Members
from batchyard.core.json_types import JsonObject


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may call. `parameters`: their JSON schema; empty if the item gives none. `is_strict`:
    calls have to keep to that schema."""

    name: str
    description: str | None
    parameters: JsonObject
    is_strict: bool


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """`mode`: `auto`, `none` or `required`. `function`: the one that has to be called. `allowed`: the names of the only
    tools that may be called; None: all may."""

    mode: str
    function: str | None = None
    allowed: Container[str] | None = None


_MODES = ("auto", "none", "required")


def chat_tools(body: Members) -> tuple[list[Tool], ToolChoice | None]:
    """The tools that may be called, and the choice if the item makes one."""
    tools = [_tool(tool) for tool in body.each("tools")]
    choice = _choice(body) if "tool_choice" in body else None
    if choice is not None and choice.allowed is not None:
        tools = [tool for tool in tools if tool.name in choice.allowed]
    return tools, choice


def _tool(tool: Members) -> Tool:
    if tool.needed_text("type") != "function":
        raise tool.unsupported("type", "Tools are functions.")
    function = tool.inside("function")
    tool.end()
    found = Tool(
        function.needed_text("name"),
        function.text("description"),
        function.schema("parameters") if "parameters" in function else {},
        function.flag("strict") is True,
    )
    function.end()
    return found


def _choice(body: Members) -> ToolChoice:
    choice: Any = body.take("tool_choice")
    if isinstance(choice, str):
        if choice not in _MODES:
            raise body.wrong("tool_choice", "must be none, auto, required, or name a function")
        return ToolChoice(choice)
    members = Members(choice, "tool_choice", body.vendor)
    kind = members.needed_text("type")
    if kind == "function":
        name = _function_name(members)
        members.end()
        return ToolChoice("required", function=name)
    if kind != "allowed_tools":
        raise members.unsupported("type")
    return _allowed_tools(members)


def _allowed_tools(choice: Members) -> ToolChoice:
    allowed = choice.inside("allowed_tools")
    choice.end()
    mode, names = allowed.needed_text("mode"), set()
    for tool in allowed.each("tools"):
        tool.allow("type", "function")
        names.add(_function_name(tool))
        tool.end()
    if mode not in ("auto", "required"):
        raise allowed.wrong("mode", "must be auto or required")
    allowed.end()
    return ToolChoice(mode, allowed=names)


def _function_name(tool: Members) -> str:
    """The name in `{"function": {"name": …}}`."""
    function = tool.inside("function")
    name = function.needed_text("name")
    function.end()
    return name
