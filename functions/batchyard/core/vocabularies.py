"""Which models' tokenizers are known here: OpenAI's, by tiktoken's table of models
(https://github.com/openai/tiktoken, `tiktoken/model.py`). Other vendors publish none, or one as large for each family.
"""

from __future__ import annotations

import re

O200K_BASE = "o200k_base"
CL100K_BASE = "cl100k_base"
NAMES = (O200K_BASE, CL100K_BASE)

_BY_MODEL = (
    (re.compile(r"(chatgpt-4o|gpt-(4o|4\.1|4\.5|5|oss)|o1|o3|o4-mini)(?![a-z0-9])"), O200K_BASE),
    (re.compile(r"(gpt-4|gpt-3\.?5|text-embedding-(3|ada-002)|(davinci|babbage)-002)(?![a-z0-9.])"), CL100K_BASE),
)
_HOST = re.compile(r"^(openai[/.])?(ft:)?")
"""What stands before a model's own name: its maker, at who hosts it, and that it is a fine-tune."""


def vocabulary_of(model: str) -> str | None:
    """The name of the vocabulary that `model`, as its provider calls it, counts with; None if that is not known."""
    name = _HOST.sub("", model)
    return next((vocabulary for models, vocabulary in _BY_MODEL if models.match(name)), None)
