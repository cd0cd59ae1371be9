"""Content blocks as Anthropic has them, which stand for what a chat completion says, as Converse has them. Pure.

    Anthropic                        Converse
    text                             text
    image, as data                   image.source.bytes
    document                         document, under a name of its own
    tool_use, tool_result            toolUse, toolResult
    thinking, redacted_thinking      reasoningContent
    cache_control on a block         a cachePoint behind it

Bytes are base64 in both.
"""

from __future__ import annotations

import base64
import re

from batchyard.adapters.providers.members import Members
from batchyard.adapters.providers.translator import Untranslatable
from batchyard.core.json_types import JsonObject

_FORBIDDEN_IN_NAMES = re.compile(r"[^A-Za-z0-9\-()\[\] ]+")
_SPACES = re.compile(r" {2,}")
_NAME_CHARACTERS = 190
"""Converse takes 200; a number may follow."""
_NO_NAME = "document"
_LONG_CACHE = "1h"


class ConverseContent:
    """Of one request: no two of its documents have the same name, which Bedrock would refuse."""

    def __init__(self, vendor: str) -> None:
        self._vendor = vendor
        self._names: set[str] = set()

    def blocks(self, content: str | list[JsonObject]) -> list[JsonObject]:
        """The blocks of a message or of the system prompt. Raises Untranslatable."""
        if isinstance(content, str):
            return [{"text": content}]
        found: list[JsonObject] = []
        for block in content:
            found.append(self._block(block))
            if (mark := block.get("cache_control")) is not None:
                ttl = {"ttl": _LONG_CACHE} if mark.get("ttl") == _LONG_CACHE else {}
                found.append({"cachePoint": {"type": "default"} | ttl})
        return found

    def _block(self, block: JsonObject) -> JsonObject:
        match block["type"]:
            case "text":
                return {"text": block["text"]}
            case "image":
                return {"image": self._image(block["source"])}
            case "document":
                return {"document": self._document(block)}
            case "tool_use":
                return {"toolUse": {"toolUseId": block["id"], "name": block["name"], "input": block["input"]}}
            case "tool_result":
                content = self.blocks(block["content"]) if "content" in block else []
                return {"toolResult": {"toolUseId": block["tool_use_id"], "content": content}}
            case _:
                return {"reasoningContent": self._reasoning(block)}

    def _image(self, source: JsonObject) -> JsonObject:
        if source["type"] != "base64":
            raise Untranslatable(
                f"An image by its URL cannot be expressed for {self._vendor}. Send it as a base64 data URL.", "messages"
            )
        return {"format": source["media_type"].partition("/")[2], "source": {"bytes": source["data"]}}

    def _document(self, block: JsonObject) -> JsonObject:
        source = block["source"]
        if source["type"] == "text":
            form, data = "txt", base64.b64encode(source["data"].encode("utf-8", "replace")).decode()
        else:
            form, data = "pdf", source["data"]
        return {"format": form, "name": self._name(block.get("title") or _NO_NAME), "source": {"bytes": data}}

    def _name(self, title: str) -> str:
        """`title` in the characters that Converse takes, unlike all others."""
        name = _SPACES.sub(" ", _FORBIDDEN_IN_NAMES.sub("-", title))[:_NAME_CHARACTERS].strip() or _NO_NAME
        found, number = name, 1
        while found in self._names:
            number += 1
            found = f"{name} {number}"
        self._names.add(found)
        return found

    def _reasoning(self, block: JsonObject) -> JsonObject:
        members = Members(block, "messages.thinking_blocks", self._vendor)
        if members.needed_text("type") == "redacted_thinking":
            found: JsonObject = {"redactedContent": members.needed_text("data")}
        else:
            text, signature = members.needed_text("thinking"), members.text("signature")
            found = {"reasoningText": {"text": text} | ({"signature": signature} if signature else {})}
        members.end()
        return found
