"""The translator of kind `bedrock`."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from batchyard.adapters.providers.bedrock.embeddings import as_embeddings, titan_request
from batchyard.adapters.providers.bedrock.replies import as_chat_completion
from batchyard.adapters.providers.bedrock.requests import VENDOR, Asked, converse_request
from batchyard.adapters.providers.bedrock.signing import RoleSigner
from batchyard.adapters.providers.from_messages.replies import as_message
from batchyard.adapters.providers.from_messages.requests import chat_request
from batchyard.adapters.providers.members import Members
from batchyard.adapters.providers.translator import (
    ProviderRequest,
    ReadAnswer,
    Untranslatable,
    read_body,
    unserved,
    write_body,
)
from batchyard.core.calls import Answer, ProviderReply
from batchyard.core.json_types import JsonObject
from batchyard.core.lanes import Lane, Mode
from batchyard.core.providers import CHAT_COMPLETIONS, EMBEDDINGS, MESSAGES, Provider


class BedrockTranslator:
    """Requests are signed by the worker's role, unless there is a provider key: a caller's own (a Bedrock API key)."""

    def __init__(self, provider: Provider) -> None:
        self._default_max_tokens = provider.default_max_tokens
        self._sign = RoleSigner(provider.aws_region or "")

    def headers(self, api_key: str) -> dict[str, str]:
        return {"authorization": f"Bearer {api_key}"} if api_key else {}

    def request(self, endpoint: str, body: bytes, lane: Lane | None = None) -> ProviderRequest | Untranslatable:
        try:
            document = read_body(body)
            model = lane.model if lane is not None else str(document.get("model") or "")
            mode = lane.mode if lane is not None else Mode.REALTIME
            asked = Asked(model, self._default_max_tokens, mode is Mode.FLEX, mode is Mode.NATIVE)
            if endpoint == CHAT_COMPLETIONS:
                return self._converse(document, asked, _ReadCompletion(model, document.get("metadata")))
            if endpoint == MESSAGES:
                chat = chat_request(document, model, VENDOR, max_tokens_name="max_completion_tokens")
                return self._converse(chat, asked, _ReadMessage(model))
            if endpoint == EMBEDDINGS:
                request, as_base64 = titan_request(Members(document, "", VENDOR), model)
                return self._to(model, "invoke", request, _ReadEmbeddings(model, as_base64))
            return unserved(VENDOR, endpoint)
        except Untranslatable as error:
            return error

    def _converse(self, chat: JsonObject, asked: Asked, read_answer: ReadAnswer) -> ProviderRequest:
        return self._to(asked.model, "converse", converse_request(chat, asked), read_answer)

    def _to(self, model: str, verb: str, request: JsonObject, read_answer: ReadAnswer) -> ProviderRequest:
        path = f"/model/{quote(model, safe='')}/{verb}"
        return ProviderRequest(path, write_body(request), read_answer, sign=self._sign)


@dataclass(frozen=True, slots=True)
class _ReadCompletion:
    model: str
    metadata: object

    def __call__(self, answer: Answer, now: float) -> ProviderReply:
        return as_chat_completion(answer, self.model, self.metadata, now)


@dataclass(frozen=True, slots=True)
class _ReadMessage:
    model: str

    def __call__(self, answer: Answer, now: float) -> ProviderReply:
        reply = as_chat_completion(answer, self.model, None, now)
        return as_message(reply) if isinstance(reply, Answer) else reply


@dataclass(frozen=True, slots=True)
class _ReadEmbeddings:
    model: str
    as_base64: bool

    def __call__(self, answer: Answer, now: float) -> ProviderReply:
        return as_embeddings(answer, self.model, self.as_base64)
