"""The translator of kind `openai`. An item in OpenAI's form goes out byte for byte, unless its lane has another model
or mode than its body says.
"""

from __future__ import annotations

import orjson

from batchyard.adapters.providers.translator import ProviderRequest, Untranslatable, read_body, write_body
from batchyard.core.lanes import Lane, Mode
from batchyard.core.providers import MESSAGES, Provider


class OpenAITranslator:
    def __init__(self, provider: Provider | None = None) -> None:
        """`provider`: whose variant counts; None: OpenAI itself."""
        self._variant = provider.variant if provider is not None else "openai"

    def headers(self, api_key: str) -> dict[str, str]:
        if self._variant == "azure":
            return {"api-key": api_key}
        return {"authorization": f"Bearer {api_key}"}

    def request(self, endpoint: str, body: bytes, lane: Lane | None = None) -> ProviderRequest | Untranslatable:
        if endpoint == MESSAGES:
            return Untranslatable("This provider does not serve /v1/messages.")
        try:
            return ProviderRequest(endpoint.removeprefix("/v1"), _for_lane(body, lane))
        except Untranslatable as error:
            return error


def _for_lane(body: bytes, lane: Lane | None) -> bytes:
    """The body with the lane's model and, in flex, its service tier. As it is if it says so already."""
    if lane is None or (lane.mode is not Mode.FLEX and _begins_with_model(body, lane.model)):
        return body
    document = read_body(body)
    wanted = {"model": lane.model} | ({"service_tier": "flex"} if lane.mode is Mode.FLEX else {})
    if all(document.get(name) == value for name, value in wanted.items()):
        return body
    return write_body(document | wanted)


def _begins_with_model(body: bytes, model: str) -> bool:
    """Whether the body names the model first, as most do, so that nobody needs to parse it. (Bodies are compact JSON
    that repeats no member.)"""
    return body.startswith(b'{"model":' + orjson.dumps(model))
