"""Tools of a chat completion, and how they may be used, as Gemini has them."""

from __future__ import annotations

from batchyard.adapters.providers.chat_tools import Tool, ToolChoice, chat_tools
from batchyard.adapters.providers.members import Members
from batchyard.core.json_types import JsonObject

_MODES = {"auto": "AUTO", "none": "NONE", "required": "ANY"}
_VALIDATED = "VALIDATED"
"""As AUTO, and a call keeps to the schema of its function. In mode ANY it does so anyway."""


def tools_and_config(body: Members) -> JsonObject:
    """`tools` and `toolConfig` of the request, as far as there are any. Raises Untranslatable."""
    tools, chosen = chat_tools(body)
    config = _config(chosen) if chosen is not None else {}
    mode = config.get("mode", "AUTO")
    if tools and mode != "NONE":
        body.allow("parallel_tool_calls", True)
    else:
        body.flag("parallel_tool_calls")
    if mode == "AUTO" and any(tool.is_strict for tool in tools):
        config = {"mode": _VALIDATED}
    found: JsonObject = {}
    if tools:
        found["tools"] = [{"functionDeclarations": [_declaration(tool) for tool in tools]}]
    if config:
        found["toolConfig"] = {"functionCallingConfig": config}
    return found


def _declaration(tool: Tool) -> JsonObject:
    found: JsonObject = {"name": tool.name}
    if tool.description is not None:
        found["description"] = tool.description
    if tool.parameters:
        found["parametersJsonSchema"] = tool.parameters
    return found


def _config(chosen: ToolChoice) -> JsonObject:
    if chosen.function is not None:
        return {"mode": "ANY", "allowedFunctionNames": [chosen.function]}
    return {"mode": _MODES[chosen.mode]}
