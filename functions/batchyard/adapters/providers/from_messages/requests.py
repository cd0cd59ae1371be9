"""A request for Anthropic's Messages as a chat completion's request. Pure.

As in the other direction, each parameter is expressed or refused; docs/providers.md has the table.
"""

from __future__ import annotations

from batchyard.adapters.providers.from_messages.conversation import chat_messages
from batchyard.adapters.providers.members import Members
from batchyard.core.json_types import JsonObject

_NO_EFFECT = ("stream", "cache_control")
"""The answer is the same; marks are for Anthropic's prompt cache."""
_ASKS_FOR_NOTHING: dict[str, tuple[object, ...]] = {
    "speed": ("standard",),
    "mcp_servers": ([],),
}
_CHOICES = {"auto": "auto", "any": "required", "none": "none"}
_SERVICE_TIERS = {"auto": "auto", "standard_only": "default"}
_FORMAT_NAME = "answer"


def chat_request(document: JsonObject, model: str, vendor: str, *, max_tokens_name: str) -> JsonObject:
    """The request for chat completions of `vendor` (its name, for people), which knows the limit of output tokens as
    `max_tokens_name`. Raises Untranslatable."""
    body = Members(document, "", vendor)
    body.ignore("model", *_NO_EFFECT)
    for name, values in _ASKS_FOR_NOTHING.items():
        body.allow(name, *values)
    request: JsonObject = {"model": model, "messages": chat_messages(body)}
    max_tokens = body.take("max_tokens")
    if type(max_tokens) is not int or max_tokens < 1:
        raise body.wrong("max_tokens", "must be a whole number, 1 at least")
    request[max_tokens_name] = max_tokens
    request |= _sampling(body) | _tools(body) | _output(body)
    if "metadata" in body:
        metadata = body.inside("metadata")
        if (user := metadata.text("user_id")) is not None:
            request["user"] = user
        metadata.end()
    tier = body.text("service_tier")
    if tier is not None:
        if tier not in _SERVICE_TIERS:
            raise body.unsupported("service_tier")
        request["service_tier"] = _SERVICE_TIERS[tier]
    body.end()
    return request


def _sampling(body: Members) -> JsonObject:
    found: JsonObject = {}
    for name in ("temperature", "top_p"):
        if (value := body.take(name)) is not None:
            found[name] = value
    if stops := body.items("stop_sequences"):
        found["stop"] = stops
    return found


def _output(body: Members) -> JsonObject:
    """The form of the answer, and how much thinking goes into it."""
    found: JsonObject = {}
    if "output_config" in body:
        config = body.inside("output_config")
        if (effort := config.text("effort")) is not None:
            found["reasoning_effort"] = effort
        if "format" in config:
            form = config.inside("format")
            form.allow("type", "json_schema")
            schema = {"name": _FORMAT_NAME, "schema": form.schema("schema"), "strict": True}
            form.end()
            found["response_format"] = {"type": "json_schema", "json_schema": schema}
        config.end()
    if "thinking" in body:
        thinking = body.inside("thinking")
        kind = thinking.needed_text("type")
        if kind == "disabled" and "reasoning_effort" not in found:
            found["reasoning_effort"] = "none"
        elif kind != "adaptive":
            raise thinking.unsupported("type", "Use output_config.effort to say how much the model may think.")
        thinking.ignore("display")
        thinking.end()
    return found


def _tools(body: Members) -> JsonObject:
    found: JsonObject = {}
    if tools := [_tool(tool) for tool in body.each("tools")]:
        found["tools"] = tools
    if "tool_choice" not in body:
        return found
    choice = body.inside("tool_choice")
    kind = choice.needed_text("type")
    if kind == "tool":
        found["tool_choice"] = {"type": "function", "function": {"name": choice.needed_text("name")}}
    elif kind in _CHOICES:
        found["tool_choice"] = _CHOICES[kind]
    else:
        raise choice.unsupported("type")
    if choice.flag("disable_parallel_tool_use"):
        found["parallel_tool_calls"] = False
    choice.end()
    return found


def _tool(tool: Members) -> JsonObject:
    if tool.text("type") not in (None, "custom"):
        raise tool.unsupported("type", "Only Anthropic runs its own tools.")
    tool.ignore("cache_control", "eager_input_streaming")
    tool.allow("defer_loading", False)
    tool.allow("allowed_callers", ["direct"])
    tool.allow("input_examples", [])
    function: JsonObject = {"name": tool.needed_text("name"), "parameters": tool.schema("input_schema")}
    if (description := tool.text("description")) is not None:
        function["description"] = description
    if (strict := tool.flag("strict")) is not None:
        function["strict"] = strict
    tool.end()
    return {"type": "function", "function": function}
