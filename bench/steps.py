"""Validate and Finalize alone, in MB/s: the deployed code on a large batch, with a folder in the place of S3 and moto's
DynamoDB in the process (Validate makes four calls to it, Finalize one for every few hundred shards).

    python -m bench.steps validate|answer|finalize FOLDER ITEMS

Each step runs in a process of its own, so that its peak memory is its own. `answer` takes the place of the workers
between the two.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import boto3
import orjson
from moto import mock_aws

from batchyard.adapters import catalogue
from batchyard.adapters.aws.batches import Batches
from batchyard.adapters.aws.files import Files
from batchyard.adapters.aws.objects import Objects
from batchyard.adapters.aws.stores import Stores
from batchyard.adapters.aws.table import Key, Table
from batchyard.content.reading import Checks, InputLimits
from batchyard.core.batches import Batch, Ending, Status
from batchyard.core.files import File
from batchyard.core.items import read_work_lines
from batchyard.core.keys import file_key, manifest_key, part_key, work_key
from batchyard.core.parts import encode_part
from batchyard.core.results import Outcome, Result, tally
from batchyard.core.routing import eligible
from batchyard.core.sharding import Plan, read_manifest
from batchyard.core.shards import mark_done
from batchyard.core.usage import Usage
from batchyard.settings import ValidateSettings
from batchyard.steps.finalize import finalize
from batchyard.steps.validate import validate
from batchyard.surfaces.registry import surface
from batchyard.surfaces.surface import LineContext
from bench import items
from bench.folder import objects_in
from local.provider.answers.content import count_tokens
from local.provider.answers.openai import chat_completion
from local.provider.faults import NO_WISHES
from local.provider.ledger import hash_request
from local.table import create_table

REPOSITORY = Path(__file__).parents[1]
ACCOUNT, BATCH_ID, FILE_ID, NOW = "acct_bench", "batch_01m7vzgc0060rk4csm6mv3ee1s", "file-bench", 1_800_000_000


@dataclass(frozen=True, slots=True)
class StepRun:
    """`bytes`: of the input for Validate, of both files for Finalize. `growth_bytes`: peak memory above the start's."""

    step: str
    items: int
    bytes: int
    seconds: float
    growth_bytes: int

    @property
    def megabytes_per_second(self) -> float:
        return self.bytes / self.seconds / 1e6


def measure(folder: Path, count: int) -> list[StepRun]:
    """Both steps, on a batch of `count` items in `folder`, which must be empty."""
    source = folder / file_key(ACCOUNT, FILE_ID)
    source.parent.mkdir(parents=True)
    items.write(source, count)
    return [run for step in ("validate", "answer", "finalize") if (run := _in_a_process(step, folder, count))]


def _in_a_process(step: str, folder: Path, count: int) -> StepRun | None:
    command = [sys.executable, "-m", "bench.steps", step, str(folder), str(count)]
    environment = os.environ | {"PYTHONPATH": f"{REPOSITORY / 'functions'}{os.pathsep}{REPOSITORY}"}
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, check=True, stdout=subprocess.PIPE)
    return StepRun(**orjson.loads(done.stdout)) if step != "answer" else None


def run_validate(folder: Path, count: int) -> StepRun:
    objects, source = _objects(folder), folder / file_key(ACCOUNT, FILE_ID)
    size = source.stat().st_size
    settings = ValidateSettings(table_name="bench", data_bucket="bench")
    limits = InputLimits(
        max_items=count,
        max_file_bytes=size,
        max_line_bytes=settings.max_line_bytes,
        max_line_errors=settings.max_line_errors,
        shard_items=settings.shard_items,
        shard_bytes=settings.shard_bytes,
        dispatch_stride=settings.dispatch_stride,
    )
    listed = catalogue.load()
    with _table() as table:
        Batches(table).create(_batch())
        Files(table).put(File(FILE_ID, ACCOUNT, "bench.jsonl", "batch", size, NOW))

        def step() -> Batch:
            return validate(
                _batch().ref,
                run="bench",
                clock=lambda: NOW,
                checks=Checks(
                    limits=lambda name: limits,
                    parser=lambda name, endpoint: partial(surface(name).parse_line, context=LineContext(endpoint, 512)),
                    route=lambda model, provider, endpoint, rules: eligible(model, provider, listed, endpoint, rules),
                ),
                stores=Stores.of(table, objects),
            )

        batch, seconds, growth = _timed(step)
    if batch.plan is None:
        raise RuntimeError(f"validation failed: {batch.errors}")
    (folder / "plan.json").write_bytes(orjson.dumps(batch.plan.to_row()))
    return StepRun("validate", count, size, seconds, growth)


def run_answers(folder: Path) -> None:
    """Writes every shard's part, and the shard rows beside them."""
    objects, plan = _objects(folder), _plan(folder)
    rows = []
    for shard in read_manifest(objects.get(manifest_key(ACCOUNT, BATCH_ID, plan.run))):
        work = read_work_lines(objects.get(work_key(ACCOUNT, BATCH_ID, plan.run), shard.offset, shard.length))
        results = [_answered(item.index, item.custom_id, item.body) for item in work]
        part = part_key(ACCOUNT, BATCH_ID, shard.number, 1, 1)
        objects.put(part, encode_part(BATCH_ID, results))
        done = mark_done(b"", list(range(shard.items)), shard.items)
        row = {"number": shard.number, "state": "settled", "version": 1, "done": done.hex(), "parts": [part]}
        rows.append(row | tally(results).to_row())
    (folder / "rows.json").write_bytes(orjson.dumps(rows))


def run_finalize(folder: Path, count: int) -> StepRun:
    objects = _objects(folder)
    with _table() as table:
        batches = Batches(table)
        batches.create(_batch())
        batches.set_plan(_batch(), _plan(folder), items.MODEL, NOW)
        for row in orjson.loads((folder / "rows.json").read_bytes()):
            key = Key(f"batch#{BATCH_ID}", f"shard#{row['number']:06d}")
            table.put(key, row | {"done": bytes.fromhex(row["done"])})
        batch, seconds, growth = _timed(
            lambda: finalize(_batch().ref, Ending.COMPLETED, clock=lambda: NOW, stores=Stores.of(table, objects))
        )
    if batch.status is not Status.COMPLETED or batch.tally.succeeded != count:
        raise RuntimeError(f"finalize ended {batch.status} with {batch.tally}")
    written = (folder / file_key(ACCOUNT, batch.output_file_id or "")).stat().st_size
    return StepRun("finalize", count, written, seconds, growth)


def _answered(index: int, custom_id: str, body: bytes) -> Result:
    parsed = orjson.loads(body)
    request = hash_request(parsed)
    tokens = count_tokens(parsed, len(body), request, NO_WISHES)
    answer = chat_completion(parsed, tokens, request, NOW)
    usage = Usage(tokens.prompt, tokens.cached, tokens.output, tokens.reasoning)
    return Result(index, custom_id, Outcome.SUCCEEDED, 200, f"req_{request.hex()}", answer, usage=usage)


def _timed(step: Callable[[], Batch]) -> tuple[Batch, float, int]:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    batch = step()
    seconds = time.perf_counter() - started
    return batch, seconds, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024


def _batch() -> Batch:
    return Batch(
        id=BATCH_ID,
        account_id=ACCOUNT,
        surface="openai",
        endpoint=items.ENDPOINT,
        input_file_id=FILE_ID,
        completion_window="24h",
        status=Status.VALIDATING,
        created_at=NOW,
        expires_at=NOW + 86_400,
    )


def _plan(folder: Path) -> Plan:
    return Plan.from_row(orjson.loads((folder / "plan.json").read_bytes()))


def _objects(folder: Path) -> Objects:
    return objects_in(folder)


@contextmanager
def _table() -> Iterator[Table]:
    with mock_aws():
        session = boto3.session.Session("bench", "bench", region_name="us-east-1")
        yield create_table(session.client("dynamodb"), "bench")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.steps")
    parser.add_argument("step", choices=("validate", "answer", "finalize"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("items", type=int)
    given = parser.parse_args()
    match given.step:
        case "validate":
            print(orjson.dumps(run_validate(given.folder, given.items)).decode())
        case "answer":
            run_answers(given.folder)
        case "finalize":
            print(orjson.dumps(run_finalize(given.folder, given.items)).decode())


if __name__ == "__main__":
    main()
