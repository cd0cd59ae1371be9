"""A chat completion's request as a request for Bedrock's Converse. Pure.

Each parameter is expressed, or refused with the reason; docs/providers.md has the table. Messages and tools take the
way over Anthropic's form, which is close to both.
https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from batchyard.adapters.providers.anthropic.conversation import conversation
from batchyard.adapters.providers.anthropic.tools import tools_and_choice
from batchyard.adapters.providers.bedrock.content import ConverseContent
from batchyard.adapters.providers.bedrock.reasoning import reasoning
from batchyard.adapters.providers.chat_parameters import (
    ONE_PLAIN_ANSWER,
    chat_members,
    most_tokens,
    number,
    stop_sequences,
)
from batchyard.adapters.providers.members import Members
from batchyard.adapters.providers.translator import json_text
from batchyard.core.json_types import JsonObject

VENDOR = "Amazon Bedrock"

_ASKS_FOR_NOTHING = {**ONE_PLAIN_ANSWER, "parallel_tool_calls": (True,)}
_SERVICE_TIERS = {"auto": None, "default": "default", "flex": "flex", "priority": "priority"}
_LABEL = re.compile(r"[a-zA-Z0-9\s:_@$#=/+,\-.]{1,256}", re.ASCII)
"""What `requestMetadata` takes."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the item's body does not say. `is_flex`: in that service tier, whatever the item says. `is_native`:
    as a line of a job, which has no service tiers.
    `default_max_tokens`: for models that think within the limit of output tokens, if the item has none."""

    model: str
    default_max_tokens: int
    is_flex: bool = False
    is_native: bool = False


def converse_request(document: JsonObject, asked: Asked) -> JsonObject:
    """The request to POST to `/model/<model>/converse`. Raises Untranslatable."""
    body = chat_members(document, VENDOR, refused=("seed",), asks_for_nothing=_ASKS_FOR_NOTHING)
    request = _messages(body) | _tools(body)
    max_tokens, config = most_tokens(body), _sampling(body)
    thinking = reasoning(body, asked.model, max_tokens or asked.default_max_tokens)
    if max_tokens is None and "budget_tokens" in thinking.get("thinking", ()):
        max_tokens = asked.default_max_tokens
    if max_tokens is not None:
        config["maxTokens"] = max_tokens
    if config:
        request["inferenceConfig"] = config
    if output := _output(body, thinking.pop("effort", None)):
        request["outputConfig"] = output
    if fields := _additional_fields(body, thinking):
        request["additionalModelRequestFields"] = fields
    if (user := _user(body)) is not None:
        request["requestMetadata"] = {"user": user}
    tier = _service_tier(body)
    if (asked.is_flex or tier is not None) and not asked.is_native:
        request["serviceTier"] = {"type": "flex" if asked.is_flex else tier}
    body.end()
    return request


def _messages(body: Members) -> JsonObject:
    found, content = conversation(body), ConverseContent(VENDOR)
    messages = [{"role": each["role"], "content": content.blocks(each["content"])} for each in found.messages]
    return {"messages": messages} | ({"system": content.blocks(found.system)} if found.system else {})


def _tools(body: Members) -> JsonObject:
    """`toolConfig`. A model that must not use its tools is refused: only leaving them out keeps it from doing so."""
    found = tools_and_choice(body)
    tools, choice = found.get("tools"), found.get("tool_choice")
    if choice is not None and (choice["type"] == "none" if tools else choice["type"] != "none"):
        raise body.unsupported("tool_choice", "Send tools that the model may use, or none.")
    if not tools:
        return {}
    config: JsonObject = {"tools": [{"toolSpec": _tool(tool)} for tool in tools]}
    if choice is not None:
        named = {"name": choice["name"]} if choice["type"] == "tool" else {}
        config["toolChoice"] = {choice["type"]: named}
    return {"toolConfig": config}


def _tool(tool: JsonObject) -> JsonObject:
    found: JsonObject = {"name": tool["name"], "inputSchema": {"json": tool["input_schema"]}}
    if tool.get("description"):
        found["description"] = tool["description"]
    if tool.get("strict"):
        found["strict"] = True
    return found


def _sampling(body: Members) -> JsonObject:
    found: JsonObject = {}
    for name, theirs in (("temperature", "temperature"), ("top_p", "topP")):
        if (value := number(body, name)) is not None:
            if not 0 <= value <= 1:
                raise body.unsupported(name, "It is 0 to 1 there.")
            found[theirs] = value
    if sequences := stop_sequences(body):
        if not all(sequences):
            raise body.wrong("stop", "must be a string or an array of strings, none of them empty")
        found["stopSequences"] = sequences
    return found


def _output(body: Members, effort: str | None) -> JsonObject:
    found: JsonObject = {} if effort is None else {"effort": effort}
    if "response_format" not in body:
        return found
    wanted = body.inside("response_format")
    kind = wanted.needed_text("type")
    if kind == "text":
        wanted.end()
        return found
    if kind != "json_schema":
        raise wanted.unsupported("type", "Use the type json_schema, with the schema of what you expect.")
    definition = wanted.inside("json_schema")
    wanted.end()
    schema: JsonObject = {"schema": json_text(definition.schema("schema"))}
    if not schema["schema"]:
        raise definition.wrong("schema", "is nested too deeply")
    for name in ("name", "description"):
        if (text := definition.text(name)) is not None:
            schema[name] = text
    definition.ignore("strict")  # models keep to every schema there
    definition.end()
    return found | {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": schema}}}


def _additional_fields(body: Members, thinking: JsonObject) -> JsonObject:
    """What models take beside Converse's own parameters: an item may bring them along."""
    name = "additionalModelRequestFields"
    own = body.take(name)
    if own is not None and (not isinstance(own, dict) or own.keys() & thinking.keys()):
        raise body.wrong(name, "must be an object, without what 'reasoning_effort' says already")
    return thinking | (own or {})


def _user(body: Members) -> str | None:
    """Whom the request is for, which Bedrock writes to its log of invocations. All labels of `metadata` come back with
    the answer (`replies.py`), as OpenAI sends them."""
    newer, older = body.text("safety_identifier"), body.text("user")
    if not isinstance(body.take("metadata"), dict | None):
        raise body.wrong("metadata", "must be an object")
    user = newer or older or None
    if user is not None and not _LABEL.fullmatch(user):
        name = "safety_identifier" if newer else "user"
        raise body.unsupported(name, "It has letters, digits, spaces and :_@$#=/+,-. there, 256 at most.")
    return user


def _service_tier(body: Members) -> str | None:
    tier = body.text("service_tier")
    if tier is None:
        return None
    if tier not in _SERVICE_TIERS:
        raise body.unsupported("service_tier")
    return _SERVICE_TIERS[tier]
