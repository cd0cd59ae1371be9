"""How batches are run that do not say so themselves: the policies of accounts and of the deployment, on moto."""

from __future__ import annotations

import json
from typing import Any

import pytest

from batchyard import settings
from batchyard.core.batches import Batch, BatchRef
from batchyard.core.lanes import Mode
from batchyard.core.rules import PrivacyTier, RoutingMode
from batchyard.handlers import admin, resources
from tests.api.api import Cloud, Customer
from tests.api.gateway import Context, Gateway
from tests.api.test_api_settings import DIALECTS, Dialect, create, every_dialect, made
from tests.batchrouter import BatchRouter, item

SAID = {
    "modes": ["realtime", "flex"],
    "routing_mode": "hybrid",
    "privacy_tier": "confidential",
    "early_failover": True,
}


@pytest.fixture
def deployed(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """The deployment has a policy of its own."""
    monkeypatch.setenv("POLICY", json.dumps({"modes": ["realtime"], "routing_mode": "sla_aware"}))
    settings.load.cache_clear()


def set_policy(owner: Customer, policy: Any) -> dict[str, Any]:
    return admin.handler({"action": "set_policy", "account_id": owner.account_id, "policy": policy}, Context())


def how(batch: Batch) -> tuple[Any, ...]:
    return batch.modes, batch.rules.mode, batch.rules.privacy, batch.early_failover


@every_dialect
def test_a_batch_says_how_it_is_run_in_any_dialect(cloud: Cloud, alice: Customer, dialect: Dialect) -> None:
    """In `settings`, and if it says nothing it runs as batches always did."""
    assert how(made(alice, dialect, {})) == ((), RoutingMode.CHEAPEST, PrivacyTier.STANDARD, False)
    batch = made(alice, dialect, {"early_failover": True})
    assert batch.avoids_trouble and batch.early_failover
    modes = (Mode.REALTIME, Mode.FLEX)
    said = SAID | {"privacy_tier": "standard"}
    assert how(made(alice, dialect, said)) == (modes, RoutingMode.HYBRID, PrivacyTier.STANDARD, True)


def test_the_privacy_tier_of_a_policy_is_kept_to(cloud: Cloud, alice: Customer) -> None:
    """A dialect that checks requests at once refuses them by it, and a batch may say otherwise."""
    set_policy(alice, {"privacy_tier": "confidential"})
    batch = made(alice, DIALECTS["openai"], {})
    assert batch.rules.privacy is PrivacyTier.CONFIDENTIAL
    reply = create(alice, DIALECTS["anthropic"], {})
    assert (reply.status_code, "privacy tier" in reply.text) == (400, True)
    assert made(alice, DIALECTS["anthropic"], {"privacy_tier": "standard"}).rules.privacy is PrivacyTier.STANDARD


@every_dialect
@pytest.mark.usefixtures("deployed")
def test_an_account_has_a_policy(cloud: Cloud, alice: Customer, mallory: Customer, dialect: Dialect) -> None:
    """It counts for the account's batches in every dialect, before the deployment's; what the batch itself says comes
    first, member by member. Other accounts have the deployment's alone."""
    assert set_policy(alice, {"routing_mode": "hybrid", "early_failover": True}) == {
        "account_id": alice.account_id,
        "policy": {"routing_mode": "hybrid", "early_failover": True},
    }
    found = how(made(alice, dialect, {}))
    assert found == ((Mode.REALTIME,), RoutingMode.HYBRID, PrivacyTier.STANDARD, True)
    own = how(made(alice, dialect, {"modes": ["realtime", "native"], "early_failover": False}))
    assert own == ((Mode.REALTIME, Mode.NATIVE), RoutingMode.HYBRID, PrivacyTier.STANDARD, False)
    theirs = how(made(mallory, dialect, {"routing_mode": "cheapest"}))
    assert theirs == ((Mode.REALTIME,), RoutingMode.CHEAPEST, PrivacyTier.STANDARD, False)
    set_policy(alice, {})
    assert how(made(alice, dialect, {}))[1] is RoutingMode.SLA_AWARE


@pytest.mark.usefixtures("deployed")
def test_batchrouters_own_words_come_first(cloud: Cloud, alice: Customer) -> None:
    """`routing_mode` and `privacy_tier` if they are sent; a quote is accepted whether or not a policy fills them in.
    Early failover can be asked for beside them."""
    set_policy(alice, {"privacy_tier": "standard", "early_failover": True})
    router = BatchRouter(f"https://{Gateway.HOST}", alice.key, Gateway())
    for said, mode in (({}, RoutingMode.SLA_AWARE), ({"routing_mode": "cheapest"}, RoutingMode.CHEAPEST)):
        quote = router.quote([item()], **said)
        shown = router.create(quote.quote_id, [item()], settings={"early_failover": False}, **said)
        batch = resources.batches().current(BatchRef(alice.account_id, shown.id.replace("bat_", "batch_")))
        assert how(batch) == ((Mode.REALTIME,), mode, PrivacyTier.STANDARD, False)
    batch_id = router.create(router.quote([item()]).quote_id, [item()]).id.replace("bat_", "batch_")
    assert resources.batches().current(BatchRef(alice.account_id, batch_id)).early_failover


@pytest.mark.usefixtures("deployed")
def test_a_plan_in_advance_knows_the_policy(alice: Customer) -> None:
    """A mode that the policy leaves out has that as its verdict, and the batch can take it back."""
    expected = {"endpoint": "/v1/chat/completions", "items": 100, "model": "gpt-4o-mini"}

    def verdict(**body: Any) -> str:
        shown = alice.http.post("/v1/plan", json=expected | body).json()
        verdicts: dict[str, str] = {each["mode"]: each["verdict"] for each in shown["routes"][0]["candidates"]}
        return verdicts["native"]

    assert verdict() == "policy"
    assert verdict(settings={"modes": ["realtime", "native"], "routing_mode": "cheapest"}) == "selected"
    set_policy(alice, {"modes": ["realtime", "native"], "routing_mode": "cheapest"})
    assert verdict() == "selected"


def test_operators_see_policies(cloud: Cloud, alice: Customer, mallory: Customer) -> None:
    """In the list of accounts and in the dashboard; a wrong one is refused with its reason, and changes nothing."""
    set_policy(mallory, SAID)
    admin.handler({"action": "set_operator", "account_id": alice.account_id, "is_operator": True}, Context())
    assert set_policy(mallory, {"modes": ["native"]})["error"]["param"] == "policy"
    assert "realtime" in set_policy(mallory, {"modes": ["native"]})["error"]["message"]
    assert set_policy(mallory, None)["error"]["param"] == "policy"
    unknown = {"action": "set_policy", "account_id": "acct_nope", "policy": {}}
    assert admin.handler(unknown, Context())["error"]["param"] == "account_id"
    listed = admin.handler({"action": "list_accounts"}, Context())["accounts"]
    assert [account["policy"] for account in listed] == [{}, SAID]
    shown = alice.http.get("/dashboard/api/operator/accounts").json()["accounts"]
    assert [account["policy"] for account in shown] == [dict.fromkeys(SAID), SAID]


@pytest.mark.parametrize(
    "settings", [{"modes": ["native"]}, {"modes": []}, {"routing_mode": "fastest"}, {"early_failover": "yes"}]
)
def test_wrong_words_are_refused(alice: Customer, settings: dict[str, Any]) -> None:
    """With the name of the member."""
    reply = create(alice, DIALECTS["openai"], settings)
    assert reply.status_code == 400
    assert reply.json()["error"]["param"].startswith(f"settings.{next(iter(settings))}")
