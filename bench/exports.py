"""An export of 500 MB, in every packing: seconds, processor seconds and peak memory of the deployed code.

    python -m bench.exports [--megabytes 500] [--answer-bytes 10000]

A folder stands in for S3, so that only the function's own work is measured. Each packing runs in a process of its own.
API Gateway waits 29 s; the function has one processor (1,769 MB) or a part of one.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import orjson

from batchyard.content.export import Spool, Target, pack
from batchyard.content.results import results
from batchyard.core.batches import Batch, Status
from batchyard.core.keys import manifest_key, part_key
from batchyard.core.lanes import Lane
from batchyard.core.parts import encode_part
from batchyard.core.requests import Packing, ResultWindow
from batchyard.core.results import Outcome, Result
from batchyard.core.sharding import LaneShards, Plan, Shard, manifest_record
from batchyard.core.shards import ShardRow, ShardState, mark_done
from batchyard.surfaces.registry import surface
from bench.folder import objects_in

REPOSITORY = Path(__file__).parents[1]
ACCOUNT, BATCH_ID = "acct_bench", "batch_01m7vzgc0060rk4csm6mv3ee1s"
SHARD_ITEMS = 256
_LETTERS = "etaoinshrdlucmfwypvbgkjqxz"


class Rows:
    """Stands for the shard rows: all settled, one part each."""

    def __init__(self, shards: int) -> None:
        self._shards = shards

    def rows(self, batch_id: str, first: int = 0, last: int | None = None) -> Iterator[ShardRow]:
        done = mark_done(b"", list(range(SHARD_ITEMS)), SHARD_ITEMS)
        for number in range(first, self._shards if last is None else last + 1):
            key = part_key(ACCOUNT, BATCH_ID, number, 1, 0)
            yield ShardRow(number, ShardState.SETTLED, 1, done=done, parts=(key,))


def prepare(folder: Path, items: int, answer_bytes: int) -> None:
    """Writes manifest and parts as Validate and the workers do."""
    objects = objects_in(folder)
    shards = [
        Shard(number, 0, 0, 1, min(SHARD_ITEMS, items - start), start)
        for number, start in enumerate(range(0, items, SHARD_ITEMS))
    ]
    objects.put(manifest_key(ACCOUNT, BATCH_ID, "run"), b"".join(map(manifest_record, shards)))
    for shard in shards:
        made = [_result(shard.first_index + n, answer_bytes) for n in range(shard.items)]
        objects.put(part_key(ACCOUNT, BATCH_ID, shard.number, 1, 0), encode_part(BATCH_ID, made))


@cache
def _text() -> str:
    """Four megabytes of made-up words, which compress about as well as text does."""
    dice = random.Random(1)
    words = ["".join(dice.choices(_LETTERS, range(26, 0, -1), k=dice.randint(2, 9))) for _ in range(5000)]
    return " ".join(dice.choices(words, k=700_000))


def _result(index: int, answer_bytes: int) -> Result:
    start = index * 7919 % 3_000_000
    text = _text()[start : start + answer_bytes]
    answer = {
        "id": f"chatcmpl-{index}",
        "object": "chat.completion",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {
            "prompt_tokens": 100,
            "completion_tokens": answer_bytes // 4,
            "total_tokens": 100 + answer_bytes // 4,
        },
    }
    return Result(index, f"item-{index}", Outcome.SUCCEEDED, 200, f"req_{index}", orjson.dumps(answer))


def export(folder: Path, items: int, packing: Packing) -> None:
    """Runs one export and prints what it took, as JSON."""
    shards = -(-items // SHARD_ITEMS)
    lanes = (LaneShards(Lane("openai", "gpt-4o-mini"), 0, shards, items),)
    plan = Plan("run", items, shards, lanes, 128, False, None)
    batch = Batch(
        BATCH_ID, ACCOUNT, "kushrouter", "/v1/chat/completions", "file-x", "24h", Status.COMPLETED, 1, 2, plan=plan
    )
    objects = objects_in(folder)
    rows = Rows(shards)
    form = surface("kushrouter").results
    assert form is not None
    before = _peak_bytes()
    started, processor = time.perf_counter(), time.process_time()
    with Spool(Target(f"exports/{packing}", "x"), 4_000_000, objects) as spool:
        found = results(batch, ResultWindow(), shards=rows, objects=objects)  # type: ignore[arg-type]
        pack(map(form.write, found), packing, "results.ndjson", spool)
    measured = {
        "packing": packing,
        "seconds": time.perf_counter() - started,
        "processor_seconds": time.process_time() - processor,
        "megabytes": spool.bytes_written / 1e6,
        "peak_megabytes": _peak_bytes() / 1e6,
        "growth_megabytes": (_peak_bytes() - before) / 1e6,
    }
    print(orjson.dumps(measured).decode())


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.exports", description=__doc__)
    parser.add_argument("--megabytes", type=int, default=500)
    parser.add_argument("--answer-bytes", type=int, default=10_000)
    parser.add_argument("--child", nargs=3, metavar=("FOLDER", "ITEMS", "PACKING"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        folder, items, packing = given.child
        export(Path(folder), int(items), Packing(packing))
        return 0
    items = given.megabytes * 1_000_000 // given.answer_bytes
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        prepare(Path(name), items, given.answer_bytes)
        environment = os.environ | {"PYTHONPATH": f"{REPOSITORY / 'functions'}{os.pathsep}{REPOSITORY}"}
        for packing in Packing:
            command = [sys.executable, "-m", "bench.exports", "--child", name, str(items), packing]
            done = subprocess.run(command, cwd=REPOSITORY, env=environment, check=True, stdout=subprocess.PIPE)
            run = orjson.loads(done.stdout)
            print(
                f"{run['packing']:6} {run['megabytes']:7.1f} MB out  {run['seconds']:5.1f} s  "
                f"{run['processor_seconds']:5.1f} processor s  {run['peak_megabytes']:5.0f} MB peak"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
