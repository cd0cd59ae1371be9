"""A chat completion's request as a request for Anthropic's Messages. Pure.

Each parameter is expressed, or refused with the reason; docs/providers.md has the table. What asks for nothing (a
penalty of 0, n of 1) is left out, and so is the little that cannot change an answer.
"""

from __future__ import annotations

from batchyard.adapters.providers.anthropic.conversation import conversation, short
from batchyard.adapters.providers.anthropic.reasoning import reasoning
from batchyard.adapters.providers.anthropic.tools import tools_and_choice
from batchyard.adapters.providers.chat_parameters import (
    ONE_PLAIN_ANSWER,
    chat_members,
    most_tokens,
    number,
    stop_sequences,
)
from batchyard.adapters.providers.members import Members
from batchyard.core.json_types import JsonObject

VENDOR = "Anthropic"

_SERVICE_TIERS = {"auto": "auto", "default": "standard_only"}


def messages_request(document: JsonObject, model: str, default_max_tokens: int) -> JsonObject:
    """The request to POST to `/messages`. `default_max_tokens`: if the item does not say. Raises Untranslatable."""
    body = chat_members(document, VENDOR, refused=("seed",), asks_for_nothing=ONE_PLAIN_ANSWER)
    found = conversation(body)
    max_tokens = most_tokens(body) or default_max_tokens
    request: JsonObject = {"model": model, "max_tokens": max_tokens, "messages": found.messages}
    if found.system:
        request["system"] = short(found.system)
    request |= tools_and_choice(body) | _sampling(body)
    thinking = reasoning(body, model, max_tokens)
    config = {"effort": thinking.pop("effort")} if "effort" in thinking else {}
    request |= thinking
    if (output_format := _output_format(body)) is not None:
        config["format"] = output_format
    if config:
        request["output_config"] = config
    if (user := _user(body)) is not None:
        request["metadata"] = {"user_id": user}
    _extras(body, request)
    body.end()
    return request


def _sampling(body: Members) -> JsonObject:
    found: JsonObject = {}
    for name in ("temperature", "top_p", "top_k"):
        if (value := number(body, name)) is not None:
            found[name] = value
    if found.get("temperature", 0) > 1:
        raise body.unsupported("temperature", "It is 1 at most there.")
    if sequences := stop_sequences(body):
        found["stop_sequences"] = sequences
    return found


def _output_format(body: Members) -> JsonObject | None:
    if "response_format" not in body:
        return None
    wanted = body.inside("response_format")
    kind = wanted.needed_text("type")
    if kind == "text":
        wanted.end()
        return None
    if kind != "json_schema":
        raise wanted.unsupported("type", "Use the type json_schema, with the schema of what you expect.")
    definition = wanted.inside("json_schema")
    wanted.end()
    schema, description = definition.schema("schema"), definition.text("description")
    definition.ignore("name", "strict")  # a label; and Anthropic keeps to every schema
    definition.end()
    return {"type": "json_schema", "schema": ({"description": description} if description else {}) | schema}


def _user(body: Members) -> str | None:
    """Whom the request is for, by any of the names that OpenAI's clients have for it. All other labels of `metadata`
    come back with the answer (`replies.py`), as OpenAI sends them."""
    newer, older, labels = body.text("safety_identifier"), body.text("user"), body.take("metadata")
    if labels is not None and not isinstance(labels, dict):
        raise body.wrong("metadata", "must be an object")
    labelled = labels.get("user_id") or labels.get("user") if labels else None
    return newer or older or (labelled if isinstance(labelled, str) else None)


def _extras(body: Members, request: JsonObject) -> None:
    """The service tier, and what clients of Anthropic's OpenAI endpoint send beside OpenAI's parameters."""
    tier = body.text("service_tier")
    if tier is not None:
        if tier not in _SERVICE_TIERS:
            raise body.unsupported("service_tier")
        request["service_tier"] = _SERVICE_TIERS[tier]
    if "thinking" in body:
        thinking = body.take("thinking")
        if not isinstance(thinking, dict) or "thinking" in request:
            raise body.wrong("thinking", "must be an object, without a 'reasoning_effort' beside it")
        request["thinking"] = thinking
