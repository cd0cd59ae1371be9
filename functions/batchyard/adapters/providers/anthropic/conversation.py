"""The messages of a chat completion as Anthropic's system prompt and turns.

    chat completions                        Messages
    system, developer at the beginning      system
    system, developer after a user's turn   a message of the role system there (not every model takes it)
    user                                    user
    assistant, with tool_calls              assistant, with tool_use blocks
    tool, one message a result              user: tool_result blocks, all results of a turn in one message

Turns that mean something else to Anthropic are refused: a conversation that ends with the assistant's words would be
continued in the middle of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from batchyard.adapters.providers.anthropic.content import content_blocks, text_blocks
from batchyard.adapters.providers.members import Members
from batchyard.core import exact_json
from batchyard.core.json_types import JsonObject

_INSTRUCTIONS = frozenset({"system", "developer"})


@dataclass(slots=True)
class Conversation:
    system: list[JsonObject] = field(default_factory=list)
    messages: list[JsonObject] = field(default_factory=list)


def conversation(body: Members) -> Conversation:
    """What `messages` of a chat completion say. Raises Untranslatable."""
    found = Conversation()
    role = ""
    for message in body.each("messages"):
        role = message.needed_text("role")
        if role in _INSTRUCTIONS:
            _take_instructions(message, found)
        elif role == "user":
            _add(found, "user", content_blocks(message, "content"))
        elif role == "assistant":
            _add(found, "assistant", _assistants_blocks(message))
        elif role == "tool":
            _add(found, "user", [_tool_result(message)])
        else:
            raise message.unsupported("role")
        message.end()
    if not found.messages:
        raise body.wrong("messages", "must have at least one message of the user")
    if role == "assistant":
        raise body.unsupported("messages", "The last message must not be the assistant's: it would be continued.")
    for message_found in found.messages:
        message_found["content"] = short(message_found["content"])
    return found


def _add(found: Conversation, role: str, blocks: list[JsonObject]) -> None:
    """A turn goes on if the same side speaks again, as Anthropic would join them itself; results of tools have to stand
    in one message."""
    if found.messages and found.messages[-1]["role"] == role:
        found.messages[-1]["content"] += blocks
    else:
        found.messages.append({"role": role, "content": blocks})


def short(blocks: list[JsonObject]) -> str | list[JsonObject]:
    """A single text as a string, as people write it."""
    if len(blocks) == 1 and blocks[0].keys() == {"type", "text"}:
        text: str = blocks[0]["text"]
        return text
    return blocks


def _take_instructions(message: Members, found: Conversation) -> None:
    blocks = text_blocks(message, "content")
    if not found.messages:
        found.system += blocks
    elif found.messages[-1]["role"] == "assistant":
        hint = "Instructions stand at the beginning or right after a message of the user."
        raise message.unsupported("role", hint)
    else:
        _add(found, "system", blocks)


def _assistants_blocks(message: Members) -> list[JsonObject]:
    blocks = _thinking_blocks(message)
    blocks += text_blocks(message, "content")
    refusal = message.text("refusal")
    if refusal:
        blocks.append({"type": "text", "text": refusal})
    blocks += [_tool_use(call) for call in message.each("tool_calls")]
    message.allow("annotations", [])
    return blocks


def _thinking_blocks(message: Members) -> list[JsonObject]:
    """Thinking that an earlier answer came with (`replies.py`), which has to come back unchanged."""
    if "thinking_blocks" not in message:
        return []
    message.ignore("reasoning_content")
    blocks: list[Any] = message.items("thinking_blocks")
    for block in blocks:
        if not isinstance(block, dict) or block.get("type") not in ("thinking", "redacted_thinking"):
            raise message.wrong("thinking_blocks", "must be what an earlier answer had there")
    return list(blocks)


def _tool_use(call: Members) -> JsonObject:
    call.allow("type", "function")
    identifier, function = call.needed_text("id"), call.inside("function")
    name, arguments = function.needed_text("name"), function.text("arguments")
    call.ignore("index")
    call.end()
    function.end()
    try:
        value = exact_json.loads(arguments.encode()) if arguments and arguments.strip() else {}
    except (ValueError, UnicodeEncodeError):
        value = None
    if not isinstance(value, dict):
        raise function.wrong("arguments", "must be a JSON object, as text")
    return {"type": "tool_use", "id": identifier, "name": name, "input": value}


def _tool_result(message: Members) -> JsonObject:
    message.ignore("name")
    identifier, content = message.needed_text("tool_call_id"), content_blocks(message, "content", only_texts=True)
    return {"type": "tool_result", "tool_use_id": identifier} | ({"content": short(content)} if content else {})
