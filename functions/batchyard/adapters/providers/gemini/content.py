"""Content of chat messages as Gemini's parts: texts, images, audio, documents.

Gemini wants to be told what media are. A data URL (`data:image/png;base64,…`) says it; of an https URL, which Gemini
fetches by itself, only the ending can. A file id is OpenAI's own: nobody else can read that file.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from batchyard.adapters.providers.members import Members
from batchyard.core.json_types import JsonObject

_DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+)((?:;[\w.+-]+=[\w.+-]+)*);base64,", re.ASCII)
_PDF, _PDF_IN_BASE64 = "application/pdf", "JVBER"
"""A PDF begins with "%PDF"."""
_IMAGE_TYPES = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "heic": "image/heic",
    "heif": "image/heif",
}
_AUDIO_TYPES = {"wav": "audio/wav", "mp3": "audio/mp3"}
_RESOLUTIONS = {
    "low": "MEDIA_RESOLUTION_LOW",
    "high": "MEDIA_RESOLUTION_HIGH",
    "original": "MEDIA_RESOLUTION_ULTRA_HIGH",
}


def text_parts(members: Members, name: str) -> list[JsonObject]:
    """The member `name`, a string or an array of text parts. Empty texts are left out."""
    return [part for part in content_parts(members, name, since_3=False, only_texts=True) if part["text"]]


def content_parts(members: Members, name: str, *, since_3: bool, only_texts: bool = False) -> list[JsonObject]:
    """The member `name`, a string or an array, as parts. `since_3`: see `models.is_since_3`. Raises Untranslatable."""
    if name not in members:
        return []
    content = members.take(name)
    if isinstance(content, str):
        return [{"text": content}]
    if not isinstance(content, list):
        raise members.wrong(name, "must be a string or an array of parts")
    path = members.path_of(name)
    parts = (Members(part, f"{path}[{number}]", members.vendor) for number, part in enumerate(content))
    return [_part(part, since_3, only_texts) for part in parts]


def _part(part: Members, since_3: bool, only_texts: bool) -> JsonObject:
    kind = part.needed_text("type")
    part.ignore("prompt_cache_breakpoint")  # a hint for OpenAI's cache
    if kind == "text":
        found: JsonObject = {"text": part.needed_text("text")}
    elif kind == "refusal":
        found = {"text": part.needed_text("refusal")}
    elif only_texts:
        raise part.wrong("type", "must be 'text' here")
    elif kind == "image_url":
        found = _image(part.inside("image_url"), since_3)
    elif kind == "input_audio":
        found = _audio(part.inside("input_audio"))
    elif kind == "file":
        found = _file(part.inside("file"))
    else:
        raise part.unsupported("type")
    part.end()
    return found


def _image(image: Members, since_3: bool) -> JsonObject:
    resolution = _resolution(image, since_3)
    url = image.needed_text("url")
    image.end()
    found = _DATA_URL.match(url)
    if found is not None and found[1].lower().startswith("image/"):
        return _inline(found[1].lower(), url[found.end() :]) | resolution
    media_type = _IMAGE_TYPES.get(_ending(url)) if url.startswith("https://") else None
    if media_type is None:
        hint = "Images are base64 data URLs, or https URLs of which the path ends in .png, .jpg, .webp, .heic or .heif."
        raise image.unsupported("url", hint)
    return {"fileData": {"mimeType": media_type, "fileUri": url}} | resolution


def _resolution(image: Members, since_3: bool) -> JsonObject:
    """Models before Gemini 3 look at all images alike."""
    if not since_3:
        image.allow("detail", "auto", "high", "original")
        return {}
    detail = image.text("detail")
    if detail in (None, "auto"):
        return {}
    if detail not in _RESOLUTIONS:
        raise image.wrong("detail", "must be auto, low, high or original")
    return {"mediaResolution": {"level": _RESOLUTIONS[detail]}}


def _ending(url: str) -> str:
    try:
        return urlsplit(url).path.rpartition(".")[2].lower()
    except ValueError:
        return ""


def _audio(audio: Members) -> JsonObject:
    data, form = audio.needed_text("data"), audio.needed_text("format")
    audio.end()
    if form not in _AUDIO_TYPES:
        raise audio.unsupported("format", "Audio is wav or mp3.")
    return _inline(_AUDIO_TYPES[form], data)


def _file(file: Members) -> JsonObject:
    if "file_id" in file:
        raise file.unsupported("file_id", "Send the file itself as file_data.")
    data = file.needed_text("file_data")
    file.ignore("filename")  # Gemini's files have no names
    file.end()
    found = _DATA_URL.match(data)
    if found is not None:
        return _inline(found[1].lower(), data[found.end() :])
    if not data.startswith(_PDF_IN_BASE64):
        raise file.unsupported("file_data", "Files are base64 data URLs, which say what the file is.")
    return _inline(_PDF, data)


def _inline(media_type: str, data: str) -> JsonObject:
    return {"inlineData": {"mimeType": media_type, "data": data}}
