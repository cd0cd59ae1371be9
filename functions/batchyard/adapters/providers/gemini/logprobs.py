"""Log probabilities of Gemini's tokens, as OpenAI has them."""

from __future__ import annotations

from typing import Any

from batchyard.core.json_types import JsonObject


def logprobs_of(result: Any) -> JsonObject | None:
    """`result`: a candidate's `logprobsResult`; None if it has none."""
    chosen = result.get("chosenCandidates") if isinstance(result, dict) else None
    if not isinstance(chosen, list):
        return None
    steps = result.get("topCandidates")
    content = [_token(token) | {"top_logprobs": _top(steps, number)} for number, token in enumerate(chosen)]
    return {"content": content, "refusal": None}


def _top(steps: Any, number: int) -> list[JsonObject]:
    step = steps[number] if isinstance(steps, list) and number < len(steps) else None
    candidates = step.get("candidates") if isinstance(step, dict) else None
    return [_token(token) for token in candidates] if isinstance(candidates, list) else []


def _token(token: Any) -> JsonObject:
    found = token if isinstance(token, dict) else {}
    text, probability = found.get("token"), found.get("logProbability")
    text = text if isinstance(text, str) else ""
    return {
        "token": text,
        "logprob": probability if isinstance(probability, int | float) else 0.0,
        "bytes": list(text.encode("utf-8", "replace")),
    }
