"""Tools of a chat completion, and how they may be used, as Gemini has them."""

from __future__ import annotations

from typing import Any

from batchyard.adapters.providers.chat_parameters import allowed_tools, function_name
from batchyard.adapters.providers.members import Members
from batchyard.core.json_types import JsonObject

_MODES = {"auto": "AUTO", "none": "NONE", "required": "ANY"}
_VALIDATED = "VALIDATED"
"""As AUTO, and a call keeps to the schema of its function. In mode ANY it does so anyway."""


def tools_and_config(body: Members) -> JsonObject:
    """`tools` and `toolConfig` of the request, as far as there are any. Raises Untranslatable."""
    declared = [_declaration(tool) for tool in body.each("tools")]
    config, allowed = _config(body)
    if allowed is not None:
        declared = [each for each in declared if each[0]["name"] in allowed]
    mode = config.get("mode", "AUTO")
    if declared and mode != "NONE":
        body.allow("parallel_tool_calls", True)
    else:
        body.flag("parallel_tool_calls")
    if mode == "AUTO" and any(is_strict for _, is_strict in declared):
        config = {"mode": _VALIDATED}
    found: JsonObject = {}
    if declared:
        found["tools"] = [{"functionDeclarations": [declaration for declaration, _ in declared]}]
    if config:
        found["toolConfig"] = {"functionCallingConfig": config}
    return found


def _declaration(tool: Members) -> tuple[JsonObject, bool]:
    """The function, and whether calls have to keep to its schema."""
    if tool.needed_text("type") != "function":
        raise tool.unsupported("type", "Tools are functions.")
    function = tool.inside("function")
    tool.end()
    found: JsonObject = {"name": function.needed_text("name")}
    description = function.text("description")
    if description is not None:
        found["description"] = description
    if "parameters" in function:
        parameters = function.schema("parameters")
        if parameters:
            found["parametersJsonSchema"] = parameters
    is_strict = function.flag("strict") is True
    function.end()
    return found, is_strict


def _config(body: Members) -> tuple[JsonObject, set[str] | None]:
    """The choice, and the names of the tools that alone may be used; None if all may."""
    if "tool_choice" not in body:
        return {}, None
    choice: Any = body.take("tool_choice")
    if isinstance(choice, str):
        if choice not in _MODES:
            raise body.wrong("tool_choice", "must be none, auto, required, or name a function")
        return {"mode": _MODES[choice]}, None
    members = Members(choice, "tool_choice", body.vendor)
    kind = members.needed_text("type")
    if kind == "function":
        name = function_name(members)
        members.end()
        return {"mode": "ANY", "allowedFunctionNames": [name]}, None
    if kind != "allowed_tools":
        raise members.unsupported("type")
    mode, names = allowed_tools(members)
    return {"mode": _MODES[mode]}, names
