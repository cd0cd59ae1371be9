"""A chat completion's request as a request for Gemini's `generateContent`. Pure.

Each parameter is expressed, or refused with the reason; docs/providers.md has the table. What asks for nothing (n of 1)
is left out, and so is the little that cannot change an answer.
"""

from __future__ import annotations

from batchyard.adapters.providers.chat_parameters import chat_members, most_tokens, number, stop_sequences
from batchyard.adapters.providers.gemini.conversation import conversation
from batchyard.adapters.providers.gemini.models import is_since_3
from batchyard.adapters.providers.gemini.thinking import thinking_config
from batchyard.adapters.providers.gemini.tools import tools_and_config
from batchyard.adapters.providers.members import Members
from batchyard.core.json_types import JsonObject

VENDOR = "Gemini"

_NO_EFFECT = ("user", "safety_identifier")
"""Gemini asks for no name."""
_SERVICE_TIERS = {"auto": None, "default": "standard", "flex": "flex", "priority": "priority"}
_NUMBERS = {
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "frequency_penalty": "frequencyPenalty",
    "presence_penalty": "presencePenalty",
}
_MOST_SEED = 2**31


def content_request(document: JsonObject, model: str, *, is_flex: bool = False) -> JsonObject:
    """The request to POST to `:generateContent` of `model`. `is_flex`: in that service tier, whatever the item says.
    Raises Untranslatable."""
    body = chat_members(document, VENDOR, no_effect=_NO_EFFECT, asks_for_nothing={})
    since_3 = is_since_3(model)
    found = conversation(body, since_3=since_3)
    request: JsonObject = {"contents": found.contents}
    if found.system:
        request["systemInstruction"] = {"parts": found.system}
    request |= tools_and_config(body)
    google = _googles_own(body)
    generation = _sampling(body) | _limits(body) | _logprobs(body) | _output_format(body)
    if thinking := thinking_config(body, google, since_3=since_3):
        generation["thinkingConfig"] = thinking
    if generation:
        request["generationConfig"] = generation
    if google is not None:
        if (cached := google.text("cached_content")) is not None:
            request["cachedContent"] = cached
        google.end()
    tier = _service_tier(body)
    if is_flex or tier is not None:
        request["serviceTier"] = "flex" if is_flex else tier
    if not isinstance(body.take("metadata"), dict | None):
        raise body.wrong("metadata", "must be an object")
    body.end()
    return request


def _googles_own(body: Members) -> Members | None:
    """What clients of Google's OpenAI endpoint send beside OpenAI's parameters."""
    if "extra_body" not in body:
        return None
    extra = body.inside("extra_body")
    google = extra.inside("google")
    extra.end()
    return google


def _sampling(body: Members) -> JsonObject:
    found: JsonObject = {}
    for name, theirs in _NUMBERS.items():
        if (value := number(body, name)) is not None:
            found[theirs] = value
    seed = body.take("seed")
    if seed is not None:
        if type(seed) is not int:
            raise body.wrong("seed", "must be a whole number")
        if not -_MOST_SEED <= seed < _MOST_SEED:
            raise body.unsupported("seed", "It has 32 bits there.")
        found["seed"] = seed
    return found


def _limits(body: Members) -> JsonObject:
    """How much is written: tokens, answers, and where it stops."""
    found: JsonObject = {}
    wanted, answers = most_tokens(body), body.take("n")
    if answers is not None and (type(answers) is not int or answers < 1):
        raise body.wrong("n", "must be a whole number, 1 at least")
    if wanted is not None:
        found["maxOutputTokens"] = wanted
    if answers not in (None, 1):
        found["candidateCount"] = answers
    if sequences := stop_sequences(body):
        found["stopSequences"] = sequences
    return found


def _logprobs(body: Members) -> JsonObject:
    is_asked_for, most = body.flag("logprobs"), body.take("top_logprobs")
    if most is not None and (type(most) is not int or most < 0):
        raise body.wrong("top_logprobs", "must be a whole number")
    if most and not is_asked_for:
        raise body.wrong("top_logprobs", "needs 'logprobs'")
    if not is_asked_for:
        return {}
    return {"responseLogprobs": True} | ({"logprobs": most} if most else {})


def _output_format(body: Members) -> JsonObject:
    if "response_format" not in body:
        return {}
    wanted = body.inside("response_format")
    kind = wanted.needed_text("type")
    if kind == "text":
        wanted.end()
        return {}
    if kind == "json_object":
        wanted.end()
        return {"responseMimeType": "application/json"}
    if kind != "json_schema":
        raise wanted.unsupported("type")
    definition = wanted.inside("json_schema")
    wanted.end()
    schema, description = definition.schema("schema"), definition.text("description")
    definition.ignore("name", "strict")  # a label; and Gemini keeps to every schema
    definition.end()
    described = ({"description": description} if description else {}) | schema
    return {"responseMimeType": "application/json", "responseJsonSchema": described}


def _service_tier(body: Members) -> str | None:
    tier = body.text("service_tier")
    if tier is None:
        return None
    if tier not in _SERVICE_TIERS:
        raise body.unsupported("service_tier")
    return _SERVICE_TIERS[tier]
