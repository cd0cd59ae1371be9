"""Parameters of a chat completion that every vendor has in some form, read and checked once; the vendor's own module
says what they become there. All raise Untranslatable."""

from __future__ import annotations

from collections.abc import Mapping

from batchyard.adapters.providers.members import Members

_NO_EFFECT = (
    "model",
    *("stream", "stream_options"),  # the answer is the same
    *("prompt_cache_key", "prompt_cache_retention", "prompt_cache_options"),  # hints for OpenAI's cache
)
_ONLY_OPENAIS = ("prediction", "audio", "web_search_options", "moderation", "functions", "function_call")
_ASKS_FOR_NOTHING: Mapping[str, tuple[object, ...]] = {
    "logit_bias": ({},),
    "modalities": (["text"],),
    "store": (False,),
    "verbosity": ("medium",),
}
ONE_PLAIN_ANSWER: Mapping[str, tuple[object, ...]] = {
    "n": (1,),
    "frequency_penalty": (0, 0.0),
    "presence_penalty": (0, 0.0),
    "logprobs": (False,),
    "top_logprobs": (0,),
}
"""What asks a vendor for nothing that has neither several answers, nor penalties, nor probabilities."""


def chat_members(
    document: object,
    vendor: str,
    *,
    no_effect: tuple[str, ...] = (),
    refused: tuple[str, ...] = (),
    asks_for_nothing: Mapping[str, tuple[object, ...]],
) -> Members:
    """The members of a chat completion's request that `vendor`, which is not of OpenAI's kind, may have something like.
    `no_effect`, `asks_for_nothing` (member -> values): what is left out for this vendor, besides what is for all;
    `refused`: what this one has nothing like, besides what only OpenAI has."""
    body = Members(document, "", vendor)
    body.ignore(*_NO_EFFECT, *no_effect)
    for name in (*refused, *_ONLY_OPENAIS):
        if name in body:
            raise body.unsupported(name)
    for name, values in {**asks_for_nothing, **_ASKS_FOR_NOTHING}.items():
        body.allow(name, *values)
    return body


def most_tokens(body: Members) -> int | None:
    """How many tokens the answer may have, by either of its two names; None if the item does not say."""
    newer, older = body.take("max_completion_tokens"), body.take("max_tokens")
    wanted = older if newer is None else newer
    if older is not None and newer is not None and older != newer:
        raise body.wrong("max_tokens", "and 'max_completion_tokens' differ")
    if wanted is None:
        return None
    if type(wanted) is not int or wanted < 1:
        raise body.wrong("max_completion_tokens", "must be a whole number, 1 at least")
    return wanted


def number(body: Members, name: str) -> int | float | None:
    """The parameter `name`, which is any number."""
    value = body.take(name)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise body.wrong(name, "must be a number")
    return value


def stop_sequences(body: Members) -> list[str]:
    """Where the answer stops; empty if the item does not say."""
    stop = body.take("stop")
    sequences = [] if stop is None else [stop] if isinstance(stop, str) else stop
    if not isinstance(sequences, list) or not all(isinstance(each, str) for each in sequences):
        raise body.wrong("stop", "must be a string or an array of strings")
    return sequences
