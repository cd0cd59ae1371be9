"""How much a model may think, in Anthropic's words.

Models since Claude 4.6 decide for themselves how much they think, and take an effort. Those before want a budget of
tokens, which counts towards `max_tokens`.
"""

from __future__ import annotations

import re

from batchyard.adapters.providers.members import Members
from batchyard.core.json_types import JsonObject

_EFFORTS = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "xhigh", "max": "max"}
_BUDGETS = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 16_384, "xhigh": 24_576, "max": 32_768}
_LEAST_BUDGET = 1024
_WANTS_A_BUDGET = re.compile(r"claude-(3-7-|3\.7-|(opus|sonnet|haiku)-4($|[-.@](0|1|5|2025\d*)($|[-@])))", re.ASCII)


def reasoning(body: Members, model: str, max_tokens: int) -> JsonObject:
    """`thinking`, and `effort` of `output_config`, for the `reasoning_effort` of a chat completion; empty if it has
    none. Raises Untranslatable."""
    effort = body.text("reasoning_effort")
    if effort is None:
        return {}
    if effort == "none":
        return {"thinking": {"type": "disabled"}}
    if effort not in _EFFORTS:
        raise body.unsupported("reasoning_effort")
    if not _WANTS_A_BUDGET.match(model):
        return {"thinking": {"type": "adaptive"}, "effort": _EFFORTS[effort]}
    budget = min(_BUDGETS[effort], max_tokens - 1)
    if budget < _LEAST_BUDGET:
        hint = f"{model} thinks with {_LEAST_BUDGET} tokens at least, which count towards max_completion_tokens."
        raise body.unsupported("reasoning_effort", hint)
    return {"thinking": {"type": "enabled", "budget_tokens": budget}}
