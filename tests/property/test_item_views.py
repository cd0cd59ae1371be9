"""Looking for items in batches of any size: what one look reads is bounded, and looks together find exactly what is
there."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from batchyard.content import item_views
from batchyard.content.item_views import Items, ItemsPage
from batchyard.core.batches import Batch, Ending, Status
from batchyard.core.items import Item, work_line
from batchyard.core.keys import manifest_key, part_key, work_key
from batchyard.core.lanes import Lane
from batchyard.core.parts import encode_part
from batchyard.core.requests import ItemsCursor, ItemsRequest
from batchyard.core.results import Outcome, Result, failed, tally
from batchyard.core.sharding import LaneShards, Plan, Shard, manifest_record
from batchyard.core.shards import ShardRow, ShardState, mark_done
from simulation.memory_objects import MemoryObjects
from tests.memory import MemoryShards

ACCOUNT, BATCH, RUN = "acct_1", "batch_1", "run"
UNSUCCESSFUL = frozenset(Outcome) - {Outcome.SUCCEEDED}
MILLION, PER_SHARD = 1_000_000, 256


@dataclass
class MeteredObjects(MemoryObjects):
    """Notes how many bytes were read, in how many reads."""

    reads: list[int] = field(default_factory=list)

    def get(
        self, key: str, start: int | None = None, length: int | None = None, *, version_id: str | None = None
    ) -> bytes:
        data = super().get(key, start, length, version_id=version_id)
        self.reads.append(len(data))
        return data


@dataclass
class MeteredShards(MemoryShards):
    read: int = 0

    def rows(self, batch_id: str, first: int = 0, last: int | None = None):  # type: ignore[no-untyped-def]
        for row in super().rows(batch_id, first, last):
            self.read += 1
            yield row


def batch(items: int, shards: int, status: Status = Status.IN_PROGRESS) -> tuple[Batch, Plan]:
    plan = Plan(RUN, items, shards, (LaneShards(Lane("openai", "m"), 0, shards, items),), 4, False, None)
    return Batch(BATCH, ACCOUNT, "openai", "/v1/embeddings", "file-1", "24h", status, 1, 2, plan=plan), plan


def everything(items: Items, wanted: ItemsRequest) -> list[ItemsPage]:
    """Page after page, to the end."""
    pages: list[ItemsPage] = []
    cursor: ItemsCursor | None = None
    while not pages or cursor is not None:
        pages.append(items.page(ItemsRequest(wanted.batch_id, wanted.outcomes, None, cursor, wanted.limit)))
        cursor = pages[-1].next_cursor
    return pages


def test_the_only_failure_of_a_million_items_is_found_in_a_few_small_looks() -> None:
    """The last item of all: each look reads 500 rows and their records of the manifest, and only the shard with the
    failure has its part read."""
    shards = -(-MILLION // PER_SHARD)
    made, plan = batch(MILLION, shards)
    objects, rows = MeteredObjects(), MeteredShards()
    manifest = [
        Shard(n, 0, n * 1000, 1000, min(PER_SHARD, MILLION - n * PER_SHARD), n * PER_SHARD) for n in range(shards)
    ]
    objects.put(manifest_key(ACCOUNT, BATCH, RUN), b"".join(map(manifest_record, manifest)))
    for shard in manifest:
        counted = tally([Result(0, "", Outcome.SUCCEEDED)] * shard.items)
        rows.by_number[shard.number] = ShardRow(shard.number, ShardState.SETTLED, tally=counted)
    last = manifest[-1]
    results = [Result(n, f"r{n}", Outcome.SUCCEEDED, 200, None, b"{}") for n in range(last.first_index, MILLION - 1)]
    results.append(failed(MILLION - 1, "the-last", "rejected", "no"))
    key = part_key(ACCOUNT, BATCH, last.number, 1, 0)
    objects.put(key, encode_part(BATCH, results))
    rows.by_number[last.number] = ShardRow(last.number, ShardState.SETTLED, parts=(key,), tally=tally(results))
    pages = everything(Items(made, plan, rows, objects), ItemsRequest(BATCH, UNSUCCESSFUL))  # type: ignore[arg-type]
    assert [item.custom_id for page in pages for item in page.items] == ["the-last"]
    assert len(pages) == -(-shards // 500)
    assert len(objects.reads) == len(pages) + 1 and max(objects.reads) <= 64_000
    assert rows.read == shards
    assert [page.searched for page in pages] == sorted(page.searched for page in pages)
    assert pages[-1].searched == MILLION


def test_a_search_reads_a_bounded_part_of_the_work_file() -> None:
    """However large it is; and goes on behind it until the name is found."""
    items, per_shard = 40_000, 400
    made, plan = batch(items, items // per_shard)
    objects = MeteredObjects()
    work, manifest = [], []
    for number in range(plan.shards):
        first = number * per_shard
        lines = b"".join(
            work_line(Item(n, f"r{n}", "m", b'"' + b"x" * 3000 + b'"')) for n in range(first, first + per_shard)
        )
        manifest.append(Shard(number, 0, sum(map(len, work)), len(lines), per_shard, first))
        work.append(lines)
    objects.put(work_key(ACCOUNT, BATCH, RUN), b"".join(work))
    objects.put(manifest_key(ACCOUNT, BATCH, RUN), b"".join(map(manifest_record, manifest)))
    found = Items(made, plan, MemoryShards(), objects)  # type: ignore[arg-type]
    cursor, looks = None, 0
    while True:
        before = sum(objects.reads)
        page = found.find("r39999", cursor)
        looks += 1
        assert sum(objects.reads) - before < 55_000_000
        if page.next_cursor is None:
            break
        assert not page.items and 0 < page.searched < items
        cursor = page.next_cursor
    assert [item.index for item in page.items] == [39_999]
    assert looks == 3


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_looks_together_find_what_is_there(data: st.DataObject) -> None:
    """Whatever the shards hold, however far they are, however large a page is: each item with a wanted outcome once,
    those that were never run too if the batch is over."""
    sizes = data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=8))
    over = data.draw(st.booleans())
    total = sum(sizes)
    made, plan = batch(total, len(sizes), Status.CANCELLED if over else Status.IN_PROGRESS)
    objects, rows = MemoryObjects(), MemoryShards()
    outcomes: dict[int, Outcome] = {}
    manifest, work, first = [], b"", 0
    for number, size in enumerate(sizes):
        lines = b"".join(work_line(Item(n, f"r{n}", "m", b"{}")) for n in range(first, first + size))
        manifest.append(Shard(number, 0, len(work), len(lines), size, first))
        work += lines
        done = data.draw(st.lists(st.integers(0, size - 1), unique=True))
        results = []
        for position in done:
            outcome = data.draw(st.sampled_from([Outcome.SUCCEEDED, Outcome.FAILED]))
            outcomes[first + position] = outcome
            results.append(Result(first + position, f"r{first + position}", outcome, 200, None, b"{}"))
        if results or over:
            key = part_key(ACCOUNT, BATCH, number, 1, 0)
            objects.put(key, encode_part(BATCH, results))
            state = ShardState.SETTLED if len(done) == size else ShardState.SEALED if over else ShardState.OPEN
            rows.by_number[number] = ShardRow(
                number,
                state,
                parts=(key,) if results else (),
                tally=tally(results),
                done=mark_done(b"", done, size),
                fence=Ending.CANCELLED if state is ShardState.SEALED else None,
            )
        first += size
    objects.put(work_key(ACCOUNT, BATCH, RUN), work)
    objects.put(manifest_key(ACCOUNT, BATCH, RUN), b"".join(map(manifest_record, manifest)))
    if over:
        outcomes |= {n: Outcome.CANCELLED for n in range(total) if n not in outcomes}
    wanted = frozenset(data.draw(st.sets(st.sampled_from(list(Outcome)), min_size=1)))
    limit = data.draw(st.integers(1, 4))
    found = Items(made, plan, rows, objects)  # type: ignore[arg-type]
    with_few_rows = item_views._ROWS_AT_ONCE, item_views._SHARDS_AT_ONCE
    item_views._ROWS_AT_ONCE, item_views._SHARDS_AT_ONCE = 3, 2
    try:
        pages = everything(found, ItemsRequest(BATCH, wanted, limit=limit))
    finally:
        item_views._ROWS_AT_ONCE, item_views._SHARDS_AT_ONCE = with_few_rows
    shown = [(item.index, item.outcome) for page in pages for item in page.items]
    assert shown == [(n, outcome) for n, outcome in sorted(outcomes.items()) if outcome in wanted]
    assert all(len(page.items) <= limit for page in pages)
    for n in range(total):
        assert found.item(n).outcome == outcomes.get(n)
