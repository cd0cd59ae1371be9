"""The way of an item for `/v1/responses` at a provider that has only chat completions, whatever its kind:

    response's request ─▶ chat completion's request ─▶ the kind's own translator ─▶ … ─▶ chat completion ─▶ response

What that translator refuses it names in the words of chat completions; the item's owner is told in those of the item.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from batchyard.adapters.providers.from_responses.replies import as_response
from batchyard.adapters.providers.from_responses.requests import chat_request
from batchyard.adapters.providers.translator import (
    ProviderRequest,
    ReadAnswer,
    Untranslatable,
    read_body,
    write_body,
)
from batchyard.core.calls import Answer, ProviderReply
from batchyard.core.json_types import JsonObject
from batchyard.core.lanes import Lane

AskForChat = Callable[[bytes], ProviderRequest | Untranslatable]
"""The body of a chat completion's request -> what the provider is sent."""

_OUR_WORDS = {
    "max_completion_tokens": "max_output_tokens",
    "max_tokens": "max_output_tokens",
    "messages": "input",
    "reasoning_effort": "reasoning.effort",
    "response_format": "text.format",
    "verbosity": "text.verbosity",
}


def request_by_chat(
    body: bytes, lane: Lane | None, ask: AskForChat, *, vendor: str, max_tokens_name: str
) -> ProviderRequest | Untranslatable:
    """What to send for an item with `body` for `/v1/responses`. `vendor`: its name, for people; `max_tokens_name`: what
    it calls the limit of output tokens."""
    try:
        document = read_body(body)
        model = lane.model if lane is not None else str(document.get("model") or "")
        chat = chat_request(document, model, vendor, max_tokens_name=max_tokens_name)
        asked = ask(write_body(chat))
    except Untranslatable as error:
        return error
    if isinstance(asked, Untranslatable):
        return _in_the_items_words(asked)
    return replace(asked, read_answer=_ReadResponse(document, asked.read_answer))


@dataclass(frozen=True, slots=True)
class _ReadResponse:
    """`asked`: the item's body. `read_chat`: makes a chat completion of the provider's answer; None: it is one."""

    asked: JsonObject
    read_chat: ReadAnswer | None

    def __call__(self, answer: Answer, now: float) -> ProviderReply:
        reply = self.read_chat(answer, now) if self.read_chat is not None else answer
        return as_response(reply, self.asked, now) if isinstance(reply, Answer) else reply


def _in_the_items_words(error: Untranslatable) -> Untranslatable:
    """An error about `messages[3].content` is about something in `input`, whose items have other numbers."""
    if error.param is None:
        return error
    name = error.param.replace("[", ".").partition(".")[0]
    if name not in _OUR_WORDS:
        return error
    ours = _OUR_WORDS[name]
    return Untranslatable(error.message.replace(f"'{error.param}'", f"'{ours}'"), ours, error.code)
