"""What Gemini's models differ in, as far as a request has to know it."""

from __future__ import annotations

import re
from urllib.parse import quote

_BEFORE_3 = re.compile(r"gemini-(1|2|pro$|pro-vision|pro-1|flash-1|live-2)", re.ASCII)


def is_since_3(model: str) -> bool:
    """Whether `model` knows levels of thinking, resolutions of single images, and signatures of calls: all since
    Gemini 3 do."""
    return _BEFORE_3.match(_name(model)) is None


def path_of(model: str, method: str) -> str:
    """Where to POST, behind the base URL."""
    return f"/models/{quote(_name(model), safe='')}:{method}"


def resource_of(model: str) -> str:
    """The model as bodies name it."""
    return f"models/{_name(model)}"


def _name(model: str) -> str:
    return model.removeprefix("models/")
