"""A response's request as a chat completion's request. Pure.

As everywhere, each parameter is expressed or refused; docs/providers.md has the table. What only OpenAI can do, because
it keeps responses and runs tools of its own, is refused.
"""

from __future__ import annotations

from batchyard.adapters.providers.from_responses.conversation import chat_messages
from batchyard.adapters.providers.members import Members
from batchyard.core.json_types import JsonObject

_NO_EFFECT = (
    *("stream", "stream_options"),  # the answer is the same
    *("prompt_cache_key", "prompt_cache_retention", "prompt_cache_options"),  # hints for OpenAI's cache
    "metadata",  # stands in the answer, which is written here
)
_ASKS_FOR_NOTHING: dict[str, tuple[object, ...]] = {
    "background": (False,),
    "store": (False,),
    "truncation": ("disabled",),
}
_AS_THEY_ARE = ("temperature", "top_p", "user", "safety_identifier", "service_tier")
_LOGPROBS = "message.output_text.logprobs"


def chat_request(document: JsonObject, model: str, vendor: str, *, max_tokens_name: str) -> JsonObject:
    """The request for chat completions of `vendor` (its name, for people), which knows the limit of output tokens as
    `max_tokens_name`. Raises Untranslatable."""
    body = Members(document, "", vendor)
    body.ignore("model", *_NO_EFFECT)
    for name, values in _ASKS_FOR_NOTHING.items():
        body.allow(name, *values)
    if "previous_response_id" in body:
        raise body.unsupported("previous_response_id", "Nobody else has that response: send what was said as 'input'.")
    request: JsonObject = {"model": model, "messages": chat_messages(body)}
    for name in _AS_THEY_ARE:
        if (value := body.take(name)) is not None:
            request[name] = value
    if (max_tokens := body.take("max_output_tokens")) is not None:
        if type(max_tokens) is not int or max_tokens < 1:
            raise body.wrong("max_output_tokens", "must be a whole number, 1 at least")
        request[max_tokens_name] = max_tokens
    request |= _reasoning(body) | _text(body) | _logprobs(body) | _tools(body)
    body.end()
    return request


def _reasoning(body: Members) -> JsonObject:
    if "reasoning" not in body:
        return {}
    reasoning = body.inside("reasoning")
    effort = reasoning.text("effort")
    reasoning.end()
    return {} if effort is None else {"reasoning_effort": effort}


def _text(body: Members) -> JsonObject:
    """The form of the answer, and how long-winded it is."""
    if "text" not in body:
        return {}
    text, found = body.inside("text"), JsonObject()
    verbosity = text.text("verbosity")
    if verbosity not in (None, "medium"):
        found["verbosity"] = verbosity
    if "format" in text:
        found |= _format(text.inside("format"))
    text.end()
    return found


def _format(wanted: Members) -> JsonObject:
    kind = wanted.needed_text("type")
    found: JsonObject = {}
    if kind == "json_object":
        found = {"response_format": {"type": kind}}
    elif kind == "json_schema":
        schema: JsonObject = {"name": wanted.needed_text("name"), "schema": wanted.schema("schema")}
        if (description := wanted.text("description")) is not None:
            schema["description"] = description
        if (strict := wanted.flag("strict")) is not None:
            schema["strict"] = strict
        found = {"response_format": {"type": kind, "json_schema": schema}}
    elif kind != "text":
        raise wanted.unsupported("type")
    wanted.end()
    return found


def _logprobs(body: Members) -> JsonObject:
    """Log probabilities are had by `include`; without it `top_logprobs` says nothing."""
    included = body.items("include")
    for each in included:
        if each != _LOGPROBS:
            raise body.unsupported("include")
    if not included:
        body.allow("top_logprobs", 0)
        return {}
    top = body.take("top_logprobs")
    return {"logprobs": True} | ({} if top is None else {"top_logprobs": top})


def _tools(body: Members) -> JsonObject:
    found: JsonObject = {}
    if tools := [_tool(tool) for tool in body.each("tools")]:
        found["tools"] = tools
    choice = body.take("tool_choice")
    if isinstance(choice, dict):
        found["tool_choice"] = _choice(Members(choice, "tool_choice", body.vendor))
    elif choice in ("auto", "none", "required"):
        if tools:
            found["tool_choice"] = choice
        elif choice == "required":
            raise body.wrong("tool_choice", "is 'required', and there are no tools")
    elif choice is not None:
        raise body.unsupported("tool_choice")
    if body.flag("parallel_tool_calls") is False and tools:
        found["parallel_tool_calls"] = False
    return found


def _tool(tool: Members) -> JsonObject:
    if tool.text("type") != "function":
        raise tool.unsupported("type", "Only functions can be called there: OpenAI runs its own tools itself.")
    tool.allow("defer_loading", False)
    function: JsonObject = {"name": tool.needed_text("name")}
    if (description := tool.text("description")) is not None:
        function["description"] = description
    if "parameters" in tool:
        function["parameters"] = tool.schema("parameters")
    if (strict := tool.flag("strict")) is not None:
        function["strict"] = strict
    tool.end()
    return {"type": "function", "function": function}


def _choice(choice: Members) -> JsonObject:
    kind = choice.needed_text("type")
    if kind == "function":
        found: JsonObject = {"type": kind, "function": {"name": choice.needed_text("name")}}
    elif kind == "allowed_tools":
        tools = []
        for tool in choice.each("tools"):
            tool.allow("type", "function")
            tools.append({"type": "function", "function": {"name": tool.needed_text("name")}})
            tool.end()
        found = {"type": kind, kind: {"mode": choice.needed_text("mode"), "tools": tools}}
    else:
        raise choice.unsupported("type")
    choice.end()
    return found
