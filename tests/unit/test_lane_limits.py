"""An operator's limits of a lane: where they are written, which one counts, and what they come to in calls."""

from __future__ import annotations

import pytest

from batchyard.adapters.catalogue import read_catalogue, read_lane_limits
from batchyard.core.lane_limits import LaneLimits, estimated_tokens

PROVIDERS = """
[[providers]]
name = "openai"
kind = "openai"
base_url = "https://api.openai.com/v1"
requests_per_minute = 500
tokens_per_minute = 200_000

[[providers]]
name = "edge"
kind = "openai"
base_url = "https://llm.example.internal/v1"

[[lane_limits]]
provider = "openai"
model = "gpt-4o"
tokens_per_minute = 30_000

[[lane_limits]]
provider = "openai"
model = "gpt-4o*"
requests_per_minute = 60

[[lane_limits]]
provider = "edge"
model = "gpt-4o"
requests_per_minute = 6
"""
COMPILED = b'{"providers": {}}'


@pytest.mark.parametrize(
    ("provider", "model", "limits"),
    [
        ("openai", "o3", LaneLimits(500, 200_000)),
        ("openai", "gpt-4o", LaneLimits(60, 30_000)),
        ("openai", "gpt-4o-mini", LaneLimits(60, 200_000)),
        ("edge", "gpt-4o", LaneLimits(6, None)),
        ("edge", "gpt-4o-mini", LaneLimits()),
    ],
)
def test_a_models_limits_come_before_its_providers(provider: str, model: str, limits: LaneLimits) -> None:
    """The first entry that has a limit counts; what no entry limits is the provider's."""
    assert read_catalogue(PROVIDERS, COMPILED).limits_of(provider, model) == limits


def test_a_deployments_own_limits_come_first() -> None:
    """For all models of a provider, unless they name one."""
    catalogue = read_catalogue(PROVIDERS, COMPILED)
    own = read_lane_limits([{"provider": "openai", "tokens_per_minute": 9}], catalogue.providers.values())
    limited = catalogue.limited(own)
    assert limited.limits_of("openai", "gpt-4o") == LaneLimits(60, 9)
    assert limited.limits_of("edge", "gpt-4o") == LaneLimits(6, None)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ('[[lane_limits]]\nprovider = "nobody"\nmodel = "m"', "nobody"),
        ('[[lane_limits]]\nprovider = "edge"\nmodel = "m"\ntokens_per_minute = 0', "tokens_per_minute"),
        ('[[lane_limits]]\nprovider = "edge"\nmodel = "m"\nrequests_per_minute = "60"', "requests_per_minute"),
        ('[[lane_limits]]\nprovider = "edge"\nmodel = "m"\nrequests_per_hour = 60', "requests_per_hour"),
        (
            '[[providers]]\nname = "x"\nkind = "openai"\nbase_url = "https://x.example"\ntokens_per_minute = -1',
            "provider x: tokens_per_minute",
        ),
    ],
)
def test_a_wrong_limit_is_named(wrong: str, named: str) -> None:
    """A slip in the file is told by its place, not found out at night."""
    with pytest.raises((ValueError, TypeError), match=named):
        read_catalogue(f"{PROVIDERS}\n{wrong}", COMPILED)


@pytest.mark.parametrize(
    ("limits", "tokens_per_call", "calls"),
    [
        (LaneLimits(), 100.0, None),
        (LaneLimits(120, None), 100.0, 2.0),
        (LaneLimits(None, 60_000), 100.0, 10.0),
        (LaneLimits(120, 60_000), 100.0, 2.0),
        (LaneLimits(120, 60_000), 2000.0, 0.5),
        (LaneLimits(None, 60), 0.0, 1.0),
        (LaneLimits(None, 60), None, 1.0),
    ],
)
def test_the_tighter_limit_counts(limits: LaneLimits, tokens_per_call: float | None, calls: float | None) -> None:
    """Tokens become calls by what a call takes."""
    assert limits.calls_per_second(tokens_per_call) == calls


@pytest.mark.parametrize(
    ("body", "tokens"),
    [
        (b'{"messages": [], "max_tokens": 100}', 108),
        (b'{"max_completion_tokens": 7, "max_tokens": 5}', 18),
        (b'{"input": "four", "max_output_tokens": 9}', 19),
        (b'{"max_tokens": null, "input": ""}', 8),
        (b'{"max_tokens": -5, "x": true}', 7),
        (b'{"max_tokens": true, "x": 1.5}', 7),
        (b'{"max_tokens": "many"}', 5),
        (b"[1, 2, 3, 4]", 3),
        (b'{"text": "\\ud800"}', 4),
    ],
)
def test_tokens_are_estimated_from_the_body(body: bytes, tokens: int) -> None:
    """A quarter of its bytes, and as many as the answer may have; whatever stands there, it is no fault of ours."""
    assert estimated_tokens(body) == tokens
