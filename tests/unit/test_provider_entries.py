"""Entries of providers.toml: what may stand in them, and what it becomes."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from batchyard.adapters.catalogue import read_providers
from batchyard.core.lanes import Mode
from batchyard.core.native_limits import BY_VARIANT, native_limits
from batchyard.core.providers import ENDPOINTS, MESSAGES, VARIANTS, Provider


def entry(**fields: Any) -> Provider:
    """The provider of an entry with `fields`."""
    (provider,) = read_providers(
        {"providers": [{"name": "p", "kind": "openai", "base_url": "https://p.example/v1"} | fields]}
    )
    return provider


def test_an_entry_that_says_little_runs_in_realtime_only() -> None:
    """No mode, no limit and no promise is made up for it."""
    provider = entry()
    assert provider.modes == (Mode.REALTIME,) and provider.native is None and provider.variant == "openai"
    assert provider.endpoints == ENDPOINTS
    assert (provider.regions, provider.retention, provider.private) == ((), None, False)


def test_every_field_of_an_entry_is_read() -> None:
    """As TOML has it, a mode's limits on top of the vendor's."""
    text = """
        [[providers]]
        name = "batch"
        kind = "openai"
        base_url = "https://batch.example/v1"
        variant = "groq"
        modes = ["realtime", "flex", "native"]
        native = { max_items = 10, endpoints = ["/v1/chat/completions"], window_hours = 168 }
        flex_price_percent = 60
        regions = ["eu"]
        retention = "days:30"
        private = true
        endpoints = ["/v1/chat/completions"]
    """
    (provider,) = read_providers(tomllib.loads(text))
    assert provider.modes == (Mode.REALTIME, Mode.FLEX, Mode.NATIVE)
    assert provider.native is not None
    assert (provider.native.max_items, provider.native.window_hours) == (10, 168)
    assert provider.native.max_bytes == BY_VARIANT["groq"].max_bytes
    assert provider.native.endpoints == ("/v1/chat/completions",)
    assert (provider.flex_price_percent, provider.regions, provider.retention) == (60, ("eu",), "days:30")
    assert provider.private


def test_who_serves_chat_completions_serves_messages() -> None:
    """Anthropic's form is translated; without chat completions there is nothing to translate it to."""
    assert entry(endpoints=["/v1/chat/completions"]).serves(MESSAGES)
    assert not entry(endpoints=["/v1/embeddings"]).serves(MESSAGES)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"variant": "bell"}, "variant 'bell' is not one of"),
        ({"modes": ["sometimes"]}, "sometimes"),
        ({"modes": []}, "at least one"),
        ({"modes": ["realtime", "realtime"]}, "once"),
        ({"native": {"max_items": 5}}, "native limits go with the mode native"),
        ({"modes": ["native"], "native": {"max_items": 0}}, "native.max_items"),
        ({"modes": ["native"], "native": {"max_jobs": 0}}, "native.max_jobs"),
        ({"modes": ["native"], "native": {"min_items": 60_000}}, "more than native.max_items"),
        ({"modes": ["native"], "native": {"price_percent": 101}}, "native.price_percent"),
        ({"modes": ["native"], "native": {"most": 1}}, "most"),
        ({"flex_price_percent": 0}, "flex_price_percent"),
        ({"retention": "long"}, "retention"),
        ({"endpoints": ["/v1/poems"]}, "unknown endpoints"),
        ({"default_max_tokens": 0}, "default_max_tokens"),
        ({"max_concurrency": 1}, "max_concurrency"),
        ({"requests_per_minute": 0}, "requests_per_minute"),
        ({"colour": "blue"}, "colour"),
        ({"kind": "bedrock"}, "names an AWS region"),
        ({"kind": "bedrock", "regions": ["eu"]}, "names an AWS region"),
        ({"kind": "anthropic", "modes": ["flex"]}, "has no mode flex"),
    ],
)
def test_what_cannot_be_right_is_refused(fields: dict[str, Any], said: str) -> None:
    """At synth and at the first import, not when the first item runs."""
    with pytest.raises((ValueError, TypeError), match=said):
        entry(**fields)


@pytest.mark.parametrize(
    ("base_url", "regions", "region"),
    [
        ("https://bedrock-runtime.eu-central-1.amazonaws.com", [], "eu-central-1"),
        ("https://bedrock-runtime-fips.us-gov-west-1.amazonaws.com", ["us"], "us-gov-west-1"),
        ("https://vpce-0a-1b.bedrock-runtime.us-east-1.vpce.amazonaws.com", ["eu-central-1"], "us-east-1"),
        ("https://models.example.internal", ["eu", "eu-west-3"], "eu-west-3"),
    ],
)
def test_a_provider_by_role_knows_its_region(base_url: str, regions: list[str], region: str) -> None:
    """From its address, else from the regions of its entry: requests are signed for it. It needs no key."""
    provider = entry(kind="bedrock", base_url=base_url, regions=regions, modes=["realtime", "flex", "native"])
    assert provider.uses_role and provider.aws_region == region
    assert not entry().uses_role


def test_every_variant_has_limits() -> None:
    """Whatever runs natively has the limits of its vendor, for endpoints that a provider of its kind serves."""
    for kind, variants in VARIANTS.items():
        provider = Provider("p", kind, "https://p.example", regions=("us-east-1",))
        for variant in variants:
            assert all(provider.serves(endpoint) for endpoint in native_limits(variant, {}).endpoints)


def test_only_named_models_have_flex() -> None:
    """By their names or by what those begin with; without names all have it, and none if the mode is off."""
    named = entry(modes=["realtime", "flex"], flex_models=["o3", "gpt-5-mini*"])
    assert [named.has_flex(model) for model in ("o3", "o3-pro", "gpt-5-mini-2025-08-07")] == [True, False, True]
    assert entry(modes=["realtime", "flex"]).has_flex("m")
    assert not entry(flex_models=["o3"]).has_flex("o3")


def test_only_named_models_run_natively() -> None:
    """Those for which the vendor's batch API is cheaper; without names all do, and none if the mode is off."""
    named = entry(modes=["realtime", "native"], native_models=["open-1", "open-2*"])
    assert [named.native_limits_of(model) for model in ("open-1", "open-1b", "open-2b")] == [
        named.native,
        None,
        named.native,
    ]
    assert entry(modes=["realtime", "native"]).native_limits_of("m") is not None
    assert entry(native_models=["m"]).native_limits_of("m") is None
