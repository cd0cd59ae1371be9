"""Jobs: whole shards, within the vendor's limits, none left out; and ids that say whose a line is."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from batchyard.core.batches import BatchRef
from batchyard.core.jobs import (
    STOP_PATIENCE_SECONDS,
    JobRef,
    JobRow,
    JobState,
    estimated_tokens,
    job_bytes,
    job_name,
    line_id,
    line_prefix,
    may_restart,
    pack,
    poll_wait_seconds,
    read_line_id,
    restart_at,
    retry_wait_seconds,
)
from batchyard.core.native_limits import NativeLimits
from batchyard.core.sharding import Shard

SHARDS = st.lists(st.tuples(st.integers(1, 256), st.integers(1, 4_000_000)), min_size=1, max_size=60)
LIMITS = st.builds(
    NativeLimits,
    max_items=st.integers(1, 2000),
    max_bytes=st.integers(1, 20_000_000),
    endpoints=st.just(("/v1/embeddings",)),
    max_enqueued_tokens=st.none() | st.integers(1, 5_000_000),
)


@given(SHARDS, LIMITS, st.integers(0, 1000))
def test_jobs_are_whole_shards_within_the_limits(
    sizes: list[tuple[int, int]], limits: NativeLimits, first: int
) -> None:
    """Every shard is in one job, in order; a job of more than one shard keeps to each limit, and could take no more."""
    shards = [Shard(first + n, 0, 0, length, items, 0) for n, (items, length) in enumerate(sizes)]
    by_number = {shard.number: shard for shard in shards}
    jobs = pack(shards, limits)
    assert [number for job in jobs for number in job] == [shard.number for shard in shards]

    def fits(numbers: list[int]) -> bool:
        found = [by_number[number] for number in numbers]
        tokens = sum(map(estimated_tokens, found))
        return (
            sum(shard.items for shard in found) <= limits.max_items
            and sum(map(job_bytes, found)) <= limits.max_bytes
            and (limits.max_enqueued_tokens is None or tokens <= limits.max_enqueued_tokens)
        )

    for job in jobs:
        assert len(job) == 1 or fits(list(job))
        if job.stop in by_number:
            assert not fits([*job, job.stop])


@given(
    st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=1), st.integers(0, 10**6), st.integers(0, 300)
)
def test_a_lines_id_leads_back_to_its_item(name: str, shard: int, position: int) -> None:
    """In the 64 characters that every vendor takes; an id of another submission is nobody's."""
    prefix = line_prefix(name)
    made = line_id(prefix, shard, position)
    assert len(made) <= 64
    assert set(made) <= set("0123456789abcdef-")
    assert read_line_id(prefix, made) == (shard, position)
    assert read_line_id(line_prefix(name + "x"), made) is None


@given(st.text(max_size=30))
def test_what_is_no_id_is_nobodys(text: str) -> None:
    """Whatever a vendor may write there."""
    assert read_line_id("0123456789abcdef", text) is None


def test_each_submission_has_a_name_of_its_own() -> None:
    """By deployment, batch, job and attempt."""
    ref = JobRef(BatchRef("acct", "batch_1"), 0, 4)
    other = JobRef(BatchRef("acct", "batch_1"), 4, 4)
    names = [job_name("a", ref, 1), job_name("a", ref, 2), job_name("a", other, 1), job_name("b", ref, 1)]
    assert len(set(names)) == 4
    assert names[0] == "batchyard:a:batch_1:0:1"


@given(st.integers(0, 10**6), st.none() | st.floats(1, 10**6))
def test_polls_are_neither_a_storm_nor_rare(running: int, usual: float | None) -> None:
    """Every half a minute to ten minutes, more often while a job is to stop."""
    row = JobRow(0, state=JobState.RUNNING, submitted_at=1000)
    assert 30 <= poll_wait_seconds(row, usual, 1000 + running) <= 600
    assert poll_wait_seconds(JobRow(0, state=JobState.STOPPING), usual, running) <= 10


@given(st.integers(0, 1000), st.none() | st.floats(0, 10**6))
def test_a_vendor_in_trouble_is_asked_less_and_less(tries: int, asked_for: float | None) -> None:
    """Never more often than it says, and never for longer than ten minutes."""
    wait = retry_wait_seconds(tries, asked_for)
    assert 15 <= wait <= 600
    assert wait >= min(600, asked_for or 0) - 1


@given(st.integers(0, 10), st.integers(1, 10**6), st.integers(1, 10**6))
def test_a_job_that_is_stuck_leaves_time_for_another_one(restarts: int, usual: int, seconds: int) -> None:
    """It is not stopped before one and a half times what such jobs take, and then so early that it can stop and that
    each of those after it has as long; jobs are stopped so twice at most."""
    row = JobRow(0, state=JobState.RUNNING, submitted_at=1000, restarts=restarts)
    at = restart_at(row, usual, 1000 + seconds)
    if at == math.inf:
        assert restarts >= 2 or seconds < 3 * max(usual, 600) + STOP_PATIENCE_SECONDS
        return
    assert restarts < 2
    assert 1000 + 1.5 * max(usual, 600) <= at <= 1000 + 8 * max(usual, 600)
    assert at + STOP_PATIENCE_SECONDS + 1.5 * max(usual, 600) <= 1000 + seconds
    assert may_restart(usual, 1000 + seconds, math.ceil(at) + STOP_PATIENCE_SECONDS)


def test_the_time_is_divided_among_the_jobs_that_may_be_tried() -> None:
    """Three if each has one and a half times what such jobs take, else two, else one; none has more than eight times
    that."""
    usual, patience = 3600, STOP_PATIENCE_SECONDS
    fresh = JobRow(0, state=JobState.RUNNING, submitted_at=1000)
    again = JobRow(0, state=JobState.RUNNING, submitted_at=1000, restarts=1)
    assert restart_at(fresh, usual, 1000 + 3 * 6000 + 2 * patience) == 1000 + 6000
    assert restart_at(fresh, usual, 1000 + 3 * 5400 + 2 * patience - 1) == 1000 + (3 * 5400 + patience - 1) / 2
    assert restart_at(again, usual, 1000 + 3 * 6000 + patience) == 1000 + 9000
    assert restart_at(fresh, usual, 1000 + 2 * 5400 + patience - 1) == math.inf
    assert restart_at(fresh, usual, 10**7) == 1000 + 8 * usual


def test_a_job_is_not_stuck_while_nobody_knows_what_is_usual() -> None:
    """It runs until it is late."""
    assert restart_at(JobRow(0, state=JobState.RUNNING, submitted_at=1000), None, 10**9) == math.inf
