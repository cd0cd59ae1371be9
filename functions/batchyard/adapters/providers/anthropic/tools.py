"""Tools of a chat completion, and how they may be used, as Anthropic has them."""

from __future__ import annotations

from typing import Any

from batchyard.adapters.providers.chat_parameters import allowed_tools, function_name
from batchyard.adapters.providers.members import Members
from batchyard.core.json_types import JsonObject

_NO_PARAMETERS: JsonObject = {"type": "object", "properties": {}}
_CHOICES = {"auto": "auto", "none": "none", "required": "any"}


def tools_and_choice(body: Members) -> JsonObject:
    """`tools` and `tool_choice` of the Messages request, as far as there are any. Raises Untranslatable."""
    tools = [_tool(tool) for tool in body.each("tools")]
    choice, allowed = _choice(body)
    if allowed is not None:
        tools = [tool for tool in tools if tool["name"] in allowed]
    one_at_a_time = body.flag("parallel_tool_calls") is False
    if one_at_a_time and tools and (choice is None or choice["type"] != "none"):
        choice = (choice or {"type": "auto"}) | {"disable_parallel_tool_use": True}
    found: JsonObject = {}
    if tools:
        found["tools"] = tools
    if choice is not None:
        found["tool_choice"] = choice
    return found


def _tool(tool: Members) -> JsonObject:
    if tool.needed_text("type") != "function":
        raise tool.unsupported("type", "Tools are functions.")
    function = tool.inside("function")
    tool.end()
    found: JsonObject = {"name": function.needed_text("name")}
    description = function.text("description")
    if description is not None:
        found["description"] = description
    found["input_schema"] = (function.schema("parameters") if "parameters" in function else None) or _NO_PARAMETERS
    if function.flag("strict"):
        found["strict"] = True
    function.end()
    return found


def _choice(body: Members) -> tuple[JsonObject | None, set[str] | None]:
    """The choice, and the names of the tools that alone may be used; None if all may."""
    if "tool_choice" not in body:
        return None, None
    choice: Any = body.take("tool_choice")
    if isinstance(choice, str):
        if choice not in _CHOICES:
            raise body.wrong("tool_choice", "must be none, auto, required, or name a function")
        return {"type": _CHOICES[choice]}, None
    members = Members(choice, "tool_choice", body.vendor)
    kind = members.needed_text("type")
    if kind == "function":
        name = function_name(members)
        members.end()
        return {"type": "tool", "name": name}, None
    if kind != "allowed_tools":
        raise members.unsupported("type")
    mode, names = allowed_tools(members)
    return {"type": _CHOICES[mode]}, names
