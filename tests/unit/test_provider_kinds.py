"""A provider's kind decides what is sent to it."""

from __future__ import annotations

import pytest

from batchyard.adapters.providers.kinds import TRANSLATORS, translator_of
from batchyard.adapters.providers.translator import ProviderRequest, Untranslatable, refusal
from batchyard.core import exact_json
from batchyard.core.providers import KINDS, RESPONSES, VARIANTS, Provider
from batchyard.core.retry import FailureReason

MODERATIONS = "/v1/moderations"


def test_every_kind_has_its_translator() -> None:
    """What providers.toml may say and what a worker can speak are the same."""
    assert set(TRANSLATORS) == set(KINDS) == set(VARIANTS)


def test_another_kind_is_refused() -> None:
    """An entry of a kind that nobody speaks does not get as far as a worker."""
    with pytest.raises(ValueError, match="kind 'smoke-signals' is not one of"):
        Provider("signals", "smoke-signals", "https://signals.example")


@pytest.mark.parametrize(
    ("kind", "endpoints"),
    [("openai", ("/v1/chat/completions",)), ("anthropic", ()), ("gemini", ()), ("bedrock", ())],
)
def test_an_item_for_an_endpoint_that_its_provider_lacks_is_refused(kind: str, endpoints: tuple[str, ...]) -> None:
    """Whatever the kind, nothing is sent, and the item's error says which endpoint, in the form of that endpoint."""
    provider = Provider("vendor", kind, "https://vendor.example", endpoints=endpoints, regions=("us-east-1",))
    asked = translator_of(provider).request(MODERATIONS, b'{"model":"m","input":"hello"}')
    assert isinstance(asked, Untranslatable)
    answer = refusal(asked, MODERATIONS)
    assert (answer.status, answer.failure) == (400, FailureReason.UNSUPPORTED)
    assert exact_json.loads(answer.body)["error"] == {
        "message": "The provider 'vendor' does not serve /v1/moderations. Use another model or another endpoint.",
        "type": "invalid_request_error",
        "param": "model",
        "code": "endpoint_not_supported",
    }


def test_a_compatible_provider_that_lists_responses_gets_them_as_they_are() -> None:
    """Not only OpenAI serves them."""
    provider = Provider("groq", "openai", "https://groq.example/v1", variant="groq", endpoints=(RESPONSES,))
    body = b'{"model":"m","input":"hello"}'
    asked = translator_of(provider).request(RESPONSES, body)
    assert isinstance(asked, ProviderRequest) and (asked.path, asked.body) == ("/responses", body)
