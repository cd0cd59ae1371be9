"""Content of chat messages as Anthropic's content blocks: texts, images, documents.

What an image or a file is, is said by a data URL (`data:image/png;base64,…`). A file id is OpenAI's own: nobody else
can read that file.
"""

from __future__ import annotations

import base64
import binascii
import re

from batchyard.adapters.providers.members import Members
from batchyard.core.json_types import JsonObject

_DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+)((?:;[\w.+-]+=[\w.+-]+)*);base64,", re.ASCII)
_IMAGES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
_PDF, _PLAIN_TEXT = "application/pdf", "text/plain"
_PDF_IN_BASE64 = "JVBER"
"""How a PDF begins: "%PDF"."""
_CACHE_TTLS = {"30m": "1h", "12h": "1h"}


def text_blocks(members: Members, name: str) -> list[JsonObject]:
    """The member `name`, a string or an array of text parts, as text blocks. An empty string is no block."""
    return [block for block in content_blocks(members, name, only_texts=True) if block["text"]]


def content_blocks(members: Members, name: str, *, only_texts: bool = False) -> list[JsonObject]:
    """The member `name`, a string or an array of parts, as content blocks. Raises Untranslatable."""
    if name not in members:
        return []
    content = members.take(name)
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    if not isinstance(content, list):
        raise members.wrong(name, "must be a string or an array of parts")
    path = members.path_of(name)
    parts = (Members(part, f"{path}[{number}]", members.vendor) for number, part in enumerate(content))
    return [_block(part, only_texts) for part in parts]


def _block(part: Members, only_texts: bool) -> JsonObject:
    kind = part.needed_text("type")
    if kind == "text":
        block: JsonObject = {"type": "text", "text": part.needed_text("text")}
    elif kind == "refusal":
        block = {"type": "text", "text": part.needed_text("refusal")}
    elif only_texts:
        raise part.wrong("type", "must be 'text' here")
    elif kind == "image_url":
        block = {"type": "image", "source": _image(part.inside("image_url"))}
    elif kind == "file":
        block = _document(part.inside("file"))
    else:
        raise part.unsupported("type")
    _mark(block, part)
    part.end()
    return block


def _mark(block: JsonObject, part: Members) -> None:
    """A breakpoint of OpenAI's prompt cache is one of Anthropic's."""
    if "prompt_cache_breakpoint" not in part:
        return
    point = part.inside("prompt_cache_breakpoint")
    point.allow("mode", "explicit")
    ttl = point.text("ttl")
    point.end()
    block["cache_control"] = {"type": "ephemeral"} | ({} if ttl is None else {"ttl": _CACHE_TTLS.get(ttl, "1h")})


def _image(image: Members) -> JsonObject:
    image.allow("detail", "auto", "high", "original")
    url = image.needed_text("url")
    image.end()
    if not url.startswith("data:"):
        return {"type": "url", "url": url}
    found = _DATA_URL.match(url)
    media_type = found[1].lower() if found else ""
    if found is None or media_type not in _IMAGES:
        raise image.unsupported("url", "Images are JPEG, PNG, GIF or WebP, at an https URL or in a base64 data URL.")
    return {"type": "base64", "media_type": media_type, "data": url[found.end() :]}


def _document(file: Members) -> JsonObject:
    if "file_id" in file:
        raise file.unsupported("file_id", "Send the file itself as file_data.")
    data, title = file.needed_text("file_data"), file.text("filename")
    file.end()
    found = _DATA_URL.match(data)
    media_type = found[1].lower() if found else _PDF if data.startswith(_PDF_IN_BASE64) else ""
    encoded = data[found.end() :] if found else data
    if media_type == _PDF:
        source = {"type": "base64", "media_type": _PDF, "data": encoded}
    elif media_type == _PLAIN_TEXT:
        source = {"type": "text", "media_type": _PLAIN_TEXT, "data": _decoded(encoded, file)}
    else:
        raise file.unsupported("file_data", "Files are PDFs or plain texts, as a base64 data URL.")
    return {"type": "document", "source": source} | ({} if title is None else {"title": title})


def _decoded(encoded: str, file: Members) -> str:
    try:
        return base64.b64decode(encoded, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise file.wrong("file_data", "must be base64 of UTF-8 text") from error
