"""How much a model may think, in Gemini's words: levels since Gemini 3, a budget of tokens before.

The budgets are those of Google's own OpenAI endpoint: https://ai.google.dev/gemini-api/docs/openai
"""

from __future__ import annotations

from batchyard.adapters.providers.members import Members
from batchyard.core.json_types import JsonObject

_LEVELS = {"minimal": "MINIMAL", "low": "LOW", "medium": "MEDIUM", "high": "HIGH", "xhigh": "XHIGH"}
_BUDGETS = {"none": 0, "minimal": 1024, "low": 1024, "medium": 8192, "high": 24_576}


def thinking_config(body: Members, google: Members | None, *, since_3: bool) -> JsonObject:
    """`thinkingConfig` of the request; empty if nothing is asked for. `google`: the object of that name in
    `extra_body`, which clients of Google's OpenAI endpoint send. Raises Untranslatable."""
    found = _asked_in_geminis_words(google) if google is not None and "thinking_config" in google else {}
    effort = body.text("reasoning_effort")
    if effort is None:
        return found
    if "thinkingBudget" in found or "thinkingLevel" in found:
        raise body.wrong("reasoning_effort", "and a 'thinking_config' exclude each other")
    if since_3 and effort in _LEVELS:
        return found | {"thinkingLevel": _LEVELS[effort]}
    if not since_3 and effort in _BUDGETS:
        return found | {"thinkingBudget": _BUDGETS[effort]}
    known = "minimal, low, medium, high or xhigh" if since_3 else "none, minimal, low, medium or high"
    raise body.unsupported("reasoning_effort", f"This model takes {known}.")


def _asked_in_geminis_words(google: Members) -> JsonObject:
    config = google.inside("thinking_config")
    found: JsonObject = {}
    budget, level = config.take("thinking_budget"), config.text("thinking_level")
    if budget is not None:
        if type(budget) is not int:
            raise config.wrong("thinking_budget", "must be a whole number")
        found["thinkingBudget"] = budget
    if level is not None:
        found["thinkingLevel"] = level.upper()
    if (included := config.flag("include_thoughts")) is not None:
        found["includeThoughts"] = included
    config.end()
    return found
