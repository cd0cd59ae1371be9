"""KushRouter's API through the handlers: events, files, allowances, and what a deleted file does to its batches."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.client import BaseClient

from batchyard import settings
from batchyard.adapters.aws.accounts import Accounts
from batchyard.adapters.aws.batches import Batches
from batchyard.adapters.aws.files import Files
from batchyard.adapters.aws.shards import Shards
from batchyard.adapters.aws.stores import Stores
from batchyard.adapters.aws.windows import Windows
from batchyard.adapters.aws.workflow import Workflow
from batchyard.core.accounts import Account, ApiKey, key_hash
from batchyard.core.batches import Batch, BatchRef, Ending, Status
from batchyard.core.errors import ConditionFailed, NotFound, RateLimited
from batchyard.core.files import File, FileRef
from batchyard.core.items import LineError
from batchyard.core.keys import file_key, manifest_key, part_key
from batchyard.core.lanes import Lane
from batchyard.core.parts import encode_part
from batchyard.core.results import Outcome, Result
from batchyard.core.sharding import LaneShards, Plan, Shard, manifest_record
from batchyard.core.shards import mark_done
from batchyard.core.usage import Tally
from batchyard.steps.admit import Admission
from batchyard.steps.delete import delete
from batchyard.steps.dispatch import dispatch
from batchyard.steps.finalize import finalize
from batchyard.steps.sweep import SweepLimits, sweep
from batchyard.surfaces.registry import ROUTES
from tests.api.api import Cloud, Customer
from tests.api.gateway import EVENTS, Gateway, call, event
from tests.kushrouter import OPENAI, UNIFIED, KushRouter, RateError, Refused, line
from tests.steps.running import sent_jobs

KUSH = sorted(path.stem for path in (EVENTS / "kushrouter").glob("*.json"))
RESULTS = ["list_results", "export_results"]
PLAN = Plan("run", 2, 1, (LaneShards(Lane("openai", "gpt-4o-mini"), 0, 1, 2),), 128, False, None)
FAR = 4_000_000_000
DELETED = "input_file_deleted"


@pytest.fixture
def kush(alice: Customer) -> Iterator[KushRouter]:
    client = KushRouter(f"https://{Gateway.HOST}", alice.key, transport=Gateway())
    with client.http:
        yield client


@pytest.fixture
def woken(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """(token, ending) of each execution that was woken."""
    wakes: list[tuple[str, str]] = []
    monkeypatch.setattr(Workflow, "wake", lambda self, token, ending: wakes.append((token, ending)))
    return wakes


@pytest.fixture
def one_call_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """moto copies its tables for a transaction, which breaks when another thread writes meanwhile."""
    lock, make_call = threading.RLock(), BaseClient._make_api_call

    def make_call_alone(*arguments: Any, **options: Any) -> Any:
        with lock:
            return make_call(*arguments, **options)

    monkeypatch.setattr(BaseClient, "_make_api_call", make_call_alone)


def limited(monkeypatch: pytest.MonkeyPatch, **limits: int) -> None:
    monkeypatch.setenv("SURFACE_LIMITS", json.dumps({"kushrouter": limits}))
    settings.load.cache_clear()


def row(cloud: Cloud, alice: Customer, batch_id: str) -> Batch:
    found = Batches(cloud.table).get(BatchRef(alice.account_id, batch_id), consistent=True)
    assert found is not None
    return found


# Events.


@pytest.fixture
def seeded(cloud: Cloud) -> None:
    """The account, key, file and batch that the events name."""
    key = event("api/list_files")["headers"]["Authorization"].removeprefix("Bearer ")
    file_id = event("kushrouter/retrieve_file")["pathParameters"]["file_id"]
    batch_id = event("kushrouter/retrieve_batch")["pathParameters"]["batch_id"]
    Accounts(cloud.table).create(
        Account("acct_e", "team", 1), ApiKey("key_e", "acct_e", "default", "aesi", 1), key_hash(key)
    )
    Files(cloud.table).put(File(file_id, "acct_e", "requests.jsonl", "batch", 5, 1, expires_at=FAR))
    cloud.objects.put(file_key("acct_e", file_id), b"12345")
    Batches(cloud.table).create(
        Batch(batch_id, "acct_e", "kushrouter", "/v1/chat/completions", file_id, "24h", Status.VALIDATING, 1, FAR)
    )


@pytest.mark.parametrize("name", [f"kushrouter/{name}" for name in KUSH] + [f"api/{name}" for name in RESULTS])
def test_each_event_goes_through_its_handler(seeded: None, name: str) -> None:
    """200 from the function that its route names, under either root, with the allowance in the headers."""
    proxy_event = event(name)
    for family in (UNIFIED, OPENAI):
        resource = family + proxy_event["resource"].removeprefix(OPENAI).removeprefix(UNIFIED)
        (route,) = [each for each in ROUTES if (each.method, each.path) == (proxy_event["httpMethod"], resource)]
        if family == OPENAI and route.operation == "delete_file":
            continue  # it is gone
        answer = call(route.function, proxy_event | {"resource": resource})
        assert answer["statusCode"] == 200, answer["body"]
        assert int(answer["headers"]["x-ratelimit-remaining"]) < int(answer["headers"]["x-ratelimit-limit"])


def test_every_route_has_an_event() -> None:
    """Each operation of the surface is in one of the two folders, and the two roots have the same operations."""
    routes = [route for route in ROUTES if route.surface == "kushrouter"]
    operations = {route.operation for route in routes}
    assert operations == {name.removesuffix("_inline").removesuffix("_json") for name in KUSH} | set(RESULTS)
    roots = [
        {
            (route.method, route.path.removeprefix(root), route.operation)
            for route in routes
            if route.path.startswith(root)
        }
        for root in (UNIFIED + "/", OPENAI + "/")
    ]
    assert roots[0] == roots[1]


# Files.


@pytest.mark.parametrize("family", [OPENAI, UNIFIED])
def test_a_file_comes_back_as_it_went_in(kush: KushRouter, family: str) -> None:
    """As a form and as JSON; both roots show the same files."""
    content = json.dumps(line(1), ensure_ascii=False) + "\nä\u2028\n"
    form = kush.upload(content.encode())
    text = kush.upload_text(content, "other.jsonl")
    kush.family = family
    assert form.bytes == text.bytes == len(content.encode())
    assert (form.filename, text.filename, text.purpose) == ("requests.jsonl", "other.jsonl", "batch")
    assert [file.id for file in kush.files().data] == [text.id, form.id]
    assert kush.file(form.id) == form and kush.content(text.id) == content.encode()
    kush.delete(form.id)
    with pytest.raises(Refused) as caught:
        kush.file(form.id)
    assert caught.value.status == 404


def test_supporting_documents_are_taken(kush: KushRouter) -> None:
    """Files of any name; what is no JSONL fails the batch that is made from it, not its upload."""
    document = kush.upload(b"%PDF-1.7", "brief.pdf")
    assert (document.filename, document.purpose) == ("brief.pdf", "batch")
    assert kush.create(input_file_id=kush.upload(b"{}", "requests.txt").id).status == "queued"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"filename": "a.jsonl"}, "content"),
        ({"content": 5}, "content"),
        ({"content": ""}, "file"),
        ({"content": "x", "name": "y"}, "name"),
        ({"content": "x", "filename": ""}, "filename"),
        ({"content": "x", "filename": "a\n.jsonl"}, "filename"),
        ({"content": "x", "purpose": "fine-tune"}, "purpose"),
        ([], None),
    ],
)
def test_a_bad_upload_is_explained(kush: KushRouter, body: Any, param: str | None) -> None:
    """400 with the parameter."""
    with pytest.raises(Refused) as caught:
        kush.ask("POST", "/files", json=body)
    assert (caught.value.status, caught.value.detail.param) == (400, param)


def test_a_bad_form_is_explained(kush: KushRouter) -> None:
    """No file, an unknown field, and a body that is neither form nor JSON."""
    for options, status in (
        ({"files": {"data": ("a", b"x")}}, 400),
        ({"files": {"file": ("a", b"x")}, "data": {"speed": "1"}}, 400),
        ({"content": b"x", "headers": {"content-type": "text/plain"}}, 415),
        ({"content": b"{", "headers": {"content-type": "application/json"}}, 400),
    ):
        with pytest.raises(Refused) as caught:
            kush.ask("POST", "/files", **options)
        assert caught.value.status == status and caught.value.detail.message


def test_a_file_name_is_only_a_name(kush: KushRouter) -> None:
    """Folders are taken off, whichever way the slashes lean."""
    assert kush.upload_text("{}", "../../etc/passwd").filename == "passwd"
    assert kush.upload_text("{}", "C:\\tmp\\in.jsonl").filename == "in.jsonl"


# Batches.


def test_a_file_must_be_there(kush: KushRouter) -> None:
    """An unknown file is a 404 that names the parameter."""
    with pytest.raises(Refused) as caught:
        kush.create(input_file_id="file-" + "0" * 26)
    assert (caught.value.status, caught.value.detail.param) == (404, "input_file_id")


def test_a_batch_that_is_over_cannot_be_cancelled(cloud: Cloud, alice: Customer, kush: KushRouter) -> None:
    """409 in this surface's shape."""
    made = kush.create(requests=[line(1)])
    Batches(cloud.table).finish(row(cloud, alice, made.id), Status.FAILED, 9)
    with pytest.raises(Refused) as caught:
        kush.cancel(made.id)
    assert (caught.value.status, caught.value.detail.status) == (409, 409)


@pytest.mark.usefixtures("one_call_at_a_time")
def test_concurrent_creates_with_one_key_are_one_batch(cloud: Cloud, kush: KushRouter) -> None:
    """One batch and one input file; what the others wrote is removed."""
    wanted = {"requests": [line(1), line(2)]}

    def create(_: int) -> str:
        reply = kush.ask("POST", "/batches", json=wanted, headers={"idempotency-key": "k"})
        made: str = reply.json()["id"]
        return made

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(create, range(4)))) == 1
    (file,) = kush.files().data
    stored = cloud.objects._client.list_objects_v2(Bucket=cloud.objects.bucket, Prefix="files/")["Contents"]
    assert [each["Key"].rpartition("/")[2] for each in stored] == [file.id]


def test_a_batch_of_another_surface_can_be_read(alice: Customer, kush: KushRouter) -> None:
    """Both ways, each in its own words; metadata that is more than texts is JSON on /v1."""
    file_id = kush.upload(json.dumps(line(1)).encode()).id
    theirs = alice.openai.batches.create(
        input_file_id=file_id, endpoint="/v1/chat/completions", completion_window="24h", metadata={"a": "b"}
    )
    assert (kush.batch(theirs.id).status, kush.batch(theirs.id).metadata) == ("queued", {"a": "b"})
    ours = kush.create(requests=[line(1)], metadata={"a": {"b": 1.5}})
    seen = alice.openai.batches.retrieve(ours.id)
    assert (seen.status, seen.metadata) == ("validating", {"a": '{"b":1.5}'})


# The allowance of a key.


def test_a_key_is_held_to_its_allowance(kush: KushRouter, alice: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Headers count down; then a 429 with the documented text and Retry-After; other surfaces do not count."""
    limited(monkeypatch, requests_per_minute=3)
    monkeypatch.setattr(time, "time", lambda: 1_800_000_015.0)
    for remaining in (2, 1, 0):
        headers = kush.ask("GET", "/files").headers
        assert (headers["x-ratelimit-limit"], headers["x-ratelimit-remaining"]) == ("3", str(remaining))
        assert headers["x-ratelimit-reset"] == "1800000060"
    for _ in range(2):
        with pytest.raises(Refused) as caught:
            kush.batches()
        RateError.model_validate(caught.value.body)
        assert caught.value.status == 429
        assert caught.value.headers["retry-after"] == "45"
        assert caught.value.headers["x-ratelimit-remaining"] == "0"
    assert alice.openai.files.list().data == []
    monkeypatch.setattr(time, "time", lambda: 1_800_000_060.0)
    assert kush.ask("GET", "/files").headers["x-ratelimit-remaining"] == "2"


def test_errors_tell_the_allowance_too(kush: KushRouter) -> None:
    """A 404 counts, and says what is left; a 401 does not."""
    with pytest.raises(Refused) as caught:
        kush.batch("batch_" + "0" * 26)
    assert caught.value.status == 404 and "x-ratelimit-remaining" in caught.value.headers
    kush.http.headers["authorization"] = "Bearer nobody"
    with pytest.raises(Refused) as caught:
        kush.files()
    assert caught.value.status == 401 and "x-ratelimit-remaining" not in caught.value.headers


def test_no_limit_is_no_row_and_no_header(cloud: Cloud, kush: KushRouter, monkeypatch: pytest.MonkeyPatch) -> None:
    """0 turns it off, and costs nothing."""
    limited(monkeypatch, requests_per_minute=0)
    assert "x-ratelimit-limit" not in kush.ask("GET", "/files").headers
    scanned = cloud.table._client.scan(TableName=cloud.table._name)["Items"]
    assert not [each for each in scanned if each["pk"]["S"].startswith("window#")]


@pytest.mark.usefixtures("one_call_at_a_time")
def test_an_allowance_holds_across_processes(cloud: Cloud) -> None:
    """Many at once, each with a memory of its own: exactly the limit gets through."""

    def ask(_: int) -> bool:
        try:
            Admission(Windows(cloud.table)).admit("k", limit=10, now=1_800_000_000)
        except RateLimited:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(ask, range(40))) == 10


def test_a_key_that_is_out_costs_no_writes(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until its minute ends the process remembers; another key has its own allowance."""
    windows = Windows(cloud.table)
    admission = Admission(windows)
    admission.admit("k", limit=1, now=60)
    asked: list[str] = []
    count = windows.count
    monkeypatch.setattr(windows, "count", lambda what, *rest, **more: asked.append(what) or count(what, *rest, **more))
    for _ in range(3):
        with pytest.raises(RateLimited):
            admission.admit("k", limit=1, now=70)
    assert asked == ["k"]
    assert admission.admit("other", limit=1, now=70).remaining == 0
    assert admission.admit("k", limit=1, now=120).resets_at == 180


def test_the_table_never_sees_the_key(cloud: Cloud, alice: Customer, kush: KushRouter) -> None:
    """The counter row is named by the key's digest and expires."""
    kush.files()
    scanned = cloud.table._client.scan(TableName=cloud.table._name)["Items"]
    rows = [each for each in scanned if each["pk"]["S"].startswith("window#")]
    assert rows and alice.key not in json.dumps(rows)
    assert all(int(each["ttl"]["N"]) > time.time() for each in rows)


# A deleted file ends its batches.


def test_a_new_batch_ends_at_once(cloud: Cloud, alice: Customer, kush: KushRouter) -> None:
    """Nothing has run, so it is failed before the deletion answers; validation that comes later cannot revive it."""
    made = kush.create(requests=[line(1)])
    stale = row(cloud, alice, made.id)
    kush.delete(made.input_file_id)
    ended = kush.batch(made.id)
    assert ended.status == "failed" and ended.errors is not None
    assert (ended.errors.data[0].code, ended.errors.data[0].param) == (DELETED, "input_file_id")
    assert made.input_file_id in ended.errors.data[0].message
    with pytest.raises(ConditionFailed):
        Batches(cloud.table).set_plan(stale, PLAN, None, 5)
    assert Batches(cloud.table).open.oldest() == []


def test_a_running_batch_is_marked_and_woken(
    cloud: Cloud, alice: Customer, kush: KushRouter, woken: list[tuple[str, str]]
) -> None:
    """Its execution goes on with the ending failed; until then the batch is processing and says why it will fail."""
    made = kush.create(requests=[line(1)])
    batches = Batches(cloud.table)
    batches.set_task_token(batches.set_plan(row(cloud, alice, made.id), PLAN, None, 5), "token")
    kush.delete(made.input_file_id)
    assert woken == [("token", "failed")]
    marked = kush.batch(made.id)
    assert marked.status == "processing" and marked.errors is not None and marked.errors.data[0].code == DELETED


def test_a_batch_on_its_way_to_dispatch_is_stopped_there(
    cloud: Cloud, alice: Customer, kush: KushRouter, woken: list[tuple[str, str]]
) -> None:
    """Marked before it had a token: Dispatch sends nothing and ends the wait itself."""
    made = kush.create(requests=[line(1)])
    batches = Batches(cloud.table)
    batches.set_plan(row(cloud, alice, made.id), PLAN, None, 5)
    kush.delete(made.input_file_id)
    assert woken == []
    unused: Any = None
    sent = dispatch(
        BatchRef(alice.account_id, made.id),
        "token",
        stores=Stores.of(cloud.table, unused),
        queues=unused,
        job_starter=sent_jobs(),
        workflow=Workflow(unused, ""),
    )
    assert sent == 0 and woken == [("token", "failed")]


def test_a_marked_batch_ends_as_failed_whatever_woke_it(cloud: Cloud, alice: Customer, kush: KushRouter) -> None:
    """Also if its last shard settled at the same moment, or if Finalize was running when the file was deleted."""
    batches, shards = Batches(cloud.table), Shards(cloud.table)

    def settled() -> str:
        """A batch with all its results."""
        made = kush.create(requests=[line(1), line(2)])
        batches.set_plan(row(cloud, alice, made.id), PLAN, None, 5)
        results = [Result(n, f"index:{n}", Outcome.SUCCEEDED, 200, "r", b"{}") for n in range(2)]
        key = part_key(alice.account_id, made.id, 0, 1, 0)
        cloud.objects.put(key, encode_part(made.id, results))
        cloud.objects.put(manifest_key(alice.account_id, made.id, "run"), manifest_record(Shard(0, 0, 0, 9, 2, 0)))
        claim = shards.claim(made.id, 0, "me", 10, 20)
        tally = Tally(succeeded=2)
        shards.flush(
            made.id, claim, part_key=key, done=mark_done(b"", [0, 1], 2), tally=tally, lease_until=20, settled=True
        )
        return made.id

    def end(batch_id: str, clock: Callable[[], int]) -> Batch:
        return finalize(
            BatchRef(alice.account_id, batch_id),
            Ending.COMPLETED,
            clock=clock,
            stores=Stores.of(cloud.table, cloud.objects),
        )

    before = settled()
    kush.delete(kush.batch(before).input_file_id)
    ended = end(before, lambda: 99)
    assert (ended.status, ended.errors[0].code, ended.tally.succeeded) == (Status.FAILED, DELETED, 2)
    assert ended.output_file_id is not None

    during = settled()
    times = iter(range(100, 200))

    def clock() -> int:
        """Time passes; when it is read for the second time, the file is deleted."""
        now = next(times)
        if now == 101:
            kush.delete(kush.batch(during).input_file_id)
        return now

    ended = end(during, clock)
    assert (ended.status, ended.errors[0].code) == (Status.FAILED, DELETED)
    kept = {file.id for file in kush.files(limit=100).data}
    assert {ended.output_file_id} <= kept
    assert len(kush.results(during).results) == 2
    stored = cloud.objects._client.list_objects_v2(Bucket=cloud.objects.bucket, Prefix="files/")["Contents"]
    assert {each["Key"].rpartition("/")[2] for each in stored} == kept, "a run that was overtaken leaves no bytes"


def test_a_deletion_that_died_can_be_repeated(cloud: Cloud, alice: Customer, kush: KushRouter) -> None:
    """The file's row is gone, its batches live: asking again is a 404, and ends them."""
    made = kush.create(requests=[line(1)])
    Files(cloud.table).delete(FileRef(alice.account_id, made.input_file_id))
    with pytest.raises(Refused) as caught:
        kush.delete(made.input_file_id)
    assert caught.value.status == 404
    assert kush.batch(made.id).status == "failed"


def test_sweep_wakes_what_a_deletion_did_not(
    cloud: Cloud, alice: Customer, kush: KushRouter, woken: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A deletion that died between the mark and the wake-up leaves no batch waiting until its deadline."""
    made = kush.create(requests=[line(1)])
    monkeypatch.setattr(Workflow, "running", lambda self: frozenset({made.id}))
    batches = Batches(cloud.table)
    batch = batches.set_task_token(batches.set_plan(row(cloud, alice, made.id), PLAN, None, 5), "token")
    batches.doom(batch, (LineError(DELETED, "gone"),))
    limits = SweepLimits(grace_seconds=0, max_executions=5)
    found = sweep(
        now=FAR,
        limits=limits,
        batches=batches,
        workflow=Workflow(None, ""),
        recover=lambda batch: [],
        has_time=lambda: True,
    )
    list(found)
    assert woken == [("token", "failed")]


def test_a_cancelled_batch_stays_cancelled(cloud: Cloud, alice: Customer, kush: KushRouter) -> None:
    """Who cancelled first has decided; the file's end changes nothing."""
    made = kush.create(requests=[line(1)])
    kush.cancel(made.id)
    kush.delete(made.input_file_id)
    assert row(cloud, alice, made.id).errors == ()
    ended = Batches(cloud.table).finish(row(cloud, alice, made.id), Status.CANCELLED, 9)
    assert ended.status is Status.CANCELLED


@pytest.mark.usefixtures("one_call_at_a_time")
def test_all_batches_of_a_file_end_and_no_other(cloud: Cloud, alice: Customer, kush: KushRouter) -> None:
    """Twenty batches of one file fail; one of another file goes on; one that was over keeps its end."""
    file_id, other_id = (kush.upload(json.dumps(line(n)).encode()).id for n in range(2))
    over = kush.create(input_file_id=file_id).id
    batches = Batches(cloud.table)
    batches.finish(row(cloud, alice, over), Status.EXPIRED, 9)
    ended = [kush.create(input_file_id=file_id).id for _ in range(20)]
    other = kush.create(input_file_id=other_id).id
    assert set(batches.made_from(FileRef(alice.account_id, file_id))) == set(ended)
    kush.delete(file_id)
    assert {kush.batch(batch_id).status for batch_id in ended} == {"failed"}
    assert (kush.batch(other).status, kush.batch(over).status) == ("queued", "expired")
    assert batches.made_from(FileRef(alice.account_id, file_id)) == []


def test_a_deletion_may_let_batches_run(cloud: Cloud, alice: Customer, kush: KushRouter) -> None:
    """If the surface that deletes has no such rule, nothing is marked."""
    made = kush.create(requests=[line(1)])
    delete(
        FileRef(alice.account_id, made.input_file_id),
        now=1,
        stores=Stores.of(cloud.table, cloud.objects),
        workflow=Workflow(None, ""),
        end_batches=False,
    )
    assert kush.batch(made.id).status == "queued"
    with pytest.raises(NotFound):
        delete(
            FileRef(alice.account_id, made.input_file_id),
            now=1,
            stores=Stores.of(cloud.table, cloud.objects),
            workflow=Workflow(None, ""),
            end_batches=False,
        )
