"""Translators: what a kind of provider wants to be sent, and what its answers are in the form of the item.

    item's body ─▶ request: ProviderRequest ─▶ HTTP, or a line of a provider job ─▶ Answer ─▶ read_answer ─▶ Answer
                      └──▶ Untranslatable: the item fails with what it says, and nothing is sent

A translator does no I/O. It works on an item of any shape (nobody has checked more than that the body is an object with
a model): what it does not know it calls untranslatable, and drops nothing that could change an answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import orjson

from batchyard.core import exact_json
from batchyard.core.calls import Answer, NoAnswer, ProviderReply
from batchyard.core.errors import BatchyardError
from batchyard.core.json_types import JsonObject
from batchyard.core.lanes import Lane
from batchyard.core.one_line import one_line
from batchyard.core.providers import MESSAGES
from batchyard.core.retry import FailureReason
from batchyard.core.usage import Usage


class Untranslatable(BatchyardError):
    """The provider cannot do what the item asks for. `message` is for the item's owner; `param` is the parameter of the
    body that it is about, `code` the word for it. Translators raise it from deep inside a body; `Translator.request`
    never does, it returns it."""

    def __init__(self, message: str, param: str | None = None, code: str = "unsupported_parameter") -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code


def unserved(provider: str, endpoint: str) -> Untranslatable:
    """The provider has nothing that could answer items for `endpoint`."""
    message = f"{provider} does not serve {endpoint}. Use another model or another endpoint."
    return Untranslatable(message, "model", "endpoint_not_supported")


ReadAnswer = Callable[[Answer, float], ProviderReply]
"""(the provider's answer, the unix second) -> the reply in the item's form."""

Sign = Callable[[str, bytes], Mapping[str, str]]
"""(the URL, the body) -> the headers that show who asks."""


@dataclass(frozen=True, slots=True)
class ProviderRequest:
    """`path` follows the provider's base URL. `read_answer` puts the provider's answer, failures included, into the
    form of the item; None: it is in that form already. `headers` come beside those of the provider key. `sign` makes
    the headers of a request without a provider key; `path` is then percent-encoded, and goes out as it is."""

    path: str
    body: bytes
    read_answer: ReadAnswer | None = None
    headers: Mapping[str, str] | None = None
    sign: Sign | None = None


class Translator(Protocol):
    """Of one provider."""

    def headers(self, api_key: str) -> dict[str, str]:
        """The headers that show the provider key."""
        ...

    def request(self, endpoint: str, body: bytes, lane: Lane | None = None) -> ProviderRequest | Untranslatable:
        """What to send for an item with `body` (JSON) for `endpoint`, one of `core.providers.ENDPOINTS`. `lane`: its
        model and mode, if the body does not have them; None: the body's model, in realtime."""
        ...


def refusal(error: Untranslatable, endpoint: str) -> Answer:
    """The answer to an item that is not sent: an error object like those of its endpoint."""
    if endpoint == MESSAGES:
        document: JsonObject = {"type": "error", "error": {"type": "invalid_request_error", "message": error.message}}
    else:
        told = {"message": error.message, "type": "invalid_request_error", "param": error.param}
        document = {"error": told | {"code": error.code}}
    return Answer(400, one_line(orjson.dumps(document)), failure=FailureReason.UNSUPPORTED)


def read_body(body: bytes) -> JsonObject:
    """The item's body as a dict. Raises Untranslatable."""
    try:
        document: Any = exact_json.loads(body)
    except ValueError as error:
        raise Untranslatable("The request's body is no JSON that can be translated.") from error
    if not isinstance(document, dict):
        raise Untranslatable("The request's body must be a JSON object.")
    return document


def write_body(document: JsonObject) -> bytes:
    """Raises Untranslatable if the document is nested too deeply."""
    try:
        return orjson.dumps(document)
    except orjson.JSONEncodeError as error:
        raise Untranslatable("The request's body is nested too deeply to be translated.") from error


def read_document(answer: Answer) -> JsonObject | None:
    """The provider's answer as a dict; None if it is no JSON object."""
    try:
        document = exact_json.loads_all(answer.body)
    except ValueError:
        return None
    return document if isinstance(document, dict) else None


def rewritten(answer: Answer, document: JsonObject, usage: Usage | None = None) -> ProviderReply:
    """The answer with `document` as its body, and with `usage` if the one it has is not right."""
    try:
        body = one_line(exact_json.dumps_anything(document))
    except TypeError:
        return NoAnswer(FailureReason.INVALID_RESPONSE)
    return replace(answer, body=body, usage=answer.usage if usage is None else usage)


def json_text(value: Any) -> str:
    """`value`, which was read from JSON, as JSON inside a string; empty if it cannot be written."""
    try:
        return exact_json.dumps_anything(value).decode()
    except TypeError:
        return ""
