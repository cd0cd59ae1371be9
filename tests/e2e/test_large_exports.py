"""Exports that no function could hold: made in flat memory, within the API's 29 s, fetched by redirect."""

from __future__ import annotations

import gzip
import json
import random
import zlib
from collections.abc import Iterator

import httpx
import pytest

from batchyard.adapters.aws.batches import Batches
from batchyard.adapters.aws.objects import Objects
from batchyard.adapters.aws.shards import Shards
from batchyard.adapters.aws.table import Table
from batchyard.core.batches import Batch, Status
from batchyard.core.ids import derive_id
from batchyard.core.keys import manifest_key, part_key
from batchyard.core.lanes import Lane
from batchyard.core.parts import encode_part
from batchyard.core.results import Outcome, Result, tally
from batchyard.core.sharding import LaneShards, Plan, Shard, manifest_record
from batchyard.core.shards import mark_done
from local.cloud import LocalCloud
from tests.customer import Customer
from tests.kushrouter import OPENAI

MEGABYTES = 60
SHARD_ITEMS = 256
ANSWER_BYTES = 10_000
MEMORY_BYTES = 512 * 1024 * 1024
FAR = 4_000_000_000


def finished_batch(customer: Customer, items: int) -> str:
    """A batch of `items` results of 10 kB each, stored as workers and Finalize would have stored them."""
    cloud = customer.cloud
    table = Table(cloud.client("dynamodb"), cloud.table_name)
    objects = Objects(cloud.client("s3"), cloud.data_bucket)
    batch_id = derive_id("batch_", "batch_01m7vzgc0060rk4csm6mv3ee1s", customer.account_id)
    batches, shards = Batches(table), Shards(table)
    count = -(-items // SHARD_ITEMS)
    batch = Batch(
        batch_id, customer.account_id, "kushrouter", "/v1/chat/completions", "file-x", "24h", Status.VALIDATING, 1, FAR
    )
    batches.create(batch)
    plan = Plan("run", items, count, (LaneShards(Lane("openai", "m"), 0, count, items),), 128, False, None)
    batch = batches.set_plan(batch, plan, "m", 2)
    records = []
    for number in range(count):
        first = number * SHARD_ITEMS
        shard = Shard(number, 0, 0, 1, min(SHARD_ITEMS, items - first), first)
        records.append(manifest_record(shard))
        results = [answer(index) for index in range(first, first + shard.items)]
        key = part_key(customer.account_id, batch_id, number, 1, 0)
        objects.put(key, encode_part(batch_id, results))
        shards.flush(
            batch_id,
            shards.claim(batch_id, number, "worker", 10, 20),
            part_key=key,
            done=mark_done(b"", list(range(shard.items)), shard.items),
            tally=tally(results),
            lease_until=20,
            settled=True,
        )
    objects.put(manifest_key(customer.account_id, batch_id, "run"), b"".join(records))
    batches.finish(batches.enter(batch, Status.FINALIZING, 3), Status.COMPLETED, 4)
    return batch_id


def answer(index: int) -> Result:
    text = random.Random(index).randbytes(ANSWER_BYTES // 2).hex()
    body = {"choices": [{"message": {"role": "assistant", "content": text}}], "usage": {"total_tokens": index}}
    return Result(index, f"item-{index}", Outcome.SUCCEEDED, 200, "r", json.dumps(body).encode())


def unzipped(chunks: Iterator[bytes]) -> Iterator[bytes]:
    inflater = zlib.decompressobj(31)
    for chunk in chunks:
        yield inflater.decompress(chunk)


@pytest.mark.parametrize("packing", ["plain", "gzip"])
def test_a_large_export_takes_little_memory(customer: Customer, cloud: LocalCloud, packing: str) -> None:
    """The first request is redirected in time; the file has every row once, in order; no process grew past 512 MB."""
    items = MEGABYTES * 1_000_000 // ANSWER_BYTES
    batch_id = finished_batch(customer, items)
    url = f"{cloud.api_url}{OPENAI}/batches/{batch_id}/export"
    headers = {"x-api-key": customer.api_key}
    reply = httpx.get(url, params={"gzip": str(packing == "gzip").lower()}, headers=headers, timeout=300)
    assert reply.status_code == 302, reply.text
    expected = 0
    rest = b""
    with httpx.stream("GET", reply.headers["location"]) as download:
        assert download.status_code == 200
        chunks = download.iter_bytes()
        for chunk in unzipped(chunks) if packing == "gzip" else chunks:
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                assert line.startswith(b'{"index":%d,"status":"succeeded"' % expected)
                expected += 1
    assert (expected, rest) == (items, b"")
    peaks = {process["function"]: process["peak_rss_bytes"] for process in cloud.processes("results")}
    assert peaks and all(peak < MEMORY_BYTES for peak in peaks.values()), peaks
    page = httpx.get(f"{url[:-7]}/results", params={"offset": items - 2, "limit": 5}, headers=headers, timeout=300)
    assert [row["index"] for row in page.json()["results"]] == [items - 2, items - 1]
    packed = httpx.get(url, params={"gzip": "true", "offset": 5, "limit": 2}, headers=headers, timeout=300)
    assert len(gzip.decompress(packed.content).splitlines()) == 2
