"""The dashboard's reads of 100,000 batches and of a batch of a million items: a look does not grow with them."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, cast

import orjson
import pytest

from batchyard.adapters.aws.lanes import Lanes
from batchyard.adapters.aws.stores import Stores
from batchyard.adapters.aws.table import Key, Table
from batchyard.core.batch_views import BatchesPage
from batchyard.core.batches import Batch, BatchRef, Status
from batchyard.core.json_types import Row
from batchyard.core.lanes import Lane
from batchyard.core.requests import ViewRequest
from batchyard.core.sharding import LaneShards, Plan
from batchyard.core.shards import ShardState, mark_done
from batchyard.core.usage import Tally
from batchyard.steps.explain import LaneLook
from batchyard.steps.view import throughput, view, view_page
from simulation.memory_objects import MemoryObjects
from simulation.memory_table import MemoryTable

ACCOUNT, NOW = "acct_1", 1_800_000_000
BATCHES, MILLION, PER_SHARD = 100_000, 1_000_000, 256
PAGE = 50
LANE = Lane("openai", "gpt-4o-mini")


class ReadRows(MemoryTable):
    """Notes each read with how many rows and bytes it brought. Rows are seeded without the writes of their lives."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: list[tuple[str, int, int]] = []
        self._names: dict[str, list[str]] = {}

    def seed(self, pk: str, rows: dict[str, Row]) -> None:
        self._rows[pk] = {sk: row | {"pk": pk, "sk": sk} for sk, row in rows.items()}
        self._names[pk] = sorted(rows)

    def get(self, key: Key, *, consistent: bool = False) -> Row | None:
        row = super().get(key, consistent=consistent)
        self.reads.append(("get", 1, _size(row or {})))
        return row

    def query(
        self,
        pk: str,
        *,
        prefix: str = "",
        after: str | None = None,
        limit: int | None = None,
        descending: bool = False,
        consistent: bool = False,
        where: tuple[str, str] | None = None,
    ) -> Iterator[Row]:
        assert where is None, "what DynamoDB leaves out it has read all the same"
        names = self._names.get(pk, [])
        names = names[bisect_left(names, prefix) : bisect_left(names, prefix + "\U0010ffff")]
        if after is not None:
            names = names[: bisect_left(names, after)] if descending else names[bisect_right(names, after) :]
        names = (names[::-1] if descending else names)[:limit]
        rows = [dict(self._rows[pk][name]) for name in names]
        self.reads.append(("query", len(rows), sum(map(_size, rows))))
        yield from rows

    @property
    def rows_read(self) -> int:
        return sum(rows for _, rows, _ in self.reads)


def _size(row: Row) -> int:
    return len(orjson.dumps(row, default=lambda value: str(value)))


def batch(number: int, status: Status = Status.COMPLETED, shards: int = 4) -> Batch:
    """Ids rise with their number, as those of batches do with time."""
    items = shards * PER_SHARD
    plan = Plan("run", items, shards, (LaneShards(LANE, 0, shards, items),), 4, False, None)
    made = Batch(
        f"batch_{number:06d}", ACCOUNT, "openai", "/v1/embeddings", "file-1", "24h", status, NOW - 500, NOW + 9_000
    )
    return replace(made, plan=plan, status_times={str(status): NOW - 300, "in_progress": NOW - 400}, model=LANE.model)


def stores_of(table: ReadRows) -> Stores:
    return Stores.of(cast(Table, table), cast(Any, MemoryObjects()))


@pytest.fixture(scope="module")
def many() -> ReadRows:
    """An account with 100,000 batches, of which every thousandth one runs."""
    table = ReadRows()
    over, running = batch(0).to_row(), batch(0, Status.IN_PROGRESS).to_row()
    table.seed(
        f"account#{ACCOUNT}",
        {
            f"batch#batch_{number:06d}": (over if number % 1_000 else running) | {"id": f"batch_{number:06d}"}
            for number in range(BATCHES)
        },
    )
    return table


def looked(table: ReadRows, after: int | None = None, statuses: frozenset[Status] | None = None) -> BatchesPage:
    table.reads.clear()
    stores = stores_of(table)
    wanted = ViewRequest(PAGE, None if after is None else f"batch_{after:06d}", statuses)
    return view_page(ACCOUNT, wanted, now=NOW, stores=stores, look=LaneLook(Lanes(cast(Table, table))))


@pytest.mark.parametrize("after", [None, 90_010, 310])
def test_a_page_of_100_000_batches_is_one_query_of_a_page(many: ReadRows, after: int | None) -> None:
    """The first one as one from their middle: the rows of a page and one more, and a few reads for one that runs."""
    page = looked(many, after)
    first = (BATCHES if after is None else after) - 1
    assert [view.batch.id for view in page.views] == [
        f"batch_{number:06d}" for number in range(first, first - PAGE, -1)
    ]
    running = sum(view.batch.status is Status.IN_PROGRESS for view in page.views)
    assert (many.reads[0][0], many.reads[0][1]) == ("query", PAGE + 1)
    assert len(many.reads) <= 1 + 6 * running and many.rows_read <= PAGE + 1 + 6 * running
    assert page.next_cursor == page.views[-1].batch.id


def test_a_filter_over_100_000_batches_reads_300_rows_a_look(many: ReadRows) -> None:
    """Whether it finds something or not, and says where it stopped; looks together find each batch once."""
    found: list[str] = []
    after: int | None = None
    for _ in range(12):
        page = looked(many, after, frozenset({Status.IN_PROGRESS}))
        assert many.reads[0][1] <= 301 and len(many.reads) <= 1 + 6 * len(page.views) and page.searched <= 300
        assert page.next_cursor is not None
        found += [view.batch.id for view in page.views]
        after = int(page.next_cursor.removeprefix("batch_"))
    assert after == BATCHES - 12 * 300
    assert found == ["batch_099000", "batch_098000", "batch_097000"]


@pytest.fixture(scope="module")
def million() -> ReadRows:
    """A batch of a million items that runs: half of its shards have settled."""
    table = ReadRows()
    shards = -(-MILLION // PER_SHARD)
    one = batch(1, Status.IN_PROGRESS, shards)
    table.seed(f"account#{ACCOUNT}", {f"batch#{one.id}": one.to_row()})
    done = mark_done(b"", list(range(PER_SHARD)), PER_SHARD)
    counted = Tally(succeeded=PER_SHARD, input_tokens=90_000, cost_picousd=10**9).to_row()
    settled: Row = {"state": str(ShardState.SETTLED), "owner": "worker-1", "version": 1, "done": done, **counted}
    rows: dict[str, Row] = {
        f"shard#{number:06d}": settled
        | {"number": number, "settled_at": NOW - 400 + number // 10, "first_call_at": NOW - 399}
        for number in range(shards // 2)
    }
    progress = one.plan.progress_rows if one.plan else 0
    for row in range(progress):
        taken = set(range(row, shards // 2, progress))
        rows[f"progress#{row:02d}"] = {"taken": taken, **Tally(succeeded=PER_SHARD * len(taken)).to_row()}
    table.seed(f"batch#{one.id}", rows)
    return table


def test_a_look_at_a_million_items_reads_no_shard(million: ReadRows) -> None:
    """What the page asks for every two seconds: the batch's row, its progress rows, those of its lanes, each once."""
    million.reads.clear()
    stores = stores_of(million)
    shown = view(BatchRef(ACCOUNT, "batch_000001"), now=NOW, stores=stores, look=LaneLook(Lanes(cast(Table, million))))
    assert shown.batch.tally.succeeded == -(-MILLION // PER_SHARD) // 2 * PER_SHARD
    assert [kind for kind, _, _ in million.reads] == ["get", "query", "get"] and million.rows_read <= 20
    assert sum(size for _, _, size in million.reads) < 100_000


def test_a_chart_of_a_million_items_reads_each_shard_once(million: ReadRows) -> None:
    """Two megabytes, every fifteen seconds at most, for 120 points at most, whatever the number of shards."""
    million.reads.clear()
    chart = throughput(BatchRef(ACCOUNT, "batch_000001"), now=NOW, stores=stores_of(million))
    shards = -(-MILLION // PER_SHARD)
    assert [rows for _, rows, _ in million.reads] == [1, shards // 2]
    assert sum(size for _, _, size in million.reads) < 2_000_000
    assert len(chart.done) <= 120 and sum(chart.done) == shards // 2 * PER_SHARD
