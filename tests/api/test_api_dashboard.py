"""The dashboard's side of the API: its files and their headers, batches and items as its page shows them, usage, and
what only operators see."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from batchyard.adapters.aws.batches import Batches
from batchyard.adapters.aws.clients import client
from batchyard.adapters.aws.files import Files
from batchyard.adapters.aws.jobs import Jobs
from batchyard.adapters.aws.lanes import Counts, Lanes
from batchyard.adapters.aws.shards import Shards
from batchyard.core.batches import Batch, Ending, Status
from batchyard.core.copies import Copy, copy_line
from batchyard.core.files import File
from batchyard.core.health import LaneHealth, LaneState
from batchyard.core.items import Item, work_line
from batchyard.core.jobs import JobRef, JobState
from batchyard.core.keys import copies_key, file_key, manifest_key, part_key, work_key
from batchyard.core.lane_pace import WorkerReport, slot_of
from batchyard.core.lanes import Lane, LaneId, Mode
from batchyard.core.parts import encode_part
from batchyard.core.results import Outcome, Result, failed, tally
from batchyard.core.sharding import LaneShards, Plan, Shard, manifest_record
from batchyard.core.shards import mark_done
from batchyard.core.usage import retries_tally
from batchyard.handlers import admin, page_files
from tests.api.api import Cloud, Customer
from tests.api.gateway import Context, call, event

NOW = int(time.time())
BEGUN = NOW - 100
LANE = Lane("openai", "gpt-4o-mini")
HOSTILE = '<img src=x onerror="alert(1)">\u2028"\\{}\t'
PER_SHARD = 4
Found = dict[str, Any]


def batch_id(number: int) -> str:
    """Ids rise with their number, as those of batches do with time."""
    return f"batch_01m7vzgc0060rk4csm6mv3{number:04d}"


@pytest.fixture(autouse=True)
def this_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """NOW is when a test begins: this file may have been read long before."""
    now = int(time.time())
    monkeypatch.setattr(sys.modules[__name__], "NOW", now)
    monkeypatch.setattr(sys.modules[__name__], "BEGUN", now - 100)


def made(cloud: Cloud, owner: Customer, number: int = 0, *, surface: str = "openai") -> Batch:
    """A batch that waits for its validation."""
    batch = Batch(
        batch_id(number), owner.account_id, surface, "/v1/chat/completions", "file-1", "24h", Status.VALIDATING,
        BEGUN - 5, NOW + 80_000, metadata={"name": HOSTILE},
    )  # fmt: skip
    Batches(cloud.table).create(batch)
    return batch


def result(index: int, outcome: Outcome = Outcome.SUCCEEDED) -> Result:
    if outcome is Outcome.FAILED:
        body = json.dumps({"error": {"message": f"bad {HOSTILE}", "type": "invalid_request_error", "code": "nope"}})
        return Result(index, f"{HOSTILE}{index}", outcome, 400, f"req_{index}", body.encode())
    answer = json.dumps({"choices": [{"message": {"content": HOSTILE}}]}).encode()
    return Result(index, f"{HOSTILE}{index}", outcome, 200, f"req_{index}", answer, cost_picousd=10**9)


def running(cloud: Cloud, owner: Customer, shards: Sequence[Sequence[Result]], number: int = 0) -> Batch:
    """A batch of shards of four items each, which have these results so far."""
    batch = made(cloud, owner, number)
    work, manifest = [], []
    for shard in range(len(shards)):
        indexes = range(shard * PER_SHARD, (shard + 1) * PER_SHARD)
        data = b"".join(work_line(Item(n, f"{HOSTILE}{n}", "m", b'{"n":%d}' % n)) for n in indexes)
        manifest.append(Shard(shard, 0, sum(map(len, work)), len(data), PER_SHARD, shard * PER_SHARD))
        work.append(data)
    plan = Plan("run", PER_SHARD * len(shards), len(shards),
                (LaneShards(LANE, 0, len(shards), PER_SHARD * len(shards)),), 4, False, None)  # fmt: skip
    cloud.objects.put(work_key(owner.account_id, batch.id, "run"), b"".join(work))
    cloud.objects.put(manifest_key(owner.account_id, batch.id, "run"), b"".join(map(manifest_record, manifest)))
    batch = Batches(cloud.table).set_plan(batch, plan, LANE.model, BEGUN)
    for shard, results in enumerate(shards):
        if results:
            flush(cloud, batch, shard, results)
    return batch


def flush(cloud: Cloud, batch: Batch, shard: int, results: Sequence[Result]) -> None:
    """What a worker writes of a shard; it has sent three items again because it was throttled."""
    rows = Shards(cloud.table)
    claim = rows.claim(batch.id, shard, "worker", NOW, NOW + 60)
    key = part_key(batch.account_id, batch.id, shard, claim.version, 0)
    cloud.objects.put(key, encode_part(batch.id, list(results)))
    done = mark_done(b"", [each.index - shard * PER_SHARD for each in results], PER_SHARD)
    counted = tally(list(results)) + retries_tally({"throttled": 3})
    settled = len(results) == PER_SHARD
    rows.flush(batch.id, claim, part_key=key, done=done, tally=counted, lease_until=NOW + 60, settled=settled,
               now=BEGUN + 10 * shard)  # fmt: skip


def look(owner: Customer, path: str, **query: object) -> Found:
    reply = owner.http.get(f"/dashboard/api/{path}", params={name: str(value) for name, value in query.items()})
    assert reply.status_code == 200, reply.text
    assert reply.headers["cache-control"] == "no-store"
    shown: Found = reply.json()
    return shown


def refused(owner: Customer, path: str, **query: str) -> tuple[int, str | None]:
    reply = owner.http.get(f"/dashboard/api/{path}", params=query)
    return reply.status_code, reply.json()["error"]["code"]


# The page.


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "parts").mkdir()
    (tmp_path / "index.html").write_text("<!doctype html><title>x</title>" + "y" * 500)
    (tmp_path / "parts" / "app.js").write_text("export {}")
    (tmp_path / "secret.py").write_text("nothing for anybody")
    monkeypatch.setattr(page_files, "_FOLDER", tmp_path)
    page_files._files.cache_clear()
    yield tmp_path
    page_files._files.cache_clear()


@pytest.mark.parametrize("path", ["/dashboard", "/dashboard/"])
def test_the_bare_address_leads_to_the_page(cloud: Cloud, path: str) -> None:
    """With the stage of the deployment in front, and without asking for a key. API Gateway takes both spellings to the
    same function."""
    asked = event("api/show_page") | {"resource": "/dashboard", "path": path, "pathParameters": None}
    asked["requestContext"] |= {"path": f"/live{path}", "domainName": "api.test"}
    reply = call("account", asked)
    assert (reply["statusCode"], reply["headers"]["location"]) == (302, "https://api.test/live/dashboard/index.html")


def test_the_page_may_run_nothing_but_itself(alice: Customer, folder: Path) -> None:
    """The policy of every file names no other origin, no inline script or style, and no markup from text."""
    for name, kind in (("index.html", "text/html; charset=utf-8"), ("parts/app.js", "text/javascript; charset=utf-8")):
        reply = alice.http.get(f"/dashboard/{name}", headers={"authorization": ""})
        assert (reply.status_code, reply.headers["content-type"]) == (200, kind)
        policy = dict(each.split(" ", 1) for each in reply.headers["content-security-policy"].split("; "))
        assert policy["default-src"] == policy["base-uri"] == policy["form-action"] == "'none'"
        assert policy["frame-ancestors"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
        assert policy["require-trusted-types-for"] == "'script'"
        assert not {"unsafe", "http", "*"} & {word for value in policy.values() for word in value.split("-")}
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert reply.headers["referrer-policy"] == "no-referrer"


def test_files_are_packed_and_sent_once(alice: Customer, folder: Path) -> None:
    """gzip for browsers that take it; who has a file already gets 304 and no bytes; HEAD has none either."""
    url = "/dashboard/index.html"
    packed = alice.http.get(url, headers={"accept-encoding": "gzip, br"})
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.content == (folder / "index.html").read_bytes()
    plain = alice.http.get(url, headers={"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.content == (folder / "index.html").read_bytes()
    again = alice.http.get(url, headers={"if-none-match": plain.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["content-security-policy"]
    assert alice.http.head(url).content == b""


NO_FILES = ["secret.py", "no.js", "..%2Fsettings.py", "parts", "parts/..%2F..%2Fcatalogue.json", "%00", "INDEX.HTML"]


@pytest.mark.parametrize("name", NO_FILES)
def test_no_path_leads_elsewhere(alice: Customer, folder: Path, name: str) -> None:
    """Files are served by their exact names and only if a browser knows what to do with them."""
    assert alice.http.get(f"/dashboard/{name}").status_code == 404


# Batches.


def test_batches_of_every_dialect_newest_first(cloud: Cloud, alice: Customer, mallory: Customer) -> None:
    """Each with its own spelling of its id, page after page, and nobody else's among them."""
    surfaces = ("openai", "anthropic", "batchrouter", "kushrouter", "portkey")
    for number, surface in enumerate(surfaces):
        made(cloud, alice, number, surface=surface)
    first = look(alice, "batches", limit=3)
    second = look(alice, "batches", limit=3, cursor=first["next_cursor"])
    shown = first["batches"] + second["batches"]
    assert [each["surface"] for each in shown] == list(reversed(surfaces))
    assert [each["id"] for each in shown] == [batch_id(number) for number in (4, 3, 2, 1, 0)]
    assert [each["shown_id"].split("_")[0] for each in shown] == ["batch", "batch", "bat", "msgbatch", "batch"]
    assert (second["next_cursor"], first["searched"], second["searched"]) == (None, 3, 2)
    assert look(mallory, "batches")["batches"] == []


def test_a_filter_reads_a_bounded_number_of_rows(
    cloud: Cloud, alice: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says where it stopped, and goes on from there."""
    monkeypatch.setattr("batchyard.steps.view._SEARCHED_AT_MOST", 3)
    for number in range(7):
        batch = made(cloud, alice, number)
        if number != 1:
            Batches(cloud.table).finish(batch, Status.FAILED, NOW)
    pages, cursor = [], ""
    while cursor is not None:
        page = look(alice, "batches", status="active", cursor=cursor)
        pages.append([each["id"] for each in page["batches"]])
        assert page["searched"] <= 3
        cursor = page["next_cursor"]
    assert pages == [[], [batch_id(1)], []]
    assert len(look(alice, "batches", status="failed", limit=2)["batches"]) == 2


def test_a_list_of_batches_that_are_over_is_one_query(cloud: Cloud, alice: Customer) -> None:
    """Whoever leaves the page open costs next to nothing."""
    for number in range(5):
        Batches(cloud.table).finish(made(cloud, alice, number), Status.FAILED, NOW)
    look(alice, "batches")  # now the key is known
    calls: list[str] = []
    events = client("dynamodb").meta.events

    def note(**event: Any) -> None:
        calls.append(event["model"].name)

    events.register("before-call.dynamodb", note)
    try:
        look(alice, "batches")
    finally:
        events.unregister("before-call.dynamodb", note)
    assert sorted(calls) == ["Query", "UpdateItem"]  # the write counts the requests of the key


def test_what_runs_is_shown_as_it_is_flushed(cloud: Cloud, alice: Customer) -> None:
    """Counts, retries by reason, cost and lanes of a small batch do not wait for whole shards."""
    batch = running(cloud, alice, [[result(n) for n in range(4)], [result(4), result(5, Outcome.FAILED)], []])
    (shown,) = look(alice, "batches")["batches"]
    assert shown["counts"] == {"total": 12, "succeeded": 5, "failed": 1, "cancelled": 0, "expired": 0, "done": 6}
    assert shown["retries"] == {"throttled": 6}
    assert shown["cost_usd"] == "0.005000"
    (lane,) = shown["lanes"]
    assert (lane["provider"], lane["items"], lane["done"], lane["stage"]) == ("openai", 12, 6, "running")
    assert 0 < shown["items_per_second"] < 0.1
    assert shown["expected_end_at"] > NOW
    assert shown["waiting_for"] == []
    assert look(alice, f"batches/{batch.id}")["counts"] == shown["counts"]


def test_a_batch_has_its_life_as_a_timeline(cloud: Cloud, alice: Customer, mallory: Customer) -> None:
    """What happened, oldest first, with the deadline; and only its owner sees it, under any dialect's id."""
    batch = running(cloud, alice, [[result(n) for n in range(4)]])
    Batches(cloud.table).enter(batch, Status.CANCELLING, NOW - 3)
    shown = look(alice, f"batches/{batch.id}")
    assert [(each["at"], each["kind"]) for each in shown["timeline"]] == [
        (BEGUN - 5, "created"),
        (BEGUN, "validated"),
        (NOW - 3, "cancelling"),
        (NOW + 80_000, "deadline"),
    ]
    assert shown["metadata"] == {"name": HOSTILE}
    for spelling in ("bat_", "msgbatch_"):
        assert look(alice, f"batches/{batch.id.replace('batch_', spelling)}")["id"] == batch.id
    assert refused(mallory, f"batches/{batch.id}") == (404, "batch_not_found")
    for path in ("throughput", "items", "items/0"):
        assert refused(mallory, f"batches/{batch.id}/{path}")[0] == 404


def test_what_a_job_left_is_shown_on_both_lanes(cloud: Cloud, alice: Customer) -> None:
    """In a list of batches that are over, and on the batch's own page: what the job had done, and what realtime did of
    the rest, whence it came and why; and the end of the job in the batch's life."""
    batch = running(cloud, alice, [[result(n) for n in range(4)], [result(n) for n in range(4, 8)]])
    plan = batch.plan
    assert plan is not None
    moved = replace(plan, lanes=(LaneShards(LANE, 0, 1, 4), LaneShards(LANE, 1, 1, 4)))
    jobs, job = Jobs(cloud.table), JobRef(batch.ref, 0, 1)
    claim = jobs.claim(job, "executor", NOW - 50, NOW - 40)
    jobs.change(
        batch.id, claim, state=JobState.DONE, provider="openai", model=LANE.model, submitted_at=NOW - 50, reason="late",
        answered=3, ended_at=NOW - 20,
    )  # fmt: skip
    batches = Batches(cloud.table)
    batches.finish(batches.change_plan(batch, moved), Status.FAILED, NOW)
    (listed,) = look(alice, "batches")["batches"]
    shown = look(alice, f"batches/{batch.id}")
    for found in (listed, shown):
        members = ("mode", "moved_from", "reason", "items", "done")
        assert [tuple(each[name] for name in members) for each in found["lanes"]] == [
            ("native", None, None, 3, 3),
            ("realtime", "native", "late", 1, 1),
            ("realtime", None, None, 4, 4),
        ]  # fmt: skip
    (ended,) = [each for each in shown["timeline"] if each["kind"] == "job_ended"]
    assert (ended["at"], ended["lane"]["mode"], ended["detail"]) == (NOW - 20, "native", "3 of 4 items")


def test_an_item_says_who_answered_it(cloud: Cloud, alice: Customer) -> None:
    """Whatever lane its shard has by now; what an older version stored does not say, so that the plan counts."""
    batch = running(cloud, alice, [[], [result(n) for n in range(4, 8)]])
    native = Lane("openai", LANE.model, Mode.NATIVE)
    claim = Shards(cloud.table).claim(batch.id, 0, "executor", NOW, NOW + 60)
    key = part_key(batch.account_id, batch.id, 0, claim.version, 0)
    cloud.objects.put(key, encode_part(batch.id, [result(0)], native))
    Shards(cloud.table).flush(
        batch.id, claim, part_key=key, done=mark_done(b"", [0], PER_SHARD), tally=tally([result(0)]),
        lease_until=NOW + 60, settled=False, first_call_at=NOW - 7,
    )  # fmt: skip
    modes = {index: look(alice, f"batches/{batch.id}/items/{index}")["lane"]["mode"] for index in (0, 1, 4)}
    assert modes == {0: "native", 1: "realtime", 4: "realtime"}
    (first, _) = look(alice, f"batches/{batch.id}/throughput")["timeline"]
    assert (first["kind"], first["at"]) == ("first_call", NOW - 7)


def test_a_page_that_asks_again_gets_nothing_new(cloud: Cloud, alice: Customer) -> None:
    """304 by the tag of the last reply, until something changes."""
    batch = made(cloud, alice)
    url = f"/dashboard/api/batches/{batch.id}"
    tag = alice.http.get(url).headers["etag"]
    assert alice.http.get(url, headers={"if-none-match": tag}).status_code == 304
    Batches(cloud.table).finish(batch, Status.FAILED, NOW)
    assert alice.http.get(url, headers={"if-none-match": tag}).status_code == 200


def test_throughput_is_counted_when_shards_settle(cloud: Cloud, alice: Customer) -> None:
    """Each settled shard counts once, in the bucket of its second; what is not settled does not count yet."""
    failures = [result(n, Outcome.FAILED) for n in range(4, 8)]
    batch = running(cloud, alice, [[result(n) for n in range(4)], failures, [result(8)]])
    chart = look(alice, f"batches/{batch.id}/throughput")
    points = [point for point in chart["points"] if point["done"]]
    assert [(point["at"], point["done"], point["failed"]) for point in points] == [(BEGUN, 4, 0), (BEGUN + 10, 4, 4)]
    assert len(chart["points"]) <= 120
    assert chart["timeline"] == [{"at": BEGUN, "kind": "first_results", "lane": None, "reason": None, "detail": None}]


# Items.


def test_failed_items_page_by_page(cloud: Cloud, alice: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each once, with what the provider said, whatever the size of pages and the number of shards read at a time."""
    monkeypatch.setattr("batchyard.content.item_views._ROWS_AT_ONCE", 3)
    monkeypatch.setattr("batchyard.content.item_views._SHARDS_AT_ONCE", 1)
    every = [result(n, Outcome.SUCCEEDED if n % 3 else Outcome.FAILED) for n in range(28)]
    batch = running(cloud, alice, [*(every[n : n + 4] for n in range(0, 28, 4)), []])
    found, cursor, searched = [], "", 0
    while cursor is not None:
        page = look(alice, f"batches/{batch.id}/items", limit=2, cursor=cursor)
        found += page["items"]
        assert page["searched"] >= searched
        searched, cursor = page["searched"], page["next_cursor"]
    assert [item["index"] for item in found] == [n for n in range(28) if n % 3 == 0]
    assert (searched, page["total"]) == (32, 32)
    first = found[0]
    assert (first["custom_id"], first["outcome"], first["status_code"]) == (f"{HOSTILE}0", "failed", 400)
    assert first["error"] == {"code": "nope", "message": f"bad {HOSTILE}"}


def test_items_that_were_never_run_are_found_when_it_is_over(cloud: Cloud, alice: Customer) -> None:
    """While it runs they have no result; a cancelled batch gives them one, which says so."""
    batch = running(cloud, alice, [[result(0), failed(1, f"{HOSTILE}1", "request_timeout", "late")], []])
    assert [item["index"] for item in look(alice, f"batches/{batch.id}/items")["items"]] == [1]
    batches = Batches(cloud.table)
    cancelling = batches.enter(batch, Status.CANCELLING, NOW)
    for number in range(2):
        Shards(cloud.table).seal(batch.id, number, Ending.CANCELLED)
    batches.finish(cancelling, Status.CANCELLED, NOW)
    shown = look(alice, f"batches/{batch.id}/items")["items"]
    rest = [(n, "cancelled") for n in range(2, 8)]
    assert [(item["index"], item["outcome"]) for item in shown] == [(1, "failed"), *rest]
    assert shown[0]["error"] == {"code": "request_timeout", "message": "late"}
    cancelled = look(alice, f"batches/{batch.id}/items", outcome="cancelled")["items"]
    assert [item["index"] for item in cancelled] == list(range(2, 8))
    assert look(alice, f"batches/{batch.id}/items", outcome="succeeded")["items"][0]["index"] == 0


@pytest.mark.parametrize("window", [40, 10**6])
def test_a_custom_id_is_found_wherever_it_stands(
    cloud: Cloud, alice: Customer, monkeypatch: pytest.MonkeyPatch, window: int
) -> None:
    """In one look or in several, each of which reads a bounded part of the work file; with its result if there is
    one, and however hostile it is. One that is no item's ends with nothing."""
    monkeypatch.setattr("batchyard.content.item_views._WINDOW_BYTES", window)
    monkeypatch.setattr("batchyard.content.item_views._LONGEST_HEAD_BYTES", 80)
    monkeypatch.setattr("batchyard.content.item_views._WINDOWS_AT_ONCE", 2)
    batch = running(cloud, alice, [[result(n) for n in range(4)], [result(n, Outcome.FAILED) for n in range(4, 8)], []])

    def search(custom_id: str) -> list[tuple[int, str | None]]:
        cursor, found = "", []
        while cursor is not None:
            page = look(alice, f"batches/{batch.id}/items", custom_id=custom_id, cursor=cursor)
            found += [(item["index"], item["outcome"]) for item in page["items"]]
            cursor = page["next_cursor"]
        assert page["searched"] == 12
        return found

    assert search(f"{HOSTILE}0") == [(0, "succeeded")]
    assert search(f"{HOSTILE}7") == [(7, "failed")]
    assert search(f"{HOSTILE}11") == [(11, None)]
    assert search(f"{HOSTILE}1") == [(1, "succeeded")]
    assert search("nobody") == search(HOSTILE) == []


def test_an_item_has_its_request_beside_its_result(cloud: Cloud, alice: Customer) -> None:
    """Both as JSON texts; what has not run yet has no response; what is no item is a 404."""
    batch = running(cloud, alice, [[result(n) for n in range(4)], []])
    shown = look(alice, f"batches/{batch.id}/items/2")
    assert json.loads(shown["request"]) == {"n": 2}
    assert json.loads(shown["response"])["choices"][0]["message"]["content"] == HOSTILE
    assert (shown["outcome"], shown["response_bytes"]) == ("succeeded", len(shown["response"]))
    assert shown["lane"] == {"provider": "openai", "model": "gpt-4o-mini", "mode": "realtime"}
    waiting = look(alice, f"batches/{batch.id}/items/7")
    assert (json.loads(waiting["request"]), waiting["response"], waiting["outcome"]) == ({"n": 7}, None, None)
    assert refused(alice, f"batches/{batch.id}/items/8") == (404, "item_not_found")
    assert refused(alice, f"batches/{batch.id}/items/-1")[0] == 404


def test_a_copy_is_shown_with_what_its_original_was_answered(cloud: Cloud, alice: Customer) -> None:
    """By its own name and index, once its batch is over: it is in no shard."""
    batch = running(cloud, alice, [[result(n) for n in range(4)]])
    assert batch.plan is not None
    cloud.objects.put(copies_key(alice.account_id, batch.id, "run"), copy_line(Copy(4, "twin", 2)))
    batches = Batches(cloud.table)
    copied = batches.change_plan(batch, replace(batch.plan, items=5, copies=1))
    (found,) = look(alice, f"batches/{batch.id}/items", custom_id="twin")["items"]
    assert (found["index"], found["outcome"]) == (4, None)
    finalizing = batches.enter(copied, Status.FINALIZING, NOW)
    batches.finish(finalizing, Status.COMPLETED, NOW)
    (found,) = look(alice, f"batches/{batch.id}/items", custom_id="twin")["items"]
    assert (found["index"], found["outcome"]) == (4, "succeeded")
    twin, original = (look(alice, f"batches/{batch.id}/items/{n}") for n in (4, 2))
    assert twin["custom_id"] == "twin" and twin["response"] == original["response"]
    assert look(alice, f"batches/{batch.id}/items", custom_id="nobody")["items"] == []


def test_items_that_are_no_longer_kept_say_so(cloud: Cloud, alice: Customer) -> None:
    """Parts and work files are deleted after some days: the batch's files are what is left."""
    batch = running(cloud, alice, [[result(n) for n in range(4)]])
    cloud.objects.delete(work_key(alice.account_id, batch.id, "run"))
    cloud.objects.delete(manifest_key(alice.account_id, batch.id, "run"))
    for path in ("items", "items/0"):
        assert refused(alice, f"batches/{batch.id}/{path}") == (404, "results_expired")
    assert refused(alice, f"batches/{batch.id}/items", custom_id="a") == (404, "results_expired")
    assert look(alice, f"batches/{made(cloud, alice, 1).id}/items")["items"] == []


def test_wrong_queries_are_told(cloud: Cloud, alice: Customer) -> None:
    """400, and which parameter it was."""
    batch = made(cloud, alice)
    for path, query in (
        ("batches", {"limit": "0"}),
        ("batches", {"cursor": "nonsense"}),
        ("batches", {"status": "done"}),
        (f"batches/{batch.id}/items", {"cursor": "1.2"}),
        (f"batches/{batch.id}/items", {"outcome": "good"}),
        (f"batches/{batch.id}/items", {"custom_id": "x" * 3000}),
        ("usage", {"days": "367"}),
    ):
        assert refused(alice, path, **query) == (400, "invalid_value"), (path, query)


# Usage, files, operators.


def test_usage_counts_each_batch_that_ended_once(cloud: Cloud, alice: Customer, mallory: Customer) -> None:
    """By day and by model; a batch whose end was tried twice counts once; another account's is nobody's here."""
    batches = Batches(cloud.table)
    for number, owner in enumerate((alice, alice, mallory)):
        batch = running(cloud, owner, [[result(n) for n in range(4)]], number)
        finalizing = batches.enter(batch, Status.FINALIZING, NOW)
        counted = tally([result(n) for n in range(4)])
        batches.finish(finalizing, Status.COMPLETED, NOW, tally=counted)
        with pytest.raises(Exception, match="condition"):
            batches.finish(finalizing, Status.COMPLETED, NOW, tally=counted)
    batches.finish(made(cloud, alice, 9), Status.FAILED, NOW - 3 * 86_400)
    batches.finish(made(cloud, alice, 8), Status.FAILED, NOW - 40 * 86_400)
    usage = look(alice, "usage")
    assert [(day["batches"], day["succeeded"], day["cost_usd"]) for day in usage["days"]] == [
        (1, 0, "0.000000"),
        (2, 8, "0.008000"),
    ]
    assert [(each["model"], each["batches"]) for each in usage["models"]] == [("gpt-4o-mini", 2), (None, 1)]
    assert len(look(alice, "usage", days=1)["days"]) == 1


def test_a_download_is_a_link_for_its_owner(cloud: Cloud, alice: Customer, mallory: Customer) -> None:
    """It names the file as its owner did, and no header is needed to follow it."""
    file_id = "file-" + batch_id(1).removeprefix("batch_")
    Files(cloud.table).put(File(file_id, alice.account_id, 'a"b\u202e.jsonl', "batch", 3, 1, expires_at=NOW + 10_000))
    cloud.objects.put(file_key(alice.account_id, file_id), b"{}\n")
    link = look(alice, f"files/{file_id}/download")
    assert link["filename"] == 'a"b\u202e.jsonl' and link["bytes"] == 3
    assert link["url"].startswith("https://") and link["expires_at"] > NOW
    assert refused(mallory, f"files/{file_id}/download")[0] == 404


@pytest.mark.parametrize(
    ("path", "body", "headers"),
    [
        ("/v1/messages/batches", {"requests": [], "settings": {"concurrency": 3}}, {"anthropic-version": "2023-06-01"}),
        ("/v1/batches", {"metadata": {"name": "nightly"}}, {"idempotency-key": "0d9f2f3c-1111-4222-8333-4444"}),
        ("/api/v1/batches", {"metadata": {"name": "nightly"}, "settings": {"concurrency": 3}}, {}),
    ],
    ids=["anthropic", "batchrouter", "kushrouter"],
)
def test_what_the_page_sends_makes_a_batch_of_each_form(
    cloud: Cloud, alice: Customer, path: str, body: dict[str, Any], headers: dict[str, str]
) -> None:
    """Of a file that it has uploaded as any other, by what its form of lines asks for; shown under the id that it
    gets."""
    routed = b'{"customer_item_id":"a","model":"gpt-4o-mini","input":{"messages":[{"role":"user","content":"x"}]}}\n'
    sent = alice.http.post("/v1/files", data={"purpose": "batch"}, files={"file": ("lines.jsonl", routed)})
    body = body | {"input_file_id": sent.json()["id"]}
    if path == "/v1/batches":
        quote = alice.http.post("/v1/quotes/model", json={"input_file_id": body["input_file_id"]})
        body |= {"quote_id": quote.json()["quote_id"]}
    made = alice.http.post(path, json=body, headers=headers)
    assert made.status_code in (200, 201, 202), made.text
    reply = made.json()
    shown = look(alice, f"batches/{(reply.get('batch') or reply)['id']}")
    assert shown["surface"] == {"/v1/batches": "batchrouter", "/api/v1/batches": "kushrouter"}.get(path, "anthropic")


def test_who_has_signed_in(cloud: Cloud, alice: Customer) -> None:
    """The account, what may be sent, and that it is no operator's; a wrong key is a 401."""
    session = look(alice, "session")
    assert session["account"] == {"id": alice.account_id, "name": "alice", "weight": 1}
    assert (session["is_operator"], session["billing"], session["balance"]) == (False, "free", None)
    assert session["deployment"]["max_upload_part_bytes"] > 1_000_000
    assert session["deployment"]["dialects"]["kushrouter"]["max_line_bytes"] == 256 * 1024
    assert set(session["deployment"]["dialects"]) == {"openai", "anthropic", "batchrouter", "kushrouter"}
    reply = alice.http.get("/dashboard/api/session", headers={"authorization": "Bearer nonsense"})
    assert reply.status_code == 401


def test_only_operators_see_the_deployment(cloud: Cloud, alice: Customer, mallory: Customer) -> None:
    """A mark on the account, which the operator sets and takes back, opens the accounts and the lanes with the fair
    shares of those who use them. A native lane is shown as such, with the health of its provider key."""
    for path in ("operator/accounts", "operator/lanes"):
        assert refused(alice, path) == (403, "not_an_operator")
    asked = {"action": "set_operator", "account_id": alice.account_id, "is_operator": True}
    assert admin.handler(asked, Context()) == {"account_id": alice.account_id, "is_operator": True}
    running(cloud, mallory, [[]])
    now = time.time()
    report = WorkerReport(int(now), int(now), {"b1": mallory.account_id, "b2": alice.account_id}, int(now) + 60,
                          {mallory.account_id: 3})  # fmt: skip
    slot = slot_of(now) - 2
    counts = Counts(int(now), {slot: 25, slot + 1: 25}, {})
    Lanes(cloud.table).report(LaneId("openai", "gpt-4o-mini"), "w", report, counts, ())
    accounts = look(alice, "operator/accounts")
    assert [(each["name"], each["is_operator"], each["open_batches"]) for each in accounts["accounts"]] == [
        ("alice", True, 0),
        ("mallory", False, 1),
    ]
    lanes = look(alice, "operator/lanes")
    (lane,) = lanes["lanes"]
    assert (lane["provider"], lane["state"], lane["workers"], lane["batches"]) == ("openai", "closed", 1, 1)
    assert [(each["account_id"], each["share_percent"]) for each in lane["shares"]] == [
        (mallory.account_id, 75),
        (alice.account_id, 25),
    ]
    assert (lanes["batches"], lanes["is_complete"]) == (1, True)
    assert refused(mallory, "operator/lanes") == (403, "not_an_operator")
    with_native = running(cloud, mallory, [[], []], number=1)
    assert with_native.plan is not None
    entries = (LaneShards(replace(LANE, mode=Mode.NATIVE), 0, 1, 4), LaneShards(LANE, 1, 1, 4))
    Batches(cloud.table).change_plan(with_native, replace(with_native.plan, lanes=entries))
    Lanes(cloud.table).open(LaneId("openai", "gpt-4o-mini"), LaneHealth(LaneState.BLOCKED, "out_of_money", NOW), NOW)
    seen = {each["mode"]: each for each in look(alice, "operator/lanes")["lanes"]}
    native, realtime = seen["native"], seen["realtime"]
    assert (native["state"], native["batches"], native["workers"], native["calls_per_second"]) == ("blocked", 1, 0, 0)
    assert (realtime["state"], realtime["batches"], realtime["workers"]) == ("blocked", 2, 1)
    admin.handler(asked | {"is_operator": False}, Context())
    assert refused(alice, "operator/accounts") == (403, "not_an_operator")
    assert admin.handler(asked | {"is_operator": "yes"}, Context())["error"]["param"] == "is_operator"
