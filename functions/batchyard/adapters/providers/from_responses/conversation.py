"""The input of a response as messages of a chat completion.

    instructions                            a message of the role system, before all others
    message of a system, developer, user    a message of that role (developer: system)
    messages of the assistant, calls        one message of the assistant, up to the next item of another kind
    function_call_output                    a message of the role tool

Reasoning is refused: only the vendor that wrote it can read it.
"""

from __future__ import annotations

from typing import Any

from batchyard.adapters.providers.members import Members
from batchyard.core.json_types import JsonObject


def chat_messages(body: Members) -> list[JsonObject]:
    """`instructions` and `input` of a response's request. Raises Untranslatable."""
    found: list[JsonObject] = []
    if (instructions := body.text("instructions")) is not None:
        found.append({"role": "system", "content": instructions})
    given = body.take("input")
    if isinstance(given, str):
        return [*found, {"role": "user", "content": given}]
    if not isinstance(given, list) or not given:
        raise body.wrong("input", "must be a string or an array of items")
    for number, element in enumerate(given):
        _add(found, Members(element, f"input[{number}]", body.vendor))
    for message in found:
        if message["role"] == "assistant":
            message["content"] = _short(message["content"]) if message["content"] else None
    return found


def _add(found: list[JsonObject], item: Members) -> None:
    """Adds an item of the input to the messages."""
    kind = item.text("type") or "message"
    item.ignore("id", "status")
    if kind == "message":
        role = item.needed_text("role")
        if role == "assistant":
            _say(found, item)
        elif role in ("system", "developer"):
            found.append({"role": "system", "content": _short(_parts(item, "content", only_text=True))})
        elif role == "user":
            found.append({"role": "user", "content": _short(_parts(item, "content"))})
        else:
            raise item.unsupported("role")
    elif kind == "function_call":
        _assistants(found).setdefault("tool_calls", []).append(_tool_call(item))
    elif kind == "function_call_output":
        content = _short(_parts(item, "output", only_text=True))
        found.append({"role": "tool", "tool_call_id": item.needed_text("call_id"), "content": content})
    elif kind == "reasoning":
        raise item.unsupported("type", "Leave out what models thought in earlier answers: nobody else can read it.")
    else:
        raise item.unsupported("type")
    item.end()


def _assistants(found: list[JsonObject]) -> JsonObject:
    """The message of the assistant that is going on, or a new one. Its content is a list of parts."""
    if not found or found[-1]["role"] != "assistant":
        found.append({"role": "assistant", "content": []})
    return found[-1]


def _say(found: list[JsonObject], item: Members) -> None:
    message = _assistants(found)
    if "tool_calls" in message:
        raise item.unsupported("role", "What the assistant says stands before its calls, or behind their results.")
    item.allow("phase", "final_answer")
    message["content"] += _parts(item, "content")


def _parts(members: Members, name: str, *, only_text: bool = False) -> list[JsonObject]:
    """The member `name`, a string or an array, as parts of a message."""
    content = members.take(name)
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    if not isinstance(content, list) or not content:
        raise members.wrong(name, "must be a string or an array of parts")
    path = members.path_of(name)
    return [_part(Members(part, f"{path}[{number}]", members.vendor), only_text) for number, part in enumerate(content)]


def _part(part: Members, only_text: bool) -> JsonObject:
    kind = part.needed_text("type")
    if kind in ("input_text", "output_text"):
        part.allow("annotations", [])
        part.ignore("logprobs")
        found: JsonObject = {"type": "text", "text": part.needed_text("text")}
    elif only_text:
        raise part.unsupported("type", "There is only text at this place of a chat completion.")
    elif kind == "refusal":
        found = {"type": "refusal", "refusal": part.needed_text("refusal")}
    elif kind == "input_image":
        found = _image(part)
    elif kind == "input_file":
        found = {"type": "file", "file": _file(part)}
    elif kind == "input_audio":
        audio = part.inside("input_audio")
        found = {"type": kind, kind: {"data": audio.needed_text("data"), "format": audio.needed_text("format")}}
        audio.end()
    else:
        raise part.unsupported("type")
    part.end()
    return found


def _image(part: Members) -> JsonObject:
    if "file_id" in part:
        raise part.unsupported("file_id", "Send the image itself, or its URL.")
    image: JsonObject = {"url": part.needed_text("image_url")}
    detail = part.text("detail")
    if detail in ("low", "high"):
        image["detail"] = detail
    elif detail not in (None, "auto"):
        raise part.unsupported("detail")
    return {"type": "image_url", "image_url": image}


def _file(part: Members) -> JsonObject:
    for name in ("file_id", "file_url"):
        if name in part:
            raise part.unsupported(name, "Send the file itself, as 'file_data'.")
    file: JsonObject = {"file_data": part.needed_text("file_data")}
    if (name_of_file := part.text("filename")) is not None:
        file["filename"] = name_of_file
    part.allow("detail", "auto")
    return file


def _short(parts: list[JsonObject]) -> Any:
    """A single text as a string, which every server takes."""
    if len(parts) == 1 and parts[0]["type"] == "text":
        return parts[0]["text"]
    return parts


def _tool_call(item: Members) -> JsonObject:
    identifier, name = item.needed_text("call_id"), item.needed_text("name")
    function = {"name": name, "arguments": item.needed_text("arguments")}
    return {"id": identifier, "type": "function", "function": function}
