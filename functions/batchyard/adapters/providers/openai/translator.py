"""The translator of kind `openai`. An item in OpenAI's form goes out byte for byte, unless its lane has another model
or mode than its body says; one in Anthropic's becomes a chat completion.
"""

from __future__ import annotations

import orjson

from batchyard.adapters.providers.from_messages.replies import as_message
from batchyard.adapters.providers.from_messages.requests import chat_request
from batchyard.adapters.providers.translator import ProviderRequest, Untranslatable, read_body, write_body
from batchyard.core.calls import Answer, ProviderReply
from batchyard.core.json_types import JsonObject
from batchyard.core.lanes import Lane, Mode
from batchyard.core.providers import CHAT_COMPLETIONS, IMAGE_ENDPOINTS, MESSAGES, Provider

_NEWER_MAX_TOKENS = frozenset({"openai", "azure"})


def max_tokens_name(variant: str) -> str:
    """What chat completions call the limit of output tokens: OpenAI's models want the newer name, others know the older
    one."""
    return "max_completion_tokens" if variant in _NEWER_MAX_TOKENS else "max_tokens"


class OpenAITranslator:
    def __init__(self, provider: Provider | None = None) -> None:
        """`provider`: whose variant counts; None: OpenAI itself."""
        self._variant = provider.variant if provider is not None else "openai"
        self._name = provider.name if provider is not None else "OpenAI"

    def headers(self, api_key: str) -> dict[str, str]:
        if self._variant == "azure":
            return {"api-key": api_key}
        return {"authorization": f"Bearer {api_key}"}

    def request(self, endpoint: str, body: bytes, lane: Lane | None = None) -> ProviderRequest | Untranslatable:
        try:
            if endpoint == MESSAGES:
                return self._from_messages(body, lane)
            if endpoint in IMAGE_ENDPOINTS:
                _check_images(body)
            return ProviderRequest(endpoint.removeprefix("/v1"), _for_lane(body, lane))
        except Untranslatable as error:
            return error

    def _from_messages(self, body: bytes, lane: Lane | None) -> ProviderRequest:
        document = read_body(body)
        model = lane.model if lane is not None else str(document.get("model") or "")
        name = max_tokens_name(self._variant)
        request = chat_request(document, model, self._name, max_tokens_name=name) | _service_tier(lane)
        return ProviderRequest(CHAT_COMPLETIONS.removeprefix("/v1"), write_body(request), _read_message)


def _check_images(body: bytes) -> None:
    """Raises Untranslatable for images that another model writes, whose tokens have another price."""
    if b"svg" in body and read_body(body).get("output_format") == "svg":
        raise Untranslatable("Images in SVG cannot be made in a batch: what they cost is not known.", "output_format")


def _read_message(answer: Answer, now: float) -> ProviderReply:
    return as_message(answer)


def _service_tier(lane: Lane | None) -> JsonObject:
    return {"service_tier": "flex"} if lane is not None and lane.mode is Mode.FLEX else {}


def _for_lane(body: bytes, lane: Lane | None) -> bytes:
    """The body with the lane's model and, in flex, its service tier. As it is if it says so already."""
    if lane is None or (lane.mode is not Mode.FLEX and _names_model(body, lane.model)):
        return body
    document, wanted = read_body(body), {"model": lane.model} | _service_tier(lane)
    if all(document.get(name) == value for name, value in wanted.items()):
        return body
    return write_body(document | wanted)


def _names_model(body: bytes, model: str) -> bool:
    """Whether the body names the model first or last, as most do, so that nobody needs to parse it. (Bodies are compact
    JSON that repeats no member, and inside a text every quotation mark has a backslash before it.)"""
    name = b'"model":' + orjson.dumps(model)
    return body.startswith(b"{" + name) or body.endswith(b"," + name + b"}")
