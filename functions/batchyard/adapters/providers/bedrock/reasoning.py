"""How much a model may think, in the words of each family of models at Bedrock. Converse itself has none: what a family
calls it goes into `additionalModelRequestFields`.
"""

from __future__ import annotations

import re

from batchyard.adapters.providers.anthropic.reasoning import reasoning as anthropics_reasoning
from batchyard.adapters.providers.members import Members
from batchyard.core.json_types import JsonObject

_FAMILY = re.compile(r"(?:^|[./])(anthropic|amazon|openai)\.(.+)", re.ASCII)
"""`eu.anthropic.claude-sonnet-4-5-20250929-v1:0`, or the ARN of such a model or inference profile."""
_NOVA_2 = re.compile(r"nova-(2|premier-2)", re.ASCII)
_NOVAS_EFFORTS = {"minimal": "low", "low": "low", "medium": "medium", "high": "high"}
_HINT = "Say it in additionalModelRequestFields, in the model's own words."


def reasoning(body: Members, model: str, max_tokens: int) -> JsonObject:
    """What `additionalModelRequestFields` say for the `reasoning_effort` of a chat completion, and for Claude the
    member `effort`, which belongs into `outputConfig`. Empty if the item does not ask. Raises Untranslatable."""
    if "reasoning_effort" not in body:
        return {}
    found = _FAMILY.search(model)
    family, name = (found[1], found[2]) if found else ("", "")
    if family == "anthropic":
        return anthropics_reasoning(body, name, max_tokens)
    effort = body.needed_text("reasoning_effort")
    if family == "openai":
        return {"reasoning_effort": effort}
    if family == "amazon" and _NOVA_2.match(name):
        if effort == "none":
            return {"reasoningConfig": {"type": "disabled"}}
        if effort in _NOVAS_EFFORTS:
            return {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": _NOVAS_EFFORTS[effort]}}
    raise body.unsupported("reasoning_effort", _HINT)
