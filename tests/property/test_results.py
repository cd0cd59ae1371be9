"""Results: any window of any batch, running or over, shows what is there and nothing else; and so does any export."""

from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Iterable
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchyard.content.export import Spool, Target, join, pack
from batchyard.content.results import results, touched
from batchyard.core.batches import Batch, Ending, Status
from batchyard.core.errors import NotFound
from batchyard.core.keys import manifest_key
from batchyard.core.requests import Packing, ResultWindow
from batchyard.core.result_lines import result_line
from batchyard.core.results import Outcome, StoredResult
from batchyard.core.sharding import Shard, read_manifest, routes
from batchyard.core.shards import ShardState
from simulation.memory_objects import MemoryObjects
from tests.property.test_merge import World, run_batch

SEEDS = st.integers(0, 10**9)
TARGET = Target("exports/a/b/c", "application/x-ndjson")


def world(seed: int, complete: bool) -> World:
    random = Random(seed)
    items, lanes = random.randint(1, 60), random.randint(1, 4)
    return run_batch(random, items=items, lanes=lanes, items_at_most=random.randint(1, 9), complete=complete)


def read(made: World, window: ResultWindow, **changes: object) -> list[StoredResult]:
    batch = replace(made.batches.batch, **changes)  # type: ignore[arg-type]
    return list(results(batch, window, shards=made.shards, objects=made.objects))  # type: ignore[arg-type]


def done(made: World) -> dict[int, Outcome]:
    return {int(name.removeprefix("id-")): outcome for name, outcome in made.expected.items()}


@given(SEEDS, st.integers(0, 70), st.integers(1, 70) | st.none())
def test_a_running_batch_shows_what_is_done(seed: int, offset: int, limit: int | None) -> None:
    """The window's items that have a result, each once, in input order, under their own custom_id."""
    made = world(seed, complete=False)
    stop = 10**6 if limit is None else offset + limit
    found = read(made, ResultWindow(offset, limit))
    expected = {index: outcome for index, outcome in sorted(done(made).items()) if offset <= index < stop}
    assert [(result.index, result.outcome) for result in found] == list(expected.items())
    assert [result.custom_id for result in found] == [f"id-{index}" for index in expected]


@given(SEEDS, st.integers(0, 70), st.integers(1, 70))
def test_a_batch_that_is_over_shows_every_item(seed: int, offset: int, limit: int) -> None:
    """What was never finished has the result that the files have: cancelled, by the batch's end."""
    made = world(seed, complete=False)
    for number, row in made.shards.by_number.items():
        if row.state is ShardState.OPEN:
            made.shards.by_number[number] = replace(row, state=ShardState.SEALED)
    found = read(made, ResultWindow(offset, limit), status=Status.CANCELLED)
    stop = min(made.batches.batch.total_items, offset + limit)
    assert [result.index for result in found] == list(range(offset, stop))
    for result in found:
        assert result.outcome is done(made).get(result.index, Outcome.CANCELLED)


@given(SEEDS, st.integers(1, 20))
def test_pages_add_up_to_the_whole(seed: int, step: int) -> None:
    """Page by page is the same as all at once, and the same as the files that Finalize writes."""
    made = world(seed, complete=True)
    whole = read(made, ResultWindow())
    pages = [read(made, ResultWindow(start, step)) for start in range(0, len(whole), step)]
    assert [result for page in pages for result in page] == whole
    batch = made.finalize(Ending.COMPLETED)
    files = (made.file(batch.output_file_id), made.file(batch.error_file_id))
    for data, good in zip(files, (True, False), strict=True):
        lines = [result_line(result) for result in whole if (result.outcome is Outcome.SUCCEEDED) == good]
        assert b"".join(lines) == (data or b"")


@given(SEEDS, st.integers(0, 59))
def test_a_deep_page_reads_little(seed: int, offset: int) -> None:
    """At most one shard more than the window needs is read, per lane."""
    made = world(seed, complete=True)
    plan = made.batches.batch.plan
    assert plan is not None
    manifest = _manifest(made)
    for route in routes(manifest):
        found = touched(plan, route, range(offset, offset + 1))
        assert len(found) <= 1


def _manifest(made: World) -> list[Shard]:
    batch = made.batches.batch
    return read_manifest(made.objects.stored[manifest_key(batch.account_id, batch.id, "run")])


def test_a_batch_without_a_plan_has_no_results() -> None:
    """It is still being checked, or failed at that."""
    batch = Batch("batch_x", "a", "openai", "/v1/embeddings", "f", "24h", Status.FAILED, 0, 1)
    made = world(1, complete=True)
    assert list(results(batch, ResultWindow(), shards=made.shards, objects=made.objects)) == []  # type: ignore[arg-type]


@given(SEEDS, st.integers(0, 70), st.integers(1, 70), st.sampled_from(["work/", "parts/"]), st.booleans())
def test_old_results_are_read_from_the_files(seed: int, offset: int, limit: int, gone: str, stopped: bool) -> None:
    """Manifest and parts are kept for some days; when some or all of them are gone, any window still shows the same."""
    made = world(seed, complete=not stopped)
    batch = made.finalize(Ending.FAILED if stopped else Ending.COMPLETED)
    window = ResultWindow(offset, limit)
    before = read(made, window)
    lost = [key for key in made.objects.stored if key.startswith(gone)]
    for key in Random(seed).sample(lost, Random(seed).randint(min(1, len(lost)), len(lost))):
        del made.objects.stored[key]
    assert batch.status.is_terminal
    assert read(made, window) == before


def test_results_that_are_gone_are_explained() -> None:
    """Neither parts nor the file that had the results."""
    made = world(2, complete=True)
    made.finalize(Ending.COMPLETED)
    for key in list(made.objects.stored):
        del made.objects.stored[key]
    with pytest.raises(NotFound, match="no longer kept"):
        read(made, ResultWindow())


# Exports.


ROWS = st.lists(st.binary(min_size=1, max_size=200).map(lambda data: data.hex().encode()), max_size=40)


@given(ROWS, st.integers(0, 5000))
def test_every_packing_holds_the_rows(rows: list[bytes], room: int) -> None:
    """Plain, gzip and ZIP unpack to one row per line, whether they fit into a reply or become an object."""
    plain = b"".join(row + b"\n" for row in rows)
    for packing in Packing:
        objects = MemoryObjects()
        with Spool(TARGET, room, objects) as spool:  # type: ignore[arg-type]
            pack(iter(rows), packing, "rows.ndjson", spool)
        data = objects.stored[TARGET.key] if spool.data is None else spool.data
        assert len(data) == spool.bytes_written
        assert (spool.data is None) == (len(data) > room) == (TARGET.key in objects.stored)
        if packing is Packing.GZIP:
            data = gzip.decompress(data)
        elif packing is Packing.ZIP:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                assert archive.testzip() is None
                assert archive.namelist() == ["rows.ndjson"]
                data = archive.read("rows.ndjson")
        assert data == plain


@given(ROWS)
def test_rows_are_joined_to_a_page(rows: list[bytes]) -> None:
    """Separators stand between rows only."""
    with Spool(TARGET, 10**6, MemoryObjects()) as spool:  # type: ignore[arg-type]
        join(iter(rows), b"[", b",", b"]", spool)
    assert spool.data == b"[" + b",".join(rows) + b"]"


def test_long_rows_are_joined_too() -> None:
    """Also between two pieces that are written by two calls."""
    rows = [str(number).encode() * 50_000 for number in range(20)]
    with Spool(TARGET, 10**9, MemoryObjects()) as spool:  # type: ignore[arg-type]
        join(iter(rows), b"[", b",", b"]", spool)
    assert spool.data == b"[" + b",".join(rows) + b"]"


def test_an_export_that_fails_leaves_nothing() -> None:
    """Rows that break off never become an object."""
    objects = MemoryObjects()

    def rows() -> Iterable[bytes]:
        yield b"x" * 300_000
        yield b"x" * 300_000
        raise RuntimeError

    with pytest.raises(RuntimeError), Spool(TARGET, 1000, objects) as spool:  # type: ignore[arg-type]
        pack(rows(), Packing.PLAIN, "rows", spool)
    assert objects.stored == {}


def test_the_same_rows_are_the_same_gzip() -> None:
    """No time of day in it, so that an export made twice is the same."""
    made = []
    for _ in range(2):
        with Spool(TARGET, 10**6, MemoryObjects()) as spool:  # type: ignore[arg-type]
            pack([b"a", b"b"], Packing.GZIP, "rows", spool)
        made.append(spool.data)
    assert made[0] == made[1]
