"""Tools of a chat completion, and how they may be used, as Anthropic has them."""

from __future__ import annotations

from batchyard.adapters.providers.chat_tools import Tool, ToolChoice, chat_tools
from batchyard.adapters.providers.members import Members
from batchyard.core.json_types import JsonObject

_NO_PARAMETERS: JsonObject = {"type": "object", "properties": {}}
_CHOICES = {"auto": "auto", "none": "none", "required": "any"}


def tools_and_choice(body: Members) -> JsonObject:
    """`tools` and `tool_choice` of the Messages request, as far as there are any. Raises Untranslatable."""
    tools, chosen = chat_tools(body)
    choice = _choice(chosen) if chosen is not None else None
    one_at_a_time = body.flag("parallel_tool_calls") is False
    if one_at_a_time and tools and (choice is None or choice["type"] != "none"):
        choice = (choice or {"type": "auto"}) | {"disable_parallel_tool_use": True}
    found: JsonObject = {}
    if tools:
        found["tools"] = [_tool(tool) for tool in tools]
    if choice is not None:
        found["tool_choice"] = choice
    return found


def _tool(tool: Tool) -> JsonObject:
    found: JsonObject = {"name": tool.name}
    if tool.description is not None:
        found["description"] = tool.description
    found["input_schema"] = tool.parameters or _NO_PARAMETERS
    if tool.is_strict:
        found["strict"] = True
    return found


def _choice(chosen: ToolChoice) -> JsonObject:
    if chosen.function is not None:
        return {"type": "tool", "name": chosen.function}
    return {"type": _CHOICES[chosen.mode]}
