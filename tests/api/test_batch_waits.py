"""Why a batch stands still, as its owner sees it on every surface, and as nobody else does."""

from __future__ import annotations

import time
from typing import Any

import pytest
from anthropic.types.messages import MessageBatch

from batchyard.adapters.aws.batches import Batches
from batchyard.adapters.aws.jobs import Jobs
from batchyard.adapters.aws.lanes import Counts, Lanes
from batchyard.adapters.aws.shards import Shards
from batchyard.core.batches import Batch, BatchRef, Status
from batchyard.core.health import LaneHealth, LaneState
from batchyard.core.jobs import JobRef
from batchyard.core.lane_pace import RateChange, slot_of
from batchyard.core.lanes import Lane, LaneId, Mode
from batchyard.core.sharding import LaneShards, Plan
from batchyard.core.usage import Tally
from tests import batchrouter, kushrouter
from tests.api.api import Cloud, Customer

BATCH_ID = "batch_01m7vzgc0060rk4csm6mv3ee1s"
FIRST, SECOND = LaneId("openai", "gpt-4o-mini"), LaneId("anthropic", "claude-opus-4-5")
RUN_SECONDS = 600


def running(
    cloud: Cloud,
    owner: Customer,
    *,
    lanes: tuple[LaneId, ...] = (FIRST,),
    caller_pays: bool = False,
    mode: Mode = Mode.REALTIME,
) -> Batch:
    """A batch that was validated ten minutes ago; each of its lanes has one shard, which no worker has taken yet."""
    now = int(time.time())
    batches = Batches(cloud.table)
    made = Batch(
        BATCH_ID,
        owner.account_id,
        "openai",
        "/v1/chat/completions",
        "file-1",
        "24h",
        Status.VALIDATING,
        now - RUN_SECONDS - 5,
        now + 80_000,
        caller_pays=caller_pays,
    )
    batches.create(made)
    plan_lanes = tuple(LaneShards(Lane(lane.provider, lane.model, mode), n, 1, 1) for n, lane in enumerate(lanes))
    plan = Plan("run", len(lanes), len(lanes), plan_lanes, 1, False, None)
    return batches.set_plan(made, plan, None, now - RUN_SECONDS)


def claim(cloud: Cloud, number: int = 0) -> None:
    now = int(time.time())
    Shards(cloud.table).claim(BATCH_ID, number, "worker", now, now + 60)


def trouble(cloud: Cloud, lane: LaneId, state: LaneState, reason: str) -> int:
    """The lane is in trouble since a minute ago. That second."""
    now = int(time.time())
    Lanes(cloud.table).open(lane, LaneHealth(state, reason, now - 60, 3, now + 30), now)
    return now - 60


def waits(owner: Customer) -> list[dict[str, Any]]:
    shown: list[dict[str, Any]] = owner.http.get(f"/v1/batches/{BATCH_ID}").json()["waiting_for"]
    return shown


def test_a_blocked_lane_is_told_on_every_surface(cloud: Cloud, alice: Customer) -> None:
    """OpenAI's SDK keeps the field, KushRouter's strict client takes it, and Portkey's clients see the same."""
    running(cloud, alice)
    claim(cloud)
    since = trouble(cloud, FIRST, LaneState.BLOCKED, "key_refused")
    sdk = alice.openai.batches.retrieve(BATCH_ID)
    (wait,) = sdk.waiting_for  # type: ignore[attr-defined]
    assert (wait["provider"], wait["model"], wait["state"], wait["since"]) == (*FIRST[:2], "blocked", since)
    assert "does not accept this deployment's API key" in wait["message"]
    for path in (f"/api/v1/batches/{BATCH_ID}", f"/api/openai/v1/batches/{BATCH_ID}"):
        strict = kushrouter.Batch.model_validate_json(alice.http.get(path).content)
        assert strict.waiting_for is not None and strict.waiting_for[0].model_dump() == wait
    portkey = alice.http.get(f"/v1/batches/{BATCH_ID}", headers={"x-portkey-api-key": alice.key})
    assert portkey.json()["waiting_for"] == [wait]


def test_a_blocked_provider_job_is_told(cloud: Cloud, alice: Customer) -> None:
    """No worker calls a native lane: the row of its job says that people have to act, and so does the batch."""
    batch = running(cloud, alice, mode=Mode.NATIVE)
    assert waits(alice) == []
    now, jobs = int(time.time()), Jobs(cloud.table)
    row = jobs.claim(JobRef(batch.ref, 0, 1), "executor", now, now + 60)
    row = jobs.change(batch.id, row, blocked="out_of_money", blocked_since=now - 60, due_at=now + 30)
    shown = alice.http.get(f"/v1/batches/{BATCH_ID}").json()
    (wait,) = shown["waiting_for"]
    assert (wait["provider"], wait["model"], wait["state"], wait["since"]) == (*FIRST[:2], "blocked", now - 60)
    assert "has no money" in wait["message"]
    assert [(lane["state"], lane["reason"]) for lane in shown["lanes"]] == [("waiting", "blocked")]
    jobs.change(batch.id, row, blocked=None, blocked_since=0)
    assert waits(alice) == []


def test_each_lane_waits_for_reasons_of_its_own(cloud: Cloud, alice: Customer) -> None:
    """One provider is in trouble, the other one was not begun; the lane that is through is not mentioned any more."""
    batch = running(cloud, alice, lanes=(FIRST, SECOND))
    claim(cloud, 0)
    trouble(cloud, FIRST, LaneState.OPEN, "server_error")
    assert [(each["provider"], each["state"]) for each in waits(alice)] == [
        ("openai", "trouble"),
        ("anthropic", "queued"),
    ]
    Batches(cloud.table)._progress.take(batch.id, 0, Tally(succeeded=1), 1)
    assert [each["provider"] for each in waits(alice)] == ["anthropic"]


def test_a_lane_at_its_limit_is_told(cloud: Cloud, alice: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the lane's workers found out together, without a word about whose calls they were."""
    running(cloud, alice)
    claim(cloud)
    lanes, now = Lanes(cloud.table), int(time.time())
    lanes.report(FIRST, "worker", None, Counts(now, {slot_of(now) - 1: 100}, {slot_of(now) - 1: 3}), ())
    lanes.change_rate(FIRST, RateChange(20.0, slot_of(now), slot_of(now) - 1))
    monkeypatch.setattr(time, "time", lambda: float(now))
    (wait,) = waits(alice)
    assert (wait["state"], wait["since"]) == ("throttled", None)
    assert "acct_" not in wait["message"]


def test_a_batch_that_runs_waits_for_nothing(cloud: Cloud, alice: Customer) -> None:
    """An empty list when it is looked at; a list of batches does not look, and says so."""
    running(cloud, alice)
    claim(cloud)
    assert waits(alice) == []
    assert alice.http.get("/v1/batches").json()["data"][0]["waiting_for"] is None
    listed = kushrouter.BatchList.model_validate_json(alice.http.get("/api/v1/batches").content)
    assert listed.data[0].waiting_for is None


def test_a_list_says_the_status_that_the_batch_itself_says(cloud: Cloud, alice: Customer) -> None:
    """In BatchRouter's words: dispatched until a shard was begun on one of its lanes, processing from then on, before
    any item is done."""
    batch = running(cloud, alice, lanes=(FIRST, SECOND))

    def statuses() -> set[str]:
        (listed,) = alice.http.get("/v1/batches", params={"cursor": ""}).json()["batches"]
        return {listed["status"], alice.http.get(f"/v1/batches/{listed['id']}").json()["status"]}

    assert statuses() == {"dispatched"}
    claim(cloud, 1)
    assert statuses() == {"processing"}
    Batches(cloud.table)._progress.take(batch.id, 1, Tally(succeeded=1), 1)
    assert statuses() == {"processing"}


def test_a_batch_that_is_over_waits_for_nothing(cloud: Cloud, alice: Customer) -> None:
    """Whatever its lane does by then."""
    trouble(cloud, FIRST, LaneState.OPEN, "server_error")
    batches = Batches(cloud.table)
    batches.enter(running(cloud, alice), Status.CANCELLING, int(time.time()))
    assert waits(alice) == []
    batches.finish(batches.current(BatchRef(alice.account_id, BATCH_ID)), Status.CANCELLED, int(time.time()))
    assert waits(alice) == []
    assert alice.http.get("/v1/batches").json()["data"][0]["waiting_for"] == []


def test_a_callers_own_lane_is_looked_at(cloud: Cloud, alice: Customer, mallory: Customer) -> None:
    """A batch with its caller's key waits for that key's lane, not for the deployment's; and nobody else sees it."""
    running(cloud, alice, caller_pays=True)
    claim(cloud)
    trouble(cloud, FIRST, LaneState.BLOCKED, "out_of_money")
    assert waits(alice) == []
    trouble(cloud, LaneId(*FIRST[:2], alice.account_id), LaneState.OPEN, "overloaded")
    assert [each["state"] for each in waits(alice)] == ["trouble"]
    assert mallory.http.get(f"/v1/batches/{BATCH_ID}").status_code == 404


def test_lanes_are_told_on_every_surface(cloud: Cloud, alice: Customer) -> None:
    """The same lanes in every dialect's batch, whose strict clients and SDKs take them."""
    running(cloud, alice, lanes=(FIRST, SECOND))
    claim(cloud, 0)
    lanes = alice.http.get(f"/v1/batches/{BATCH_ID}").json()["lanes"]
    assert [(each["provider"], each["state"]) for each in lanes] == [("openai", "running"), ("anthropic", "waiting")]
    strict = kushrouter.Batch.model_validate_json(alice.http.get(f"/api/v1/batches/{BATCH_ID}").content)
    assert strict.lanes == lanes
    portkey = alice.http.get(f"/v1/batches/{BATCH_ID}", headers={"x-portkey-api-key": alice.key}).json()
    assert portkey["lanes"] == lanes
    routed = alice.http.get(f"/v1/batches/{BATCH_ID.replace('batch_', 'bat_')}").content
    assert batchrouter.Batch.model_validate_json(routed.replace(b"file_file-1", b"file_1")).lanes == lanes
    vendors = {"x-api-key": alice.key, "anthropic-version": "2023-06-01"}
    message = alice.http.get(f"/v1/messages/batches/msg{BATCH_ID}", headers=vendors)
    sdk: Any = MessageBatch.model_validate_json(message.content)
    assert sdk.lanes == lanes


def test_each_lane_says_how_far_it_is(cloud: Cloud, alice: Customer) -> None:
    """On retrieval, lane by lane; a list does not look; a batch that is over has no lanes any more."""
    batch = running(cloud, alice, lanes=(FIRST, SECOND))
    claim(cloud, 0)
    Batches(cloud.table)._progress.take(batch.id, 0, Tally(succeeded=1), 1)
    shown = alice.http.get(f"/v1/batches/{BATCH_ID}").json()["lanes"]
    assert [(each["provider"], each["state"], each["done_percent"], each["reason"]) for each in shown] == [
        ("openai", "done", 100, None),
        ("anthropic", "waiting", 0, "queued"),
    ]
    assert alice.http.get("/v1/batches").json()["data"][0]["lanes"] is None
    Batches(cloud.table).enter(batch, Status.CANCELLING, int(time.time()))
    assert alice.http.get(f"/v1/batches/{BATCH_ID}").json()["lanes"] == []
