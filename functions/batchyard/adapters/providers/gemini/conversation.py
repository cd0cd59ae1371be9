"""The messages of a chat completion as Gemini's system instruction and contents.

    chat completions                        Gemini
    system, developer at the beginning      systemInstruction
    system, developer later on              refused: there is no place for them
    user                                    role user
    assistant, with tool_calls              role model, with functionCall parts
    tool, one message a result              role user: functionResponse parts, all results of a turn in one content

Gemini signs what its models thought before a call (`thoughtSignature`), and models since Gemini 3 refuse a call that
comes back without. OpenAI's form has no place for it; Google's own OpenAI endpoint has made one, `extra_content`, which
is read and written here, too. A call that another vendor's model made gets the text that Google's documents name for
that case.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from batchyard.adapters.providers.gemini.content import content_parts, text_parts
from batchyard.adapters.providers.members import Members
from batchyard.core import exact_json
from batchyard.core.json_types import JsonObject

_INSTRUCTIONS = frozenset({"system", "developer"})
_NO_SIGNATURE = "skip_thought_signature_validator"
"""https://ai.google.dev/gemini-api/docs/thought-signatures"""


@dataclass(slots=True)
class Conversation:
    since_3: bool
    system: list[JsonObject] = field(default_factory=list)
    contents: list[JsonObject] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)
    """Of the functions that were called, by the ids of the calls: a result has to name both."""
    takes_results: bool = False
    """Whether the last content consists of results of tools."""


def conversation(body: Members, *, since_3: bool) -> Conversation:
    """What `messages` of a chat completion say. `since_3`: see `models.is_since_3`. Raises Untranslatable."""
    found = Conversation(since_3)
    role = ""
    for message in body.each("messages"):
        role = message.needed_text("role")
        if role in _INSTRUCTIONS:
            _take_instructions(message, found)
        elif role == "user":
            _add(found, "user", content_parts(message, "content", since_3=since_3))
        elif role == "assistant":
            _add(found, "model", _models_parts(message, found))
        elif role == "tool":
            _add_result(found, _function_response(message, found))
        else:
            raise message.unsupported("role")
        message.end()
    if not found.contents:
        raise body.wrong("messages", "must have at least one message of the user")
    if role == "assistant":
        raise body.unsupported("messages", "The last message must not be the assistant's: it would be continued.")
    return found


def _take_instructions(message: Members, found: Conversation) -> None:
    if found.contents:
        raise message.unsupported("role", "Instructions stand at the beginning.")
    found.system += text_parts(message, "content")


def _add(found: Conversation, role: str, parts: list[JsonObject]) -> None:
    found.contents.append({"role": role, "parts": parts or [{"text": ""}]})
    found.takes_results = False


def _add_result(found: Conversation, part: JsonObject) -> None:
    """There have to be as many results in one content as there were calls."""
    if found.takes_results:
        found.contents[-1]["parts"].append(part)
    else:
        _add(found, "user", [part])
        found.takes_results = True


def _models_parts(message: Members, found: Conversation) -> list[JsonObject]:
    thought = message.text("reasoning_content")
    parts: list[JsonObject] = [{"text": thought, "thought": True}] if thought else []
    parts += text_parts(message, "content")
    refusal = message.text("refusal")
    if refusal:
        parts.append({"text": refusal})
    parts += _other_parts(message)
    signature = _signature(message)
    if signature is not None:
        parts = parts or [{"text": ""}]
        parts[-1]["thoughtSignature"] = signature
    message.allow("annotations", [])
    return parts + _calls(message, found)


def _other_parts(message: Members) -> list[JsonObject]:
    """What an earlier answer had beside texts and calls (`replies.py`), as it was."""
    parts: list[Any] = message.items("content_parts")
    if not all(isinstance(part, dict) for part in parts):
        raise message.wrong("content_parts", "must be what an earlier answer had there")
    return [dict(part) for part in parts]


def _calls(message: Members, found: Conversation) -> list[JsonObject]:
    """Calls that were made side by side have one signature, at the first of them."""
    calls = [_function_call(call, found) for call in message.each("tool_calls")]
    if calls and found.since_3 and not any("thoughtSignature" in call for call in calls):
        calls[0]["thoughtSignature"] = _NO_SIGNATURE
    return calls


def _function_call(call: Members, found: Conversation) -> JsonObject:
    call.allow("type", "function")
    identifier, function, signature = call.needed_text("id"), call.inside("function"), _signature(call)
    name, arguments = function.needed_text("name"), function.text("arguments")
    call.ignore("index")
    call.end()
    function.end()
    found.names[identifier] = name
    try:
        value = exact_json.loads(arguments.encode()) if arguments and arguments.strip() else {}
    except (ValueError, UnicodeEncodeError):
        value = None
    if not isinstance(value, dict):
        raise function.wrong("arguments", "must be a JSON object, as text")
    part: JsonObject = {"functionCall": {"id": identifier, "name": name, "args": value}}
    return part | ({} if signature is None else {"thoughtSignature": signature})


def _signature(members: Members) -> str | None:
    if "extra_content" not in members:
        return None
    extra = members.inside("extra_content")
    google = extra.inside("google")
    extra.end()
    signature = google.text("thought_signature")
    google.end()
    return signature


def _function_response(message: Members, found: Conversation) -> JsonObject:
    message.ignore("name")
    identifier = message.needed_text("tool_call_id")
    name = found.names.get(identifier)
    if name is None:
        raise message.wrong("tool_call_id", "must be the id of an earlier call")
    texts = [part["text"] for part in content_parts(message, "content", since_3=found.since_3, only_texts=True)]
    output = texts[0] if len(texts) == 1 else texts
    return {"functionResponse": {"id": identifier, "name": name, "response": {"output": output}}}
