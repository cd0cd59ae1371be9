"""Keys, accounts, models and the API's own description."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import httpx
import openai
import pytest
from openai.types import Model
from openapi_spec_validator import validate

from batchyard import settings
from batchyard.adapters.aws.accounts import Accounts
from batchyard.adapters.aws.batches import Batches
from batchyard.core.batches import BatchRef
from batchyard.core.errors import RateLimited, Unauthenticated
from batchyard.core.lanes import Lane
from batchyard.core.messages import ShardMessage, shard_message
from batchyard.core.requests import ApiKeyRequest
from batchyard.core.sharding import LaneShards, Plan, Shard
from batchyard.handlers import admin, http
from batchyard.steps.accounts import Keyring, request_key
from batchyard.surfaces.registry import ROUTES
from tests.api.api import Cloud, Customer, jsonl
from tests.api.gateway import Context, Gateway
from tools.write_openapi import TARGETS, rendered


def ask(action: str, **fields: object) -> dict[str, object]:
    answer: dict[str, object] = admin.handler({"action": action, **fields}, Context())
    return answer


def test_a_key_is_shown_once_and_stored_as_a_hash(cloud: Cloud, alice: Customer) -> None:
    """The table holds no key, only its digest and its last four characters; lists show no secret."""
    assert alice.key.startswith("by_live_") and len(alice.key) == len("by_live_") + 32
    scanned = cloud.table._client.scan(TableName=cloud.table._name)["Items"]
    assert scanned and alice.key not in json.dumps(scanned, default=str)
    (key,) = ask("list_keys", account_id=alice.account_id)["keys"]  # type: ignore[misc]
    assert key["hint"] == alice.key[-4:] and set(key) == {
        "id",
        "account_id",
        "name",
        "hint",
        "created_at",
        "revoked_at",
        "expires_at",
    }


def test_a_revoked_key_is_refused(cloud: Cloud, alice: Customer) -> None:
    """Another key of the account goes on working; the revoked one is a 401 as OpenAI's once no process remembers it."""
    second = ask("create_key", account_id=alice.account_id, name="second")
    first, _ = ask("list_keys", account_id=alice.account_id)["keys"]  # type: ignore[misc]
    revoked = ask("revoke_key", account_id=alice.account_id, key_id=first["id"])
    assert ask("revoke_key", account_id=alice.account_id, key_id=first["id"]) == revoked
    http.keyring.cache_clear()
    with pytest.raises(openai.AuthenticationError) as caught:
        alice.openai.files.list()
    assert caught.value.code == "invalid_api_key"
    assert alice.openai.with_options(api_key=str(second["api_key"])).files.list().data == []


def test_a_key_is_remembered_for_a_while(cloud: Cloud, alice: Customer) -> None:
    """Within its time a known key costs no read; afterwards a revoked one is noticed."""
    now = 0.0
    accounts = Accounts(cloud.table)
    keyring = Keyring(accounts, lambda: now, remember_seconds=30)
    assert keyring.account_of(alice.key) == alice.account_id
    (key,) = accounts.keys(alice.account_id)
    accounts.revoke_key(alice.account_id, key.id, 1)
    now = 29.9
    assert keyring.account_of(alice.key) == alice.account_id
    now = 30.1
    with pytest.raises(Unauthenticated):
        keyring.account_of(alice.key)


def test_a_remembered_key_expires_all_the_same(cloud: Cloud, alice: Customer) -> None:
    """A key that is known is not remembered beyond its own end."""
    now = 0.0
    accounts = Accounts(cloud.table)
    wanted = ApiKeyRequest("short", expires_at=1_000_010)
    random = bytes(20)
    new = request_key(wanted, alice.account_id, key_id="key_1", random=random, now=1_000_000, accounts=accounts)
    keyring = Keyring(accounts, lambda: now, remember_seconds=30)
    assert keyring.account_of(new.secret, at=1_000_000) == alice.account_id
    now = 8.9
    assert keyring.account_of(new.secret, at=1_000_008) == alice.account_id
    now = 10.0
    with pytest.raises(Unauthenticated):
        keyring.account_of(new.secret, at=1_000_010)


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        ({}, "action"),
        ({"action": "drop_table"}, "action"),
        ({"action": ["list_accounts"]}, "action"),
        ({"action": "create_account"}, "name"),
        ({"action": "create_account", "name": "  "}, "name"),
        ({"action": "create_account", "name": "x" * 101}, "name"),
        ({"action": "create_account", "name": 7}, "name"),
        ({"action": "create_key", "account_id": "acct_nope", "name": "x"}, "account_id"),
        ({"action": "create_key", "account_id": "../x", "name": "x"}, "account_id"),
        ({"action": "list_keys", "account_id": "acct_nope"}, "account_id"),
        ({"action": "set_weight", "account_id": "acct_nope", "weight": 2}, "account_id"),
        *(
            ({"action": "set_weight", "account_id": "acct_nope", "weight": weight}, "weight")
            for weight in (None, 0, 1001, 1.5, "2", True)
        ),
        ({"action": "revoke_key", "account_id": "acct_nope", "key_id": "key_nope"}, "key_id"),
    ],
)
def test_an_operators_mistake_is_a_value(cloud: Cloud, asked: dict[str, object], param: str) -> None:
    """No request makes the function fail; its reply says what is wrong."""
    answer = admin.handler(asked, Context())
    assert answer["error"]["param"] == param and answer["error"]["message"]


def test_accounts_are_listed(alice: Customer, mallory: Customer) -> None:
    """Every account with its name, oldest first."""
    listed = ask("list_accounts")["accounts"]
    assert [account["name"] for account in listed] == ["alice", "mallory"]  # type: ignore[attr-defined]


def test_an_accounts_weight_goes_with_its_batches(cloud: Cloud, alice: Customer, mallory: Customer) -> None:
    """A batch, and the messages of its shards, carry the weight that its account had when it was made; others weigh
    one."""
    assert ask("set_weight", account_id=alice.account_id, weight=3) == {"account_id": alice.account_id, "weight": 3}
    listed = ask("list_accounts")["accounts"]
    assert [account["weight"] for account in listed] == [3, 1]  # type: ignore[attr-defined]
    for customer, weight in ((alice, 3), (mallory, 1)):
        file = customer.openai.files.create(file=jsonl(), purpose="batch")
        made = customer.openai.batches.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
        )
        batch = Batches(cloud.table).current(BatchRef(customer.account_id, made.id))
        plan = Plan("run", 1, 1, (LaneShards(Lane("openai", "m"), 0, 1, 1),), 1, False, None)
        message = shard_message(replace(batch, plan=plan), Shard(0, 0, 0, 1, 1, 0))
        assert (batch.weight, ShardMessage.from_json(message.to_json()).weight) == (weight, weight)


def test_models_are_listed_and_retrieved(alice: Customer) -> None:
    """Every listed model has all fields, and can be retrieved by its name; each name is listed once."""
    raw = alice.http.get("/v1/models").json()
    assert set(raw) == {"object", "data"} and all(set(model) == set(Model.model_fields) for model in raw["data"])
    names = [model.id for model in alice.openai.models.list()]
    assert "gpt-4o-mini" in names and len(set(names)) == len(names)
    for name in ("gpt-4o-mini", "openai/gpt-4o-mini", *names[::40]):
        assert alice.openai.models.retrieve(name).id == name


def test_limits_are_told(alice: Customer) -> None:
    """What this deployment allows, so that a client can check a file before it sends it: the settings, and the rate of
    the surface that was asked."""
    told = alice.http.get("/v1/limits").json()
    assert (told.pop("object"), told.pop("requests_per_minute")) == ("limits", 6000)
    assert told.items() <= settings.Limits().model_dump().items()
    assert len(told) == 6


def test_models_need_a_key(cloud: Cloud) -> None:
    """Only the API's description is public."""
    client = openai.OpenAI(
        api_key="by_live_nobody", base_url="https://api.test/v1", http_client=_client(), max_retries=0
    )
    with pytest.raises(openai.AuthenticationError):
        client.models.list()


@pytest.mark.parametrize("path", ["/v1/files", "/api/v1/files"])
@pytest.mark.parametrize("header", ["authorization", "x-portkey-api-key"])
def test_every_surface_limits_requests(alice: Customer, path: str, header: str) -> None:
    """6,000 a minute and key, unless the deployment says otherwise, each surface for itself."""
    for limit in ("x-ratelimit-limit-requests", "x-ratelimit-limit"):
        headers = alice.http.get(
            path, headers={header: f"{'Bearer ' * (header == 'authorization')}{alice.key}"}
        ).headers
        assert headers.get(limit) == ("6000" if limit.endswith("requests") == path.startswith("/v1") else None)


def test_a_key_of_nobody_is_looked_up_once(cloud: Cloud, alice: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
    """For ten seconds it is refused without a read, and good keys stay known however many others come."""
    now, looked_up = 0.0, []
    accounts = Accounts(cloud.table)
    find = accounts.find_key
    monkeypatch.setattr(accounts, "find_key", lambda digest: looked_up.append(digest) or find(digest))
    keyring = Keyring(accounts, lambda: now)
    assert keyring.account_of(alice.key) == alice.account_id

    def refused(secret: str) -> int:
        """How many reads a refusal took."""
        before = len(looked_up)
        with pytest.raises(Unauthenticated):
            keyring.account_of(secret)
        return len(looked_up) - before

    assert [refused("by_live_wrong") for _ in range(3)] == [1, 0, 0]
    now = 10.1
    assert refused("by_live_wrong") == 1
    assert sum(refused(f"by_live_{number}") for number in range(1500)) == 1500
    before = len(looked_up)
    assert keyring.account_of(alice.key) == alice.account_id and len(looked_up) == before


def test_whoever_guesses_keys_is_refused_without_a_look(cloud: Cloud, alice: Customer, mallory: Customer) -> None:
    """After 300 keys of nobody from one address within a minute; keys that are known go on from there, and from other
    addresses every key does."""
    now = 0.0
    keyring = Keyring(Accounts(cloud.table), lambda: now)
    assert keyring.account_of(alice.key, "10.0.0.1") == alice.account_id
    for number in range(300):
        with pytest.raises(Unauthenticated):
            keyring.account_of(f"by_live_{number}", "10.0.0.1")
    with pytest.raises(RateLimited) as caught:
        keyring.account_of(mallory.key, "10.0.0.1")
    assert caught.value.retry_after_seconds == 60
    assert keyring.account_of(alice.key, "10.0.0.1") == alice.account_id
    assert keyring.account_of(mallory.key, "10.0.0.2") == mallory.account_id
    now = 60.1
    with pytest.raises(Unauthenticated):
        keyring.account_of("by_live_300", "10.0.0.1")


@pytest.mark.parametrize("surface", ["openai", "portkey"])
def test_a_deployment_may_limit_requests(alice: Customer, monkeypatch: pytest.MonkeyPatch, surface: str) -> None:
    """Requests per minute of a key, instead of the surface's own limit: OpenAI's headers count down, then a 429 says
    when to come again."""
    monkeypatch.setenv("SURFACE_LIMITS", json.dumps({surface: {"requests_per_minute": 2}}))
    settings.load.cache_clear()
    monkeypatch.setattr(time, "time", lambda: 1_800_000_015.0)
    headers = {"x-portkey-api-key": alice.key} if surface == "portkey" else {}
    for remaining in ("1", "0"):
        answer = alice.http.get("/v1/models", headers=headers)
        assert answer.status_code == 200
        assert answer.headers["x-ratelimit-limit-requests"] == "2"
        assert answer.headers["x-ratelimit-remaining-requests"] == remaining
    refused = alice.http.get("/v1/models", headers=headers)
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "45")
    assert refused.json()["error"]["code"] == "rate_limit_exceeded"
    assert refused.headers["x-ratelimit-remaining-requests"] == "0"


def test_an_unknown_path_is_a_404(alice: Customer) -> None:
    """OpenAI's words for an unknown URL."""
    error = alice.http.post("/v1/chat/completions", json={}).json()["error"]
    assert error["message"] == "Invalid URL (POST /v1/chat/completions)"
    assert alice.http.get("/").status_code == 404


def test_the_api_describes_itself(cloud: Cloud) -> None:
    """/openapi.json needs no key and is what the code says."""
    reply = _client().get("https://api.test/openapi.json")
    assert reply.status_code == 200 and reply.content == rendered()


def test_the_committed_documents_are_what_the_code_says() -> None:
    """docs/openapi.json and the deployed copy are fresh (`make openapi` writes them)."""
    for target in TARGETS:
        assert target.read_bytes() == rendered(), f"{target} is stale"


def test_the_document_is_valid_and_whole() -> None:
    """The document is valid OpenAPI and has every route."""
    document = json.loads(rendered())
    validate(document)
    described = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert described == {(route.method, route.path.replace("+}", "}")) for route in ROUTES}


def _client() -> httpx.Client:
    return httpx.Client(transport=Gateway())
