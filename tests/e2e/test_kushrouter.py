"""KushRouter's API: its documents' command lines, and a client that takes nothing but what they say."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import ConflictError, OpenAI

from local.cloud import LocalCloud
from local.options import realtime_only
from local.provider import SimulatedProvider, request_hash
from tests.customer import Customer, eventually, jsonl
from tests.kushrouter import (
    OPENAI,
    UNIFIED,
    Batch,
    BatchList,
    DeletedFile,
    File,
    FileList,
    KushRouter,
    Refused,
    Results,
    Row,
    Shell,
    line,
)

MODEL = "gpt-5-mini-2025-08-07"


@pytest.fixture
def kush(customer: Customer) -> Iterator[KushRouter]:
    client = KushRouter(customer.cloud.api_url, customer.api_key)
    with client.http:
        yield client


@pytest.fixture(scope="module")
def quick(simulator: SimulatedProvider) -> Iterator[LocalCloud]:
    """Small limits, small shards on several workers at once, and workers that notice soon when a batch is over."""
    environment = realtime_only() | {
        "SURFACE_LIMITS": json.dumps(
            {"kushrouter": {"max_batch_items": 200, "max_line_bytes": 400, "max_file_bytes": 60_000}}
        ),
        "SHARD_ITEMS": "4",
        "LEASE_SECONDS": "3",
        "FLUSH_SECONDS": "0.3",
        "work.DRAIN_SECONDS": "2",
        "fence.DRAIN_SECONDS": "6",
    }
    options = {"processes": 3, "wait_scale": 0.1, "preload": True}
    with LocalCloud(provider_url=simulator.url, environment=environment, **options) as cloud:
        yield cloud


@pytest.fixture
def tight(quick: LocalCloud) -> Iterator[KushRouter]:
    """A customer of the cloud with the small limits."""
    with Customer(quick, "tight") as customer:
        client = KushRouter(quick.api_url, customer.api_key)
        with client.http:
            yield client


def finished(kush: KushRouter, lines: list[dict[str, Any]], **options: Any) -> tuple[Batch, list[Row]]:
    batch = kush.create(input_file_id=kush.upload(jsonl(lines)).id, **options)
    batch = kush.wait(batch.id)
    return batch, kush.all_results(batch.id)


# The documents' command lines.


def test_the_command_lines_for_files(customer: Customer, tmp_path: Path) -> None:
    """Upload as a form and as JSON, list, metadata, content, delete: each as printed, each answer as shown."""
    curl = Shell(customer.cloud.api_url, customer.api_key, tmp_path)
    (tmp_path / "requests.jsonl").write_bytes(jsonl([line(1), line(2)]))
    uploaded = File.model_validate_json(
        curl(
            'curl -X POST "https://api.kushrouter.com/api/v1/files" \\\n'
            '  -H "Authorization: Bearer $API_KEY" \\\n'
            '  -F "file=@./requests.jsonl"'
        )
    )
    size = len((tmp_path / "requests.jsonl").read_bytes())
    assert (uploaded.filename, uploaded.purpose, uploaded.bytes) == ("requests.jsonl", "batch", size)
    typed = File.model_validate_json(
        curl(
            'curl -X POST "https://api.kushrouter.com/api/v1/files" \\\n'
            '  -H "Authorization: Bearer $API_KEY" \\\n'
            '  -H "Content-Type: application/json" \\\n'
            "  -d '{\n"
            '    "content": "{\\"model\\":\\"gpt-4o-mini\\",\\"messages\\":'
            '[{\\"role\\":\\"user\\",\\"content\\":\\"Hello\\"}]}\\n",\n'
            '    "filename": "requests.jsonl"\n'
            "  }'"
        )
    )
    assert typed.bytes == len('{"model":"gpt-4o-mini","messages":[{"role":"user","content":"Hello"}]}\n')
    listed = FileList.model_validate_json(
        curl('curl -X GET "https://api.kushrouter.com/api/v1/files" \\\n  -H "Authorization: Bearer $API_KEY"')
    )
    assert {file.id for file in listed.data} == {uploaded.id, typed.id} and not listed.has_more
    shown = curl(
        f'curl -X GET "https://api.kushrouter.com/api/v1/files/{uploaded.id}" \\\n  -H "Authorization: Bearer $API_KEY"'
    )
    assert File.model_validate_json(shown) == uploaded
    curl(
        f'curl -L -X GET "https://api.kushrouter.com/api/v1/files/{uploaded.id}/content" \\\n'
        '  -H "Authorization: Bearer $API_KEY" \\\n'
        "  -o file_123.jsonl"
    )
    assert (tmp_path / "file_123.jsonl").read_bytes() == (tmp_path / "requests.jsonl").read_bytes()
    deleted = curl(
        f'curl -X DELETE "https://api.kushrouter.com/api/v1/files/{uploaded.id}" \\\n'
        '  -H "Authorization: Bearer $API_KEY"'
    )
    assert DeletedFile.model_validate_json(deleted).id == uploaded.id


def test_the_command_lines_for_batches(customer: Customer, kush: KushRouter, tmp_path: Path) -> None:
    """Create from a file and inline, list, status, results, export, cancel: each as printed."""
    curl = Shell(customer.cloud.api_url, customer.api_key, tmp_path)
    file_id = kush.upload(jsonl([line(number, model=MODEL) for number in range(3)])).id
    made = Batch.model_validate_json(
        curl(
            'curl -X POST "https://api.kushrouter.com/api/openai/v1/batches" \\\n'
            '  -H "Authorization: Bearer $API_KEY" \\\n'
            '  -H "Content-Type: application/json" \\\n'
            "  -d '{\n"
            f'    "input_file_id": "{file_id}",\n'
            '    "metadata": { "label": "blog-drafts" },\n'
            '    "settings": { "concurrency": 4 }\n'
            "  }'"
        )
    )
    assert (made.input_file_id, made.metadata) == (file_id, {"label": "blog-drafts"})
    inline = Batch.model_validate_json(
        curl(
            'curl -X POST "https://api.kushrouter.com/api/openai/v1/batches" \\\n'
            '  -H "Authorization: Bearer $API_KEY" \\\n'
            '  -H "Content-Type: application/json" \\\n'
            "  -d '{\n"
            '    "requests": [\n'
            '      { "model": "gpt-5-mini-2025-08-07", "messages": [{"role":"user","content":"Say hi"}] }\n'
            "    ]\n"
            "  }'"
        )
    )
    listed = BatchList.model_validate_json(
        curl('curl -X GET "https://api.kushrouter.com/api/openai/v1/batches" \\\n  -H "Authorization: Bearer $API_KEY"')
    )
    assert {batch.id for batch in listed.data} == {made.id, inline.id}
    assert kush.wait(made.id).status == kush.wait(inline.id).status == "completed"
    shown = curl(
        f'curl -X GET "https://api.kushrouter.com/api/openai/v1/batches/{made.id}" \\\n'
        '  -H "Authorization: Bearer $API_KEY"'
    )
    assert Batch.model_validate_json(shown).request_counts.completed == 3
    page = Results.model_validate_json(
        curl(
            f'curl -X GET "https://api.kushrouter.com/api/openai/v1/batches/{made.id}/results?offset=0&limit=100" \\\n'
            '  -H "Authorization: Bearer $API_KEY"'
        )
    )
    assert (page.total, page.offset, page.limit, [row.index for row in page.results]) == (3, 0, 100, [0, 1, 2])
    curl(
        f'curl -X GET "https://api.kushrouter.com/api/openai/v1/batches/{made.id}'
        '/export?format=ndjson&gzip=true&offset=0&limit=1000" \\\n'
        '  -H "Authorization: Bearer $API_KEY" \\\n'
        "  -o batch-results.ndjson.gz"
    )
    unpacked = gzip.decompress((tmp_path / "batch-results.ndjson.gz").read_bytes())
    assert [Row.model_validate_json(row) for row in unpacked.splitlines()] == page.results
    slow = kush.create(requests=[line(100, "latency:60000", model=MODEL)])
    kush.wait(slow.id, frozenset({"processing"}))
    cancelled = curl(
        f'curl -X POST "https://api.kushrouter.com/api/openai/v1/batches/{slow.id}/cancel" \\\n'
        '  -H "Authorization: Bearer $API_KEY"'
    )
    assert Batch.model_validate_json(cancelled).id == slow.id


# What the documents say.


@pytest.mark.parametrize("family", [OPENAI, UNIFIED])
def test_a_batch_goes_all_the_way(customer: Customer, family: str, provider: SimulatedProvider) -> None:
    """Under both roots: each line is sent once and has its row, in order, under its own custom_id or none."""
    kush = KushRouter(customer.cloud.api_url, customer.api_key, family)
    lines = [line(number, "status:400" if number == 5 else None) for number in range(40)]
    for number in range(0, 40, 2):
        lines[number]["custom_id"] = f"mine-{number}"
    with kush.http:
        batch, rows = finished(kush, lines, metadata={"label": "blog", "nested": {"depth": 1.5, "tags": ["a", None]}})
        assert (batch.status, batch.request_counts.completed, batch.request_counts.failed) == ("completed", 39, 1)
        assert batch.metadata == {"label": "blog", "nested": {"depth": 1.5, "tags": ["a", None]}}
    assert [row.index for row in rows] == list(range(40))
    assert [row.custom_id for row in rows] == [each.get("custom_id") for each in lines]
    for row in rows:
        if row.index == 5:
            assert row.status == "failed" and row.result is None and row.error is not None
            assert (row.error.status, bool(row.error.message), bool(row.error.code)) == (400, True, True)
        else:
            assert row.status == "succeeded" and row.error is None and row.result is not None
            assert row.result["object"] == "chat.completion" and row.usage == row.result["usage"]
    served = provider.counts()
    for number in range(40):
        body = {name: value for name, value in lines[number].items() if name != "custom_id"}
        assert served[request_hash(body)].received == 1
    customer.check(customer.openai.batches.retrieve(batch.id), [{"custom_id": shown(row)} for row in rows])


def shown(row: Row) -> str:
    """The custom_id that the other surfaces show."""
    return row.custom_id or f"index:{row.index}"


def test_tools_formats_and_streams_are_stored_as_json(kush: KushRouter, provider: SimulatedProvider) -> None:
    """Tool calls, a JSON answer, and streamed answers as whole chat completions with their token counts."""
    tool = {
        "type": "function",
        "function": {
            "name": "get_weather",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        },
    }
    lines = [
        line(0, tools=[tool]),
        line(1, response_format={"type": "json_object"}),
        line(2, stream=True),
        line(3, stream=True, tools=[tool]),
        line(4, stream=True, stream_options={"include_usage": False}),
        line(5),
    ]
    batch, rows = finished(kush, lines)
    assert batch.status == "completed"
    choices = [row.result["choices"][0] for row in rows if row.result]
    assert len(choices) == 6
    for number in (0, 3):
        (call,) = choices[number]["message"]["tool_calls"]
        assert call["function"]["name"] == "get_weather" and set(json.loads(call["function"]["arguments"])) == {"city"}
    assert json.loads(choices[1]["message"]["content"])
    for row in rows:
        assert row.result is not None and row.usage is not None
        assert row.result["object"] == "chat.completion"
        assert row.usage["completion_tokens"] > 0
    plain, streamed = choices[5]["message"]["content"], choices[2]["message"]["content"]
    assert streamed and plain.startswith(streamed[:20])
    assert batch.usage["output_tokens"] == sum(row.usage["completion_tokens"] for row in rows if row.usage)
    assert provider.stats()["requests"] == 6


def test_lines_in_openais_form_are_taken_too(kush: KushRouter) -> None:
    """{"custom_id", "method", "url", "body"} says the same as a bare body."""
    wrapped = {"custom_id": "w", "method": "POST", "url": "/v1/chat/completions", "body": line(1)}
    _, rows = finished(kush, [wrapped, {"body": line(2)}, line(3)])
    assert [(row.status, row.custom_id) for row in rows] == [
        ("succeeded", "w"),
        ("succeeded", None),
        ("succeeded", None),
    ]


def test_inline_requests_become_an_input_file(kush: KushRouter) -> None:
    """The batch names a file of the account that holds the requests; the same idempotency key is the same batch."""
    wanted = [line(number) | {"custom_id": f"c{number}"} for number in range(4)]
    key = {"idempotency-key": "again"}
    first = Batch.model_validate_json(kush.ask("POST", "/batches", json={"requests": wanted}, headers=key).content)
    again = Batch.model_validate_json(kush.ask("POST", "/batches", json={"requests": wanted}, headers=key).content)
    assert again.id == first.id and again.input_file_id == first.input_file_id
    assert [file.id for file in kush.files().data] == [first.input_file_id]
    assert [json.loads(each) for each in kush.content(first.input_file_id).splitlines()] == wanted
    with pytest.raises(Refused) as caught:
        kush.ask("POST", "/batches", json={"requests": wanted[:1]}, headers=key)
    assert caught.value.status == 409
    assert kush.wait(first.id).request_counts.completed == 4
    assert [row.custom_id for row in kush.results(first.id).results] == ["c0", "c1", "c2", "c3"]


def test_results_can_be_read_while_the_batch_runs(kush: KushRouter) -> None:
    """What is done is there, in input order, before the batch is; the total is that of the input; then all is there."""
    slow = {7, 50, 99}
    lines = [line(number, "latency:25000" if number in slow else None) for number in range(100)]
    batch = kush.create(input_file_id=kush.upload(jsonl(lines)).id)

    def early() -> Results | None:
        page = kush.results(batch.id, offset=0, limit=100)
        return page if page.status == "processing" and len(page.results) >= 90 else None

    page = eventually(early, "results of a running batch")
    indexes = [row.index for row in page.results]
    assert page.total == 100
    assert indexes == sorted(indexes) and not slow & set(indexes)
    middle = kush.results(batch.id, offset=48, limit=4)
    assert [row.index for row in middle.results] == [48, 49, 51]
    rows = [Row.model_validate_json(row) for row in kush.export(batch.id).splitlines()]
    assert [row.index for row in rows][:7] == list(range(7))
    kush.wait(batch.id)
    assert [row.index for row in kush.all_results(batch.id, 33)] == list(range(100))


def test_pages_and_exports_of_mixed_lanes(kush: KushRouter) -> None:
    """Lanes interleave; any offset and limit, by page and in every packing, shows the same rows in input order."""
    models = ["gpt-4o-mini", "gpt-4o", "gpt-4.1-mini"]
    lines = [line(number, model=models[number % 3]) for number in range(300)]
    batch, rows = finished(kush, lines)
    assert [row.index for row in rows] == list(range(300))
    for row in rows:
        assert row.result is not None and row.result["model"] == models[row.index % 3]
    for offset, limit in ((0, 1), (95, 10), (299, 5), (300, 5), (123, 100)):
        page = kush.results(batch.id, offset=offset, limit=limit)
        assert (page.total, page.offset, page.limit) == (300, offset, limit)
        assert page.results == rows[offset : offset + limit]
        exported = kush.export(batch.id, offset=offset, limit=limit)
        assert [Row.model_validate_json(row) for row in exported.splitlines()] == rows[offset : offset + limit]
    plain = kush.export(batch.id)
    assert [Row.model_validate_json(row) for row in plain.splitlines()] == rows
    packed = kush.ask("GET", f"/batches/{batch.id}/export", params={"gzip": "true"})
    assert packed.headers["content-type"] == "application/gzip"
    assert gzip.decompress(packed.content) == plain
    archive = zipfile.ZipFile(io.BytesIO(kush.export(batch.id, format="zip")))
    assert archive.testzip() is None
    (name,) = archive.namelist()
    assert archive.read(name) == plain


def test_a_large_export_is_fetched_by_redirect(kush: KushRouter) -> None:
    """More than fits into a reply comes as an object; asking again leads to the same object; so with a page."""
    lines = [line(number, "output:4000") for number in range(400)]
    batch, rows = finished(kush, lines)
    first = kush.http.get(f"{OPENAI}/batches/{batch.id}/export", follow_redirects=False)
    again = kush.http.get(f"{OPENAI}/batches/{batch.id}/export", follow_redirects=False)
    assert first.status_code == again.status_code == 302
    assert first.headers["location"].split("?")[0] == again.headers["location"].split("?")[0]
    exported = kush.export(batch.id)
    assert len(exported) > 4_000_000
    assert [Row.model_validate_json(row) for row in exported.splitlines()] == rows
    pages = [
        kush.http.get(f"{OPENAI}/batches/{batch.id}/results", params={"limit": limit}, follow_redirects=False)
        for limit in (1000, 1000, 999)
    ]
    assert [page.status_code for page in pages] == [302, 302, 302]
    places = [page.headers["location"].split("?")[0] for page in pages]
    assert places[0] == places[1] != places[2]
    assert kush.results(batch.id, limit=1000).results == rows


def test_results_outlive_the_parts(kush: KushRouter, customer: Customer) -> None:
    """The bucket deletes work files and parts after some days; pages and exports show the same rows as before."""
    batch, rows = finished(kush, [line(n, "status:400" if n % 7 == 3 else None) for n in range(40)])
    exported = kush.export(batch.id, offset=5)
    s3, bucket = customer.cloud.client("s3"), customer.cloud.data_bucket
    for prefix in ("work", "parts"):
        for found in s3.list_objects_v2(Bucket=bucket, Prefix=f"{prefix}/{customer.account_id}/")["Contents"]:
            s3.delete_object(Bucket=bucket, Key=found["Key"])
    assert kush.all_results(batch.id, 15) == rows
    assert kush.export(batch.id, offset=5) == exported
    assert batch.error_file_id is not None
    kush.delete(batch.error_file_id)
    with pytest.raises(Refused) as caught:
        kush.results(batch.id)
    assert (caught.value.status, caught.value.detail.code) == (404, "results_expired")


def test_deleted_means_gone(kush: KushRouter, customer: Customer) -> None:
    """Once input, output and error file are deleted, nothing of the batch is shown or stored but its row."""
    batch, _ = finished(kush, [line(n, "status:400" if n % 7 == 3 else None) for n in range(40)])
    kush.export(batch.id)
    for file_id in (batch.input_file_id, batch.output_file_id, batch.error_file_id):
        assert file_id is not None
        kush.delete(file_id)
    for show in (kush.results, kush.export):
        with pytest.raises(Refused) as caught:
            show(batch.id)
        assert (caught.value.status, caught.value.detail.code) == (404, "results_expired")
    s3, bucket = customer.cloud.client("s3"), customer.cloud.data_bucket
    for prefix in ("files", "work", "parts", "exports"):
        assert s3.list_objects_v2(Bucket=bucket, Prefix=f"{prefix}/{customer.account_id}/").get("Contents", []) == []
    assert kush.batch(batch.id).status == batch.status


def test_cancelled_items_have_rows(tight: KushRouter) -> None:
    """What was done stays; the rest failed as cancelled; every index is there once."""
    kush = tight
    lines = [line(number, "latency:60000" if number >= 10 else None) for number in range(30)]
    batch = kush.create(input_file_id=kush.upload(jsonl(lines)).id)
    eventually(lambda: len(kush.results(batch.id).results) >= 10, "ten results")
    assert kush.cancel(batch.id).status in ("processing", "cancelled")
    batch = kush.wait(batch.id)
    assert batch.status == "cancelled"
    rows = kush.all_results(batch.id)
    assert [row.index for row in rows] == list(range(30))
    assert {row.status for row in rows[:10]} == {"succeeded"}
    codes = {row.error.code for row in rows[10:] if row.error}
    assert codes == {"batch_cancelled"}
    assert (batch.request_counts.completed, batch.request_counts.failed) == (10, 20)


def test_a_bad_line_fails_the_batch_with_its_number(kush: KushRouter, provider: SimulatedProvider) -> None:
    """Nothing runs; each bad line is named."""
    content = jsonl([line(1), {"model": "gpt-4o-mini"}]) + b"{broken\n" + jsonl([line(4, model="no-such-model")])
    batch = kush.wait(kush.create(input_file_id=kush.upload(content).id).id)
    assert batch.status == "failed" and batch.errors is not None
    assert [(error.line, error.code) for error in batch.errors.data] == [
        (2, "missing_required_parameter"),
        (3, "invalid_json_line"),
        (4, "model_not_found"),
    ]
    page = kush.results(batch.id)
    assert (page.status, page.total, page.results) == ("failed", 0, [])
    assert provider.stats()["requests"] == 0


# Deleting a file.


@pytest.mark.parametrize(("made_on", "deleted_on"), [(OPENAI, UNIFIED), (UNIFIED, OPENAI)])
def test_deleting_its_file_ends_a_running_batch(quick: LocalCloud, made_on: str, deleted_on: str) -> None:
    """It fails with an error that names the file, and keeps what it has; its results can be read. Across the twins."""
    lines = [line(number, "latency:60000" if number >= 10 else None) for number in range(20)]
    with Customer(quick, "deleter") as customer:
        made, deleted = (KushRouter(quick.api_url, customer.api_key, family) for family in (made_on, deleted_on))
        batch = made.create(input_file_id=made.upload(jsonl(lines)).id)
        eventually(lambda: len(made.results(batch.id).results) >= 10, "ten results")
        deleted.delete(batch.input_file_id)
        marked = made.batch(batch.id)
        assert marked.errors is not None and marked.errors.data[0].code == "input_file_deleted"
        batch = made.wait(batch.id)
        assert batch.status == "failed" and batch.errors is not None
        (error,) = batch.errors.data
        assert batch.input_file_id in error.message
        assert (batch.request_counts.completed, batch.request_counts.failed) == (10, 10)
        rows = made.all_results(batch.id)
        assert [row.status for row in rows] == ["succeeded"] * 10 + ["failed"] * 10
        assert {row.error.code for row in rows[10:] if row.error} == {"batch_failed"}
        assert batch.output_file_id is not None and len(made.content(batch.output_file_id).splitlines()) == 10
        made.http.close()
        deleted.http.close()


def test_deleting_the_file_of_a_finished_batch_changes_nothing(kush: KushRouter) -> None:
    """It stays completed and keeps its outputs."""
    batch, rows = finished(kush, [line(number) for number in range(3)])
    kush.delete(batch.input_file_id)
    assert kush.batch(batch.id) == batch
    assert kush.all_results(batch.id) == rows


def test_deleting_the_file_of_a_new_batch_fails_it(kush: KushRouter) -> None:
    """At whatever point of its creation the file goes, the batch ends as failed and says why."""
    batches = []
    for number in range(4):
        batch = kush.create(input_file_id=kush.upload(jsonl([line(number, "latency:60000")])).id)
        kush.delete(batch.input_file_id)
        batches.append(batch)
    for batch in batches:
        ended = kush.wait(batch.id)
        assert ended.status == "failed" and ended.errors is not None
        assert ended.errors.data[0].code in ("input_file_deleted", "file_not_found")
        assert batch.input_file_id in ended.errors.data[0].message
    with pytest.raises(Refused) as caught:
        kush.create(input_file_id=batches[0].input_file_id)
    assert caught.value.status == 404


def test_openais_deletion_lets_batches_run(customer: Customer) -> None:
    """The rule is this surface's: a file deleted through /v1/files ends nothing."""
    batch = customer.submit([{"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": line(1)}])
    customer.wait(batch.id, frozenset({"in_progress", "finalizing", "completed"}))
    customer.openai.files.delete(batch.input_file_id)
    assert customer.wait(batch.id).status == "completed"


# The ceiling on calls in flight.


@pytest.mark.parametrize("concurrency", [1, 3])
def test_concurrency_is_a_ceiling(kush: KushRouter, provider: SimulatedProvider, concurrency: int) -> None:
    """No more calls of the batch are at the provider at once, and as many are; a batch without it has more."""
    lines = [line(n, "latency:40", metadata={"tag": "held"}) for n in range(40 if concurrency == 1 else 100)]
    free = [line(1000 + n, "latency:200", metadata={"tag": "free"}) for n in range(40)]
    held = kush.create(input_file_id=kush.upload(jsonl(lines)).id, settings={"concurrency": concurrency})
    finished(kush, free)
    assert kush.wait(held.id).request_counts.completed == len(lines)
    most = provider.stats()["max_in_flight_by_tag"]
    assert most["tag:held"] == concurrency
    assert most["tag:free"] > 3


def test_the_ceiling_holds_across_workers(quick: LocalCloud, tight: KushRouter, provider: SimulatedProvider) -> None:
    """Shards of four, of two lanes, on three workers, two at a time for eight calls: never more than eight, though
    every message comes twice and a worker is killed in the middle."""
    models = ["gpt-4o-mini", "gpt-4o"]
    lines = [line(n, "latency:150", model=models[n % 2], metadata={"tag": "wide"}) for n in range(160)]
    quick.deliver(duplicate=True, redelivery_seconds=1.0)
    try:
        batch = tight.create(input_file_id=tight.upload(jsonl(lines)).id, settings={"concurrency": 8})
        eventually(lambda: provider.stats()["requests"] >= 60, "sixty calls")
        workers = {process["pid"] for process in quick.processes("work")}
        quick.kill("work")
        assert tight.wait(batch.id).request_counts.completed == len(lines)
    finally:
        quick.deliver(duplicate=False, redelivery_seconds=None)
    assert len(workers) > 1
    assert provider.stats()["max_in_flight_by_tag"]["tag:wide"] == 8
    assert [row.index for row in tight.all_results(batch.id)] == list(range(160))


# Errors and the wall between accounts.


def test_both_ways_to_send_a_key(customer: Customer, kush: KushRouter) -> None:
    """Authorization: Bearer and x-api-key are the same; none and a wrong one are 401."""
    del kush.http.headers["authorization"]
    with pytest.raises(Refused) as caught:
        kush.files()
    assert caught.value.status == 401 and caught.value.detail.code == "missing_api_key"
    kush.http.headers["x-api-key"] = "wrong"
    with pytest.raises(Refused) as caught:
        kush.files()
    assert caught.value.status == 401
    kush.http.headers["x-api-key"] = customer.api_key
    assert kush.files().data == []
    assert kush.batches().data == []


def test_openais_client_works_on_this_root(customer: Customer) -> None:
    """The official SDK with this base address: files, batches, lists and cancel, with KushRouter's statuses."""
    sdk = OpenAI(base_url=f"{customer.cloud.api_url}{OPENAI}", api_key=customer.api_key, max_retries=0)
    with sdk:
        file = sdk.files.create(file=("in.jsonl", jsonl([line(1), line(2)])), purpose="batch")
        made = sdk.batches.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h", metadata={"a": "b"}
        )
        assert str(made.status) == "queued"
        batch = eventually(
            lambda: (found := sdk.batches.retrieve(made.id)).status == "completed" and found, "the batch's end"
        )
        assert batch.output_file_id is not None
        assert len(sdk.files.content(batch.output_file_id).read().splitlines()) == 2
        assert [each.id for each in sdk.batches.list(limit=1)] == [made.id]
        assert {each.id for each in sdk.files.list()} >= {file.id, batch.output_file_id}
        with pytest.raises(ConflictError):
            sdk.batches.cancel(made.id)
        assert sdk.files.delete(file.id).deleted


def test_accounts_do_not_see_each_other(kush: KushRouter, stranger: Customer) -> None:
    """A stranger has no such file, no such batch, no such results and no such export."""
    batch, _ = finished(kush, [line(1)])
    other = KushRouter(stranger.cloud.api_url, stranger.api_key)
    with other.http:
        for ask in (other.batch, other.cancel, other.results, other.export):
            with pytest.raises(Refused) as caught:
                ask(batch.id)
            assert caught.value.status == 404
        for look in (other.file, other.content, other.delete):
            with pytest.raises(Refused) as caught:
                look(batch.input_file_id)
            assert caught.value.status == 404
        assert (other.files().data, other.batches().data) == ([], [])
    assert kush.batch(batch.id) == batch


def test_lists_come_in_pages(kush: KushRouter) -> None:
    """has_more is true until the last page; `after` goes on behind an object; newest first."""
    files = [kush.upload(jsonl([line(number)])).id for number in range(3)]
    first = kush.files(limit=2)
    assert ([file.id for file in first.data], first.has_more) == ([files[2], files[1]], True)
    rest = kush.files(limit=2, after=files[1])
    assert ([file.id for file in rest.data], rest.has_more) == ([files[0]], False)
    batches = [kush.create(requests=[line(number)]).id for number in range(3)]
    page = kush.batches(limit=2)
    assert ([batch.id for batch in page.data], page.has_more) == ([batches[2], batches[1]], True)
    assert [batch.id for batch in kush.batches(after=batches[1]).data] == [batches[0]]


# Limits, each as a setting.


def test_limits_of_inline_requests_are_checked_at_once(tight: KushRouter) -> None:
    """Too many items, too long a line, too much in all: each its own error, none makes a batch."""
    long = line(1, user="x" * 400)
    wide = [line(number, user="x" * 290) for number in range(170)]
    for wanted, status, code in (
        ([line(number) for number in range(201)], 400, "too_many_tasks"),
        ([line(0), long], 413, "line_too_long"),
        (wide, 413, "batch_too_large"),
    ):
        with pytest.raises(Refused) as caught:
            tight.create(requests=wanted)
        assert (caught.value.status, caught.value.detail.code) == (status, code)
    with pytest.raises(Refused) as caught:
        tight.upload_text("x" * 60_001)
    assert (caught.value.status, caught.value.detail.code) == (413, "file_too_large")
    assert tight.batches().data == [] and tight.files().data == []


@pytest.mark.parametrize("megabytes", [5, 11])
def test_what_no_request_can_carry_is_refused_with_the_way_in(kush: KushRouter, megabytes: int) -> None:
    """A 413 in this surface's shape, whoever refuses; the presigned address takes the file, a batch runs from it."""
    with pytest.raises(Refused) as caught:
        kush.upload(b"x" * megabytes * 1_000_000)
    assert (caught.value.status, caught.value.detail.status) == (413, 413)
    assert "presigned" in caught.value.detail.message
    ticket = kush.ask("POST", "/files/presigned", json={"filename": "large.jsonl"}).json()
    content = jsonl([line(number, user="x" * 100_000) for number in range(megabytes * 10)])
    assert len(content) > megabytes * 1_000_000
    assert httpx.request(ticket["method"], ticket["url"], content=content).status_code == 200
    file = File.model_validate(ticket["file"])
    assert kush.file(file.id).bytes == len(content)
    ended = kush.wait(kush.create(input_file_id=file.id).id)
    assert (ended.status, ended.request_counts.completed) == ("completed", megabytes * 10)


def test_limits_of_files_fail_the_batch(tight: KushRouter) -> None:
    """The failed batch reports too many lines, and a line that is too long by its number."""
    batch = tight.create(input_file_id=tight.upload(jsonl([line(number) for number in range(201)])).id)
    ended = tight.wait(batch.id)
    assert ended.errors is not None and (ended.status, ended.errors.data[0].code) == ("failed", "too_many_tasks")
    batch = tight.create(input_file_id=tight.upload(jsonl([line(0), line(1, user="x" * 400)])).id)
    ended = tight.wait(batch.id)
    assert ended.errors is not None
    assert [(error.code, error.line) for error in ended.errors.data] == [("line_too_long", 2)]


def test_another_surface_keeps_its_own_limits(quick: LocalCloud) -> None:
    """What is too much here is nothing on /v1."""
    with Customer(quick, "wide") as customer:
        lines = [
            {"custom_id": f"i{n}", "method": "POST", "url": "/v1/chat/completions", "body": line(n, user="x" * 400)}
            for n in range(8)
        ]
        batch, checked = customer.run(lines)
        assert (batch.status, checked.succeeded) == ("completed", 8)


def test_no_grant_was_missing(cloud: LocalCloud, quick: LocalCloud) -> None:
    """Every function could do what it tried, with its own role."""
    assert cloud.denials() == quick.denials() == []
