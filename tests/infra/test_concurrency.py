"""How the account's Lambda concurrency is shared out."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.concurrency import LEFT_TO_THE_REST, UNRESERVED, QuotaTooSmall, share_out
from tests.infra.templates import Synthesized

RESERVATIONS = {"files": 60, "batches": 60, "work": None}
MAXIMA = {"openai": 20, "anthropic": 10, "drop": 10}


def _maxima(synthesized: Synthesized) -> list[int]:
    mappings = synthesized.stateless.resources("AWS::Lambda::EventSourceMapping").values()
    return sorted(each["ScalingConfig"]["MaximumConcurrency"] for each in mappings)


def test_a_large_quota_changes_nothing() -> None:
    """Reservations and maxima are as written, if they leave Lambda the 100 that it insists on."""
    shared = share_out(220, RESERVATIONS, MAXIMA)
    assert shared.reserved == RESERVATIONS
    assert shared.maxima == MAXIMA
    assert shared.jobs_at_once is None


@pytest.mark.parametrize("quota", [10, 11, 12, 20, 50, 100, 219])
def test_a_small_quota_reserves_nothing_and_leaves_room_for_the_api(quota: int) -> None:
    """Event sources together stay below the quota, each at SQS's minimum at least."""
    shared = share_out(quota, RESERVATIONS, MAXIMA)
    assert set(shared.reserved.values()) == {None}
    assert shared.maxima.keys() == MAXIMA.keys()
    assert all(2 <= shared.maxima[name] <= MAXIMA[name] for name in MAXIMA)
    assert sum(shared.maxima.values()) <= quota - LEFT_TO_THE_REST
    assert shared.jobs_at_once is not None and shared.jobs_at_once < LEFT_TO_THE_REST


def test_a_quota_that_workers_would_use_up_is_refused() -> None:
    """With the two ways out: the command that asks for more, and how many providers would fit."""
    with pytest.raises(QuotaTooSmall) as refused:
        share_out(10, RESERVATIONS, {f"provider{number}": 5 for number in range(5)} | {"drop": 10})
    assert "L-B99A9384" in str(refused.value)
    assert "at most 2 in functions/batchyard/providers.toml" in str(refused.value)
    share_out(10, RESERVATIONS, {"a": 5, "b": 5, "drop": 10})


def test_the_templates_have_their_share(synthesized: Synthesized, staging: Synthesized) -> None:
    """1,000: reservations and the maxima of providers.toml; 50: no reservation, and maxima that fit into it. The guide
    names the quota from which on there are reservations."""
    reserved = [
        each["ReservedConcurrentExecutions"]
        for each in synthesized.stateless.resources("AWS::Lambda::Function").values()
        if "ReservedConcurrentExecutions" in each
    ]
    assert sum(reserved) == 293
    guide = (Path(__file__).parents[2] / "docs" / "deploy.md").read_text()
    assert guide.count(f"{293 + UNRESERVED}") == 2
    assert _maxima(synthesized) == [5, 5, 5, 10, 10, 20]
    assert not any(
        "ReservedConcurrentExecutions" in each for each in staging.stateless.resources("AWS::Lambda::Function").values()
    )
    assert sum(_maxima(staging)) <= 50 - LEFT_TO_THE_REST
    for template, at_once in ((synthesized, None), (staging, "2")):
        functions = template.stateless.resources("AWS::Lambda::Function").values()
        starters = [each["Environment"]["Variables"] for each in functions]
        starters = [each for each in starters if "JOBS_FUNCTION" in each]
        assert [each.get("JOBS_AT_ONCE") for each in starters] == [at_once] * 3
