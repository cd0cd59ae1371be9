"""Anthropic's turns as messages of a chat completion.

A user's turn with results of tools becomes one message of the role tool for each result, then one of the user with the
rest. Thinking is refused: it is signed, and no other vendor can read it.
"""

from __future__ import annotations

import base64
from typing import Any

from batchyard.adapters.providers.members import Members
from batchyard.adapters.providers.translator import json_text
from batchyard.core.json_types import JsonObject


def chat_messages(body: Members) -> list[JsonObject]:
    """`system` and `messages` of a Messages request. Raises Untranslatable."""
    found: list[JsonObject] = []
    if "system" in body:
        found.append({"role": "system", "content": _texts(body, "system")})
    role = ""
    for message in body.each("messages"):
        role = message.needed_text("role")
        if role == "user":
            found += _users(message)
        elif role == "assistant":
            found.append(_assistants(message))
        elif role == "system":
            found.append({"role": "system", "content": _texts(message, "content")})
        else:
            raise message.unsupported("role")
        message.end()
    if role == "assistant":
        raise body.unsupported("messages", "Only Anthropic continues the words of a last message of the assistant.")
    return found


def _blocks(members: Members, name: str) -> list[Members]:
    """The member `name`, a string or an array, as content blocks."""
    content = members.take(name)
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    if not isinstance(content, list):
        raise members.wrong(name, "must be a string or an array of blocks")
    path = members.path_of(name)
    found = [Members(block, f"{path}[{number}]", members.vendor) for number, block in enumerate(content)]
    for block in found:
        block.ignore("cache_control")
    return found


def _text(block: Members) -> str:
    text = block.needed_text("text")
    block.allow("citations", [])
    block.end()
    return text


def _texts(members: Members, name: str) -> str | list[JsonObject]:
    parts = []
    for block in _blocks(members, name):
        if block.needed_text("type") != "text":
            raise block.unsupported("type")
        parts.append({"type": "text", "text": _text(block)})
    return _short(parts)


def _short(parts: list[JsonObject]) -> str | list[JsonObject]:
    """A single text as a string, which every server takes."""
    if len(parts) == 1 and parts[0]["type"] == "text":
        text: str = parts[0]["text"]
        return text
    return parts


def _users(message: Members) -> list[JsonObject]:
    results: list[JsonObject] = []
    parts: list[JsonObject] = []
    for block in _blocks(message, "content"):
        kind = block.needed_text("type")
        if kind == "tool_result":
            if parts:
                raise block.unsupported("type", "Results of tools come first in a message.")
            results.append(_tool_result(block))
        else:
            parts.append(_part(kind, block))
    return results + ([{"role": "user", "content": _short(parts)}] if parts or not results else [])


def _part(kind: str, block: Members) -> JsonObject:
    if kind == "text":
        return {"type": "text", "text": _text(block)}
    if kind == "image":
        url = _image_url(block.inside("source"))
        block.end()
        return {"type": "image_url", "image_url": {"url": url}}
    if kind == "document":
        return _document(block)
    raise block.unsupported("type")


def _image_url(source: Members) -> str:
    kind = source.needed_text("type")
    if kind == "url":
        url = source.needed_text("url")
    elif kind == "base64":
        url = f"data:{source.needed_text('media_type')};base64,{source.needed_text('data')}"
    else:
        raise source.unsupported("type", "Send the image itself, or its URL.")
    source.end()
    return url


def _document(block: Members) -> JsonObject:
    source, title = block.inside("source"), block.text("title")
    if "citations" in block:
        citations = block.inside("citations")
        citations.allow("enabled", False)
        citations.end()
    block.end()
    kind = source.needed_text("type")
    if kind == "base64":
        media_type, data = source.needed_text("media_type"), source.needed_text("data")
    elif kind == "text":
        media_type, text = source.needed_text("media_type"), source.needed_text("data")
        data = base64.b64encode(text.encode("utf-8", "replace")).decode()
    else:
        raise source.unsupported("type", "Send the document itself.")
    source.end()
    file = {"file_data": f"data:{media_type};base64,{data}", "filename": title or "document"}
    return {"type": "file", "file": file}


def _tool_result(block: Members) -> JsonObject:
    block.allow("is_error", False)
    identifier = block.needed_text("tool_use_id")
    content = _texts(block, "content") if "content" in block else ""
    block.end()
    return {"role": "tool", "tool_call_id": identifier, "content": content}


def _assistants(message: Members) -> JsonObject:
    parts: list[JsonObject] = []
    calls: list[JsonObject] = []
    for block in _blocks(message, "content"):
        kind = block.needed_text("type")
        if kind == "tool_use":
            calls.append(_tool_call(block))
        elif kind == "text" and not calls:
            parts.append({"type": "text", "text": _text(block)})
        else:
            raise block.unsupported("type")
    found: JsonObject = {"role": "assistant", "content": _short(parts) if parts else None}
    return found | ({"tool_calls": calls} if calls else {})


def _tool_call(block: Members) -> JsonObject:
    identifier, name, value = block.needed_text("id"), block.needed_text("name"), block.take("input")
    if "caller" in block:
        caller = block.inside("caller")
        caller.allow("type", "direct")
        caller.end()
    block.end()
    arguments = _written(value, block)
    return {"id": identifier, "type": "function", "function": {"name": name, "arguments": arguments}}


def _written(value: Any, block: Members) -> str:
    if not isinstance(value, dict | None):
        raise block.wrong("input", "must be an object")
    text = json_text(value or {})
    if not text:
        raise block.wrong("input", "is nested too deeply")
    return text
