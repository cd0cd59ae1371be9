"""Provider keys that callers bring: on the row, in KMS, in the API, and gone when the batch ends."""

from __future__ import annotations

import base64
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from botocore.exceptions import ClientError

from batchyard.adapters.aws import clients
from batchyard.adapters.aws.batches import Batches
from batchyard.adapters.aws.caller_keys import CallerKeyGone, CallerKeys
from batchyard.adapters.aws.table import Key, Table
from batchyard.core.batches import FROM, Batch, BatchRef, Status
from batchyard.core.lanes import Lane
from batchyard.core.messages import shard_message
from batchyard.core.sharding import LaneShards, Plan, Shard
from batchyard.handlers import resources
from batchyard.handlers.http import logger
from batchyard.settings import load
from tests.api.api import Cloud, Customer, jsonl
from tests.api.api import customer as new_customer

SECRET = "sk-caller-0123456789abcdef"
NOW = 1_800_000_000
OURS = Batch(
    id="batch_01m7vzgc0060rk4csm6mv3ee1s",
    account_id="acct_a",
    surface="portkey",
    endpoint="/v1/chat/completions",
    input_file_id="file-1",
    completion_window="24h",
    status=Status.VALIDATING,
    created_at=NOW,
    expires_at=NOW + 86_400,
    provider="openai",
    caller_pays=True,
)
THEIRS = replace(OURS, id="batch_01m7vzgc0060rk4csm6mv3ee1t", account_id="acct_b")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def kms(aws: None, aws_clients: None) -> Any:
    return clients.client("kms")


@pytest.fixture
def keys(table: Table, kms: Any, clock: Clock) -> CallerKeys:
    return CallerKeys(table, lambda: kms, kms.create_key()["KeyMetadata"]["KeyId"], clock)


def make(batches: Batches, keys: CallerKeys, batch: Batch = OURS) -> None:
    batches.create(batch, beside=[keys.write_of(batch, SECRET)])


def row_of(table: Table, batch: Batch = OURS) -> dict[str, Any] | None:
    return table.get(Key(f"batch#{batch.id}", "caller-key"), consistent=True)


def test_a_key_is_stored_encrypted_and_read_back(table: Table, batches: Batches, keys: CallerKeys) -> None:
    """The row holds the ciphertext and a TTL after the batch's deadline; the key is nowhere in clear."""
    make(batches, keys)
    row = row_of(table)
    assert row is not None and row.keys() == {"pk", "sk", "ciphertext", "ttl"}
    assert SECRET.encode() not in row["ciphertext"]
    assert OURS.expires_at < row["ttl"] <= OURS.expires_at + 86_400
    assert keys.read(OURS.account_id, OURS.id) == SECRET


def test_another_batch_or_account_cannot_read_it(table: Table, batches: Batches, keys: CallerKeys) -> None:
    """A ciphertext copied to another batch's row, or asked for on another account's behalf, is refused by KMS."""
    make(batches, keys)
    row = row_of(table)
    assert row is not None
    table.put(Key(f"batch#{THEIRS.id}", "caller-key"), row)
    for account_id, batch_id in ((THEIRS.account_id, THEIRS.id), (OURS.account_id, THEIRS.id), ("acct_b", OURS.id)):
        with pytest.raises(ClientError) as caught:
            keys.read(account_id, batch_id)
        assert caught.value.response["Error"]["Code"] in ("InvalidCiphertextException", "AccessDeniedException")


def test_no_context_reads_nothing(table: Table, batches: Batches, keys: CallerKeys, kms: Any) -> None:
    """Whoever may decrypt still has to name the batch."""
    make(batches, keys)
    row = row_of(table)
    assert row is not None
    with pytest.raises(ClientError):
        kms.decrypt(CiphertextBlob=row["ciphertext"])


@pytest.mark.parametrize("end", [status for status in Status if status.is_terminal])
def test_every_end_of_a_batch_forgets_its_key(
    table: Table, batches: Batches, keys: CallerKeys, clock: Clock, end: Status
) -> None:
    """In the transaction that ends it; processes forget it within a minute; another batch keeps its own."""
    make(batches, keys)
    make(batches, keys, THEIRS)
    keys.read(OURS.account_id, OURS.id)
    batch = OURS
    for status in _way_to(end):
        batch = batches.enter(batch, status, NOW + 1)
    batches.finish(batch, end, NOW + 2)
    assert row_of(table) is None and row_of(table, THEIRS) is not None
    clock.now += 61
    with pytest.raises(CallerKeyGone):
        keys.read(OURS.account_id, OURS.id)


def test_a_key_is_decrypted_once_a_minute(table: Table, batches: Batches, keys: CallerKeys, clock: Clock) -> None:
    """Shards of a batch share what was read; after a minute it is read again."""
    make(batches, keys)
    keys.read(OURS.account_id, OURS.id)
    table.delete(Key(f"batch#{OURS.id}", "caller-key"))
    clock.now += 59
    assert keys.read(OURS.account_id, OURS.id) == SECRET
    clock.now += 2
    with pytest.raises(CallerKeyGone):
        keys.read(OURS.account_id, OURS.id)


def test_a_batch_that_is_not_made_leaves_no_key(table: Table, batches: Batches, keys: CallerKeys) -> None:
    """Key and batch are written in one transaction: if it fails, there is neither."""
    batches.create(OURS)
    with pytest.raises(Exception, match="condition"):
        make(batches, keys)
    assert row_of(table) is None


def test_messages_tell_whose_key_it_is_and_no_more() -> None:
    """A shard's message, and so the queue, carries a flag."""
    plan = Plan("run", 1, 1, (LaneShards(Lane("openai", "gpt-4o-mini"), 0, 1, 1),), 128, False, None)
    message = shard_message(replace(OURS, plan=plan), Shard(0, 0, 0, 1, 1, 0))
    assert message.caller_pays
    assert json.loads(message.to_json())["caller_pays"] is True


# Through the API.


@pytest.fixture
def portkey(cloud: Cloud) -> Iterator[tuple[Customer, httpx.Client]]:
    """A customer, and a client with Portkey's headers."""
    made = new_customer("portkey")
    resources.caller_keys.cache_clear()
    made.http.headers.update(
        {"x-portkey-api-key": made.key, "x-portkey-provider": "openai", "authorization": f"Bearer {SECRET}"}
    )
    yield made, made.http
    resources.caller_keys.cache_clear()


def body(customer: Customer, **changes: Any) -> dict[str, Any]:
    file = customer.openai.files.create(file=jsonl(), purpose="batch")
    wanted = {"input_file_id": file.id, "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    return wanted | changes


def stored(cloud: Cloud, customer: Customer, batch_id: str) -> Batch:
    batch = Batches(cloud.table).get(BatchRef(customer.account_id, batch_id))
    assert batch is not None
    return batch


def rows_in_clear(table: Table) -> str:
    """Every row of the table as text."""
    rows = table._client.scan(TableName=table._name)["Items"]
    return json.dumps(rows, default=lambda value: value.decode("latin-1"))


def test_a_batch_with_a_callers_key(cloud: Cloud, portkey: tuple[Customer, httpx.Client]) -> None:
    """It goes to the header's provider at the caller's expense; the key is on its own row, encrypted."""
    customer, http = portkey
    reply = http.post("/v1/batches", json=body(customer, completion_window="immediate", metadata={"a": "b"}))
    assert reply.status_code == 200, reply.text
    shown = reply.json()
    assert (shown["completion_window"], shown["usage"]["paid_by"]) == ("immediate", "caller")
    assert shown["expires_at"] == shown["created_at"] + 86_400
    batch = stored(cloud, customer, shown["id"])
    assert (batch.provider, batch.caller_pays, batch.surface) == ("openai", True, "portkey")
    assert row_of(cloud.table, batch) is not None
    everything = rows_in_clear(cloud.table)
    assert SECRET not in everything and base64.b64encode(SECRET.encode()).decode() not in everything
    assert cloud.started == [batch.id]


@pytest.mark.parametrize(
    "headers", [{"x-portkey-provider": "@openai"}, {"x-portkey-provider": "", "x-portkey-virtual-key": "openai"}]
)
def test_a_key_that_is_kept_here(cloud: Cloud, portkey: tuple[Customer, httpx.Client], headers: dict[str, str]) -> None:
    """`@name` and virtual keys mean the deployment's own key, and its own bill."""
    customer, http = portkey
    shown = http.post("/v1/batches", json=body(customer), headers=headers).json()
    batch = stored(cloud, customer, shown["id"])
    assert (batch.provider, batch.caller_pays, shown["usage"]["paid_by"]) == ("openai", False, "operator")
    assert row_of(cloud.table, batch) is None


def test_repeats_make_one_batch_whatever_key_they_bring(cloud: Cloud, portkey: tuple[Customer, httpx.Client]) -> None:
    """The provider key is no part of what an Idempotency-Key stands for, so it is in no fingerprint."""
    customer, http = portkey
    wanted = body(customer)
    headers = {"idempotency-key": "nightly"}
    first = http.post("/v1/batches", json=wanted, headers=headers).json()
    other = http.post("/v1/batches", json=wanted, headers=headers | {"authorization": "Bearer sk-rotated"}).json()
    assert other["id"] == first["id"]
    batch = stored(cloud, customer, first["id"])
    assert resources.caller_keys(_key_id()).read(customer.account_id, batch.id) == SECRET
    conflict = http.post("/v1/batches", json=wanted, headers=headers | {"x-portkey-provider": "groq"})
    assert conflict.status_code == 409


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"x-portkey-provider": "openay"}, 400, "provider_not_found"),
        ({"x-portkey-provider": "@openay"}, 400, "provider_not_found"),
        ({"x-portkey-provider": ""}, 400, "missing_required_parameter"),
        ({"x-portkey-virtual-key": "groq"}, 400, "invalid_value"),
        ({"authorization": ""}, 401, "missing_provider_key"),
        ({"authorization": "Basic abc"}, 401, "missing_provider_key"),
        ({"authorization": "Bearer a b"}, 400, "invalid_provider_key"),
        ({"authorization": "Bearer " + "k" * 4097}, 400, "invalid_provider_key"),
        ({"x-portkey-config": "pc-1"}, 400, "unsupported_header"),
        ({"x-portkey-custom-host": "https://evil.example"}, 400, "unsupported_header"),
        ({"x-portkey-api-key": ""}, 401, "unauthorized"),
        ({"x-portkey-api-key": "by_live_nobody"}, 401, "invalid_api_key"),
    ],
)
def test_wrong_headers_are_explained(
    cloud: Cloud, portkey: tuple[Customer, httpx.Client], headers: dict[str, str], status: int, code: str
) -> None:
    """A clear 4xx, without the key in it; nothing is made, nothing is stored."""
    customer, http = portkey
    reply = http.post("/v1/batches", json=body(customer), headers=headers)
    assert (reply.status_code, reply.json()["error"]["code"]) == (status, code), reply.text
    assert SECRET not in reply.text and "k" * 100 not in reply.text
    assert cloud.started == [] and "caller-key" not in rows_in_clear(cloud.table)


def test_without_kms_nothing_is_made(
    cloud: Cloud,
    portkey: tuple[Customer, httpx.Client],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A key that cannot be encrypted is not stored: a fault of ours, no batch, and nothing of the key in a log."""
    customer, http = portkey
    wanted = body(customer)
    monkeypatch.setenv("CALLER_KEY_ID", "11111111-2222-3333-4444-555555555555")
    load.cache_clear()
    monkeypatch.setattr(logger.registered_handler, "stream", sys.stdout)  # as this test captures it
    reply = http.post("/v1/batches", json=wanted)
    assert (reply.status_code, reply.json()["error"]["code"]) == (500, "internal_error")
    assert http.get("/v1/batches").json()["data"] == [] and cloud.started == []
    said = capsys.readouterr()
    assert "create_batch" in said.out
    assert SECRET not in said.out + said.err + rows_in_clear(cloud.table)


def test_our_own_key_is_never_taken_for_a_providers(portkey: tuple[Customer, httpx.Client]) -> None:
    """An SDK that sends the same key twice would hand a Batchyard key to a vendor."""
    customer, http = portkey
    reply = http.post("/v1/batches", json=body(customer), headers={"authorization": f"Bearer {customer.key}"})
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "invalid_provider_key")


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"endpoint": "/v1/responses"}, "endpoint"),
        ({"endpoint": "/v1/moderations"}, "endpoint"),
        ({"completion_window": "now"}, "completion_window"),
    ],
)
def test_what_portkey_does_not_have_is_refused(
    portkey: tuple[Customer, httpx.Client], changes: dict[str, str], param: str
) -> None:
    """Three endpoints, two windows."""
    customer, http = portkey
    reply = http.post("/v1/batches", json=body(customer, **changes))
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)


def test_immediate_is_portkeys_only(alice: Customer) -> None:
    """Without the headers the window is OpenAI's."""
    reply = alice.http.post("/v1/batches", json=body(alice, completion_window="immediate"))
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "completion_window")


def test_the_rest_of_the_surface_needs_no_provider(portkey: tuple[Customer, httpx.Client]) -> None:
    """Reading, listing and cancelling take our key alone."""
    customer, http = portkey
    made = http.post("/v1/batches", json=body(customer)).json()
    bare = {"x-portkey-provider": "", "authorization": ""}
    assert http.get(f"/v1/batches/{made['id']}", headers=bare).json() == made
    assert [one["id"] for one in http.get("/v1/batches", headers=bare).json()["data"]] == [made["id"]]
    assert http.get(f"/v1/files/{made['input_file_id']}", headers=bare).status_code == 200
    assert http.post(f"/v1/batches/{made['id']}/cancel", headers=bare).json()["status"] == "cancelling"


def test_output_by_the_batchs_id(cloud: Cloud, portkey: tuple[Customer, httpx.Client]) -> None:
    """409 while there is none yet, 404 if there never will be one, 404 for another account's."""
    customer, http = portkey
    made = http.post("/v1/batches", json=body(customer)).json()
    early = http.get(f"/v1/batches/{made['id']}/output")
    assert (early.status_code, early.json()["error"]["code"]) == (409, "output_not_ready")
    assert early.headers["x-should-retry"] == "false"
    batches = Batches(cloud.table)
    batches.finish(stored(cloud, customer, made["id"]), Status.FAILED, NOW)
    late = http.get(f"/v1/batches/{made['id']}/output")
    assert (late.status_code, late.json()["error"]["code"]) == (404, "no_output")
    stranger = new_customer("stranger").http.get(f"/v1/batches/{made['id']}/output")
    assert (stranger.status_code, stranger.json()["error"]["code"]) == (404, "batch_not_found")


def _key_id() -> str:
    return os.environ["CALLER_KEY_ID"]


def _way_to(end: Status) -> list[Status]:
    """The statuses between validating and `end`, the longest way."""
    ways = {
        Status.COMPLETED: [Status.IN_PROGRESS, Status.FINALIZING],
        Status.EXPIRED: [Status.IN_PROGRESS, Status.FINALIZING],
        Status.CANCELLED: [Status.IN_PROGRESS, Status.CANCELLING],
        Status.FAILED: [],
    }
    assert (ways[end] or [Status.VALIDATING])[-1] in FROM[end]
    return ways[end]
