"""Kind openai: what is sent for items in OpenAI's form."""

from __future__ import annotations

import orjson
import pytest

from batchyard.adapters.providers.openai.translator import OpenAITranslator
from batchyard.adapters.providers.translator import ProviderRequest, Untranslatable
from batchyard.core.lanes import Lane, Mode
from batchyard.core.providers import Provider

CHAT = "/v1/chat/completions"


def sent(body: bytes, lane: Lane | None, endpoint: str = CHAT) -> ProviderRequest:
    request = OpenAITranslator().request(endpoint, body, lane)
    assert isinstance(request, ProviderRequest)
    return request


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"m","messages":[]}',
        b'{"messages":[{"model":"x"}], "model":"m"}',
        b'{"n":12345678901234567890123,"model":"m"}',
    ],
)
@pytest.mark.parametrize("lane", [None, Lane("p", "m")])
def test_a_body_with_its_lanes_model_goes_out_byte_for_byte(body: bytes, lane: Lane | None) -> None:
    """Wherever the model stands in it, and nothing is read back from the answer."""
    request = sent(body, lane)
    assert request.body is body
    assert (request.path, request.read_answer) == ("/chat/completions", None)


def test_another_lanes_model_is_written_into_the_body() -> None:
    """Shards that moved to another lane still have the body that was made for the first one."""
    request = sent(
        b'{"model":"gpt-4o","messages":[{"content":"x"}],"seed":12345678901234567890123}', Lane("p", "llama")
    )
    assert request.body == b'{"model":"llama","messages":[{"content":"x"}],"seed":12345678901234567890123}'


@pytest.mark.parametrize(
    "body",
    [
        b'{"messages":[{"model":"m"}],"model":"other"}',
        b'{"model":"other","metadata":{"model":"m"}}',
        b'{"model":"other","user":"\\",\\"model\\":\\"m"}',
        b'{"model":"m2"}',
    ],
)
def test_a_model_elsewhere_in_the_body_is_not_the_models_name(body: bytes) -> None:
    """Only the body's own member counts."""
    assert orjson.loads(sent(body, Lane("p", "m")).body) == orjson.loads(body) | {"model": "m"}


def test_flex_is_asked_for_in_the_body() -> None:
    """Its service tier replaces any other, because it is what the plan says and what is billed."""
    request = sent(b'{"model":"m","service_tier":"auto"}', Lane("p", "m", Mode.FLEX))
    assert orjson.loads(request.body) == {"model": "m", "service_tier": "flex"}
    as_it_is = b'{"model":"m","service_tier":"flex"}'
    assert sent(as_it_is, Lane("p", "m", Mode.FLEX)).body is as_it_is


def test_a_body_that_is_no_object_is_refused_when_it_has_to_be_changed() -> None:
    """A value, not an exception."""
    assert isinstance(OpenAITranslator().request(CHAT, b"[1]", Lane("p", "m", Mode.FLEX)), Untranslatable)


def test_the_key_is_shown_as_the_variant_wants_it() -> None:
    """Azure has a header of its own."""
    assert OpenAITranslator().headers("k") == {"authorization": "Bearer k"}
    azure = Provider("a", "openai", "https://x.openai.azure.com/openai/v1", variant="azure")
    assert OpenAITranslator(azure).headers("k") == {"api-key": "k"}
