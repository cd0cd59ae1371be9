"""Policies: how batches are run that do not say so themselves."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from batchyard.core.accounts import Account
from batchyard.core.lanes import Mode
from batchyard.core.policies import Policy, read_policy
from batchyard.core.requests import BatchRequest
from batchyard.core.rules import PrivacyTier, RoutingMode, RoutingRules

WHOLE: dict[str, Any] = {
    "modes": ["realtime", "native"],
    "routing_mode": "sla_aware",
    "privacy_tier": "confidential",
    "early_failover": True,
}


def test_who_comes_first_is_heard_first() -> None:
    """Each member by itself: an earlier word counts, also a "no"; what nobody says stays unsaid."""
    own, account = Policy(early_failover=False), Policy(routing_mode=RoutingMode.HYBRID, early_failover=True)
    deployment = Policy((Mode.REALTIME,), RoutingMode.SLA_AWARE)
    assert own.or_else(account).or_else(deployment) == Policy((Mode.REALTIME,), RoutingMode.HYBRID, None, False)


@pytest.mark.parametrize("members", [{}, WHOLE, *({name: value} for name, value in WHOLE.items())])
def test_a_policy_is_kept_with_its_account(members: dict[str, Any]) -> None:
    """As it was written; a row of an older version has none."""
    account = Account("acct_1", "x", 1, policy=read_policy(members))
    assert account.policy.to_json() == members
    assert Account.from_row(account.to_row()) == account
    assert Account.from_row(account.to_row() | {"policy": members | {"of_later": 1}}) == account
    older = {name: value for name, value in account.to_row().items() if name != "policy"}
    assert Account.from_row(older) == replace(account, policy=Policy())


def test_null_says_nothing() -> None:
    """As if the member were left out."""
    assert read_policy(dict.fromkeys(WHOLE)) == Policy()


@pytest.mark.parametrize(
    ("members", "complaint"),
    [
        ({"modes": ["native", "flex"]}, "modes has realtime"),
        ({"modes": ["realtime", "realtime"]}, "each mode once"),
        ({"modes": ["realtime", "batch"]}, "some of: realtime, flex, native"),
        ({"modes": []}, "modes has realtime"),
        ({"modes": "realtime"}, "modes is a list"),
        ({"modes": [["realtime"]]}, "modes is a list"),
        ({"routing_mode": "fastest"}, "routing_mode is one of: cheapest"),
        ({"privacy_tier": 1}, "privacy_tier is one of: standard"),
        ({"early_failover": "yes"}, "true or false"),
        ({"service_tier": "flex"}, "no 'service_tier'"),
    ],
)
def test_what_is_wrong_is_named(members: dict[str, Any], complaint: str) -> None:
    """With what would be right."""
    with pytest.raises(ValueError, match=complaint):
        read_policy(members)


def test_a_request_that_says_what_goes_without_saying_is_the_same_request() -> None:
    """So that a repeat is known again by versions to which these members are new; any other word is another request."""
    request = BatchRequest("openai", "/v1/chat/completions", "file-1")
    plain = Policy(routing_mode=RoutingMode.CHEAPEST, privacy_tier=PrivacyTier.STANDARD)
    assert replace(request, policy=plain).fingerprint == request.fingerprint
    hybrid = replace(request, rules=RoutingRules(RoutingMode.HYBRID))
    assert replace(hybrid, policy=Policy(routing_mode=RoutingMode.HYBRID)).fingerprint == hybrid.fingerprint
    others = [Policy((Mode.REALTIME,)), Policy(early_failover=False), Policy(routing_mode=RoutingMode.HYBRID)]
    found = {replace(request, policy=policy).fingerprint for policy in (Policy(), *others)}
    assert len(found) == 1 + len(others)
